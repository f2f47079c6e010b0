# SPDX-License-Identifier: MIT
from __future__ import annotations

import msgspec
import pytest

from resonanced.signals.settings import SignalsSettings


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("interval_seconds", 0.0),
        ("interval_seconds", -1.0),
        ("percentile_window_seconds", 0.5),
        ("pressure_window_seconds", 1.0),
        ("slot_quarantine_seconds", 0.0),
        ("cgroups", "/web"),
        ("cgroups", [""]),
        ("cgroups", ["system.slice/*"]),
        ("intervall_seconds", 1.0),
    ],
)
def test_what_cannot_be_is_refused(key: str, value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({key: value}, SignalsSettings)


def test_patterns_start_at_the_root_or_with_a_wildcard() -> None:
    patterns = ["/web/*", "*/web", "/"]
    settings = msgspec.convert({"cgroups": patterns}, SignalsSettings)
    assert settings.cgroups == tuple(patterns)
