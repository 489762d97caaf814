"""The spinal canal and the foramina: fluid, cord, nerve roots and the fat around them."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from CPS4Core.phantom.anatomy import Anatomy

Array = np.ndarray

_ROOT_GRID = (2.0, 0.4)


class Canal:
    """Signal of the canal's tissues at fixed places (s, u), for any distance aside.

    `strands` [slices, along s, along u] holds the random layout of the nerve roots.
    """

    def __init__(self, anatomy: Anatomy, s: Array, u: Array, rng: np.random.Generator, slices: int):
        a = anatomy
        at = np.append(a.centres[: a.sacral - 1], [0.0, *a.centres[a.sacral + 1 :]])
        depth = np.append(
            a.half_depth[: a.sacral - 1], [a.half_depth[a.sacral], *a.half_depth[a.sacral + 1 :]]
        )
        depth = np.interp(s, at, depth)
        # The sac ends at S2; between L5/S and there it leaves the bone, with fat in front of it.
        sac = a.canal_radius * np.interp(s, [-42, -30, 10, 120, 320], [0.05, 0.45, 1, 1, 0.85])
        bony = np.interp(s, [a.edges[0], -30, 0], [1.5, 0.7 * a.canal_radius, a.canal_radius + 2])
        gap = a.canal_gap + np.interp(s, [-25, -5, 25, 45], [4.5, 3, 1.5, 0])
        bulge = np.zeros_like(s)
        for i in np.flatnonzero(a.is_disc):
            bulge += a.bulge_back[i] * np.exp(-(((s - a.centres[i]) / 5) ** 2))
        self.front = u - (depth + gap + 0.7 * bulge)
        self.sac = (sac * (1 - 0.03 * bulge)).astype(np.float32)
        self.bony = bony.astype(np.float32)
        self.in_bone = (u - (depth + bony - 0.5)).astype(np.float32)
        self.across = (1.35 * np.maximum(self.sac, 2)).astype(np.float32)
        self.behind = (self.front - 2 * self.sac).astype(np.float32)
        self.front = self.front.astype(np.float32)
        self.outer = (0.85 * np.interp(s, a.centres, a.half_width)).astype(np.float32)
        self.below_end = (s - a.edges[0] > 8) & (s < a.edges[-1])
        discs = a.centres[a.is_disc]
        nearest = np.searchsorted((discs[1:] + discs[:-1]) / 2, s)
        self.from_disc = (s - discs[nearest]).astype(np.float32)
        self.out = (u - depth).astype(np.float32)
        tip = (s - a.conus) / 26
        cord = np.interp(s, [a.conus + 10, a.conus + 50, a.conus + 110], [4.6, 4.4, 3.6])
        self.cord = (cord * np.sqrt(tip.clip(0, 1)) * min(1, a.canal_radius / 7.5)).astype(
            np.float32
        )
        self.below_conus = np.interp(s, [a.conus - 5, a.conus + 30], [1, 0.25]).astype(np.float32)
        low, high = a.edges[0] - 60, a.edges[-1] + 60
        counts = int((high - low) / _ROOT_GRID[0]) + 2, int(30 / _ROOT_GRID[1]) + 2
        noise = rng.standard_normal((slices, *counts), dtype=np.float32)
        noise = gaussian_filter(noise, (0.4, 12, 1.5), mode="wrap")
        self.strands = (noise / noise.std()).astype(np.float32)
        self.strand_at = (
            ((s - low) / _ROOT_GRID[0]).astype(int).clip(0, counts[0] - 1),
            ((self.front + 3) / _ROOT_GRID[1]).astype(int).clip(0, counts[1] - 1),
        )

    def paint(
        self, image: Array, w: Array, index: int, tissues: dict[str, float], blur: float
    ) -> None:
        """Paint the tissues of slice `index` at `w` mm aside over the flat `image`."""

        def over(value: Array | float, distance: Array) -> None:
            alpha = (0.5 + distance / blur).clip(0, 1)
            image[:] += alpha * (value - image)

        aside = np.abs(w)
        round_w = 0.6 * (w / 6.5) ** 2
        fat = tissues["epidural_fat"]
        # Foramina: fat below each pedicle with the root in it.
        if np.any((aside > 8) & (aside < 28)):
            near = np.minimum(aside - 9, self.outer - aside) / 4
            hole = np.hypot((self.out - 6) / 8, (self.from_disc - 4) / 13)
            over(fat, np.minimum((1 - hole) * 8, near * 4))
            root = np.hypot((self.out - 5.5) / 3, (self.from_disc - 9) / 3.8)
            over(tissues["root"], np.minimum((1 - root) * 3, near * 4))
        bony = np.sqrt((self.in_bone / self.bony) ** 2 + (w / (self.bony * 1.4)) ** 2)
        over(tissues["ligament"], np.where(self.below_end, (1 - bony) * self.bony + 0.8, -9))
        over(fat, np.where(self.below_end, (1 - bony) * self.bony, -9))
        triangle = np.sqrt(((self.behind - 1.2) / 6.5) ** 2 + (self.from_disc / 8.5) ** 2 + round_w)
        over(fat, (1 - triangle) * 5)
        rho = np.sqrt(((self.front - self.sac) / self.sac) ** 2 + (w / self.across) ** 2)
        inside = np.where(self.sac > 1, (1 - rho) * self.sac, -9)
        over(tissues["ligament"], inside + 0.5)
        roots = self.strands[index % len(self.strands)][self.strand_at]
        # The roots lie at the back of the sac.
        back = (0.35 + 0.5 * (self.front - self.sac) / self.sac).clip(0, 1)
        share = (0.5 * (roots - 0.6 + 1.6 * back)).clip(0, 0.65) * self.below_conus
        fluid, root_signal = tissues["fluid"], tissues["root"]
        over(fluid + share * (root_signal - fluid), inside)
        middle = self.front - 1.08 * self.sac
        cord = 1 - np.sqrt(middle**2 + (w / 1.3) ** 2) / np.maximum(self.cord, 0.05)
        over(tissues["cord"], np.where(self.cord > 0.3, cord * self.cord, -9))
