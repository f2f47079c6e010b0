# SPDX-License-Identifier: MIT
"""The reader in the document reads what the daemon writes."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.snapshots import WEB, snapshot
from resonanced.hints.page import HEADER, RECORD, PageWriter
from resonanced.hints.settings import HintsSettings

DOCUMENT = Path(__file__).parents[2] / "docs" / "shared-page.md"
ROW = re.compile(r"^\| (\d+) \| [^|]+ \| `(\w+)` \|", re.MULTILINE)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (source,) = re.findall(r"```c\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    directory = tmp_path_factory.mktemp("reader")
    (directory / "reader.c").write_text(source)
    warnings = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["clang", *warnings, "-o", "reader", "reader.c"], cwd=directory, check=True)
    return directory / "reader"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hints.page"


@pytest.fixture
def writer(path: Path) -> Iterator[PageWriter]:
    writer = PageWriter(path, HintsSettings(valid_for_seconds=30.0), "v2")
    yield writer
    writer.close()


def read(reader: Path, path: Path, cgroup_id: int) -> str:
    command = [reader, path, str(cgroup_id)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_pressure_is_read(writer: PageWriter, reader: Path, path: Path) -> None:
    fresh = snapshot()
    writer.write(time.monotonic_ns(), fresh.slots, fresh.pressure)
    assert read(reader, path, WEB.cgroup_id) == "0.250"
    assert read(reader, path, WEB.cgroup_id + 1) == "unknown"


def test_a_stale_reading_is_unknown(writer: PageWriter, reader: Path, path: Path) -> None:
    fresh = snapshot()
    writer.write(time.monotonic_ns() - 31 * 10**9, fresh.slots, fresh.pressure)
    assert read(reader, path, WEB.cgroup_id) == "unknown"


def test_the_offsets_of_the_document_are_those_of_the_writer() -> None:
    documented = [(int(offset), name) for offset, name in ROW.findall(DOCUMENT.read_text())]
    written = [
        (layout.fields[name][1], name)
        for layout in (HEADER, RECORD)
        for name in layout.names or ()
        if not name.startswith("pad") and layout.fields is not None
    ]
    assert documented == written
