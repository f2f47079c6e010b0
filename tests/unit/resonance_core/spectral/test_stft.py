# SPDX-License-Identifier: MIT
from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from resonance_core.errors import InvalidSampleError
from resonance_core.spectral.frames import stack_frames
from resonance_core.spectral.stft import spectrogram

BIN = 0.005


def test_times_and_frequencies_are_those_of_the_windows() -> None:
    found = spectrogram(np.random.default_rng(1).normal(size=1024), BIN)
    assert found.frequencies_hz == pytest.approx(np.fft.rfftfreq(256, BIN))
    assert found.times_seconds == pytest.approx((128 + 64 * np.arange(13)) * BIN)
    assert found.power.shape == (129, 13)


def test_it_shows_what_the_frames_show() -> None:
    series = np.random.default_rng(2).normal(size=(2, 1024))
    series -= series.mean(axis=1, keepdims=True)
    power = spectrogram(series, BIN).power[:, 2:] * 128.0**2
    frames = np.abs(stack_frames(series)[:, :, 2:]) ** 2
    # The frames take the mean off each window, which only the lowest bins notice.
    assert power == pytest.approx(frames.transpose(0, 2, 1), rel=1e-3, abs=0.05)


def test_a_sinusoid_shows_its_power_when_it_sounds() -> None:
    times = np.arange(2048) * BIN
    series = np.where(times < 5.12, 3.0 * np.cos(2.0 * np.pi * 25.0 * times), 0.0)
    found = spectrogram(series, BIN)
    line = found.power[32]
    assert line[found.times_seconds < 4.0] == pytest.approx(9.0 / 4.0, rel=1e-3)
    assert line[found.times_seconds > 6.0] == pytest.approx(0.0, abs=1e-3)


def test_missing_bins_are_as_the_mean_of_the_rest() -> None:
    series = np.full(512, 7.0)
    series[100:300] = math.nan
    assert not spectrogram(series, BIN).power.any()
    assert not spectrogram(np.full(512, math.nan), BIN).power.any()


@pytest.mark.parametrize(
    ("series", "width", "window", "hop"),
    [
        (np.ones(255), BIN, 256, 64),
        (np.float64(1.0), BIN, 256, 64),
        (np.full(512, math.inf), BIN, 256, 64),
        (np.ones(512), 0.0, 256, 64),
        (np.ones(512), BIN, 256, 0),
        (np.ones(512), BIN, 256, 257),
        (np.ones(512), BIN, 3, 1),
    ],
)
def test_what_has_no_spectrogram_is_refused(
    series: np.ndarray, width: float, window: int, hop: int
) -> None:
    with pytest.raises(InvalidSampleError):
        spectrogram(series, width, window, hop)


def test_only_this_module_loads_scipy() -> None:
    names = "change coupling entropy frames lines membership neighbours period series tone"
    imports = "; ".join(f"import resonance_core.spectral.{name}" for name in names.split())
    check = f"import sys; {imports}; sys.exit('scipy' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)
