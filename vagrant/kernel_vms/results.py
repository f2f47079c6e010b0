# SPDX-License-Identifier: MIT
"""What did the tests of a machine say, by group, and what was left out?

A group is a file of tests. Read from pytest's JUnit files, so that a run that broke off says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from kernel_vms.matrix import CHECKOUT, read_matrix

LEFT_OUT = "left-out.json"
EMULATED = "takes too long emulated"
NO_TESTS = 5
"""With which pytest ends when a choice left no test."""


@dataclass(slots=True)
class Group:
    """What came of one file of tests."""

    name: str
    passed: int = 0
    failed: list[str] = field(default_factory=list[str])
    skipped: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Results:
    """What came of all tests of one machine."""

    groups: list[Group]
    left_out: dict[str, str]
    broken_off: list[str]

    @property
    def are_good(self) -> bool:
        """Did something run, and nothing fail?"""
        ran = any(group.passed for group in self.groups)
        return ran and not self.broken_off and not any(group.failed for group in self.groups)


def _group_of(case: ET.Element) -> str:
    """Name a group as its file lies in the tests, without what is the same for all."""
    words = (case.get("classname") or case.get("name") or "?").split(".")
    files = [word for word in words if word.startswith("test_")][:1]
    folders = [word for word in words if word.islower() and not word.startswith("test")]
    return "/".join([*folders[:2], *(name.removeprefix("test_") for name in files)])


def read_groups(files: Iterable[Path]) -> list[Group]:
    """Sum up pytest's JUnit files."""
    groups: dict[str, Group] = {}
    for path in files:
        for case in ET.parse(path).iter("testcase"):  # noqa: S314 - our own pytest's
            name = _group_of(case)
            if not name:
                continue  # pytest's own note that it was interrupted; its status says so too
            group = groups.setdefault(name, Group(name))
            group.seconds += float(case.get("time") or 0)
            if case.find("failure") is not None or case.find("error") is not None:
                if (test := case.get("name") or "?") not in group.failed:
                    group.failed.append(test)
            elif case.find("skipped") is not None:
                group.skipped += 1
            else:
                group.passed += 1
    return [groups[name] for name in sorted(groups)]


def _broken_off(directory: Path) -> Iterable[str]:
    """Name the runs of pytest that ended otherwise than by all tests having ended."""
    for path in sorted(directory.glob("status-*")):
        status, name = int(path.read_text(encoding="ascii")), path.name.removeprefix("status-")
        if status not in {0, 1, NO_TESTS} or not (directory / f"junit-{name}.xml").exists():
            yield f"{name} ended with {status}"


def read_results(directory: Path) -> Results:
    """Read what a machine left in its directory of results."""
    left_out = directory / LEFT_OUT
    said: dict[str, str] = json.loads(left_out.read_text("utf-8")) if left_out.exists() else {}
    files = sorted(directory.glob("junit-*.xml"))
    return Results(read_groups(files), said, list(_broken_off(directory)))


def write_results(directory: str) -> None:
    """Write ``results.json`` of what lies beside it."""
    place = Path(directory)
    text = json.dumps(asdict(read_results(place)), indent=2) + "\n"
    (place / "results.json").write_text(text, encoding="utf-8")


def _group_of_file(name: str) -> str:
    """Name the group of a file of tests, or of one of its tests, by its path."""
    file, _, test = name.partition("::")
    group = file.removesuffix(".py").replace("test_", "")
    return group + (f": {test}" if test else "")


def write_left_out(directory: str, choice: str, checkout: Path = CHECKOUT) -> None:
    """Write which files of the privileged suite a choice leaves out, and why.

    Parameters
    ----------
    directory
        Of the results; ``virtualisation`` in it is what the machine is run by.
    choice
        Empty, ``vm``, ``all``, or what an operator asked for instead.
    checkout
        Where the tests lie.
    """
    place, suite = Path(directory), checkout / "tests" / "privileged"
    emulated = (place / "virtualisation").read_text(encoding="ascii").strip() == "qemu"
    matrix = read_matrix(checkout / "vagrant" / "kernels.toml")
    left = {_group_of_file(name): why for name, why in matrix.elsewhere.items()}
    if choice not in {"", "vm", "all"}:
        left = dict.fromkeys(("privileged", "vm: what the choice leaves out"), f"VM_TESTS={choice}")
    elif emulated and choice != "all":
        runs = matrix.emulated if choice else matrix.emulated_few
        names = sorted(str(path.relative_to(suite.parent)) for path in suite.rglob("test_*.py"))
        slow = (_group_of_file(name) for name in names if name not in runs)
        left = dict.fromkeys(slow, EMULATED) | left
        if not choice:
            left["vm: what kernels.toml does not name"] = EMULATED
    (place / LEFT_OUT).write_text(json.dumps(left, indent=2) + "\n", encoding="utf-8")


def _cell(results: Results | None, group: str) -> str:
    if results is None:
        return "did not run"
    if group in results.left_out:
        return "left out"
    found = next((entry for entry in results.groups if entry.name == group), None)
    if found is None:
        return ""
    if found.failed:
        return f"**{len(found.failed)} failed**, {found.passed} passed"
    return f"{found.passed} passed" + (f", {found.skipped} skipped" if found.skipped else "")


def table(runs: dict[str, dict[str, Any]], results: dict[str, Results | None]) -> str:
    """Write a table of Markdown, a row for each group, a column for each kernel.

    Parameters
    ----------
    runs
        By kernel, what the run says of itself: release, suite, accelerator, seconds.
    results
        By kernel; nothing where the machine did not get to its tests.
    """
    kernels = list(results)
    ran = {group.name for each in results.values() if each for group in each.groups}
    reasons = {
        name: reason
        for each in results.values()
        if each
        for name, reason in each.left_out.items()
        if name not in ran
    }
    rows = [["", *kernels]]
    about = (
        ("kernel", "release"),
        ("userland", "suite"),
        ("run by", "accelerator"),
        ("s", "seconds"),
    )
    rows += [[word, *(str(runs[k].get(key, "")) for k in kernels)] for word, key in about]
    rows += [[name, *(_cell(results[k], name) for k in kernels)] for name in sorted(ran)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|---" * (len(kernels) + 1) + "|")
    broken = [
        f"- {kernel}: {reason}"
        for kernel, each in results.items()
        if each
        for reason in each.broken_off
    ]
    for why in sorted(set(reasons.values())):
        names = ", ".join(name for name in sorted(reasons) if reasons[name] == why)
        broken.append(f"- left out ({why}): {names}")
    return "\n".join(lines + (["", *broken] if broken else [])) + "\n"
