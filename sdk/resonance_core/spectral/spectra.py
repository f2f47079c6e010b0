# SPDX-License-Identifier: MIT
"""What do many frames say together, and how many independent ones are they worth?"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from resonance_core.errors import InvalidSampleError
from resonance_core.spectral.frames import hann, require_sizes

__all__ = ["CrossSpectra", "independent_frames"]

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Complexes = npt.NDArray[np.complex64]


def independent_frames(weights: npt.ArrayLike, window: int, hop: int) -> float:
    """Return how many independent frames tell as much as these overlapping ones.

    Parameters
    ----------
    weights : (frames,) array_like
        Of each frame in the mean, oldest first; not negative.
    window, hop : int
        In bins.

    Returns
    -------
    float
        From 1 to the number of frames; 0 without any. 61 frames of 256 bins every 64 are worth
        32.0 of them, and 31 every 128 are worth 29.4: half the hops lose 8 %.

    References
    ----------
    Welch, IEEE Trans. Audio Electroacoust. 15 (1967), doi:10.1109/TAU.1967.1161901.
    """
    weight = np.asarray(weights, np.float64)
    taper = hann(window).astype(np.float64)
    energy = float(taper @ taper)
    spread = float(weight @ weight)
    if spread <= 0.0:
        return 0.0
    total = spread
    for lag in range(1, len(weight)):
        shift = lag * hop
        if shift >= window:
            break
        overlap = float(taper[shift:] @ taper[: window - shift]) / energy
        total += 2.0 * overlap**2 * float(weight[lag:] @ weight[:-lag])
    return float(weight.sum()) ** 2 / total


class CrossSpectra:
    """Running power and cross-power of two series per channel.

    Parameters
    ----------
    channels : int
    window, hop : int
        Of the frames that come, in bins.
    memory_frames : float
        Time constant in frames, at least 1: a frame fades to 37 % over as many; ``inf`` keeps
        them all.

    Attributes
    ----------
    x_power, y_power : (channels, bins) float32
        Weighted sums of |X|^2 and |Y|^2.
    cross : (channels, bins) complex64
        Weighted sum of conj(X) Y: where y is x after a lag, its argument at a frequency f is
        ``-2 pi f lag``.

    Raises
    ------
    InvalidSampleError
        A size is impossible.
    """

    def __init__(
        self, channels: int, window: int, hop: int, memory_frames: float = math.inf
    ) -> None:
        require_sizes(window, hop)
        if channels < 1 or not memory_frames >= 1.0:
            raise InvalidSampleError("channels, memory_frames", "must be at least 1")
        shape = (channels, window // 2 + 1)
        self.window = window
        self.hop = hop
        self.x_power: Singles = np.zeros(shape, np.float32)
        self.y_power: Singles = np.zeros(shape, np.float32)
        self.cross: Complexes = np.zeros(shape, np.complex64)
        self._keep = math.exp(-1.0 / memory_frames)
        self._frames = np.zeros(channels, np.int64)

    def update(self, x: Complexes, y: Complexes) -> None:
        """Add one frame of each series, (channels, bins); a frame of zeros is none."""
        if self._keep < 1.0:
            self.x_power *= self._keep
            self.y_power *= self._keep
            self.cross *= self._keep
        self.x_power += x.real**2 + x.imag**2
        self.y_power += y.real**2 + y.imag**2
        self.cross += x.conj() * y
        self._frames += x.any(axis=1) & y.any(axis=1)

    def independent_frames(self) -> Floats:
        """Return what the sums of each channel are worth, (channels,): see `independent_frames`."""
        lengths, places = np.unique(self._frames, return_inverse=True)
        worth = [independent_frames(self._weights(n), self.window, self.hop) for n in lengths]
        return np.array(worth)[places]

    def clear(self, channel: int) -> None:
        """Forget one channel; the others keep what they have."""
        for total in (self.x_power, self.y_power, self.cross):
            total[channel] = 0.0
        self._frames[channel] = 0

    def _weights(self, frames: np.int64) -> Floats:
        weights = self._keep ** np.arange(float(frames))
        # What has faded to nothing tells nothing and would only take time to add up.
        return weights[weights > 1e-4]
