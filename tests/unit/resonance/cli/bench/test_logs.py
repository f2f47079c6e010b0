# SPDX-License-Identifier: MIT
from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from resonance.cli import main
from resonance.cli.bench import logs
from resonance.histogram import Histogram, LogWriter, read_log

Merge = Callable[..., tuple[int, str, str]]
Write = Callable[..., Path]

STARTED_AT = 1_700_000_000.0


@pytest.fixture
def merge(capsys: pytest.CaptureFixture[str]) -> Merge:
    def merge(*arguments: object) -> tuple[int, str, str]:
        code = main(["bench", "merge", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return merge


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(
        name: str, milliseconds: Sequence[float], tags: Sequence[str | None] = (None,)
    ) -> Path:
        path = tmp_path / name
        with path.open("w") as file:
            log = LogWriter(file, STARTED_AT)
            for number, each in enumerate(milliseconds):
                histogram = Histogram()
                histogram.add(each / 1e3, 10)
                log.write(histogram, STARTED_AT + number, 1.0, tags[number % len(tags)])
        return path

    return write


def test_logs_are_told_as_one(merge: Merge, write: Write) -> None:
    code, out, err = merge(write("a.hlog", [1.0, 2.0]), write("b.hlog", [3.0, 4.0]))
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "40 latencies in 4 intervals of 2 logs, 2.00s from first to last",
        "p50 2.00ms  p90 4.00ms  p95 4.00ms  p99 4.00ms  p99.9 4.00ms  max 4.00ms",
    ]


def test_one_log_is_written(merge: Merge, write: Write, tmp_path: Path) -> None:
    output = tmp_path / "merged.hlog"
    code, out, _ = merge(write("a.hlog", [1.0, 2.0, 3.0]), "--output", output)
    assert code == 0
    assert out.endswith(f"wrote {output}, 1 interval\n")
    with output.open() as file:
        (only,) = read_log(file)
    assert (only.started_at, only.seconds, only.histogram.count) == (STARTED_AT, 3.0, 30)
    assert [each.name for each in tmp_path.iterdir() if each.suffix == ".part"] == []


def test_its_intervals_have_the_length_that_was_asked_for(
    merge: Merge, write: Write, tmp_path: Path
) -> None:
    output = tmp_path / "merged.hlog"
    log = write("a.hlog", [1.0, 2.0, 3.0, 4.0])
    code, out, _ = merge(log, log, "--every", "2s", "--output", output)
    assert code == 0
    assert "80 latencies in 8 intervals of 2 logs" in out
    assert out.endswith("2 intervals\n")
    with output.open() as file:
        assert [each.histogram.count for each in read_log(file)] == [40, 40]


def test_series_are_kept_apart_by_tag(merge: Merge, write: Write, tmp_path: Path) -> None:
    output = tmp_path / "merged.hlog"
    log = write("a.hlog", [1.0, 5.0, 1.0, 5.0], tags=("read", "wr\u202eite"))
    code, out, _ = merge(log, "--by-tag", "--output", output)
    assert code == 0
    lines = out.splitlines()
    assert lines[1].startswith("read: p50 1.00ms")
    assert lines[2].startswith("wr?ite: p50 5.00ms")


def test_an_empty_tag_of_others_is_none(merge: Merge, write: Write, tmp_path: Path) -> None:
    log, output = write("a.hlog", [1.0]), tmp_path / "merged.hlog"
    log.write_text(log.read_text().replace("\n0.000000,", "\nTag=,0.000000,"))
    code, _, _ = merge(log, "--by-tag", "--output", output)
    assert code == 0
    with output.open() as file:
        assert [each.tag for each in read_log(file)] == [None]


def test_a_log_of_nothing_says_so(merge: Merge, tmp_path: Path) -> None:
    path = tmp_path / "a.hlog"
    with path.open("w") as file:
        LogWriter(file, STARTED_AT).write(Histogram(), STARTED_AT, 1.0)
    code, out, _ = merge(path)
    assert code == 0
    assert out.splitlines()[1] == "no latency"


def test_a_truncated_log_is_refused_with_its_line(
    merge: Merge, write: Write, tmp_path: Path
) -> None:
    good, bad = write("good.hlog", [1.0]), write("bad.hlog", [1.0, 2.0])
    bad.write_text(bad.read_text()[:-20])
    output = tmp_path / "merged.hlog"
    code, out, err = merge(good, bad, "--output", output)
    assert (code, out) == (1, "")
    assert err.startswith(f"resonance: {bad}: line 6, encoded histogram: it ")
    assert err.endswith("nothing was merged: leave that log out, or write it again\n")
    assert not output.exists()


def test_an_old_log_is_refused(merge: Merge, write: Write) -> None:
    old = write("old.hlog", [1.0])
    old.write_text(old.read_text().replace("version 1.2", "version 1.0"))
    code, _, err = merge(old)
    assert code == 1
    assert "old.hlog: line 1: the log has version 1.0; 1.2 and 1.3 are known" in err


def test_what_is_not_there_is_told(merge: Merge, tmp_path: Path) -> None:
    code, _, err = merge(tmp_path / "none.hlog")
    assert code == 1
    assert "none.hlog" in err


def test_what_cannot_be_written_is_told(merge: Merge, write: Write, tmp_path: Path) -> None:
    code, out, err = merge(write("a.hlog", [1.0]), "--output", tmp_path / "none/merged.hlog")
    assert (code, out) == (1, "")
    assert err.endswith("merged.hlog: No such file or directory; nothing was written\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
def test_a_full_disk_is_told(merge: Merge, write: Write, tmp_path: Path) -> None:
    part = tmp_path / "merged.hlog.part"
    part.symlink_to("/dev/full")
    code, out, err = merge(write("a.hlog", [1.0]), "--output", tmp_path / "merged.hlog")
    assert (code, out) == (1, "")
    assert "No space left on device; nothing was written" in err
    assert list(tmp_path.glob("merged*")) == []


@pytest.mark.parametrize("every", ["0", "-1s", "soon"])
def test_intervals_must_have_a_length(
    merge: Merge, write: Write, every: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        merge(write("a.hlog", [1.0]), f"--every={every}")
    assert "--every" in capsys.readouterr().err


def test_too_many_intervals_are_wrong_arguments(
    merge: Merge, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        merge(write("a.hlog", [1.0] * 1_001), "--every", "1s")
    assert "--every: 1000 intervals are not enough" in capsys.readouterr().err


def test_large_logs_are_shared_by_processes(
    merge: Merge, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write("a.hlog", [1.0]), write("b.hlog", [3.0])]
    _, alone, _ = merge(*paths)
    monkeypatch.setattr(logs, "_MANY_BYTES", 1)
    code, shared, err = merge(*paths)
    assert (code, err, shared) == (0, "", alone)
