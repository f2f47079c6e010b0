# SPDX-License-Identifier: MIT
from __future__ import annotations

import base64
import struct
import sys
import zlib

import pytest
from hdrh.histogram import HdrHistogram

from resonance.errors import MissingExtraError
from resonance.histogram import FormatError, Histogram


def text_of(
    counts: bytes = b"\x02",
    *,
    outer: int = 0x1C849314,
    inner: int = 0x1C849313,
    offset: int = 0,
    digits: int = 3,
    lowest_ns: int = 1_000,
    highest_ns: int = 10**11,
    ratio: float = 1.0,
    length: int | None = None,
) -> str:
    size = len(counts) if length is None else length
    header = struct.pack(">IIIIQQd", inner, size, offset, digits, lowest_ns, highest_ns, ratio)
    packed = zlib.compress(header + counts)
    return base64.b64encode(struct.pack(">II", outer, len(packed)) + packed).decode()


def test_an_empty_one_goes_both_ways() -> None:
    theirs = HdrHistogram(1_000, 10**11, 3)
    text = Histogram().encode()
    assert text.encode() == theirs.encode()
    again = Histogram.decode(text)
    assert again.count == 0
    assert again.encode() == text


def test_what_was_recorded_last_is_in_the_text() -> None:
    histogram = Histogram()
    histogram.record(0.1)
    assert Histogram.decode(histogram.encode()).count == 1


def test_the_longest_of_all_goes_both_ways() -> None:
    histogram = Histogram()
    histogram.record(1e9)
    again = Histogram.decode(histogram.encode())
    assert again.counts() == histogram.counts()
    assert HdrHistogram.decode(histogram.encode()).get_total_count() == 1


def test_the_text_has_its_layout() -> None:
    histogram = Histogram(lowest_ns=7, highest_ns=10**9, digits=2)
    assert Histogram.decode(histogram.encode()).layout == histogram.layout


def test_what_was_decoded_can_be_recorded_into() -> None:
    histogram = Histogram.decode(text_of())
    histogram.record(0.5)
    assert histogram.count == 2


def test_a_word_size_in_the_cookies_means_nothing() -> None:
    assert Histogram.decode(text_of(outer=0x1C849304, inner=0x1C849313)).count == 1


GOOD = text_of()
BAD = {
    "empty": ("", "not of the format"),
    "no base64": ("HISTF!!!", "not base64"),
    "base64 cut off": (GOOD[:-3], "not base64"),
    "not ASCII": ("HISTÄ", "not base64"),
    "a few bytes": ("HIST", "not of the format V2, compressed"),
    "V1": (text_of(outer=0x1C849302), "not of the format V2, compressed"),
    "V1 inside": (text_of(inner=0x1C849301), "not of the format V2"),
    "V0": (base64.b64encode(struct.pack(">II", 0x1C849308, 0)).decode(), "not of the format"),
    "cut off": (GOOD[:-4], "cut off"),
    "added to": (base64.b64encode(base64.b64decode(GOOD) + b"x").decode(), "something was added"),
    "not compressed": (
        base64.b64encode(struct.pack(">II", 0x1C849314, 4) + b"abcd").decode(),
        "decompressed",
    ),
    "compressed, cut off": (
        base64.b64encode(struct.pack(">II", 0x1C849314, 9) + zlib.compress(bytes(99))[:9]).decode(),
        "cut off",
    ),
    "no header": (
        base64.b64encode(
            struct.pack(">II", 0x1C849314, len(zlib.compress(b""))) + zlib.compress(b"")
        ).decode(),
        "cut off",
    ),
    "longer than it says": (text_of(length=0), "not as long as it says"),
    "shorter than it says": (text_of(length=2), "not as long as it says"),
    "shifted": (text_of(offset=1), "shifted or scaled"),
    "scaled": (text_of(ratio=0.5), "shifted or scaled"),
    "too many digits": (text_of(digits=6), "digits"),
    "no digits": (text_of(digits=0), "digits"),
    "no unit": (text_of(lowest_ns=0), "lowest_ns"),
    "no range": (text_of(highest_ns=1_000), "highest_ns"),
    "beyond 63 bits": (text_of(highest_ns=2**64 - 1), "highest_ns"),
    "more counts than buckets": (text_of(b"\x02" * 20_000), "counts cannot be read"),
    "zeros beyond the buckets": (text_of(b"\xff\xff\xff\x01\x02"), "counts cannot be read"),
    "a count cut off": (text_of(b"\x80"), "counts cannot be read"),
}


@pytest.mark.parametrize(("text", "reason"), BAD.values(), ids=BAD)
def test_a_text_that_is_none_is_one_clear_error(text: str, reason: str) -> None:
    with pytest.raises(FormatError, match=reason) as caught:
        Histogram.decode(text)
    assert caught.value.where == "encoded histogram"
    assert caught.value.__cause__ is None


def test_a_small_text_cannot_fill_the_memory() -> None:
    with pytest.raises(FormatError):
        Histogram.decode(text_of(bytes(2**27)))


def test_without_the_package_it_is_said_which_extra_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "hdrh.histogram")
    monkeypatch.setitem(sys.modules, "hdrh", None)
    with pytest.raises(MissingExtraError, match=r"Histogram.encode needs .*\[histogram\]"):
        Histogram().encode()
    with pytest.raises(MissingExtraError, match=r"Histogram.decode needs .*\[histogram\]"):
        Histogram.decode(GOOD)


def test_a_package_that_is_broken_is_not_taken_for_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.startswith("hdrh.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyhdrh", None)
    with pytest.raises(ModuleNotFoundError, match="pyhdrh"):
        Histogram().encode()
