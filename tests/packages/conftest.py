# SPDX-License-Identifier: MIT
"""A small Debian for each suite: one with the packages to be looked at, and fresh ones."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from packages.root import CHECKOUT, SUITES, Root, missing, packages_of


@pytest.fixture(scope="session", params=SUITES)
def suite(request: pytest.FixtureRequest) -> str:
    """Give each suite in turn."""
    why = missing()
    if why:
        pytest.fail(f"no root can be made here: {why}", pytrace=False)
    name: str = request.param
    if not packages_of(name):
        pytest.fail(f"no packages for {name}: make deb SUITES={name}", pytrace=False)
    return name


@pytest.fixture(scope="session")
def packages(suite: str) -> list[Path]:
    """Give the packages that were made."""
    return packages_of(suite)


@contextmanager
def _made(suite: str) -> Generator[Root]:
    (CHECKOUT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="resonance-test-", dir=CHECKOUT / "build") as name:
        path = Path(name)
        path.chmod(0o755)
        yield Root.unpack(suite, path)


@pytest.fixture(scope="session")
def root(suite: str, packages: list[Path]) -> Iterator[Root]:
    """Give a Debian with both packages, to be looked at."""
    with _made(suite) as made:
        made.install(*packages)
        yield made


@pytest.fixture
def fresh(suite: str) -> Iterator[Root]:
    """Give a Debian that knows nothing of us."""
    with _made(suite) as made:
        yield made
