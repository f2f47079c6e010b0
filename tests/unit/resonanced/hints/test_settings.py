# SPDX-License-Identifier: MIT
from __future__ import annotations

import msgspec
import pytest

from resonanced.hints.settings import HintsSettings


@pytest.mark.parametrize(
    "table",
    [
        {"socket": "../hints.sock"},
        {"socket": "hints"},
        {"page_hz": 5.0},
        {"heartbeat_seconds": 0.0},
        {"valid_for_seconds": -1.0},
        {"max_streams": 0},
        {"max_stream": 1},
    ],
)
def test_what_is_out_of_range_is_refused(table: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(table, HintsSettings)


def test_defaults_lie_within_their_own_bounds() -> None:
    assert msgspec.convert(msgspec.structs.asdict(HintsSettings()), HintsSettings)
