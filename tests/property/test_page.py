# SPDX-License-Identifier: MIT
"""No reader of the shared page ever sees words of two writes, whoever writes and how often."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.snapshots import OTHER
from resonance.hints._layout import Page, read_pressure
from resonanced.hints.page import PageWriter
from resonanced.hints.settings import HintsSettings
from resonanced.model import Slot

# Each write derives everything from its number n: time n, the owner of every slot 1000 + n % 3,
# and pressure (n % 1024) / 1024. A reading that mixes two writes contradicts itself.
WRITER = """
import sys
from pathlib import Path
import numpy as np
from resonanced.hints.page import PageWriter
from resonanced.hints.settings import HintsSettings
from resonanced.model import Slot

page = PageWriter(Path(sys.argv[1]), HintsSettings(), "v2")
owners = [tuple(Slot(slot, 1, "x", 1_000 + turn) for slot in range(64)) for turn in range(3)]
print("ready", flush=True)
number = 0
while True:
    number += 1
    page.write(number, owners[number % 3], np.full(64, number % 1024 / 1024))
"""


@contextmanager
def restless_writer(path: Path) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
        process.kill()


@pytest.mark.parametrize("slot", [1, 63])
def test_a_reading_is_of_one_write(tmp_path: Path, slot: int) -> None:
    path = tmp_path / "hints.page"
    with restless_writer(path):
        page = Page.open(path)
        offset = page.header_bytes + slot * page.record_bytes
        numbers: set[int] = set()
        while len(numbers) < 1_000:
            reading = read_pressure(page.memory, offset)
            if reading is None:
                continue
            number, owner, pressure = reading
            if number:
                assert (owner, pressure) == (1_000 + number % 3, number % 1024 / 1024)
                numbers.add(number)
        page.close()


@settings(deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.integers(1, 63),
            st.one_of(st.just(float("nan")), st.floats(0.0, 1.0)),
            max_size=8,
        ),
        min_size=1,
        max_size=8,
    )
)
def test_what_was_written_last_is_read(writes: list[dict[int, float]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "hints.page")
        writer = PageWriter(path, HintsSettings(), "v2")
        page = Page.open(path)
        for write in writes:
            pressure = np.full(64, np.nan)
            pressure[list(write)] = list(write.values())
            slots = (OTHER, *(Slot(slot, 1, str(slot), 9_000 + slot) for slot in sorted(write)))
            writer.write(time.monotonic_ns(), slots, pressure)
            for slot in range(1, 64):
                offset = page.find(9_000 + slot)
                assert (offset is None) == (slot not in write)
                if offset is not None:
                    reading = read_pressure(page.memory, offset)
                    assert reading is not None
                    assert reading[1] == 9_000 + slot
                    assert reading[2] == pytest.approx(write[slot], nan_ok=True, abs=0.0)
        page.close()
        writer.close()
