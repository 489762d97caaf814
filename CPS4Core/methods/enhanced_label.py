"""y_enh: how the teacher's pseudo-label and the prompt maps become one label (formula 7)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from CPS4Core.config import Stage2Config
from CPS4Core.methods.tissue import tissue_groups, tissue_probabilities
from CPS4Core.schema import IGNORE_INDEX, LabelSchema


def enhanced_label(
    teacher: Tensor, text: Tensor, text_soft: Tensor, schema: LabelSchema, options: Stage2Config
) -> Tensor:
    """Teacher logits [B, K, h, w], integrated map [B, h, w], soft maps -> indices [B, h, w].

    `sum`: `argmax_c [softmax(T)_c + softmax(S)_c]`, S the one-hot integrated map;
    `agreement`: where both agree, ignored elsewhere;
    `weighted`: `argmax_c [T + w softmax(A / tau)]` with the soft maps A;
    `confidence`: the text where its soft map reaches the confidence, else the teacher;
    `level`: the teacher says which kind of tissue, the soft maps which level of that kind;
    ignored where the teacher is less sure of the tissue than `pseudo_threshold`.
    Pixels that the integrated map ignores (outside the scan) stay ignored.
    """
    outside = text == IGNORE_INDEX
    label = _integrate(teacher, text.masked_fill(outside, 0), text_soft, schema, options)
    return label.masked_fill(outside, IGNORE_INDEX)


def _integrate(
    teacher: Tensor, text: Tensor, text_soft: Tensor, schema: LabelSchema, options: Stage2Config
) -> Tensor:
    probabilities = teacher.float().softmax(dim=1)
    if options.enhanced == "sum":
        one_hot = F.one_hot(text, teacher.shape[1]).permute(0, 3, 1, 2).float()
        return (probabilities + one_hot.softmax(dim=1)).argmax(dim=1)
    pseudo = probabilities.argmax(dim=1)
    if options.enhanced == "agreement":
        return torch.where(pseudo == text, pseudo, IGNORE_INDEX)
    if options.enhanced == "confidence":
        sure = text_soft.gather(1, text[:, None])[:, 0] >= options.confidence
        return torch.where(sure, text, pseudo)
    tau, weight = options.enhanced_text_temperature, options.enhanced_text_weight
    if options.enhanced == "weighted":
        return (probabilities + weight * (text_soft / tau).softmax(dim=1)).argmax(dim=1)
    return _level_label(probabilities, text_soft, schema, weight, options.pseudo_threshold)


def _level_label(
    probabilities: Tensor,
    text_soft: Tensor,
    schema: LabelSchema,
    weight: float,
    threshold: float,
) -> Tensor:
    """Tissue by the teacher's probability summed over each kind; level by the text within it."""
    kinds = tissue_groups(schema)
    sureness, tissue = tissue_probabilities(probabilities, kinds).max(dim=1)
    score = probabilities + weight * text_soft
    label = torch.zeros_like(tissue)
    for position, members in enumerate(kinds[1:], start=1):
        named = torch.tensor(members, device=tissue.device)[score[:, members].argmax(dim=1)]
        label = torch.where(tissue == position, named, label)
    return label.masked_fill(sureness < threshold, IGNORE_INDEX)
