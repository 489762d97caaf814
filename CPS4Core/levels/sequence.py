"""The best gap-free order of vertebrae and discs along a column, by dynamic programming.

A semi-Markov chain: each structure of the chain takes a stretch of the column, the next one above
follows without a gap, and below and above the found part there is background. A stretch scores by
its tissue, its height and its level evidence, so that a structure without evidence is inserted
where the heights ask for it, and one that is split or fused is mended.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from CPS4Core.levels.chain import ANCHOR_DISC_ORDER, Link
from CPS4Core.levels.options import DecodingOptions
from CPS4Core.levels.profile import Profile

BACKGROUND, VERTEBRA, DISC, SACRUM = range(4)
SACRUM_RANGE = (15.0, 130.0)


@dataclass(frozen=True)
class Segment:
    """A link of the chain on bins first..last (exclusive) of the column.

    `margin`: how much worse the best order is that has another level of this kind here.
    `evidence`: mean probability of its tissue; `rival`: of the other tissue.
    """

    link: int
    first: int
    last: int
    margin: float
    evidence: float
    rival: float


def anchor_seen(segments: list[Segment], chain: list[Link], options: DecodingOptions) -> bool:
    """Whether anything is visible from which levels are counted: the sacrum or its disc."""
    return any(
        chain[s.link].order <= ANCHOR_DISC_ORDER and s.evidence >= options.absent_below
        for s in segments
    )


def tissue_of(link: Link) -> int:
    """Row of `Evidence.tissue` that speaks for a link."""
    return DISC if link.is_disc else SACRUM if link.is_sacrum else VERTEBRA


@dataclass(frozen=True)
class Evidence:
    """What the dynamic programming reads.

    tissue: [4, N] background, vertebra, disc, sacrum (which looks like no other vertebra, so that
    counting does not start inside it); levels: [L, N] probability of each link's own class
    (NaN rows: unnamed), extra: the same of the extra maps or None.
    """

    tissue: np.ndarray
    levels: np.ndarray
    extra: np.ndarray | None


def evidence_of(
    profile: Profile, chain: list[Link], haze: np.ndarray, options: DecodingOptions
) -> Evidence:
    """Tissue and level evidence from a profile; haze: [K] what every voxel shows of a class."""
    classes = np.maximum(profile.classes - haze, 0) / (1 - haze.sum())

    def per_link(maps: np.ndarray) -> np.ndarray:
        rows = [maps[:, k.index] if k.index else np.full(len(maps), np.nan) for k in chain]
        return np.stack(rows)

    tissue = np.zeros((4, len(classes)))
    for kind in (VERTEBRA, DISC, SACRUM):
        own = sorted({k.index for k in chain if k.index and tissue_of(k) == kind})
        tissue[kind] = classes[:, own].sum(axis=1)
    # Half-seen bone is far from what background looks like: there is next to nothing there.
    whole = np.clip(tissue[1:].sum(axis=0), 1e-6, 1)
    full = max(float(np.percentile(whole, 80)), options.tissue_full)
    tissue[1:] *= np.minimum(1, whole / full) ** options.tissue_power / whole
    tissue[0] = np.clip(1 - tissue[1:].sum(axis=0), 0, 1)
    extra = None if profile.extra is None else per_link(profile.extra)
    return Evidence(tissue, per_link(classes), extra)


def best_sequence(
    evidence: Evidence, chain: list[Link], options: DecodingOptions
) -> tuple[list[Segment], float]:
    """The best order, upwards, and how much better it scores than no spine at all."""
    best: tuple[float, _Chart] | None = None
    looks = _Looks(evidence, chain, options)
    for scale in options.scales:
        chart = _Chart(looks, scale)
        score = chart.score - 0.5 * (np.log(scale) / options.scale_spread) ** 2
        if best is None or score > best[0]:
            best = (score, chart)
    assert best is not None
    return best[1].segments(), best[1].gain


class _Looks:
    """What stretches look like, whatever the size of the spine: scores of tissue and level.

    scores: [L, bins, reach] of link k on bins t .. t + d (d from 1); -inf where impossible.
    """

    def __init__(self, evidence: Evidence, chain: list[Link], options: DecodingOptions):
        self.evidence, self.chain, self.options = evidence, chain, options
        self.bins = n = evidence.tissue.shape[1]
        widest = max(options.scales)
        longest = max(
            SACRUM_RANGE[1] if k.is_sacrum else (2.2 if k.is_disc else 1.7) * k.height * widest
            for k in chain
        )
        self.reach = reach = min(n, int(np.ceil(longest / options.bin_mm)))
        log = np.log(evidence.tissue + options.floor) * options.shape_weight * options.bin_mm
        self.shape = np.concatenate([np.zeros((4, 1)), np.cumsum(log, axis=1)], axis=1)
        first = np.arange(n)[:, None]
        self.length = np.arange(1, reach + 1)[None]
        last = np.minimum(first + self.length, n)
        border = max(1, round(options.border_mm / options.bin_mm))
        self.cut = (first < border) | (last > n - border)
        impossible = first + self.length > n
        tissue = [np.where(impossible, -np.inf, s[last] - s[first]) for s in self.shape]
        sums = {kind: self._sums(kind, first, last) for kind in (VERTEBRA, DISC)}
        self.scores = np.stack([tissue[tissue_of(link)] for link in chain])
        for k, link in enumerate(chain):
            if link.index and not link.is_sacrum:
                weight = self._level_weight(link)
                mass = sums[tissue_of(link)]
                self.scores[k] += weight * self._level_scores(evidence.levels, k, mass, first, last)
                if evidence.extra is not None:
                    self.scores[k] += (
                        weight
                        * options.extra_weight
                        * self._level_scores(evidence.extra, k, None, first, last)
                    )
            if link.index == 0 and k and all(c.index == 0 for c in chain[k:]):
                self.scores[k] -= options.unnamed_penalty

    def _level_weight(self, link: Link) -> np.ndarray:
        """Weight [bins, reach] of a link's level evidence: the border shows a part of a structure,
        which says as much less. Else a sliver would get a name of its own beside the rest."""
        options = self.options
        whole = options.disc_weight if link.is_disc else options.vertebra_weight
        share = np.minimum(1, self.length * options.bin_mm / link.height)
        return np.where(self.cut, whole * share, whole)

    def _sums(self, kind: int, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        total = np.concatenate([[0], np.cumsum(self.evidence.tissue[kind])])
        return np.asarray(total[last] - total[first])

    def _level_scores(
        self,
        levels: np.ndarray,
        k: int,
        mass: np.ndarray | None,
        first: np.ndarray,
        last: np.ndarray,
    ) -> np.ndarray | float:
        """Log of the mean level probability against an even one, 0 where nothing is known."""
        if not self.chain[k].index:
            return 0.0
        same = [
            j
            for j, c in enumerate(self.chain)
            if c.index and tissue_of(c) == tissue_of(self.chain[k])
        ]
        own = np.concatenate([[0], np.cumsum(levels[k])])
        all_ = np.concatenate([[0], np.cumsum(levels[same].sum(axis=0))])
        whole = all_[last] - all_[first]
        share = (own[last] - own[first]) / np.maximum(whole, 1e-6)
        floor = self.options.level_floor
        score = np.log((1 - floor) * share * len(same) + floor)
        # Where hardly any of the tissue is seen, its name says little.
        known = whole if mass is None else mass
        return np.asarray(score * np.minimum(1, 2 * known / (last - first)))


class _Chart:
    """Forward and backward scores for one size of the spine."""

    def __init__(self, looks: _Looks, scale: float):
        self.evidence, self.chain, self.options = looks.evidence, looks.chain, looks.options
        self.bins, self.reach = looks.bins, looks.reach
        mm = looks.length * looks.options.bin_mm
        self.stretch = looks.scores + np.stack(
            [self._height_scores(link, scale, mm, looks.cut) for link in looks.chain]
        )
        background = looks.shape[0]
        self.below = background[None] + self._start_costs()
        self.above = background[-1] - background + self._end_costs()
        self.forward = self._forward()
        ends = self.forward + self.above
        self.nothing = float(background[-1])
        self.score = max(float(ends.max()), self.nothing)
        self.gain = float(ends.max()) - self.nothing

    def _height_scores(
        self, link: Link, scale: float, mm: np.ndarray, cut: np.ndarray
    ) -> np.ndarray:
        o = self.options
        if link.is_sacrum:
            low, high = SACRUM_RANGE
            return np.where((mm >= low) | cut, 0.0, -2.0) + np.where(mm <= high, 0.0, -np.inf)
        spread = o.disc_spread if link.is_disc else o.vertebra_spread
        away = np.log(mm / (link.height * scale))
        # A structure at the image's border may show any part of its height.
        away = np.where(cut, np.maximum(away, 0), away)
        return np.asarray(-0.5 * (away / spread) ** 2)

    def _start_costs(self) -> np.ndarray:
        """Cost [L, bins + 1] of the lowest visible structure being link k at bin t."""
        o = self.options
        border = max(1, round(o.border_mm / o.bin_mm))
        inside = np.arange(self.bins + 1) >= border
        orders = [k.order for k in self.chain]
        costs = np.zeros((len(self.chain), self.bins + 1))
        for k, link in enumerate(self.chain):
            if link.order <= ANCHOR_DISC_ORDER or link.order == min(orders):
                # Cut off below the sacrum's end there is always more of the spine.
                continue
            first = link.order == ANCHOR_DISC_ORDER + 1
            costs[k, inside] = -(o.no_anchor_disc_penalty if first else o.start_penalty)
        return costs

    def _end_costs(self) -> np.ndarray:
        """Cost [L, bins + 1] of the highest structure being link k, ending at bin t."""
        o = self.options
        border = max(1, round(o.border_mm / o.bin_mm))
        inside = np.arange(self.bins + 1) <= self.bins - border
        costs = np.zeros((len(self.chain), self.bins + 1))
        costs[:-1, inside] = -o.end_penalty
        return costs

    def _forward(self) -> np.ndarray:
        """Best score [L, bins + 1] of orders whose last structure so far is k, ending at t."""
        n, reach = self.bins, self.reach
        result = np.full((len(self.chain), n + 1), -np.inf)
        self.enter = np.full((len(self.chain), n + 1), -np.inf)
        for t in range(n + 1):
            if t:
                d = np.arange(1, min(reach, t) + 1)
                scores = self.enter[:, t - d] + self.stretch[:, t - d, d - 1]
                result[:, t] = scores.max(axis=1)
            self.enter[:, t] = self.below[:, t]
            self.enter[1:, t] = np.maximum(self.enter[1:, t], result[:-1, t])
        return result

    def _backward(self) -> np.ndarray:
        """Best score [L, bins + 1] of what follows from t on where k starts at t."""
        n, reach = self.bins, self.reach
        result = np.full((len(self.chain), n + 1), -np.inf)
        self.leave = np.full((len(self.chain), n + 1), -np.inf)
        for t in range(n, -1, -1):
            if t < n:
                d = np.arange(1, min(reach, n - t) + 1)
                scores = self.stretch[:, t, d - 1] + self.leave[:, t + d]
                result[:, t] = scores.max(axis=1)
            self.leave[:, t] = self.above[:, t]
            self.leave[:-1, t] = np.maximum(self.leave[:-1, t], result[1:, t])
        return result

    def segments(self) -> list[Segment]:
        """The best order with its margins; empty where no spine scores better."""
        if self.gain <= 0:
            return []
        self.backward = self._backward()
        ends = self.forward + self.above
        k, t = (int(i) for i in np.unravel_index(ends.argmax(), ends.shape))
        found = []
        while True:
            d = np.arange(1, min(self.reach, t) + 1)
            scores = self.enter[k, t - d] + self.stretch[k, t - d, d - 1]
            start = t - int(d[scores.argmax()])
            found.append((k, start, t))
            from_below = self.below[k, start]
            if k == 0 or from_below >= self.forward[k - 1, start]:
                break
            k, t = k - 1, start
        return [self._segment(*f) for f in reversed(found)]

    def _segment(self, k: int, first: int, last: int) -> Segment:
        middle = (first + last - 1) // 2
        rivals = [
            self._through(j, middle)
            for j, c in enumerate(self.chain)
            if j != k and c.is_disc == self.chain[k].is_disc
        ]
        kind = tissue_of(self.chain[k])
        other = VERTEBRA if kind == DISC else DISC
        tissue = self.evidence.tissue[:, first:last]
        return Segment(
            link=k,
            first=first,
            last=last,
            margin=max(0.0, self.score - max(rivals, default=self.nothing)),
            evidence=float(tissue[kind].mean()),
            rival=float(tissue[other].mean()),
        )

    def _through(self, k: int, at: int) -> float:
        """Best score of an order in which link k covers bin `at`."""
        starts = np.arange(max(0, at - self.reach + 1), at + 1)[:, None]
        ends = np.arange(at + 1, min(self.bins, at + self.reach) + 1)[None]
        length = ends - starts
        fits = length <= self.reach
        stretch = self.stretch[k][starts, np.minimum(length, self.reach) - 1]
        total = self.enter[k][starts] + stretch + self.leave[k][ends]
        return float(np.where(fits, total, -np.inf).max())
