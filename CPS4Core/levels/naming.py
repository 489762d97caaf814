"""Voxels get the names of the structures that were found along the column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from CPS4Core.levels.chain import Link
from CPS4Core.levels.column import Column
from CPS4Core.levels.options import DecodingOptions
from CPS4Core.levels.sequence import Segment

END_MM = 8.0
"""How far tissue may reach beyond the lowest and highest structure found, and still be theirs."""

CERTAIN_INSIDE_MM = 4.0
"""Distance from a structure's ends from which the found order fully favours its tissue."""

PROCESS_SPREAD = 9.0
"""Uncertainty in mm of where along the column a posterior element belongs."""


ENOUGH_VOXELS = 20_000
"""How many voxels of bodies tell well enough how the network's names translate."""


@dataclass(frozen=True)
class _Places:
    """Voxels of bone or disc: indices, place along the column in bins, mm behind its middle."""

    voxels: tuple[np.ndarray, ...]
    along: np.ndarray
    behind: np.ndarray


def name_voxels(
    probabilities: np.ndarray,
    others: np.ndarray,
    vertebra: np.ndarray,
    disc: np.ndarray,
    column: Column,
    segments: list[Segment],
    chain: list[Link],
    spacing: tuple[float, float, float],
    options: DecodingOptions,
) -> np.ndarray:
    """Class indices [S, h, w] uint8: each voxel's tissue with the name of its place.

    others: [S, h, w] what has no place along the spine, and keeps its class.
    The tissue is the likeliest of vertebra, disc and background, levels summed up. Tissue that does
    not belong to the column (fat, bowel) and unnamed structures become background.
    """
    labels = others.copy()
    if not segments:
        return labels
    other = 1 - vertebra - disc
    either = np.maximum(vertebra, disc)
    bone = np.nonzero((either * max(1.0, options.tissue_prior) > other) & (labels == 0))
    if not len(bone[0]):
        return labels
    along, behind, _ = column.locate(bone, spacing)
    in_column = np.abs(behind) <= options.body_half_depth
    in_column &= (along >= segments[0].first) & (along < segments[-1].last)
    kept = either[bone] * np.where(in_column, options.tissue_prior, 1) > other[bone]
    bone, along, behind = tuple(axis[kept] for axis in bone), along[kept], behind[kept]
    places = _Places(bone, along, behind)
    is_disc = _takes_disc(vertebra[bone], disc[bone], places, segments, chain, options)
    named = np.zeros(len(along), np.uint8)
    for kind in (False, True):
        own = [s for s in segments if chain[s.link].is_disc == kind]
        if own:
            chosen = is_disc == kind
            named[chosen] = _nearest(places, chosen, own, chain, column.bin_mm, options)
    if options.process_votes:
        _name_processes(named, is_disc, probabilities, places, segments, chain, column, options)
    low, high = segments[0].first, segments[-1].last
    margin = END_MM / column.bin_mm
    depth = np.where(is_disc, options.disc_behind_mm, options.behind_mm)
    inside = (behind >= -options.front_mm) & (behind <= depth)
    inside &= (along >= low - margin) & (along < high + margin)
    labels[bone] = np.where(inside, named, 0)
    return labels


def _takes_disc(
    vertebra: np.ndarray,
    disc: np.ndarray,
    places: _Places,
    segments: list[Segment],
    chain: list[Link],
    options: DecodingOptions,
) -> np.ndarray:
    """Whether disc is likelier than vertebra, the found order taken into account in the column."""
    if options.kind_prior == 1:
        return disc > vertebra
    favour = np.ones(len(places.along))
    in_column = np.abs(places.behind) <= options.body_half_depth
    for s in segments:
        here = in_column & (places.along >= s.first) & (places.along < s.last)
        # Outlines are the network's: towards a structure's ends the found order has no say.
        inside = np.minimum(places.along[here] - s.first, s.last - 1 - places.along[here]) + 0.5
        share = np.minimum(1, inside * options.bin_mm / CERTAIN_INSIDE_MM)
        is_disc = chain[s.link].is_disc
        favour[here] = options.kind_prior ** (share if is_disc else -share)
    return np.asarray(disc * favour > vertebra)


def _nearest(
    places: _Places,
    chosen: np.ndarray,
    own: list[Segment],
    chain: list[Link],
    bin_mm: float,
    options: DecodingOptions,
) -> np.ndarray:
    """Class index of the nearest of these structures, posterior elements lifted to their body."""
    beyond = np.maximum(places.behind[chosen] - options.body_half_depth, 0)
    along = places.along[chosen] + 0.5 + options.process_slope * beyond / bin_mm
    borders = [(a.last + b.first) / 2 for a, b in zip(own, own[1:], strict=False)]
    index = np.array([chain[s.link].index for s in own], np.uint8)
    return np.asarray(index[np.searchsorted(borders, along)])


def _name_processes(
    named: np.ndarray,
    is_disc: np.ndarray,
    probabilities: np.ndarray,
    places: _Places,
    segments: list[Segment],
    chain: list[Link],
    column: Column,
    options: DecodingOptions,
) -> None:
    """Let the network's own names, translated as in the bodies, speak for posterior elements."""
    own = [s for s in segments if not chain[s.link].is_disc]
    raw = sorted({link.index for link in chain if link.index and not link.is_disc})
    in_body = ~is_disc & (np.abs(places.behind) <= options.body_half_depth)
    behind = ~is_disc & (places.behind > options.body_half_depth)
    if not own or not in_body.any() or not behind.any():
        return
    s, r, c = places.voxels

    def given(chosen: np.ndarray) -> np.ndarray:
        return np.asarray(probabilities[s[chosen], :, r[chosen], c[chosen]], np.float32)[:, raw]

    index = np.array([chain[g.link].index for g in own], np.uint8)
    in_body = np.flatnonzero(in_body)[:: max(1, int(in_body.sum()) // ENOUGH_VOXELS)]
    in_bodies, spoken = named[in_body], given(in_body)
    table = np.stack([spoken[in_bodies == i].sum(axis=0) for i in index], axis=1)
    table = (table + 1e-3) / (table + 1e-3).sum(axis=1, keepdims=True)
    votes = np.log(given(behind) @ table + 0.05)
    along = places.along[behind] + 0.5
    along = along + (
        options.process_slope * (places.behind[behind] - options.body_half_depth) / column.bin_mm
    )
    middle = np.array([(g.first + g.last) / 2 for g in own])
    away = (along[:, None] - middle) * column.bin_mm / PROCESS_SPREAD
    named[behind] = index[(votes - 0.5 * away**2).argmax(axis=1)]
