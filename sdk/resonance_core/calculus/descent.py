# SPDX-License-Identifier: MIT
"""Coordinate descent on the discrepancy, for sources of several periods.

A burst raises the potential at a distance x on the circle by w B(x), with B(x) = pi^2/6 -
pi x/2 + x^2/4 = sum cos(m x)/m^2; a source with p bursts by w B(p x)/p. The sum of the potentials
of all bursts at each other is 2 pi^2 <D^2>. So taking a source out, finding the best place for it
and putting it back are sums and a minimum over a grid, without a transform.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from resonance_core.calculus.arguments import Floats

__all__ = ["Grid"]

_TURN: Final = 2.0 * math.pi
_FINEST: Final = 4096
"""Bins up to which the grid grows until every multiple divides it. *Chosen*: then one step of one
source still takes microseconds. Beyond it the bursts of a source fall on the nearest bins."""

Ints = npt.NDArray[np.int64]


def _potential(x_rad: Floats) -> Floats:
    turned = np.mod(x_rad, _TURN)
    potential: Floats = math.pi**2 / 6.0 + turned * (0.25 * turned - 0.5 * math.pi)
    return potential


def _size(bins: int, multiples: Ints) -> int:
    common = int(np.lcm.reduce(multiples)) if multiples.size else 1
    whole = -(-bins // common) * common
    return whole if whole <= max(bins, _FINEST) else bins


class Grid:
    """The potential of all sources on equal parts of the circle.

    Parameters
    ----------
    phases_rad : (n,) float64
        Of one burst of each source.
    weights : (n,) float64
    multiples : (n,) int64
        Bursts of each source in the common period.
    stays : (n,) bool
        Sources that are not moved; their potential is exact, not that of a bin.
    bins : int
    """

    def __init__(
        self,
        phases_rad: Floats,
        weights: Floats,
        multiples: Ints,
        stays: npt.NDArray[np.bool_],
        bins: int,
    ) -> None:
        size = _size(bins, multiples[~stays])
        points = np.arange(size, dtype=np.float64) * (_TURN / size)
        self._size = size
        # The heaviest bursts first: the light ones then fill what they leave.
        self._moving = [int(i) for i in np.argsort(-weights, kind="stable") if not stays[i]]
        self._multiples = multiples
        self._background = np.zeros(size)
        for i in np.flatnonzero(stays):
            shape = _potential(multiples[i] * (points - phases_rad[i]))
            self._background += weights[i] / multiples[i] * shape
        # Each row twice in a row, so that a turned one is a slice.
        shapes: dict[int, Floats] = {
            p: np.concatenate(2 * [_potential(p * points) / p])
            for p in sorted(set(map(int, multiples)))
        }
        self._rows: dict[int, Floats] = {
            i: shapes[int(multiples[i])] * float(weights[i]) for i in self._moving
        }
        self._combs = {
            p: np.rint(np.arange(p)[:, None] * size / p + np.arange(size // p)).astype(int)
            for p in sorted(set(map(int, multiples)))
            if size % p
        }

    def _turned(self, source: int, at: int) -> Floats:
        return self._rows[source][self._size - at : 2 * self._size - at]

    def _best(self, source: int, field: Floats) -> int:
        multiple = int(self._multiples[source])
        if multiple == 1:
            return int(field.argmin())
        comb = self._combs.get(multiple)
        parts = field.reshape(multiple, -1) if comb is None else field[comb]
        return int(parts.sum(axis=0).argmin())

    def filled(self, sweeps: int) -> Floats:
        """Place the sources on an empty circle one by one, then each anew in every sweep."""
        field = self._background.copy()
        places = np.zeros(self._multiples.size, dtype=np.int64)
        for source in self._moving:
            places[source] = self._best(source, field)
            field += self._turned(source, int(places[source]))
        for _ in range(sweeps):
            for source in self._moving:
                field -= self._turned(source, int(places[source]))
                places[source] = self._best(source, field)
                field += self._turned(source, int(places[source]))
        return places.astype(np.float64) * (_TURN / self._size)
