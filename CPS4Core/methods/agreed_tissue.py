"""Decoded pseudo-labels teach where the teacher itself sees their kind of tissue."""

from __future__ import annotations

from torch import Tensor

from CPS4Core.methods.tissue import tissue_groups, tissue_of_class, tissue_probabilities
from CPS4Core.schema import IGNORE_INDEX, LabelSchema


def agreed_tissue(labels: Tensor, teacher: Tensor, schema: LabelSchema) -> Tensor:
    """Labels [B, h, w], ignored where `argmax_k sum_{c in k} p_c` is not their kind k; ours.

    The found order favours vertebrae and discs where they should be, which is right for what
    people see. A network taught by that favours them too, and what it says is favoured again: its
    outlines grow, and slivers at the border become vertebrae. Background teaches everywhere.

    Parameters: labels, decoded class indices; teacher, logits [B, K, h, w] of the same slices.
    """
    groups = tissue_groups(schema)
    seen = tissue_probabilities(teacher.float().softmax(dim=1), groups).argmax(dim=1)
    structure = (labels > 0) & (labels != IGNORE_INDEX)
    other = tissue_of_class(groups, teacher)[labels.masked_fill(~structure, 0)] != seen
    return labels.masked_fill(structure & other, IGNORE_INDEX)
