"""The bodies and discs: signed distances in the curved frame, for all levels at once."""

from __future__ import annotations

import numpy as np

from CPS4Core.phantom.anatomy import Anatomy

Array = np.ndarray


class Column:
    """Distances to vertebral bodies and discs at fixed places (s, u) and any distance aside.

    `s`, `u` are flat float32 arrays, `stretch` is how long 1 mm of `s` really is there.
    """

    def __init__(self, anatomy: Anatomy, s: Array, u: Array, stretch: Array):
        a = anatomy
        self.u = u
        edge = np.searchsorted(a.centres, s).clip(0, len(a.edges) - 1)
        middle = np.interp(s, a.centres, a.half_depth).astype(np.float32)
        dish = (1 - ((u + 0.15 * middle) / (0.9 * middle)) ** 2).clip(-0.3, 1)
        # End plates are dished into the body: upwards where the body is above the edge.
        above_is_body = np.append(~a.is_disc, False)
        sign = np.where(above_is_body, 1.0, -1.0)
        raw = s - a.edges[edge] - (sign * a.concavity)[edge] * dish
        self.segment = np.where(raw > 0, edge, edge - 1).clip(0, len(a.names) - 1)
        self.inside = ((s > a.edges[0]) & (s < a.edges[-1])).astype(bool)
        self.end_plate = (np.abs(raw) * stretch).astype(np.float32)
        v = ((s - a.centres[self.segment]) / (a.heights[self.segment] / 2)).clip(-1, 1)
        self.v = v.astype(np.float32)
        sacral = self.segment < a.sacral
        # The sacrum is one bone: only its upper end is an end plate, and it tapers evenly.
        first = a.edges[a.sacral]
        ends = np.minimum(s - a.edges[0], np.where(raw > 0, 99, first - s) * stretch)
        depth = np.where(sacral, _taper(a, s, a.half_depth), a.half_depth[self.segment])
        width = np.where(sacral, _taper(a, s, a.half_width), a.half_width[self.segment])
        last = sacral & (edge == a.sacral)
        self.cap = np.where(
            sacral, np.where(last, self.end_plate, np.maximum(ends, 0)), self.end_plate
        ).astype(np.float32)
        narrowing = a.waist[self.segment] * (1 - v**2)
        lip = a.lipping[edge] * np.exp(-self.end_plate / 2.5)
        self.depth_front = (depth * (1 - narrowing) + a.bulge_front[self.segment] + lip).astype(
            np.float32
        )
        self.depth_back = (
            depth * (1 - 0.7 * narrowing) + a.bulge_back[self.segment] + 0.4 * lip
        ).astype(np.float32)
        self.depth = depth.astype(np.float32)
        self.half_width = (width * (1 - 0.8 * narrowing)).astype(np.float32)
        self.disc = a.is_disc[self.segment]
        self.bulge_back = a.bulge_back[self.segment].astype(np.float32)

    def distance(self, w: Array) -> tuple[Array, Array]:
        """Signed distances at `w` mm aside: (to the segment, to the whole column); inside > 0."""
        aside = np.abs(w) / self.half_width
        within = (1 - aside**3).clip(0)
        front = self.depth_front * np.sqrt(within)
        # A bulge is a thing of the midline; the back of a body is nearly flat.
        back = (self.depth_back - self.bulge_back * (aside * 1.4).clip(0, 1)) * (
            (1 - aside**6).clip(0) ** 0.5
        )
        side = np.minimum(self.u + front, back - self.u)
        side = np.minimum(side, self.half_width - np.abs(w))
        side = np.where(self.inside, side, -9)
        radius = np.where(self.disc, 2.2, 2.8).astype(np.float32)
        qx, qy = radius - side, radius - self.cap
        corner = np.sqrt(qx.clip(0) ** 2 + qy.clip(0) ** 2)
        return radius - corner - np.minimum(np.maximum(qx, qy), 0), side


def _taper(anatomy: Anatomy, s: Array, values: Array) -> Array:
    """Sacral sizes, even from segment to segment and full at the upper end plate."""
    n = anatomy.sacral
    at = np.append(anatomy.centres[: n - 1], anatomy.edges[n] - 4)
    return np.interp(s, at, values[:n])
