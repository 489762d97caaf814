"""The prompt maps that were computed for one volume."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class VolumeMaps:
    """Maps by prompt name, the model's classes first, then the user's own prompts.

    prompts: entries of the worker's `maps` results. integrated: the file of the integrated map,
    schema: its label schema; both None until the classes are computed. slice_axis: where the
    slices of `thresholds` lie.
    """

    prompts: dict[str, dict[str, Any]] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)
    integrated: str | None = None
    schema: dict[str, Any] | None = None
    slice_axis: dict[str, Any] | None = None

    def add(self, result: dict[str, Any], own: bool) -> list[str]:
        """Take the worker's answer; returns the names of its prompts.

        Maps of the classes replace earlier ones of another model; own prompts are added.
        """
        names = [prompt["name"] for prompt in result["prompts"]]
        if not own:
            kept = {name: self.prompts[name] for name in self.own if name not in names}
            self.own = set(kept)
            self.prompts = {prompt["name"]: prompt for prompt in result["prompts"]} | kept
            self.integrated, self.schema = result.get("integrated"), result.get("schema")
        else:
            self.own |= set(names) - set(self.classes)
            self.prompts |= {prompt["name"]: prompt for prompt in result["prompts"]}
        self.slice_axis = result["slice_axis"]
        return names

    @property
    def names(self) -> list[str]:
        """Names of all maps in the order to step through."""
        return list(self.prompts)

    @property
    def classes(self) -> list[str]:
        """Names of the model's own classes."""
        return [name for name in self.prompts if name not in self.own]

    def first(self, names: list[str]) -> str:
        """The one of `names` to show first: a class that a labelled scan of the training showed."""
        taught = {s["name"] for s in (self.schema or {}).get("structures", [])}
        return next((n for n in names if n in taught and self.prompts[n]["trained"]), names[0])

    def title(self, name: str) -> str:
        """The name in a list, with what is to be known of it."""
        if name in self.own:
            return f"{name} (own prompt)"
        return name if self.prompts[name]["trained"] else f"{name} (untrained prompt)"

    def neighbour(self, name: str, step: int) -> str | None:
        """The name `step` places further, round the end; the first for an unknown name."""
        names = self.names
        if not names:
            return None
        return names[(names.index(name) + step) % len(names)] if name in names else names[0]

    def about(self, name: str) -> str:
        """The prompt's words and what is to be known of them, for the user."""
        prompt = self.prompts[name]
        text = f"\N{LEFT DOUBLE QUOTATION MARK}{prompt['prompt']}\N{RIGHT DOUBLE QUOTATION MARK}"
        if name in self.own:
            text += "\nYour own prompt: nothing has taught the model these words on labelled scans."
        elif not prompt["trained"]:
            text += "\nUntrained prompt: no labelled scan of the training showed this class."
        return text
