# SPDX-License-Identifier: MIT
"""The command against a generator that sends nothing."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

import resonance.bench.load
from fakes.bench_measuring import FakeMeasure, measured
from resonance.bench.digest import Outcome
from resonance.bench.errors import TargetError
from resonance.bench.records import Run, read_result
from resonance.cli import main
from resonance.histogram import read_log

Bench = Callable[..., tuple[int, str, str]]

URL = "http://127.0.0.1:1/"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeMeasure:
    fake = FakeMeasure()
    monkeypatch.setattr(resonance.bench.load, "measure", fake)
    return fake


@pytest.fixture
def bench(fake: FakeMeasure, capsys: pytest.CaptureFixture[str]) -> Bench:
    def bench(*arguments: str | Path) -> tuple[int, str, str]:
        code = main(["bench", "run", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return bench


@pytest.fixture
def refused(bench: Bench, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return what is said of wrong arguments, in the last line."""

    def refused(*arguments: str | Path) -> str:
        with pytest.raises(SystemExit) as exit_info:
            bench(*arguments)
        captured = capsys.readouterr()
        assert exit_info.value.code == 2
        assert captured.out == ""
        return captured.err.splitlines()[-1]

    return refused


def _scenario(folder: Path, more: str = "") -> Path:
    path = folder / "load.toml"
    path.write_text(f'{more}target = "{URL}"\n[[stages]]\nduration = 4\nrate = 500\n')
    return path


def test_help_ends_with_every_exit_code_and_fits_80_columns(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match="0"):
        bench("--help")
    text = capsys.readouterr().out
    ending = text[text.index("exit status:") :].splitlines()[1:]
    assert [line.split()[0] for line in ending] == ["0", "1", "2", "3", "130"]
    assert "examples:\n  resonance bench run " in text
    assert max(map(len, text.splitlines())) <= 80


def test_what_was_measured_is_told(bench: Bench, fake: FakeMeasure) -> None:
    code, output, _ = bench(URL, "--rate", "500", "--duration", "4s")
    assert code == 0
    assert output.startswith(f"{URL}\nload        poisson, 500/s for 4 s; seed 0\n")
    assert "response      262us  902us" in output
    (load,) = fake.loads
    assert (load.seconds, load.rate_per_second, load.arrival) == (4.0, 500.0, "poisson")


def test_every_option_reaches_the_load(bench: Bench, fake: FakeMeasure, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"\x00")
    bench(
        URL.replace("http", "https"), "--rate", "500", "--duration", "4s", "--warm-up", "500ms",
        "--arrival", "constant", "--connections", "7", "--processes", "2", "--timeout", "3",
        "--method", "PUT", "--header", "A: b:c", "--header", "D:e", "--data",
        f"@{tmp_path / 'body'}", "--insecure", "--ca", "ca.pem", "--seed", "9",
        "--frame-bytes", "5",
    )  # fmt: skip
    (load,) = fake.loads
    assert load.warm_up_seconds == 0.5
    assert load.arrival == "constant"
    assert (load.connections, load.processes, load.timeout_seconds) == (7, 2, 3.0)
    assert (load.seed, load.frame_bytes) == (9, 5)
    assert load.requests[0].method == "PUT"
    assert load.requests[0].headers == (("A", "b:c"), ("D", "e"))
    assert load.requests[0].body == b"\x00"
    assert not load.target.verify
    assert load.target.certificate_authorities == "ca.pem"


def test_data_is_posted(bench: Bench, fake: FakeMeasure) -> None:
    bench(URL, "--rate", "500", "--data", "x=1")
    assert (fake.loads[0].requests[0].method, fake.loads[0].requests[0].body) == ("POST", b"x=1")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "say a TARGET"),
        ([URL], "--rate: how many calls per second?"),
        ([URL, "--rate", "0"], "--rate: is zero"),
        ([URL, "--rate", "-5"], "--rate: must be 0 or more"),
        ([URL, "--rate", "nan"], "--rate: must be 0 or more"),
        ([URL, "--rate", "1e12"], "--rate: 30000000000000 calls in one run; at most 30000000"),
        ([URL, "--rate", "much"], "argument --rate: invalid float value"),
        ([URL, "--rate", "5", "--duration", "0"], "--duration: must be above 0"),
        ([URL, "--rate", "5", "--duration", "-1"], "--duration: '-1' is no duration"),
        ([URL, "--rate", "5", "--warm-up", "30s"], "--warm-up: must be 0 or more and below 30.0"),
        ([URL, "--rate", "5", "--timeout", "0"], "--timeout: must be above 0"),
        ([URL, "--rate", "5", "--connections", "0"], "--connections: must be 1 to 4096"),
        ([URL, "--rate", "5", "--processes", "99"], "--processes: must be 1 to 64"),
        ([URL, "--rate", "5", "--repetitions", "0"], "--repetitions: 0 is not from 1 to 1000"),
        ([URL, "--rate", "5", "--header", "nothing"], "--header: 'nothing' is no header"),
        ([URL, "--rate", "5", "--header", "a b: c"], "--header: 'a b' is no name of a header"),
        ([URL, "--rate", "5", "--data", "@/nowhere"], "--data: /nowhere: No such file"),
        ([URL, "--rate", "5", "--threshold", "p99"], "--threshold: 'p99' is no threshold"),
        ([URL, "--rate", "5", "--versus", "b"], "--versus: 'b' is not NAME=TARGET"),
        ([URL, "--rate", "5", "--versus", "b=nothing"], "--versus: 'nothing' is none of http://"),
        ([URL, "--rate", "5", "--versus", f"../b={URL}"], "'../b' is no name of an arm"),
        ([URL, "--rate", "5", "--versus", f"baseline={URL}"], "already the name of an arm"),
        ([URL, "--rate", "5", "--placebo", "--versus", f"placebo={URL}"], "already the name"),
        ([URL, "--rate", "5", "--name", "a b"], "--name: 'a b' is no name of an arm"),
        (["localhost:8080", "--rate", "5"], "TARGET: 'localhost:8080' is none of http://"),
        (["http://h:99999/", "--rate", "5"], "TARGET: 'http://h:99999/'"),
        (["nowhere.toml"], "nowhere.toml: No such file"),
    ],
)
def test_wrong_arguments_are_one_line_and_2(
    refused: Callable[..., str], arguments: list[str], reason: str, fake: FakeMeasure
) -> None:
    assert reason in refused(*arguments)
    assert fake.loads == []


def test_a_scenario_is_measured_and_options_may_change_it(
    bench: Bench, fake: FakeMeasure, tmp_path: Path
) -> None:
    code, output, _ = bench(_scenario(tmp_path, 'thresholds = ["p99<1us"]\nseed = 5\n'))
    assert code == 1
    assert "threshold   p99<1us          MISSED: 902us" in output
    assert (fake.loads[0].seconds, fake.loads[0].seed) == (4.0, 5)
    bench(_scenario(tmp_path), "--seed", "6", "--connections", "3", "--insecure")
    assert (fake.loads[1].seed, fake.loads[1].connections) == (6, 3)
    assert not fake.loads[1].target.verify


@pytest.mark.parametrize(
    "option",
    [("--rate", "3"), ("--duration", "3"), ("--method", "PUT"), ("--header", "a: b"),
     ("--data", ""), ("--data", "x")],
)  # fmt: skip
def test_what_a_scenario_says_is_not_said_again(
    refused: Callable[..., str], tmp_path: Path, option: tuple[str, str]
) -> None:
    path = _scenario(tmp_path)
    assert f"{option[0]}: is what {path} says; change it there" in refused(path, *option)


def test_a_wrong_scenario_is_told_with_its_path(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    path = _scenario(tmp_path, "conections = 3\n")
    assert f"{path}: conections: is no key of a scenario; known here: target" in refused(path)
    assert "--connections: must be 1 to 4096" in refused(_scenario(tmp_path), "--connections", "0")


def test_the_example_can_be_printed_and_read(bench: Bench, tmp_path: Path) -> None:
    code, output, error = bench("--print-example")
    assert (code, error) == (0, "")
    path = tmp_path / "load.toml"
    path.write_text(output)
    code, output, _ = bench(path, "--repetitions", "2")
    assert "REPETITION" in output


def test_without_belief_there_are_no_response_times_and_3(bench: Bench, fake: FakeMeasure) -> None:
    fake.made = lambda _: measured(sent_ratio=0.9)
    code, output, _ = bench(URL, "--rate", "500", "--threshold", "p99<1us")
    assert code == 3
    assert "NOT TO BE BELIEVED: 90.0% of the calls were sent in time" in output
    assert "try --processes 2, a lower --rate" in output
    assert not any(
        line.startswith(("response", "service", "threshold")) for line in output.split("\n")
    )
    assert "902us" not in output
    assert "lateness" in output


def test_doubts_are_in_the_json_and_response_times_are_not(bench: Bench, fake: FakeMeasure) -> None:
    fake.made = lambda _: measured(sent_ratio=0.9)
    code, output, error = bench(URL, "--rate", "500", "--json")
    answer = json.loads(output)
    (repetition,) = answer["arms"][0]["repetitions"]
    assert (code, error, answer["exit_code"]) == (3, "", 3)
    assert repetition["response_seconds"] is None
    assert repetition["service_seconds"] is None
    assert repetition["lateness_seconds"]["p50"] > 0.0
    assert "sent in time" in repetition["doubts"][0]["reason"]


def test_json_has_the_numbers_of_the_text(bench: Bench) -> None:
    code, output, error = bench(
        URL, "--rate", "500", "--json", "--threshold", "p99<1s", "--threshold", "failed<1%"
    )
    answer = json.loads(output)
    (arm,) = answer["arms"]
    assert (code, error) == (0, "")
    assert arm["thresholds"][1] == {"text": "failed<1%", "value": 0.0, "is_met": True}
    assert arm["repetitions"][0]["response_seconds"]["p99"] == pytest.approx(0.000902, rel=0.01)
    assert arm["repetitions"][0]["planned"] == 2_000


def test_a_threshold_that_cannot_be_known_is_missed(bench: Bench, fake: FakeMeasure) -> None:
    fake.made = lambda _: measured(calls=500)
    code, output, _ = bench(URL, "--rate", "500", "--threshold", "p99.9<1s")
    assert code == 1
    assert "p99.9<1s         not known: too few answers" in output
    assert "500 answers: p99.9 needs 1,000" in output


def test_a_target_that_cannot_be_reached_is_one_line(bench: Bench, fake: FakeMeasure) -> None:
    fake.made = lambda _: TargetError(URL, "connection refused; is it up?")
    assert bench(URL, "--rate", "500") == (
        1, "", f"resonance: {URL}: connection refused; is it up?\n",
    )  # fmt: skip


def test_what_was_measured_before_a_failure_is_kept(
    bench: Bench, fake: FakeMeasure, tmp_path: Path
) -> None:
    fake.made = lambda number: TargetError(URL, "gone") if number == 2 else measured()
    output = tmp_path / "run.json"
    code, text, error = bench(URL, "--rate", "500", "--repetitions", "5", "--output", output)
    assert code == 1
    assert error.endswith(f"resonance: {URL}: gone\n")
    run = read_result(output)
    assert isinstance(run, Run)
    assert len(run.slots) == 2
    assert "median" in text


def test_a_result_can_be_read_again_and_keeps_no_secret(bench: Bench, tmp_path: Path) -> None:
    output = tmp_path / "after.json"
    bench(
        URL, "--rate", "500", "--duration", "4", "--output", output, "--seed", "3",
        "--header", "Authorization: hunter2", "--data", "swordfish",
    )  # fmt: skip
    run = read_result(output)
    assert isinstance(run, Run)
    assert (run.name, run.target, run.arrival, run.rate_per_second) == (
        "after",
        URL,
        "poisson",
        500,
    )
    assert run.asked["seed"] == 3
    assert run.asked["requests"] == [
        {"name": "all", "weight": 1.0, "method": "POST", "path": "", "headers": ["Authorization"],
         "body_bytes": 9}
    ]  # fmt: skip
    text = output.read_text()
    assert "hunter2" not in text
    assert "swordfish" not in text


def test_arms_take_turns_with_the_same_calls(
    bench: Bench, fake: FakeMeasure, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    code, output, _ = bench(
        URL, "--rate", "500", "--repetitions", "8", "--placebo",
        "--versus", "new=http://127.0.0.1:2/", "--output", results,
    )  # fmt: skip
    assert code == 0
    assert sorted(each.name for each in results.iterdir()) == [
        "baseline.json", "new.json", "placebo.json",
    ]  # fmt: skip
    assert fake.repetitions == [number for number in range(8) for _ in range(3)]
    seeds = [load.seed for load in fake.loads]
    by_repetition = [set(seeds[3 * number : 3 * number + 3]) for number in range(8)]
    assert all(len(each) == 1 for each in by_repetition)
    assert len(set.union(*by_repetition)) == 8
    places = [number % 3 for number, load in enumerate(fake.loads) if load.target.port == 2]
    assert len(set(places)) > 1
    assert output.index("baseline: ") < output.index("placebo: ") < output.index("new: ")
    run = read_result(results / "new.json")
    assert isinstance(run, Run)
    assert [slot.repetition for slot in run.slots] == list(range(8))


def test_a_seed_gives_the_same_order_and_another_one_another(
    bench: Bench, fake: FakeMeasure
) -> None:
    def order(seed: int) -> list[int]:
        fake.loads.clear()
        bench(URL, "--rate", "5", "--repetitions", "9", "--versus", "b=http://127.0.0.1:2/",
              "--seed", str(seed))  # fmt: skip
        return [load.target.port for load in fake.loads]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_one_doubtful_repetition_is_shown_without_times(bench: Bench, fake: FakeMeasure) -> None:
    fake.made = lambda number: measured(sent_ratio=0.9) if number == 1 else measured()
    code, output, _ = bench(URL, "--rate", "500", "--repetitions", "3")
    assert code == 3
    rows = [line for line in output.split("\n") if line[:1] in {"0", "1", "2"}]
    assert "902us" in rows[0]
    assert "902us" not in rows[1]
    assert "not to be believed" in rows[1]
    assert "NOT TO BE BELIEVED: repetition 1: " in output


def test_a_log_opens_again_without_the_warm_up(
    bench: Bench, fake: FakeMeasure, tmp_path: Path
) -> None:
    fake.made = lambda _: measured(warm_up_seconds=1.0)
    log = tmp_path / "run.hlog"
    bench(URL, "--rate", "500", "--duration", "4", "--warm-up", "1", "--log", log)
    intervals = list(read_log(log.read_text().splitlines()))
    assert [each.seconds for each in intervals] == [1.0, 1.0, 1.0]
    assert sum(each.histogram.count for each in intervals) == 1_500
    assert [each.tag for each in intervals] == [None] * 3


def test_a_log_of_several_arms_has_tags_and_says_what_is_doubtful(
    bench: Bench, fake: FakeMeasure, tmp_path: Path
) -> None:
    fake.made = lambda number: measured(started_at=1e9 + 10 * number, sent_ratio=1.0 - 0.1 * number)
    log = tmp_path / "run.hlog"
    bench(URL, "--rate", "500", "--placebo", "--log", log)
    lines = log.read_text().splitlines()
    assert {each.tag for each in read_log(lines)} == {"baseline", "placebo"}
    assert sum("not to be believed: 90.0%" in line for line in lines) == 1


@pytest.mark.parametrize("option", ["--log", "--output"])
def test_a_full_disk_is_one_line_and_the_text_is_printed(
    bench: Bench, option: str, tmp_path: Path
) -> None:
    code, output, error = bench(URL, "--rate", "500", option, "/dev/full")
    assert code == 1
    assert error.endswith("resonance: /dev/full: not written: No space left on device\n")
    assert "response      262us" in output
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def test_a_log_that_is_not_whole_is_not_left_behind(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "run.hlog"
    log.write_text("before")
    monkeypatch.setattr("resonance.histogram.LogWriter.write", _failing)
    code, _, error = bench(URL, "--rate", "500", "--log", log)
    assert code == 1
    assert error.endswith(f"resonance: {log}: not written: No space left on device\n")
    assert [each.name for each in tmp_path.iterdir()] == ["run.hlog"]
    assert log.read_text() == "before"


def _failing(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_missing_directory_is_told_before_anything_is_measured(
    bench: Bench, fake: FakeMeasure, tmp_path: Path
) -> None:
    for option in ("--log", "--output"):
        code, output, error = bench(URL, "--rate", "5", option, tmp_path / "no" / "x")
        assert (code, output) == (1, "")
        assert "there is no directory" in error
        assert error.count("\n") == 1
    code, _, error = bench(URL, "--rate", "5", "--log", tmp_path)
    assert (code, "is a directory; say a file" in error) == (1, True)
    (tmp_path / "file").touch()
    code, _, error = bench(URL, "--rate", "5", "--placebo", "--output", tmp_path / "file")
    assert (code, "of several arms say a directory" in error) == (1, True)
    assert fake.loads == []


def test_a_link_stays_a_link(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    (tmp_path / "real.json").touch()
    bench(URL, "--rate", "500", "--output", tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert isinstance(read_result(tmp_path / "real.json"), Run)


def test_one_result_may_go_into_a_directory(bench: Bench, tmp_path: Path) -> None:
    bench(URL, "--rate", "500", "--output", tmp_path, "--name", "first")
    bench(URL, "--rate", "500", "--output", f"{tmp_path}/new/")
    assert isinstance(read_result(tmp_path / "first.json"), Run)
    assert isinstance(read_result(tmp_path / "new" / "baseline.json"), Run)


def test_outside_of_a_terminal_a_line_a_second_goes_to_the_error_stream(bench: Bench) -> None:
    _, _, error = bench(URL, "--rate", "500", "--placebo")
    assert error.splitlines()[0] == "placebo: 1/2 s, 1,000 sent, 1,000 answered, 0 failed" or (
        error.splitlines()[0] == "baseline: 1/2 s, 1,000 sent, 1,000 answered, 0 failed"
    )
    assert error.count("\n") == 4
    assert bench(URL, "--rate", "500", "--json")[2] == ""


def test_notes_of_the_generator_are_read_once(bench: Bench, fake: FakeMeasure) -> None:
    fake.made = lambda _: measured(notes=("no real-time class is permitted; run it as root",))
    _, output, _ = bench(URL, "--rate", "500", "--repetitions", "3")
    assert output.count("note        no real-time class is permitted") == 1


def test_a_partial_slot_is_told_and_is_not_compared(
    bench: Bench, fake: FakeMeasure, tmp_path: Path
) -> None:
    fake.made = lambda _: measured(is_partial=True)
    code, output, _ = bench(URL, "--rate", "500", "--output", tmp_path / "run.json")
    assert code == 0
    assert "partial     4 s were measured" in output
    run = read_result(tmp_path / "run.json")
    assert isinstance(run, Run)
    assert run.slots[0].doubts == ["interrupted after 4.0 s"]


def test_without_the_extra_nothing_is_measured(
    bench: Bench, fake: FakeMeasure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "hdrh.histogram", None)
    code, output, error = bench(URL, "--rate", "500")
    assert (code, output, fake.loads) == (1, "", [])
    assert "pip install 'resonance-runtime[" in error


def test_a_mix_is_told_by_request(bench: Bench, fake: FakeMeasure, tmp_path: Path) -> None:
    fake.made = lambda _: measured(
        names=("read", "write"), outcomes=(Outcome.OK, Outcome.OK, Outcome.OK, Outcome.STATUS)
    )
    _, output, _ = bench(_scenario(tmp_path))
    assert "read                    1,000        0" in output
    assert "write                   1,000      500" in output
    assert "500 of the times are of calls that failed" in output
