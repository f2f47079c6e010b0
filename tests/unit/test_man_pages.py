# SPDX-License-Identifier: MIT
"""The manual pages: as the parsers make them, and without a fault that groff would find."""

from __future__ import annotations

import argparse
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from resonance import cli as resonance_cli
from resonanced import cli as resonanced_cli

ROOT = Path(__file__).parents[2]
MAKE = ROOT / "systemd" / "make-man"
PAGES = {"resonance.1": resonance_cli._parser(), "resonanced.8": resonanced_cli._parser()}


def _made(into: Path, **environment: str) -> dict[str, str]:
    command = [sys.executable, str(MAKE), "--into", str(into)]
    subprocess.run(command, check=True, env=os.environ | environment)
    return {path.name: path.read_text(encoding="utf-8") for path in into.iterdir()}


def test_the_pages_are_those_of_the_parsers(tmp_path: Path) -> None:
    committed = {name: (MAKE.parent / "man" / name).read_text(encoding="utf-8") for name in PAGES}
    assert _made(tmp_path) == committed, "stale: run make man"


def test_a_page_is_the_same_wherever_it_is_made(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    elsewhere = _made(
        tmp_path / "there",
        COLUMNS="40",
        LC_ALL="C",
        NO_COLOR="1",
        RESONANCE_HINTS_SOCKET="/elsewhere.sock",
        SOURCE_DATE_EPOCH="0",
        TZ="Asia/Tokyo",
    )
    assert elsewhere == _made(tmp_path / "here")


def test_a_stale_page_is_told(tmp_path: Path) -> None:
    made = _made(tmp_path)
    check = [sys.executable, str(MAKE), "--into", str(tmp_path), "--check"]
    assert subprocess.run(check, check=False, capture_output=True).returncode == 0
    (tmp_path / "resonance.1").write_text(made["resonance.1"] + "\n", encoding="utf-8")
    done = subprocess.run(check, check=False, capture_output=True, text=True)
    assert (done.returncode, "resonance.1: stale" in done.stderr) == (1, True)


@pytest.mark.parametrize("name", PAGES)
def test_groff_finds_no_fault(name: str) -> None:
    assert shutil.which("groff"), "not installed: apt-get install groff-base"
    command = ["groff", "-man", "-Tutf8", "-Kutf8", "-ww", "-z", str(MAKE.parent / "man" / name)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stderr == ""


@pytest.mark.parametrize(("name", "parser"), PAGES.items(), ids=PAGES)
def test_a_reader_finds_every_verb_option_and_line_of_help(
    name: str, parser: argparse.ArgumentParser
) -> None:
    shown = _shown(name)
    missing = [word for word in _told(parser) if " ".join(word.split()) not in shown]
    assert missing == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_its_readers_look_for(name: str) -> None:
    text = (MAKE.parent / "man" / name).read_text(encoding="utf-8")
    headings = re.findall(r"^\.SH (.+)$", text, re.MULTILINE)
    wanted = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "VERBS", "ENVIRONMENT", "FILES"]
    assert [each for each in headings if each in wanted] == wanted
    assert "EXIT STATUS" in headings
    assert headings[-1] == "SEE ALSO"


def test_a_line_that_begins_like_a_request_is_text() -> None:
    make: dict[str, Any] = runpy.run_path(str(MAKE))
    assert make["_line"](".so /etc/passwd") == r"\&.so /etc/passwd"
    assert make["_prose"]("'tis --safe, and `so -is` this") == (
        r"\&'tis \-\-safe, and \fBso \-is\fR this"
    )


def test_only_a_dated_release_has_a_date() -> None:
    make: dict[str, Any] = runpy.run_path(str(MAKE))
    version, date = make["_release"]()
    heading = re.search(
        rf"^## {re.escape(version)} \((.+)\)$",
        (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert heading
    assert date in {heading[1], "not released"}


def _shown(name: str) -> str:
    """Return a page as one reads it, as one line."""
    command = ["groff", "-man", "-Tutf8", "-Kutf8", "-P-cbou", "-rLL=20i"]
    page = str(MAKE.parent / "man" / name)
    done = subprocess.run([*command, page], check=True, capture_output=True, text=True)
    return " ".join(done.stdout.split())


def _told(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield what `--help` tells of a command and of all its verbs."""
    yield from (
        parser.prog,
        *(line for line in (parser.epilog or "").splitlines() if line[:1] == " "),
    )
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield from _told(verb)
        elif not isinstance(action, argparse._HelpAction):
            yield from action.option_strings
            text = (action.help or "") % {"default": action.default}
            yield text.replace("`", "")
