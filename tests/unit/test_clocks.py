# SPDX-License-Identifier: MIT
"""Does setting the wall clock change anything we decide? It may only ever be shown.

A time namespace cannot shift CLOCK_REALTIME, and setting a test machine's own clock is no test;
so what reads it is looked at instead: a call of it must be the value of what is called
``unix_seconds``, and nothing is computed from that.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = (
    "bpf/resonance_bpf",
    "daemon/resonanced",
    "kernel-tuning/resonance_tuning",
    "sdk/resonance/hints",
    "sdk/resonance_core",
)
WALL: Final = {"time.time", "time.time_ns", "datetime.now", "datetime.datetime.now"}
SHOWN: Final = "unix_seconds"


def faults(source: str) -> Iterator[str]:
    """Give each place where the wall clock is more than shown."""
    tree = ast.parse(source)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if _is_wall(node) and not _is_named(node, parents):
            yield f"line {node.lineno}: {ast.unparse(node)} is not kept as {SHOWN}"
        if isinstance(node, ast.BinOp | ast.Compare):
            names = {_name(part) for part in ast.iter_child_nodes(node)}
            if any(name.endswith(SHOWN) for name in names):
                yield f"line {node.lineno}: {ast.unparse(node)} computes with the wall clock"


def _is_wall(node: ast.AST) -> bool:
    """Whether a node reads it: a call, or the function handed on."""
    if not isinstance(node, ast.Attribute) or ast.unparse(node) not in WALL:
        is_clock = isinstance(node, ast.Attribute) and node.attr == "CLOCK_REALTIME"
        return is_clock or (isinstance(node, ast.ImportFrom) and _takes_wall(node))
    return True


def _takes_wall(node: ast.ImportFrom) -> bool:
    return node.module == "time" and any(name.name in {"time", "time_ns"} for name in node.names)


def _is_named(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    """Whether the value goes nowhere but into a field of that name."""
    child, parent = node, parents.get(node)
    while isinstance(parent, ast.Call):  # the call itself, and a rounding of it
        child, parent = parent, parents.get(parent)
    if isinstance(parent, ast.keyword):
        return (parent.arg or "").endswith(SHOWN)
    if isinstance(parent, ast.Dict):
        key = parent.keys[parent.values.index(child)]  # type: ignore[arg-type]
        return isinstance(key, ast.Constant) and str(key.value).endswith(SHOWN)
    return False


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("package", PACKAGES)
def test_the_wall_clock_is_shown_and_never_computed_with(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    found = [f"{path}: {fault}" for path in files for fault in faults(path.read_text("utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import time\ndeadline = time.time() + 5",
        "import time\nstarted_unix_seconds = time.time",
        "age = now - snapshot.unix_seconds",
        "is_old = entry.at_unix_seconds < limit",
        "from time import time",
        "import time\ntime.clock_gettime(time.CLOCK_REALTIME)",
        "import datetime\ndatetime.datetime.now()",
    ],
)
def test_a_duration_by_the_wall_clock_is_found(source: str) -> None:
    assert list(faults(source))


def test_a_time_that_is_shown_is_no_fault() -> None:
    source = "import time\nf(unix_seconds=time.time())\nd = {'unix_seconds': round(time.time(), 3)}"
    assert list(faults(source)) == []
