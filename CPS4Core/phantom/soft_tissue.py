"""Everything around the spine: abdomen and pelvis in front, muscles, fat and skin behind."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from CPS4Core.phantom.acquisition import Acquisition
from CPS4Core.phantom.anatomy import Anatomy
from CPS4Core.phantom.frame import SpineFrame
from CPS4Core.phantom.pelvis import Pelvis
from CPS4Core.phantom.texture import RandomFields

Array = np.ndarray


class SoftTissue:
    """Paints the background of any slice of one scan."""

    def __init__(
        self,
        anatomy: Anatomy,
        frame: SpineFrame,
        scan: Acquisition,
        s: Array,
        u: Array,
        rng: np.random.Generator,
    ):
        a, self.scan, self.tissues = anatomy, scan, scan.tissues
        y, z = scan.y, scan.z
        self.y, self.z, self.s, self.u = y[None, :], z[:, None], s, u
        shape = (scan.slices, scan.rows, scan.cols)

        def fields(rows: float, cols: float) -> RandomFields:
            return RandomFields(rng, shape, (rows / scan.spacing, cols / scan.spacing))

        self.bowel, self.gas = fields(14, 16), fields(20, 24)
        self.streaks, self.grain = fields(18, 1.6), fields(2.0, 2.0)
        self.clumps, self.septa = fields(9, 7), fields(4, 30)
        self._surfaces(a, frame, rng)
        self.depth = np.interp(s, a.centres, a.half_depth).astype(np.float32)
        self.width = np.interp(s[:, s.shape[1] // 2], a.centres, a.half_width)[:, None].astype(
            np.float32
        )
        self.line_s = np.interp(z, frame.z, frame.s)[:, None].astype(np.float32)
        self.sideways = frame.sideways(self.line_s).astype(np.float32)
        l4, l1 = a.centres[a.bodies[1]], a.centres[a.bodies[4]]
        self.fork, self.diaphragm = float(l4), float(frame.point(l1, 0.0)[1]) + rng.uniform(35, 75)
        self.line_y = np.interp(z, frame.z, frame.y)[:, None].astype(np.float32)
        self.bladder = (
            float(rng.uniform(-95, -75)),
            float(rng.uniform(-95, -65)),
            float(rng.uniform(14, 34)),
            float(rng.uniform(12, 26)),
        )
        self.bladder_here = rng.random() < 0.7
        self.aorta = float(rng.uniform(7, 10)), float(rng.uniform(7, 13))
        self.pelvis = Pelvis(a, scan, rng)

    def _surfaces(self, a: Anatomy, frame: SpineFrame, rng: np.random.Generator) -> None:
        """Where, in each row, the muscles' fascia, the skin and the belly lie."""
        z = self.scan.z
        along = np.arange(-75.0, a.edges[-1], 3)
        room = a.half_depth[a.bodies[2]] + 2 * a.canal_radius + 7 + 0.94 * a.spinous_length
        reach = np.interp(along, [-75, -45, -10, 30, 200], [26, 38, room - 12, room - 4, room])
        tip_y, tip_z = frame.point(along, reach)
        order = np.argsort(tip_z)
        heights = np.arange(z[-1] - 80, z[0] + 80, 2.0)
        fascia = np.interp(heights, tip_z[order], tip_y[order])
        fascia = gaussian_filter1d(fascia, 8)
        low = float(frame.point(-10.0, 0.0)[1])
        fat = a.back_fat + a.lumbar_fat * np.exp(-(((heights - low - 30) / 75) ** 2))
        fat += 14 * (1 / (1 + np.exp((heights - low + 35) / 18)))
        belly = rng.uniform(95, 135)
        wobble = gaussian_filter1d(rng.normal(0, 30, len(heights)), 25)
        line = np.interp(heights, frame.z, frame.y)
        front = gaussian_filter1d(line, 40) - belly + wobble

        def at_rows(values: Array) -> Array:
            return np.interp(z, heights, values)[:, None].astype(np.float32)

        self.fascia, self.skin, self.front = (
            at_rows(fascia),
            at_rows(fascia + fat),
            at_rows(front),
        )
        self.wall = float(rng.uniform(8, 35))

    def paint(self, k: int) -> Array:
        """float32 signal [rows, cols] of slice `k`, before bones, discs and canal."""
        t, u = self.tissues, self.u
        w = float(self.scan.x[k]) - self.sideways
        aside = np.abs(w)
        clumps, streaks, grain = self.clumps[k], self.streaks[k], self.grain[k]
        image = self._abdomen(k, grain, clumps)
        ahead = -u - self.depth
        # Fat and ligaments along the column, then the great vessels.
        near = _step((16 - ahead) / 8 - 0.35 * clumps)
        image += near * (t["fat"] * (0.62 + 0.16 * clumps) - image)
        self._vessels(image, ahead, w)
        psoas = _step((aside - 0.82 * self.width) / 4) * _step((u + 30 + 0.12 * self.s) / 4)
        psoas = psoas * _step((self.line_s + 60) / 30)
        muscle = t["muscle"] * (1 + 0.12 * grain) + 0.22 * t["fat"] * (streaks - 1.2).clip(0, 1.5)
        image += psoas * (muscle - image)
        self._back(image, k, aside, muscle, (clumps, streaks, grain))
        air = _step((self.y - self.front) / 1.5) * _step((self.skin - self.y) / 1.2)
        image *= air
        return image.astype(np.float32)

    def _abdomen(self, k: int, grain: Array, clumps: Array) -> Array:
        t = self.tissues
        loops = _step(np.abs(self.bowel[k]) * 2.2 - 0.6)
        image = t["bowel"] + loops * (0.72 * t["fat"] - t["bowel"])
        image *= 1 + 0.14 * grain + 0.1 * clumps
        image *= 1 - 0.9 * _step(3 * (self.gas[k] - 1.25))
        # Lungs above the diaphragm's dome, the liver's even grey below it.
        dome = self.diaphragm - 0.006 * (self.y - self.line_y + 70) ** 2
        liver = _step((self.z - dome + 70) / 10)
        image += liver * (0.24 * (1 + 0.1 * grain) - image)
        image *= 1 - 0.9 * _step((self.z - dome) / 2)
        self.pelvis.paint(image, k, -self.u - self.depth, grain, clumps)
        if self.bladder_here:
            by, bz, ry, rz = self.bladder
            x = float(self.scan.x[k] - self.scan.middle)
            far = np.sqrt(
                ((self.y - by) / ry) ** 2 + ((self.z - bz) / rz) ** 2 + (x / (ry + 6)) ** 2
            )
            image += _step((1.12 - far) * rz) * (0.2 - image)
            image += _step((1 - far) * rz) * (0.95 * t["fluid"] - image)
        wall = self.y - self.front
        image += _step((self.wall - wall) / 2) * (t["fat"] * (0.9 + 0.06 * grain) - image)
        return image

    def _vessels(self, image: Array, ahead: Array, w: Array) -> None:
        t = self.tissues
        radius, aside = self.aorta
        for x, r, flat in ((aside, radius, 1.0), (-aside - 2, radius + 1, 0.8)):
            inside = r - np.sqrt(((ahead - r * flat - 4) / flat) ** 2 + (w - x) ** 2)
            inside = np.minimum(inside, (self.s - self.fork) / 4)
            image += _step(inside + 0.8) * (0.25 - image)
            image += _step(inside) * (t["vessel"] - image)

    def _back(
        self, image: Array, k: int, aside: Array, muscle: Array, texture: tuple[Array, ...]
    ) -> None:
        """Muscles behind the spine, the ligaments of the midline, fascia, fat and skin."""
        t = self.tissues
        clumps, streaks, grain = texture
        hump = 5.5 * (aside / 22).clip(0, 1)
        beyond = self.y - self.fascia - hump
        between = t["fat"] * (0.36 + 0.16 * streaks + 0.22 * clumps).clip(0.08, 0.95)
        midline = np.exp(-((aside / 6) ** 2))
        fatty = t["fat"] * (0.5 * (clumps + 0.8 * streaks - 0.9)).clip(0, 0.8)
        flesh = np.maximum(muscle, fatty)
        behind = _step((self.u - 0.8 * self.depth) / 2)
        image += behind * (flesh + midline * (between - flesh) - image)
        fat = (
            t["fat"]
            * (1.05 + 0.04 * grain)
            * (1 - 0.3 * (1 - np.abs(self.septa[k] + 0.4 * clumps) / 0.15).clip(0))
        )
        image += _step(beyond / 1.5) * (fat - image)
        image += np.exp(-((beyond / 1.3) ** 2)) * (t["ligament"] - image)
        image += _step((self.y - self.skin + 2) / 1.2) * (t["skin"] - image)


def _step(x: Array) -> Array:
    """A soft step: 0 below -0.5, 1 above 0.5."""
    return (x + 0.5).clip(0, 1)
