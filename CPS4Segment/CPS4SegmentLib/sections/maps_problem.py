"""Why prompt maps cannot be computed, with what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from CPS4SegmentLib.volume_export import volume_problem

if TYPE_CHECKING:
    from CPS4SegmentLib.panel import Panel


def maps_problem(panel: Panel, volume: Any, model: dict[str, Any] | None) -> str:
    """For the classes of a model (of the worker's `models`); empty if they can be computed."""
    if panel.requirements.lacking:
        return "Some Python packages are missing. Install them in the section Setup."
    problem = volume_problem(volume)
    if problem:
        return problem
    if panel.discovery.models is None:
        return panel.discovery.problem or "Looking for models..."
    if model is None:
        return "No model is chosen. Choose one in the section Segment."
    if model.get("problem"):
        return str(model["problem"])
    if not model.get("prompt_maps"):
        return f"The model {model['name']} has no prompt maps. Choose one trained with cps4."
    return ""


def own_prompt_problem(model: dict[str, Any] | None, prompt: str) -> str:
    """For a prompt in the user's own words, where `maps_problem` finds nothing."""
    if not (model or {}).get("new_prompts"):
        return "The chosen model was saved without its text encoder: it reads no new prompts"
    return "" if prompt else "Write a prompt to the left"
