"""Copy-paste that keeps levels: a labelled spine is moved until its levels meet the other's."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from CPS4Core.methods.rectangle import random_rectangle
from CPS4Core.schema import IGNORE_INDEX


def paste_by_level(
    images: Tensor, labels: Tensor, donors: Tensor, donor_labels: Tensor, side: float
) -> tuple[Tensor, Tensor]:
    """A rectangle of a random donor in each slice.

    Slices [B, 1, h, w] with labels [B, h, w] and donors of the same size, any number. A donor is
    moved by the median distance of the structures that both show, so that a level lies beside its
    neighbours; where they share none, nothing is pasted. The rectangle takes `side` of height and
    width. Returns the mixed slices and the donors' labels there, [B, h, w], -1 where nothing was
    pasted.
    """
    size = (images.shape[2], images.shape[3])
    mixed, pasted = images.clone(), torch.full_like(labels, -1)
    for i in range(len(images)):
        j = int(torch.randint(len(donors), ()))
        move = level_distance(donor_labels[j], labels[i])
        box = random_rectangle(size, *(int(side * n) for n in size)).to(images.device)
        if move is None:
            continue
        inside = box & moved(torch.ones_like(box), move)
        mixed[i] = torch.where(inside, moved(donors[j], move), images[i])
        pasted[i] = torch.where(inside, moved(donor_labels[j], move), -1)
    return mixed, pasted


def level_distance(labels: Tensor, goal: Tensor) -> tuple[int, int] | None:
    """Rows and columns from structures in `labels` [h, w] to the same in `goal`; None: none shared.

    The median over the structures of the distance between their middles.
    """
    ours, theirs = middles(labels), middles(goal)
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        return None
    steps = torch.stack([theirs[c] - ours[c] for c in shared]).median(dim=0).values
    return round(float(steps[0])), round(float(steps[1]))


def middles(labels: Tensor) -> dict[int, Tensor]:
    """Mean row and column of every structure in [h, w], the background left out."""
    known = (labels > 0) & (labels != IGNORE_INDEX)
    places, classes = known.nonzero().float().cpu(), labels[known].cpu()
    return {int(c): places[classes == c].mean(dim=0) for c in classes.unique()}


def moved(plane: Tensor, by: tuple[int, int]) -> Tensor:
    """[..., h, w] moved down and right by whole pixels; 0 (False) comes in."""
    height, width = plane.shape[-2:]
    down, right = by
    if abs(down) >= height or abs(right) >= width:
        return torch.zeros_like(plane)
    margins = (max(right, 0), max(-right, 0), max(down, 0), max(-down, 0))
    whole = F.pad(plane, margins)
    top, left = max(-down, 0), max(-right, 0)
    return whole[..., top : top + height, left : left + width]
