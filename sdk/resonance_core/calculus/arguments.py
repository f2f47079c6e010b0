# SPDX-License-Identifier: MIT
"""May this be computed with? Each check returns what it was given as float64, or raises."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from resonance_core.errors import InvalidSampleError

__all__ = ["Floats", "finite", "matching", "non_negative", "positive", "weighing"]

Floats = npt.NDArray[np.float64]


def finite(name: str, values: npt.ArrayLike) -> Floats:
    """Return a vector of finite numbers, which may be empty.

    Parameters
    ----------
    name : str
        What the caller calls it.
    values : (n,) array_like

    Returns
    -------
    (n,) float64

    Raises
    ------
    InvalidSampleError
        Not one-dimensional, or one of the values is NaN or infinite.
    """
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1:
        raise InvalidSampleError(name, f"must have one dimension, not {vector.ndim}")
    if not np.isfinite(vector).all():
        raise InvalidSampleError(name, "must be finite numbers")
    return vector


def matching(name: str, values: npt.ArrayLike, size: int) -> Floats:
    """Return a vector of exactly `size` finite numbers.

    Parameters
    ----------
    name : str
        What the caller calls it.
    values : (n,) array_like
    size : int
        The n that it must have.

    Returns
    -------
    (size,) float64

    Raises
    ------
    InvalidSampleError
        As `finite`, or n is another.
    """
    vector = finite(name, values)
    if vector.size != size:
        raise InvalidSampleError(name, f"must be {size} values, not {vector.size}")
    return vector


def weighing(name: str, values: npt.ArrayLike | None, size: int) -> Floats:
    """Return `size` weights; ones where none are given.

    Parameters
    ----------
    name : str
        What the caller calls them.
    values : (size,) array_like, optional
        Zero or more.
    size : int

    Returns
    -------
    (size,) float64

    Raises
    ------
    InvalidSampleError
        As `matching`, or a weight is negative.
    """
    if values is None:
        return np.ones(size)
    vector = matching(name, values, size)
    if (vector < 0.0).any():
        raise InvalidSampleError(name, "must not be negative")
    return vector


def positive(name: str, value: float) -> float:
    """Return a finite number above zero.

    Parameters
    ----------
    name : str
        What the caller calls it.
    value : float

    Returns
    -------
    float

    Raises
    ------
    InvalidSampleError
        Zero, negative, NaN or infinite.
    """
    if not (math.isfinite(value) and value > 0.0):
        raise InvalidSampleError(name, f"must be a positive number, not {value}")
    return float(value)


def non_negative(name: str, value: float) -> float:
    """Return a finite number of zero or more.

    Parameters
    ----------
    name : str
        What the caller calls it.
    value : float

    Returns
    -------
    float

    Raises
    ------
    InvalidSampleError
        Negative, NaN or infinite.
    """
    if not (math.isfinite(value) and value >= 0.0):
        raise InvalidSampleError(name, f"must be zero or a positive number, not {value}")
    return float(value)
