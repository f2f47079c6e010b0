# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest

from fakes.bench_reports import compared, disturbed, experiment, failing, many_arms
from resonance.bench.report import page


@pytest.fixture(scope="session")
def html() -> str:
    """Return a page of all that a page may have."""
    measured = experiment(
        many_arms(), disturbed(), failing(), differences=["cpu.max of <web>"], notes=["an <i> arm"]
    )
    return page(measured, compared(measured), named=["worse"])
