# SPDX-License-Identifier: MIT
"""The operator's guide: what it says of the unit, the commands and the keys is so."""

from __future__ import annotations

import argparse
import re
import shlex
from configparser import ConfigParser, SectionProxy
from pathlib import Path

import msgspec
import pytest

from resonance import cli as resonance_cli
from resonance_tuning.knobs import KNOBS
from resonanced import cli as resonanced_cli
from resonanced import config

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SYSTEMD = ROOT / "systemd"
PARSERS = {"resonance": resonance_cli._parser(), "resonanced": resonanced_cli._parser()}
BLOCK = re.compile(r"^```(?:sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?:[#$] )?(?:cd / && )?(resonanced? .+)$", re.MULTILINE)
SOURCES = "".join(
    path.read_text(encoding="utf-8")
    for room in ("bpf", "daemon", "kernel-tuning", "sdk")
    for path in sorted((ROOT / room).rglob("*.py"))
)
OUR_WORDS = [
    "are as they were written",
    "another library of that name is installed",
    "event=reloaded needs_restart=",
    "holds what is not ours",
    "in use by resonanced, pid",
    "is held by pid",
    "it would be shadow:",
    "join the group that owns it (resonance)",
    "left: somebody else changed it",
    "mounting one failed",
    "no kernel type information",
    "no slot of its own (other)",
    "no such user",
    "nothing to put back, nothing to remove",
    "only its owner and root may ask here",
    "only root may load probes; run it with sudo",
    "reload_refused reason=",
    "run: resonanced check, or use --backend auto",
    "see: resonanced plan; or set tuning.mode to observe",
    "the root group holds everybody",
    "there is no user resonance here",
    "this kernel has no BTF",
]
"""What a reader finds in a terminal or the log, and looks for in the guide."""
KNOB_NAMES = {knob.name for knob in KNOBS}


def _section(heading: str) -> str:
    found = re.search(
        rf"^##+ {re.escape(heading)}\n(.*?)(?=^##|\Z)", GUIDE, re.MULTILINE | re.DOTALL
    )
    assert found, heading
    return found[1]


def _rows(text: str) -> list[list[str]]:
    """Return the cells of the tables in a text, without headings and rules."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rules = {number for number, line in enumerate(lines) if set(line) <= set("|- ")}
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for number, line in enumerate(lines)
        if number not in rules and number + 1 not in rules
    ]


def _service() -> SectionProxy:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(SYSTEMD / "resonanced.service", encoding="utf-8")
    return parser["Service"]


def _capabilities() -> dict[str, list[str]]:
    rows = _rows(_section("Capabilities, and why"))
    return {row[0].strip("`"): row for row in rows if row[0].startswith("`CAP_")}


def test_each_capability_of_the_unit_has_its_row_and_no_other_has() -> None:
    assert set(_capabilities()) == set(_service()["CapabilityBoundingSet"].split())


@pytest.mark.parametrize("capability", _capabilities())
def test_a_capability_is_said_to_be_for_the_knobs_that_name_it(capability: str) -> None:
    row = " ".join(_capabilities()[capability])
    told = set(re.findall(r"`(\w+)`", row)) & KNOB_NAMES
    if "the same three knobs" in row:
        told |= set(re.findall(r"`(\w+)`", " ".join(_capabilities()["CAP_BPF"]))) & KNOB_NAMES
    assert told == {knob.name for knob in KNOBS if capability in knob.capabilities}


def test_what_is_made_on_a_host_is_named() -> None:
    service = _service()
    lines = (SYSTEMD / "resonance.tmpfiles.conf").read_text(encoding="utf-8").splitlines()
    made = [line.split()[1] for line in lines if line and line[0] != "#"]
    lines = (SYSTEMD / "resonance.sysusers.conf").read_text(encoding="utf-8").splitlines()
    users = [line.split()[1] for line in lines if line and line[0] != "#"]
    made += [f"user and group `{name}`" for name in users]
    made += [f"/run/{service['RuntimeDirectory']}", f"/etc/{service['ConfigurationDirectory']}"]
    made += [path.lstrip("-") for path in service["ReadWritePaths"].split()]
    made.append(service["DeviceAllow"].split()[0])
    told = _section("What it may touch, and how to see it")
    assert [each for each in made if each not in told] == []


def test_numbers_of_the_unit_are_told_as_they_are() -> None:
    service = _service()
    assert f"WatchdogSec={service['WatchdogSec']}" in _section("The watchdog")
    told = _section("Capabilities, and why")
    assert f"{service['MemoryMax'].rstrip('M')} MB of memory, {service['TasksMax']} tasks" in told


def test_the_drop_in_moves_every_command_of_the_unit() -> None:
    drop_in = _section("pip, in a virtual environment")
    moved = {
        f"{key}={value.replace('/usr/bin/', '/opt/resonance/bin/')}"
        for key, value in _service().items()
        if value.startswith("/usr/bin/resonanced")
    }
    assert len(moved) == 2
    assert moved <= set(drop_in.splitlines())


def _commands() -> list[str]:
    shown = [line for block in BLOCK.findall(GUIDE) for line in COMMAND.findall(block)]
    inline = re.findall(r"`(resonanced? [^`]+)`", GUIDE)
    # A word in capitals stands for what the reader writes there.
    shown += [line for line in inline if not any(word.isupper() for word in line.split())]
    return sorted(set(shown))


@pytest.mark.parametrize("command", _commands())
def test_each_command_shown_is_one_that_the_program_takes(command: str) -> None:
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if set(word) <= set("|&;<>"):
            break
        words.append(word)
    parsed = PARSERS[words[0]].parse_args(words[1:])
    assert isinstance(parsed, argparse.Namespace)


def test_the_guide_shows_commands_at_all() -> None:
    verbs = {command.split()[1] for command in _commands() if command.startswith("resonanced")}
    assert {"check", "plan", "verify", "explain", "journal", "rollback"} <= verbs


def test_the_keys_said_to_be_reloaded_are_those_that_are() -> None:
    told = {row[0].strip("`") for row in _rows(_section("Configuration and reload"))}
    assert told == config._RELOADED


def test_each_key_named_exists() -> None:
    known = dict(config._flat(msgspec.to_builtins(config.Settings())))
    named = re.findall(r"`\[([a-z_.]+)\] ([a-z_]+)", GUIDE)
    assert len(named) > 10
    assert [f"{table}.{key}" for table, key in named if f"{table}.{key}" not in known] == []


@pytest.mark.parametrize("words", OUR_WORDS)
def test_what_the_guide_quotes_is_what_is_said(words: str) -> None:
    assert words in GUIDE
    said = re.sub(r'"\s+f?"', "", SOURCES)  # a sentence may be cut at the end of a line
    parts = words.removeprefix("event=").split("; ")  # a reason and its hint are joined when shown
    assert [part for part in parts if part not in said] == []


def test_each_alert_has_its_row() -> None:
    rules = (ROOT / "docs" / "alerts" / "resonance.rules.yml").read_text(encoding="utf-8")
    told = [name for row in _rows(_section("An alert fires")) for name in row[0].split(", ")]
    assert sorted(name.strip("`") for name in told) == sorted(re.findall(r"alert: (\w+)", rules))


def test_an_alert_leads_to_a_heading_that_is_there() -> None:
    headings = set(re.findall(r"^##+ (.+)$", GUIDE, re.MULTILINE))
    rows = _rows(_section("An alert fires"))
    led = {place for row in rows for place in re.findall(r'"([^"]+)"', row[1])}
    assert led
    assert led - headings == set()


def test_each_metric_named_is_in_the_list_of_metrics() -> None:
    listed = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(resonance_[a-z_]+)`", GUIDE)) - {"resonance_tuning"}
    assert len(named) > 8
    assert [name for name in sorted(named) if f"`{name}`" not in listed] == []
