# SPDX-License-Identifier: MIT
from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resonance_tuning.errors import KnobUnavailableError
from resonance_tuning.host import Host
from resonance_tuning.surfaces import netlink
from resonance_tuning.surfaces.netlink import Message, join_attributes, split_attributes

ATTRIBUTES = st.dictionaries(st.integers(1, 0x3FFF), st.binary(max_size=40), max_size=8)


@given(ATTRIBUTES)
def test_attributes_come_apart_as_they_were_joined(attributes: dict[int, bytes]) -> None:
    assert dict(split_attributes(join_attributes(attributes))) == attributes


@given(st.dictionaries(st.text(), st.integers(0, 1 << 32)), ATTRIBUTES)
def test_a_message_survives_the_journal(header: dict[str, int], found: dict[int, bytes]) -> None:
    message = Message(header, found)
    assert Message.from_text(message.to_text()) == message


@given(st.binary(max_size=64))
def test_garbage_ends_the_attributes_and_nothing_else(raw: bytes) -> None:
    list(split_attributes(raw))


def test_the_kernels_flags_are_no_part_of_an_attributes_number() -> None:
    assert dict(split_attributes(b"\x05\x00\x02\x80x\0\0\0")) == {2: b"x"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "7",
        '{"header": 1, "attributes": {}}',
        '{"header": {}, "attributes": {"x": "zz"}}',
        '{"header": {}, "attributes": {"1": 7}}',
    ],
)
def test_what_is_no_message_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Message.from_text(text)


def test_a_number_is_read_in_the_hosts_order() -> None:
    message = Message({}, {6: b"\x07\0\0\0"})
    assert (message.number(6), message.number(15, 254)) == (7, 254)


def test_a_missing_library_is_told_before_and_when_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert netlink.missing() == ""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert netlink.missing() == "pyroute2 is not installed"
    monkeypatch.setitem(sys.modules, "pyroute2", None)
    with pytest.raises(KnobUnavailableError, match="pyroute2 cannot be imported"):
        netlink.routes(Host(), 2)


def test_only_one_file_imports_pyroute2() -> None:
    package = Path(netlink.__file__).parent
    pattern = re.compile(r"^\s*(?:from|import) pyroute2\b", re.MULTILINE)
    sources = {path.name: path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    assert [name for name, text in sources.items() if pattern.search(text)] == ["netlink.py"]
