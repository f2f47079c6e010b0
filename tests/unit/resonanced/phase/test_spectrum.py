# SPDX-License-Identifier: MIT
from __future__ import annotations

import numpy as np
import pytest

from resonance_api.phase.v1.phase_pb2 import SpectrumResponse
from resonanced.phase.spectrum import Spectrum, response


def _spectrum(bins: int) -> Spectrum:
    counts = np.arange(3 * bins, dtype=np.float32).reshape(3, bins)
    missing = np.arange(bins) % 2 == 1
    return Spectrum(9, 0.005, ("/web", "/hogs", "other"), counts, counts / 1e3, missing)


@pytest.mark.parametrize("bins", [0, 1, 31, 32, 4_096])
def test_every_length_reads_as_it_was_written(bins: int) -> None:
    """The lengths around which the wire needs another byte."""
    spectrum = _spectrum(bins)
    read = SpectrumResponse.FromString(response(spectrum, (), ()))
    assert [each.cgroup for each in read.series] == list(spectrum.cgroups)
    for row, series in enumerate(read.series):
        assert np.array_equal(np.asarray(series.events, np.float32), spectrum.events[row])
        assert np.array_equal(
            np.asarray(series.wait_seconds, np.float32), spectrum.wait_seconds[row]
        )
    assert list(read.missing_bins) == list(range(1, bins, 2))


def test_it_reads_as_if_protobuf_had_written_it() -> None:
    spectrum = _spectrum(300)
    read = SpectrumResponse.FromString(response(spectrum, ("/web", "oth*"), ()))
    built = SpectrumResponse(bin_seconds=0.005, start_ns=9, missing_bins=range(1, 300, 2))
    for row, cgroup in ((0, "/web"), (2, "other")):
        built.series.add(
            cgroup=cgroup,
            events=spectrum.events[row].tolist(),
            wait_seconds=spectrum.wait_seconds[row].tolist(),
        )
    assert read == built


def test_where_nothing_is_analysed_there_is_no_series() -> None:
    assert SpectrumResponse.FromString(response(None, (), ())) == SpectrumResponse()
