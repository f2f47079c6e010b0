# SPDX-License-Identifier: MIT
"""The command as a process of its own, against servers on loopback.

Whether a measurement is believed depends on what else runs here, so either exit code may come.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes.bench_servers import Server, answering, closed_port, hanging
from resonance.bench.records import Run, read_result
from resonance.cli.bench.run_rounds import stopped_by_interrupt
from resonance.histogram import read_log

PATIENCE_SECONDS = 60.0
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FAILURE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # who started the tests may ignore it
from resonance.cli import main
sys.argv[0] = "resonance"
sys.exit(main())
"""
MEASURED = {0, 3}


def _command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-c", PROGRAM, "bench", "run", *map(str, arguments)]


def _run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(*arguments),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@contextmanager
def _url(answer: bytes = ANSWER) -> Iterator[str]:
    with Server(answering(answer)) as server:
        yield f"http://127.0.0.1:{server.port}/"


def _only_run(path: Path) -> Run:
    run = read_result(path)
    assert isinstance(run, Run)
    return run


def test_every_call_is_accounted_for_in_report_result_and_log(tmp_path: Path) -> None:
    output, log = tmp_path / "run.json", tmp_path / "run.hlog"
    with _url() as url:
        done = _run(
            url, "--rate", "100", "--duration", "2", "--json", "--output", output, "--log", log
        )
    assert done.returncode in MEASURED, done.stderr
    (repetition,) = json.loads(done.stdout)["arms"][0]["repetitions"]
    (slot,) = _only_run(output).slots
    assert slot.planned == repetition["planned"] > 100
    assert slot.answered + sum(slot.failed.values()) == slot.planned
    logged = sum(each.histogram.count for each in read_log(log.read_text().splitlines()))
    assert logged == slot.histogram("response").count == slot.answered


def test_arms_are_written_apart_and_met_the_same_calls(tmp_path: Path) -> None:
    with _url() as url, _url(FAILURE) as failing:
        done = _run(
            url, "--rate", "50", "--duration", "1", "--repetitions", "2", "--placebo",
            "--versus", f"failing={failing}", "--output", tmp_path, "--json",
        )  # fmt: skip
    assert done.returncode in MEASURED, done.stderr
    runs = {path.stem: _only_run(path) for path in tmp_path.iterdir()}
    assert set(runs) == {"baseline", "placebo", "failing"}
    for number in (0, 1):
        planned = {run.slots[number].planned for run in runs.values()}
        assert len(planned) == 1
    for slot in runs["failing"].slots:
        assert slot.failed == {"status": slot.planned}


def test_a_scenario_with_a_mix_is_sent(tmp_path: Path) -> None:
    scenario = tmp_path / "load.toml"
    with _url() as url:
        scenario.write_text(
            f'target = "{url}"\nthresholds = ["failed<=0%"]\n'
            '[[stages]]\nduration = "500ms"\nrate = 50\nto_rate = 150\n'
            "[[stages]]\nduration = 1\nrate = 150\n"
            '[[requests]]\nname = "a"\nweight = 3\n[[requests]]\nname = "b"\npath = "/b"\n'
        )
        done = _run(scenario, "--json", "--processes", "2")
    assert done.returncode in MEASURED, done.stderr
    (repetition,) = json.loads(done.stdout)["arms"][0]["repetitions"]
    parts = repetition["requests"]
    assert parts["a"]["planned"] > parts["b"]["planned"] > 0
    assert sum(part["planned"] for part in parts.values()) == repetition["planned"]


@pytest.mark.parametrize("target", ["refused", "unresolvable", "no TLS", "no socket"])
def test_a_target_that_cannot_be_reached_is_one_line_and_1(target: str, tmp_path: Path) -> None:
    with _url() as url, closed_port() as port:
        places = {
            "refused": f"http://127.0.0.1:{port}/",
            "unresolvable": "http://nowhere.invalid:1/",
            "no TLS": url.replace("http://", "https://"),
            "no socket": f"http+unix:{tmp_path}/none.sock:/",
        }
        done = _run(places[target], "--rate", "10", "--duration", "1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"resonance: {places[target]}: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("server", ["answering", "hanging"])
def test_ctrl_c_reports_and_writes_what_there_is(server: str, tmp_path: Path) -> None:
    output, log = tmp_path / "run.json", tmp_path / "run.hlog"
    with Server(answering(ANSWER) if server == "answering" else hanging) as place:
        process = subprocess.Popen(
            _command(
                f"http://127.0.0.1:{place.port}/", "--rate", "50", "--duration", "10m",
                "--repetitions", "3", "--output", output, "--log", log,
            ),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            assert process.stderr is not None
            assert process.stderr.readline().startswith("1/3: 1/600 s, ")
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            text, error = process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 130, error
    assert "Traceback" not in error
    assert "interrupted what is above" in text
    (slot,) = _only_run(output).slots
    assert "interrupted after" in slot.doubts[-1]
    assert 0 < slot.planned < 30_000
    assert slot.answered + sum(slot.failed.values()) == slot.planned
    assert list(read_log(log.read_text().splitlines()))


def test_the_first_ctrl_c_asks_and_the_second_one_ends() -> None:
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with stopped_by_interrupt() as interrupt:
            assert not interrupt()
            signal.raise_signal(signal.SIGINT)
            assert interrupt()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stopped_by_interrupt() as interrupt:
            signal.raise_signal(signal.SIGINT)
            assert not interrupt()
    finally:
        signal.signal(signal.SIGINT, before)


def test_files_are_written_though_the_reader_of_the_text_has_gone(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with _url() as url:
            done = subprocess.run(
                _command(url, "--rate", "50", "--duration", "1", "--output", tmp_path / "a.json"),
                stdout=writer, stderr=subprocess.PIPE, timeout=PATIENCE_SECONDS, check=False,
            )  # fmt: skip
    finally:
        os.close(writer)
    assert done.returncode == 141
    assert b"Traceback" not in done.stderr
    assert _only_run(tmp_path / "a.json").slots


def test_a_closed_output_is_no_error(tmp_path: Path) -> None:
    with _url() as url:
        done = subprocess.run(
            ["sh", "-c", '"$@" >&-', "sh",
             *_command(url, "--rate", "50", "--duration", "1", "--output", tmp_path / "a.json")],
            stderr=subprocess.PIPE, timeout=PATIENCE_SECONDS, check=False,
        )  # fmt: skip
    assert done.returncode in MEASURED
    assert b"Traceback" not in done.stderr
    assert _only_run(tmp_path / "a.json").slots


def test_a_result_that_does_not_fit_is_one_line_and_nothing_is_left(tmp_path: Path) -> None:
    program = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))" + PROGRAM
    with _url() as url:
        command = _command(url, "--rate", "50", "--duration", "1", "--output", tmp_path / "a.json")
        command[2] = program
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )
    assert done.returncode in {1, 3}
    assert done.stderr.splitlines()[-1] == (
        f"resonance: {tmp_path / 'a.json'}: not written: File too large"
    )
    assert "lateness" in done.stdout
    assert list(tmp_path.iterdir()) == []
