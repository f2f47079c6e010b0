# SPDX-License-Identifier: MIT
"""When do coupled oscillators lock, how closely, and which coupling drives them apart?

Attractive coupling explains how timers fall into step. Repulsive coupling is the gradient of
the workload discrepancy only if it has all harmonics: the sine alone stops at phases that
cancel in the first harmonic and queue in the second.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
from numpy.polynomial.legendre import leggauss

from resonance_core.calculus.arguments import Floats, finite, non_negative, positive, weighing
from resonance_core.calculus.phasor import order_parameters, wrap
from resonance_core.errors import InvalidSampleError

__all__ = [
    "Density",
    "adler_beat",
    "adler_phase",
    "critical_coupling",
    "gaussian",
    "lorentzian",
    "lorentzian_order_parameter",
    "order_parameter",
    "repulsion",
]

Density = Callable[[Floats], Floats]
"""Of natural frequencies around their mean: symmetric, with one peak, at 0."""

_NODES: Final = 400
"""Of the quadrature; *chosen*: twelve digits for smooth densities down to r = 0.01."""


def lorentzian(half_width: float) -> Density:
    """Return the Lorentzian density gamma / (pi (w^2 + gamma^2)).

    Parameters
    ----------
    half_width : float
        gamma, at half maximum, above 0, rad per time.

    Returns
    -------
    callable
        (n,) float64 of frequencies to (n,) float64, time per rad.

    Raises
    ------
    InvalidSampleError
        The width is not positive or not finite.
    """
    gamma = positive("half_width", half_width)
    return lambda omega: gamma / (math.pi * (omega * omega + gamma * gamma))


def gaussian(deviation: float) -> Density:
    """Return the Gaussian density exp(-w^2/(2 sigma^2)) / (sigma sqrt(2 pi)).

    Parameters
    ----------
    deviation : float
        sigma, above 0, rad per time.

    Returns
    -------
    callable
        (n,) float64 of frequencies to (n,) float64, time per rad.

    Raises
    ------
    InvalidSampleError
        The deviation is not positive or not finite.
    """
    sigma = positive("deviation", deviation)
    scale = 1.0 / (sigma * math.sqrt(2.0 * math.pi))
    return lambda omega: scale * np.exp(-0.5 * (omega / sigma) ** 2)


def critical_coupling(density: Density) -> float:
    """Return the coupling above which oscillators begin to lock: 2/(pi g(0)).

    Of an infinite population in which everybody pulls everybody by the sine of their distance.

    Parameters
    ----------
    density : callable
        g, of the natural frequencies around their mean, even and with one peak, at 0.

    Returns
    -------
    float
        K_c, above 0, rad per time: 2 gamma for a Lorentzian, sigma sqrt(8/pi) for a Gaussian.

    Raises
    ------
    InvalidSampleError
        The density at 0 is not positive or not finite.

    References
    ----------
    .. [1] Kuramoto, "Chemical Oscillations, Waves, and Turbulence", Springer 1984, section 5.4,
       doi:10.1007/978-3-642-69689-3.
    .. [2] Strogatz, "From Kuramoto to Crawford", Physica D 143 (2000),
       doi:10.1016/S0167-2789(00)00094-4.
    """
    return 2.0 / (math.pi * positive("density(0)", float(density(np.zeros(1))[0])))


def lorentzian_order_parameter(coupling: float, half_width: float) -> float:
    """Return r = sqrt(1 - 2 gamma/K) of a Lorentzian population.

    Parameters
    ----------
    coupling : float
        K, zero or more, rad per time.
    half_width : float
        gamma, above 0, in the same unit.

    Returns
    -------
    float
        0 to 1; 0 at and below the critical coupling 2 gamma.

    Raises
    ------
    InvalidSampleError
        The coupling is negative, the width not positive, or one is not finite.

    References
    ----------
    .. [1] Strogatz, "From Kuramoto to Crawford", Physica D 143 (2000),
       doi:10.1016/S0167-2789(00)00094-4.
    """
    critical = 2.0 * positive("half_width", half_width)
    if non_negative("coupling", coupling) <= critical:
        return 0.0
    return math.sqrt(1.0 - critical / coupling)


def order_parameter(coupling: float, density: Density) -> float:
    """Solve 1 = K int cos^2(t) g(K r sin t) dt over -pi/2 to pi/2 for r.

    Parameters
    ----------
    coupling : float
        K, zero or more, rad per time.
    density : callable
        g, as for `critical_coupling`.

    Returns
    -------
    float
        0 to 1; 0 at and below the critical coupling.

    Raises
    ------
    InvalidSampleError
        The coupling is negative or not finite, or the density at 0 is not positive.

    References
    ----------
    .. [1] Strogatz, "From Kuramoto to Crawford", Physica D 143 (2000), equation 4.5,
       doi:10.1016/S0167-2789(00)00094-4.
    """
    strength = non_negative("coupling", coupling)
    if strength <= critical_coupling(density):
        return 0.0
    nodes, weights = leggauss(_NODES)
    angles = 0.5 * math.pi * nodes
    locked = strength * 0.5 * math.pi * weights * np.cos(angles) ** 2
    sines = np.sin(angles)
    low, high = 0.0, 1.0
    for _ in range(60):  # the integral falls as r grows
        r = 0.5 * (low + high)
        if float(locked @ density(strength * r * sines)) > 1.0:
            low = r
        else:
            high = r
    return 0.5 * (low + high)


def adler_phase(detuning: float, coupling: float) -> float:
    """Return the phase at which phi' = dw - K sin phi rests, asin(dw/K).

    Parameters
    ----------
    detuning : float
        dw, rad per time.
    coupling : float
        K, above 0, in the same unit.

    Returns
    -------
    float
        Radians, -pi/2 to pi/2; NaN where it never rests, as |dw| > K.

    Raises
    ------
    InvalidSampleError
        Not finite, or a coupling that is not positive.

    References
    ----------
    .. [1] Adler, "A study of locking phenomena in oscillators", Proceedings of the IRE 34
       (1946), doi:10.1109/JRPROC.1946.229930.
    """
    ratio = _detuning(detuning) / positive("coupling", coupling)
    return math.asin(ratio) if abs(ratio) <= 1.0 else math.nan


def adler_beat(detuning: float, coupling: float) -> float:
    """Return how fast an oscillator that does not lock slips, sqrt(dw^2 - K^2).

    Parameters
    ----------
    detuning : float
        dw, rad per time.
    coupling : float
        K, zero or more, in the same unit.

    Returns
    -------
    float
        Mean rad per time, zero or more; 0 where it locks, as |dw| <= K.

    Raises
    ------
    InvalidSampleError
        Not finite, or a negative coupling.

    References
    ----------
    .. [1] Adler, "A study of locking phenomena in oscillators", Proceedings of the IRE 34
       (1946), doi:10.1109/JRPROC.1946.229930.
    """
    slip, pull = abs(_detuning(detuning)), non_negative("coupling", coupling)
    return math.sqrt((slip - pull) * (slip + pull)) if slip > pull else 0.0


def _detuning(detuning: float) -> float:
    if not math.isfinite(detuning):
        raise InvalidSampleError("detuning", "must be a finite number")
    return detuning


def repulsion(
    phases_rad: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    harmonics: int | None = None,
) -> Floats:
    """Return the force that drives phases apart.

    It leads downhill on the workload discrepancy: f_i = (1/W) sum_j w_j sum_m sin(m (phase_i -
    phase_j))/m. With all harmonics that is a sawtooth, and within one cyclic order
    ``phase + 2 K f`` multiplies every error against the splay by 1 - K. With one it is repulsive
    Kuramoto.

    Parameters
    ----------
    phases_rad : (n,) array_like
        At least one.
    weights : (n,) array_like, optional
        Zero or more, not all zero; equal by default.
    harmonics : int, optional
        M, at least 1; all of them by default.

    Returns
    -------
    (n,) float64
        Radians. Bursts at one point do not repel each other.

    Raises
    ------
    InvalidSampleError
        Empty, not finite, a negative weight or none above 0, or `harmonics` below 1.

    References
    ----------
    .. [1] Daido, "Onset of cooperative entrainment in limit-cycle oscillators with uniform
       all-to-all interactions", Physica D 91 (1996), doi:10.1016/0167-2789(95)00260-X: coupling of
       all harmonics.
    .. [2] Sepulchre, Paley and Leonard, "Stabilization of planar collective motion: all-to-all
       communication", IEEE Transactions on Automatic Control 52 (2007),
       doi:10.1109/TAC.2007.898077: splay as the minimum of a potential.
    """
    phases = wrap(finite("phases_rad", phases_rad))
    weighed = weighing("weights", weights, phases.size)
    if harmonics is not None:
        means = order_parameters(phases, harmonics, weighed)
        orders = np.arange(1, harmonics + 1)
        turns = np.exp(1j * np.outer(phases, orders))
        force: Floats = (turns @ (np.conj(means) / orders)).imag
        return force
    total = float(weighed.sum())
    if total <= 0.0:
        raise InvalidSampleError("weights", "have no sum: empty or all zero")
    # The sawtooth (pi - x)/2 of each distance x ahead of another, summed in the order of phases.
    at, point = np.unique(phases, return_inverse=True)
    shares = np.bincount(point, weights=weighed / total, minlength=at.size)
    behind = np.cumsum(shares) - shares
    ahead = 1.0 - behind - shares
    sawtooth: Floats = 0.5 * (math.pi * (behind - ahead) - at + shares @ at)
    return sawtooth[point]
