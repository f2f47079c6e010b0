# SPDX-License-Identifier: MIT
"""What the tests of both command lines share."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with the file of this name in tests/golden."""

    def golden(name: str, text: str) -> None:
        path = request.config.rootpath / "tests" / "golden" / name
        assert text == path.read_text(encoding="utf-8")

    return golden
