"""From an anatomy and a scan to signal and labels, without any further choice but texture."""

from __future__ import annotations

import numpy as np

from CPS4Core.phantom.acquisition import Acquisition
from CPS4Core.phantom.anatomy import Anatomy
from CPS4Core.phantom.canal import Canal
from CPS4Core.phantom.column import Column
from CPS4Core.phantom.frame import SpineFrame
from CPS4Core.phantom.metal import metal_factor
from CPS4Core.phantom.posterior import posterior_parts
from CPS4Core.phantom.soft_tissue import SoftTissue
from CPS4Core.phantom.texture import RandomFields

Array = np.ndarray

NOTHING = -1
_FAR = -20.0


class Scene:
    """One spine placed in one scan's grid; `render` shows a slice of it."""

    def __init__(
        self, anatomy: Anatomy, frame: SpineFrame, scan: Acquisition, rng: np.random.Generator
    ):
        self.anatomy, self.scan = anatomy, scan
        self.s, self.u = frame.locate(scan.y, scan.z)
        self.soft = SoftTissue(anatomy, frame, scan, self.s, self.u, rng)
        # Only this band of pixels can hold bodies, discs or canal.
        band = (self.u > -36) & (self.u < 48)
        band &= (self.s > anatomy.edges[0] - 4) & (self.s < anatomy.edges[-1])
        self.band = np.flatnonzero(band)
        self.place = np.full(self.s.size, len(self.band))
        self.place[self.band] = np.arange(len(self.band))
        shape = (scan.slices, scan.rows, scan.cols)
        # Nature is not as smooth as formulas: bend the coordinates a little.
        wobble = RandomFields(rng, (3, *shape[1:]), (7 / scan.spacing, 7 / scan.spacing))
        self.rough = 0.4 * wobble[2]
        s = self.s.ravel()[self.band] + 0.4 * wobble[0].ravel()[self.band]
        u = self.u.ravel()[self.band] + 0.4 * wobble[1].ravel()[self.band]
        stretch = (1 - frame.at(s, frame.bend) * u).clip(0.2, 3).astype(np.float32)
        self.column = Column(anatomy, s, u, stretch)
        self.canal = Canal(anatomy, s, u, rng, scan.slices)
        self.sideways = frame.sideways(s).astype(np.float32)
        self.parts = posterior_parts(anatomy, frame)
        self.part_aside = frame.sideways(np.array([p.level for p in self.parts])).tolist()
        self.marrow = RandomFields(rng, shape, (5 / scan.spacing, 5 / scan.spacing))
        self.grain = RandomFields(rng, shape, (1.1 / scan.spacing, 1.1 / scan.spacing))
        self.blur = max(scan.spacing, 0.75)
        self._disc_pattern()

    def _disc_pattern(self) -> None:
        """Signal of the discs at the band's pixels, and of the bodies beside worn discs."""
        a, c, t = self.anatomy, self.column, self.scan.tissues
        wear = a.degeneration[c.segment].astype(np.float32)
        along = (c.u / c.depth + 0.05) / 0.66
        self.nucleus_edge = (along**2 + (0.9 * c.v) ** 4).astype(np.float32)
        nucleus = t["nucleus"] + wear**0.7 * (t["worn_nucleus"] - t["nucleus"])
        cleft = 1 - 0.22 * np.exp(-((c.v / 0.2) ** 2) - (along / 0.6) ** 4)
        self.nucleus = (nucleus * cleft).astype(np.float32)
        vein = np.exp(-((c.v * 6) ** 2)) * (c.u / c.depth - 0.25).clip(0, 0.7)
        self.vein = (0.45 * vein * ~c.disc).astype(np.float32)
        # Scars between the sacral segments, the upper one still half a disc.
        n = a.sacral
        scar = np.zeros_like(c.u)
        s = self.s.ravel()[self.band]
        for k in range(1, n):
            half = 1.9 if k == n - 1 else 0.8
            scar = np.maximum(scar, np.exp(-(((s - a.edges[k]) / half) ** 2)))
        self.scar = (0.8 * scar * (np.abs(c.u) < 0.93 * c.depth)).astype(np.float32)

    def render(self, k: int) -> tuple[Array, Array]:
        """Slice `k`: noise-free signal (float32) and segment numbers (int8, NOTHING outside)."""
        scan = self.scan
        image = self.soft.paint(k).ravel()
        owner = np.full(image.size, NOTHING, np.int8)
        x = float(scan.x[k])
        third = scan.thickness / 3
        spread = np.zeros_like(image)
        cover = np.zeros_like(image)
        flat = image[self.band]
        layers = []
        marrow = (0.06 * self.marrow[k] + 0.07 * self.grain[k]).ravel()
        for offset in (-third, 0.0, third):
            layer = flat.copy()
            self.canal.paint(layer, x + offset - self.sideways, k, scan.tissues, self.blur)
            layers.append(layer)
        image[self.band] = sum(layers) / 3
        for offset in (-third, 0.0, third):
            distance, segment, lining = self._distances(x + offset)
            here = np.flatnonzero(distance > -self.blur)
            alpha, value = self._bone(marrow[here], distance[here], segment[here], here)
            # Ligaments wrap the column, so nothing bright shows through its seams.
            wrap = (0.5 + (lining + 0.5) / self.blur).clip(0, 1)
            cover[self.band] += wrap
            spread[self.band] += wrap * scan.tissues["ligament"]
            under = self._at(wrap, here)
            cover[here] += alpha * (1 - under)
            spread[here] += alpha * (value - under * scan.tissues["ligament"])
            if offset == 0:
                inside = here[distance[here] > 0]
                owner[inside] = segment[inside]
        image += (spread - cover * image) / 3
        if self.anatomy.screws:
            image *= metal_factor(self.anatomy, self.s, self.u, x - self.soft.sideways).ravel()
        shape = scan.rows, scan.cols
        return image.reshape(shape), owner.reshape(shape)

    def _at(self, values: Array, here: Array) -> Array:
        """Band values at flat image places, 0 outside the band."""
        return np.append(values, np.float32(0))[self.place[here]]

    def _distances(self, x: float) -> tuple[Array, Array, Array]:
        """Signed distance and nearest segment of each pixel; distance to the column in the band."""
        scan = self.scan
        distance = np.full((scan.rows, scan.cols), _FAR, np.float32)
        segment = np.full((scan.rows, scan.cols), NOTHING, np.int8)
        own, lining = self.column.distance(x - self.sideways)
        distance.ravel()[self.band] = own
        segment.ravel()[self.band] = self.column.segment
        for part, aside in zip(self.parts, self.part_aside, strict=True):
            if abs(x - aside - part.aside) >= part.half_width:
                continue
            y0, y1, z0, z1 = part.box()
            cols = slice(*np.searchsorted(scan.y, [y0, y1]))
            rows = slice(*np.searchsorted(-scan.z, [-z1, -z0]))
            found = part.distance(scan.y[cols], scan.z[rows], x - aside)
            if found is None or found.size == 0:
                continue
            found += self.rough[rows, cols]
            nearer = found > distance[rows, cols]
            distance[rows, cols][nearer] = found[nearer]
            segment[rows, cols][nearer] = part.segment
        return distance.ravel(), segment.ravel(), lining

    def _bone(
        self, variation: Array, distance: Array, segment: Array, here: Array
    ) -> tuple[Array, Array]:
        """Cover and signal of bones and discs at flat places; `variation` is the marrow's."""
        t = self.scan.tissues
        alpha = (0.5 + distance / self.blur).clip(0, 1)
        disc = self.anatomy.is_disc[segment]
        rim = np.where(disc, np.float32(0.2), np.float32(0.6))
        core = (0.5 + (distance - rim) / self.blur).clip(0, 1)
        inner = core / np.maximum(alpha, 1e-3)
        marrow = t["marrow"] * (1 + variation)
        vein, scar = self._at(self.vein, here), self._at(self.scar, here)
        marrow = marrow + vein * (t["fluid"] * 0.8 - marrow)
        marrow = marrow + scar * (t["worn_nucleus"] - marrow)
        edge = self._at(self.nucleus_edge, here)
        nucleus = self._at(self.nucleus, here)
        share = ((1.4 - edge) / 1.0).clip(0, 1)
        share = share * share * (3 - 2 * share)
        inside = t["annulus"] + share * (nucleus - t["annulus"])
        value = t["cortex"] + inner.clip(0, 1) * (np.where(disc, inside, marrow) - t["cortex"])
        return alpha, value
