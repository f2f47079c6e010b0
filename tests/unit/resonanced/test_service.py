# SPDX-License-Identifier: MIT
from __future__ import annotations

import resource

import pytest

from resonanced.service import _allow_descriptors

INFINITE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "after"),
    [
        (1_024, 524_288, 2_560, 2_560),
        (1_024, 2_000, 2_560, 2_000),
        (1_024, INFINITE, 2_560, 2_560),
        (4_096, 524_288, 2_560, 4_096),
        (INFINITE, INFINITE, 2_560, INFINITE),
    ],
)
def test_every_stream_may_have_a_descriptor_as_far_as_the_host_allows(
    soft: int, hard: int, wanted: int, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: limits.append(both))
    _allow_descriptors(wanted)
    assert limits[-1] == (after, hard)
