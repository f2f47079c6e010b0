# SPDX-License-Identifier: MIT
"""Do the documents show what the verbs say and take?"""

from __future__ import annotations

import re
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
    (session,) = re.findall(r"^```console\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
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


def _bare(text: str) -> list[str]:
    """Leave out what differs from run to run: flags, times, processes, how a line was broken."""
    text = re.sub(r"\s+--config\s+\S+", "", text)
    text = re.sub(r"written .* by process \d+", "written", text)
    return [" ".join(line.split()) for line in text.splitlines()]
