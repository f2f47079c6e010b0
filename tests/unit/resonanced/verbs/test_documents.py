# SPDX-License-Identifier: MIT
"""Do the documents show what the verbs say and take?"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.cgroup_tree import CgroupTree
from resonance_tuning.planning import profiles

Command = Callable[..., tuple[int, str, str]]


def test_the_session_in_readme_is_what_the_verbs_say(
    command: Command, tree: CgroupTree, pytestconfig: pytest.Config
) -> None:
    tree.set("/hogs", "cpu.shares", "1024")
    readme = (pytestconfig.rootpath / "README.md").read_text(encoding="utf-8")
    sessions = re.findall(r"^```console\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    (session,) = [each for each in sessions if each.startswith("# resonanced plan")]
    prompts = re.split(r"^# resonanced (.*)\n", session, flags=re.MULTILINE)[1:]
    asked = list(zip(prompts[::2], prompts[1::2], strict=True))
    assert [verb.split()[0] for verb, _ in asked] == ["plan", "apply", "explain", "rollback"]
    hierarchy = str(tree.hierarchy("cpu"))
    for verb, said in asked:
        out = command(*verb.split())[1]
        told = out.replace(" \\\n", " ").replace(hierarchy, "/sys/fs/cgroup/cpu")
        assert _bare(told) == _bare(said)


def test_the_profile_in_the_guide_is_one(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    guide = (pytestconfig.rootpath / "docs" / "tuning.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```toml\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    (tmp_path / "ours.toml").write_text(text, encoding="utf-8")
    profile = profiles.load("ours", profiles.directories(str(tmp_path)))
    assert profile.settings["latency_critical"]["cpu_weight"] == 2000


def _shell(pytestconfig: pytest.Config, opening: str) -> str:
    """Return the guide's shell block that begins so."""
    guide = (pytestconfig.rootpath / "docs" / "tuning.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if block.startswith(opening)]
    return block


def _run(script: str) -> str:
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_what_the_guide_reads_from_the_journal_goes_back_by_pasting(
    command: Command, tree: CgroupTree, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    name = "web $(touch pwned) it's"
    tree.make_group(f"/{name}")
    surfaces = [("/web", "cpu.shares"), ("/hogs", "cpu.idle"), ("/hogs", "cpu.shares")]
    before = [tree.get(path, file) for path, file in surfaces]
    command("apply", "balanced", "--latency-critical", "/web*", "--batch", "/hogs")
    (journal,) = (tmp_path / "journal").glob("*.wal")
    script = _shell(pytestconfig, "python3 -I - ")
    script = re.sub(r'"/run/resonance-tuning/.*\.wal"', shlex.quote(str(journal)), script)
    commands = _run(script)
    assert commands.count("cpu.shares") == 3
    # The kernel's coupling of idle to shares is not in plain files: only the values are compared.
    _run(commands)
    assert [tree.get(path, file) for path, file in surfaces] == before
    assert tree.get(f"/{name}", "cpu.shares") == "1024"
    command("rollback")
    assert _run(script) == ""


def test_a_rollback_with_any_python_works_by_pasting(
    tmp_path: Path, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = _shell(pytestconfig, "python3 -I -c ")
    package = pytestconfig.rootpath / "kernel-tuning"
    script = script.replace("/usr/lib/resonanced", str(package))
    script = script.replace("python3", shlex.quote(sys.executable), 1)
    monkeypatch.chdir(tmp_path)
    assert "usage: python3" in _run(f"{script.rstrip()} --help")


def _bare(text: str) -> list[str]:
    """Leave out what differs from run to run: flags, times, processes, how a line was broken."""
    text = re.sub(r"\s+--config\s+\S+", "", text)
    text = re.sub(r"written .* by process \d+", "written", text)
    return [" ".join(line.split()) for line in text.splitlines()]
