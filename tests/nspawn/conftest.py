# SPDX-License-Identifier: MIT
"""One booted container for all of these tests, and its service anew for each."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

import fingerprint
from nspawn import possible
from nspawn.container import Container
from nspawn.service import Service


@pytest.fixture(scope="session")
def host_stays_as_it_is() -> Iterator[None]:
    """Compare what of the host a container could change before and after."""
    why = possible.missing()
    if why:
        pytest.fail(f"no container can be booted here: {why}", pytrace=False)
    if not shutil.which("systemd-nspawn"):
        pytest.fail("not installed: apt-get install systemd-container", pytrace=False)
    before = fingerprint.take()
    yield
    left = fingerprint.settled_difference(before)
    if left:
        pytest.fail("the host was not left as found:\n" + "\n".join(left), pytrace=False)


@pytest.fixture(scope="session")
def container(
    host_stays_as_it_is: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Container]:
    """Boot one container for all."""
    booted = Container.boot(tmp_path_factory.mktemp("nspawn") / "console.log")
    yield booted
    booted.stop()


@pytest.fixture
def service(container: Container) -> Iterator[Service]:
    """Give the service, stopped and as it is shipped but for a sooner restart."""
    unit = Service(container)
    unit.install()
    yield unit
    unit.clear()
