# SPDX-License-Identifier: MIT
"""The rules every test runs under: asked for, a test may not skip; and leave the host as found."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import capability
import fingerprint

# How long one example takes says more about the machine than about the code.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio, the only loop the daemon uses."""
    return "asyncio"


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """Give a directory that every user can enter, unlike ``tmp_path``; the daemon is not root."""
    with tempfile.TemporaryDirectory(prefix="resonance-test-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture
def free_port() -> int:
    """Give a TCP port of 127.0.0.1 nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the verbs that demand every test say so."""
    parser.addoption("--no-skips", action="store_true", help="count a skipped test as failed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where tests were demanded."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.config.option.no_skips:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was asked for and may not skip: {call.excinfo}"
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark by folder, so that none of these tests can run unasked for want of a mark."""
    for item in items:
        parts = item.path.relative_to(item.config.rootpath).parts
        folder = parts[1] if len(parts) > 1 else ""
        if folder in {"privileged", "nspawn", "packages", "vm"}:
            item.add_marker(folder)
        if folder == "privileged":
            item.fixturenames.insert(0, "host_left_as_found")  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def host_left_as_found() -> Iterator[None]:
    """Compare everything we could change before and after; any difference fails the run."""
    why = capability.missing()
    if why:
        pytest.fail(f"the privileged tests cannot run here: {why}", pytrace=False)
    before = fingerprint.take()
    yield
    left = fingerprint.settled_difference(before)
    if left:
        pytest.fail("the host was not left as found:\n" + "\n".join(left), pytrace=False)
