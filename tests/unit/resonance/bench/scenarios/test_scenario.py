# SPDX-License-Identifier: MIT
from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from resonance.bench.errors import PlanError
from resonance.bench.plan import Load, Request, Stage
from resonance.bench.records import Rule
from resonance.bench.scenarios import Scenario, example_text, load_scenario
from resonance.bench.scenarios.scenario import _TABLES, _File

Read = Callable[[str], Scenario]

LEAST = 'target = "http://h:1/"\n[[stages]]\nduration = "3s"\nrate = 10\n'


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(text: str) -> Scenario:
        path = tmp_path / "load.toml"
        path.write_text(text, encoding="utf-8")
        return load_scenario(path)

    return read


def test_the_least_has_the_defaults_of_a_load(read: Read) -> None:
    scenario = read(LEAST)
    assert scenario == Scenario(Load(scenario.load.target, (Stage(3.0, 10.0),)))
    assert str(scenario.load.target) == "http://h:1/"


def test_the_example_is_a_scenario(read: Read) -> None:
    scenario = read(example_text())
    load = scenario.load
    assert load.stages == (Stage(30.0, 2_000.0), Stage(10.0, 2_000.0, 4_000.0))
    assert load.warm_up_seconds == 5.0
    assert [each.method for each in load.requests] == ["GET", "POST"]
    assert load.requests[1].body == b'{"name": "bolt"}'
    assert scenario.thresholds[0] == "p99<20ms"


def test_the_example_has_every_key_and_names_its_default(read: Read) -> None:
    text = example_text()
    for record in (_File, *_TABLES.values()):
        for key in record.__struct_fields__:
            assert re.search(rf"\b{key}\b", text), key
    table = tomllib.loads(text)
    shown = read(text)
    plain = read(LEAST)
    assert table["arrival"] == plain.load.arrival
    assert table["connections"] == plain.load.connections
    assert table["processes"] == plain.load.processes
    assert table["repetitions"] == plain.repetitions
    assert shown.load.timeout_seconds == plain.load.timeout_seconds
    assert table["seed"] == plain.load.seed
    assert table["frame_bytes"] == plain.load.frame_bytes
    assert shown.rule == plain.rule == Rule()


def test_every_kind_of_body_is_read(read: Read, tmp_path: Path) -> None:
    (tmp_path / "body.bin").write_bytes(b"\x00\xff")
    requests = read(
        LEAST
        + '[[requests]]\nbody = "ä"\n'
        + '[[requests]]\nbody_file = "body.bin"\nname = "file"\n'
        + '[[requests]]\nbody_base64 = "AAE="\nmethod = "PUT"\npath = "/x?y=1"\nweight = 2.5\n'
        + 'headers = { Accept = ["a", "b"], X-One = "c" }\n'
    ).load.requests
    assert requests == (
        Request(name="request 1", method="POST", body="ä".encode()),
        Request(name="file", method="POST", body=b"\x00\xff"),
        Request(
            name="request 3",
            weight=2.5,
            method="PUT",
            path="/x?y=1",
            headers=(("Accept", "a"), ("Accept", "b"), ("X-One", "c")),
            body=b"\x00\x01",
        ),
    )


def test_an_authority_is_looked_for_beside_the_scenario(read: Read, tmp_path: Path) -> None:
    target = read('insecure = true\nca = "ca.pem"\n' + LEAST.replace("http", "https")).load.target
    assert target.certificate_authorities == str(tmp_path / "ca.pem")
    assert not target.verify


STAGE = "[[stages]]\nduration = 3\nrate = 10\n"
TARGET = 'target = "http://h:1/"\n'


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ("target = ", "", "is not TOML: Invalid value"),
        (STAGE, "", "missing required field `target`"),
        (TARGET, "", "missing required field `stages`"),
        (TARGET + "stages = []", "stages", r"write \[\[stages\]\]"),
        (TARGET + "[stages]\nrate = 1", "stages", "two brackets"),
        (TARGET + "stages = 3", "stages", "expected `array`, got `int`"),
        (TARGET + "[[stages]]\nrate = 1", "stages[0]", "missing required field `duration`"),
        (TARGET + STAGE + "rats = 1", "stages[0].rats", "known here: duration, rate, to_rate"),
        ("conections = 3\n" + LEAST, "conections", "known here: target, .*connections"),
        (LEAST + "[rule]\nmin = 1", "rule.min", "known here: min_achieved_ratio"),
        (LEAST + "[rule]\nmin_achieved_ratio = 2", "rule.min_achieved_ratio", "0 to 1"),
        (LEAST + "[rule]\nmax_foreign_cores = -1", "rule.max_foreign_cores", "0 or more"),
        (LEAST + "[[requests]]\nbod = 1", "requests[0].bod", "known here: name, weight"),
        ('connections = "3"\n' + LEAST, "connections", "expected `int`, got `str`"),
        ("connections = 0\n" + LEAST, "connections", "1 to 4096, not 0"),
        ("processes = 65\n" + LEAST, "processes", "1 to 64, not 65"),
        ("repetitions = 0\n" + LEAST, "repetitions", "1 to 1000, not 0"),
        ("frame_bytes = 0\n" + LEAST, "frame_bytes", "must be 1"),
        ('arrival = "even"\n' + LEAST, "arrival", "invalid enum value 'even'"),
        ('warm_up = "3s"\n' + LEAST, "warm_up", "below 3.0 s"),
        ('timeout = "0s"\n' + LEAST, "timeout", "above 0"),
        ('timeout = "soon"\n' + LEAST, "timeout", "no duration"),
        (LEAST.replace("10", "0"), "stages[0].rate", "is zero"),
        (LEAST.replace("10", "-1"), "stages[0].rate", "must be 0 or more"),
        (LEAST.replace("10", "nan"), "stages[0].rate", "must be 0 or more"),
        (LEAST.replace("10", "1e12"), "stages", "at most 30000000: a shorter one"),
        (LEAST.replace("3s", "0s"), "stages[0].duration", "above 0"),
        (LEAST.replace("http://h:1/", "ftp://h"), "target", "is none of http://"),
        (LEAST + "[[requests]]\nweight = 0", "requests[0].weight", "above 0"),
        (LEAST + '[[requests]]\nmethod = "G T"', "requests[0].method", "such as GET"),
        (LEAST + '[[requests]]\npath = "x"', "requests[0].path", "begin with /"),
        (LEAST + '[[requests]]\nheaders = { "a b" = "c" }', "requests[0].headers", "no name"),
        (LEAST + '[[requests]]\nheaders = { a = "b\\nc" }', "requests[0].headers", "one line"),
        (LEAST + '[[requests]]\nname = "a\\u001b"', "requests[0].name", "cannot be printed"),
        (LEAST + '[[requests]]\nname = "a"\n' * 2, "requests[1].name", "already taken"),
        (LEAST + '[[requests]]\nbody = ""\nbody_file = "x"', "requests[0]", "say one of them"),
        (LEAST + '[[requests]]\nbody_file = "x"', "requests[0].body_file", "No such file"),
        (LEAST + '[[requests]]\nbody_base64 = "?"', "requests[0].body_base64", "not base64"),
        ('thresholds = ["p99<1s", "p98<1s"]\n' + LEAST, "thresholds[1]", "p98 is not measured"),
        ('thresholds = "p99<1s"\n' + LEAST, "thresholds", "expected `array`, got `str`"),
    ],
)
def test_what_is_wrong_is_told_with_its_path(
    read: Read, tmp_path: Path, text: str, key: str, reason: str
) -> None:
    with pytest.raises(PlanError, match=reason) as raised:
        read(text)
    where = str(tmp_path / "load.toml")
    assert raised.value.key == (f"{where}: {key}" if key else where)
    assert "\n" not in str(raised.value)


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path / "none.toml", "No such file"),
        (tmp_path, "Is a directory"),
        (Path("/dev/zero"), "is no scenario"),
    ):
        with pytest.raises(PlanError, match=reason) as raised:
            load_scenario(path)
        assert raised.value.key == str(path)


def test_a_file_that_is_no_text_says_where(tmp_path: Path) -> None:
    path = tmp_path / "load.toml"
    path.write_bytes(b"# \xff")
    with pytest.raises(PlanError, match="is not UTF-8 at byte 2"):
        load_scenario(path)


def test_a_body_that_never_ends_is_refused(read: Read) -> None:
    with pytest.raises(PlanError, match="more than 16 MiB"):
        read(LEAST + '[[requests]]\nbody_file = "/dev/zero"')
