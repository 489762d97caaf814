"""The weights and penalties of the level decoding."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DecodingOptions:
    """Scores are natural logarithms; lengths are in mm.

    bin_mm: step along the column.
    floor: probability below which shape evidence makes no further difference.
    tissue_power: exponent of the share of tissue in the column; below 1 half-seen counts more.
    tissue_full: least share of tissue that counts as all; above it the column's upper range does.
    shape_weight: weight of the shape evidence per mm of column.
    vertebra_weight, disc_weight: weight of the level evidence of one whole structure; one that the
        image's border cuts counts by the share of its height that is there.
    level_floor: share of the level evidence taken as unknown (0..1).
    extra_weight: weight of the extra evidence maps beside the network's own.
    vertebra_spread, disc_spread: spread of the logarithm of heights.
    scales: sizes of the spine that are tried, 1 a usual adult's.
    scale_spread: spread of the logarithm of that size.
    start_penalty: for a column that ends inside the image above the anchor.
    end_penalty: for a column that ends inside the image below the top of the spine.
    no_anchor_disc_penalty: for starting at the lowest vertebra above the sacrum without its disc.
    unnamed_penalty: for each structure above the schema's last name.
    border_mm: a column this close to the image's border counts as cut by it.
    body_half_depth: front-to-back half of a vertebral body.
    front_mm, behind_mm: how far before and behind the column's middle bone may lie.
    disc_behind_mm: the same for discs.
    process_votes: whether the network's own names help to name posterior elements.
    process_slope: how much the posterior elements sink per mm backwards.
    kind_prior: factor by which the found order favours a tissue over the other; 1 leaves shapes.
    tissue_prior: factor by which the found order favours tissue over background in the column.
    absent_below: mean evidence below which a structure counts as not seen.
    certain_margin: margin to the next best order that means a confidence of 63 %.
    """

    bin_mm: float = 2.0
    floor: float = 0.1
    tissue_power: float = 0.7
    tissue_full: float = 1.0
    shape_weight: float = 0.15
    vertebra_weight: float = 0.7
    disc_weight: float = 0.3
    level_floor: float = 0.2
    extra_weight: float = 1.0
    vertebra_spread: float = 0.18
    disc_spread: float = 0.4
    scales: tuple[float, ...] = (0.75, 0.87, 1.0, 1.15, 1.3)
    scale_spread: float = 0.15
    start_penalty: float = 4.0
    end_penalty: float = 4.0
    no_anchor_disc_penalty: float = 2.0
    unnamed_penalty: float = 1.0
    border_mm: float = 8.0
    body_half_depth: float = 17.0
    front_mm: float = 28.0
    behind_mm: float = 78.0
    disc_behind_mm: float = 32.0
    process_votes: bool = True
    process_slope: float = 0.35
    kind_prior: float = 16.0
    tissue_prior: float = 2.0
    absent_below: float = 0.25
    certain_margin: float = 3.0
