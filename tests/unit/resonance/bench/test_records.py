# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.bench_runs import MACHINE, STARTED_AT, run, scene, slot
from resonance.bench.errors import ResultFormatError
from resonance.bench.records import (
    FORMAT,
    Experiment,
    Run,
    Scene,
    Slot,
    read_result,
    write_result,
)
from resonance.histogram import Histogram


def _experiment(*scenes: Scene) -> Experiment:
    return Experiment(
        version="0.1.0",
        title="an experiment",
        started_at=STARTED_AT,
        seconds=600.0,
        machine=MACHINE,
        scenes=list(scenes),
        differences=[],
        notes=["no namespaces here"],
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "result.json"


@pytest.mark.parametrize(
    "result",
    [
        run("a", repetitions=2, costs={"extra_ratio": 0.05}),
        run("imported", repetitions=1, machine=None, tool="wrk2", arrival="closed"),
        run("nothing", slots=[]),
        run("mix", slots=[slot([0.001] * 40, parts={"read": 3, "write": 1})]),
        _experiment(scene(run("a", repetitions=1), run("b", repetitions=1, turn=1))),
        _experiment(),
    ],
    ids=lambda result: result.name if isinstance(result, Run) else f"{len(result.scenes)} scenes",
)
def test_what_is_written_is_read(path: Path, result: Run | Experiment) -> None:
    write_result(path, result)
    assert read_result(path) == result


def test_a_slot_without_answers_is_written_and_read(path: Path) -> None:
    nothing = run("a", slots=[slot([])])
    write_result(path, nothing)
    (read,) = [each for each in [read_result(path)] if isinstance(each, Run)]
    assert read.slots[0].quantile(0.99) is None
    assert read.slots[0].achieved_ratio == 0.0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"3",
        b"{}",
        b'{"format": 1}',
        b'{"format": 1, "slots": null}',
        b'{"format": 1, "slots": []}',
        b'{"format": 1, "scenes": [3]}',
        b'{"format": "1", "slots": []}',
        b'{"format": 0, "slots": []}',
        b"[" * 10_000,
        b"#[StartTime: 1]\n",
    ],
)
def test_what_is_no_result_is_refused_with_its_path(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(ResultFormatError, match="not a result of `resonance bench`") as caught:
        read_result(path)
    assert caught.value.where == str(path)


def test_a_truncated_result_is_refused(path: Path) -> None:
    write_result(path, run("a", repetitions=1))
    whole = path.read_bytes()
    for length in (1, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:length])
        with pytest.raises(ResultFormatError):
            read_result(path)


def test_a_result_of_a_later_release_is_refused_with_both_formats(path: Path) -> None:
    path.write_text(json.dumps({"format": FORMAT + 1, "slots": "who knows"}))
    with pytest.raises(ResultFormatError, match=f"format {FORMAT + 1} .* this one reads {FORMAT}"):
        read_result(path)


@pytest.mark.parametrize(
    ("key", "value"), [("unit", "us"), ("tool", "hey"), ("arrival", "burst"), ("slots", [{}])]
)
def test_a_result_with_something_unknown_is_refused_with_its_place(
    path: Path, key: str, value: Any
) -> None:
    write_result(path, run("a", repetitions=1))
    changed = json.loads(path.read_bytes()) | {key: value}
    path.write_text(json.dumps(changed))
    with pytest.raises(ResultFormatError, match=rf"\$\.{key}"):
        read_result(path)


def test_a_file_that_is_not_there_is_an_os_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_result(path)


def test_a_write_that_fails_leaves_what_was_there(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    before = run("before", repetitions=1)
    write_result(path, before)
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_result(path, run("after", repetitions=1))
    assert read_result(path) == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_directory_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        write_result(tmp_path, run("a", repetitions=1))
    assert not tmp_path.with_name(f"{tmp_path.name}.part").exists()


def test_what_is_known_of_a_slot_belongs_to_it_alone() -> None:
    one = slot([0.001] * 10)
    assert one.quantile(0.5) == one.histogram("response").quantile(0.5)
    other = msgspec.structs.replace(one, response=slot([0.5] * 10).response)
    assert other.quantile(0.5) == other.histogram("response").quantile(0.5)


def test_a_decoded_slot_equals_one_that_is_not() -> None:
    one, other = slot([0.001] * 10), slot([0.001] * 10)
    one.quantile(0.5)
    assert one == other


@pytest.mark.parametrize("what", ["response", "service", "lateness"])
def test_a_histogram_that_is_none_is_told_by_its_name(what: Any) -> None:
    broken = msgspec.structs.replace(slot([0.001]), **{what: "HISTFAAAA"})
    with pytest.raises(ResultFormatError, match=f"^{what}: "):
        broken.histogram(what)


def test_a_histogram_in_other_units_of_a_foreign_layout_is_read() -> None:
    coarse = Histogram(highest_ns=3_600_000_000_000, digits=2)
    coarse.add(1.0, 5)
    foreign = msgspec.structs.replace(slot([0.001]), response=coarse.encode())
    assert foreign.quantile(0.5) == pytest.approx(1.0, rel=0.01)


def test_runs_and_scenes_are_found_by_name() -> None:
    one = scene(run("a", repetitions=1), name="one node")
    experiment = _experiment(one)
    assert experiment.scene("one node") is one
    assert list(experiment) == [one]
    assert one.run("a").name == "a"
    with pytest.raises(KeyError, match="two nodes"):
        experiment.scene("two nodes")
    with pytest.raises(KeyError, match="b"):
        one.run("b")


@given(
    values=st.lists(st.integers(1, 10**10), min_size=1, max_size=50),
    share=st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.99, 1.0]) | st.floats(0.0, 1.0),
)
def test_a_slot_tells_quantiles_as_its_histogram_does(values: list[int], share: float) -> None:
    histogram = Histogram()
    histogram.add_all_ns(values)
    text = histogram.encode()
    slot = Slot(
        started_at=0.0, seconds=1.0, planned=1, sent=1, answered=1,
        response=text, service=text, lateness=text,
    )  # fmt: skip
    assert slot.answers("service") == len(values)
    assert slot.quantile(share) == histogram.quantile(share)
