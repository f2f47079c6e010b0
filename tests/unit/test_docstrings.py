# SPDX-License-Identifier: MIT
"""What the reference is made of: a docstring with sections names all that a caller passes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SDK = Path(__file__).parents[2] / "sdk"
ROOMS = (
    "resonance_core",
    "resonance/bench",
    "resonance/client",
    "resonance/deadlines.py",
    "resonance/embedded",
    "resonance/errors.py",
    "resonance/histogram",
    "resonance/integrations",
    "resonance/periodic",
    "resonance/policies",
    "resonance/server",
)
MODULES = sorted(
    path
    for room in ROOMS
    for path in ((SDK / room).rglob("*.py") if (SDK / room).is_dir() else [SDK / room])
)
SECTION = r"^{}\n-+\n(.*?)(?=^\w[\w ]*\n-+$|\Z)"
"""Its text, to the next title with a line below or to the end."""
ENTRY = re.compile(r"^([\w*][\w*, ]*?)(?: :.*)?$", re.MULTILINE)
"""A line that is not indented: names, and what they are after a colon."""
REFERENCE = re.compile(r"\bParameters\b[^.;]*?\bas `([\w.]+)`|^See `(\w+)`\.$", re.MULTILINE)
"""Described at another, or by the protocol whose method this is."""
RETURNED = re.compile(r"^(?:Returns|Yields)\n-+$", re.MULTILINE)
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Callable:
    """Something public that is called, and where its parameters may be described."""

    name: str
    node: Function
    documents: str


def _text(node: ast.Module | ast.ClassDef | Function) -> str:
    return ast.get_docstring(node) or ""


def _public(tree: ast.Module) -> set[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return {node.name for node in tree.body if isinstance(node, Function | ast.ClassDef)}


def _methods(owner: ast.ClassDef) -> Iterator[Callable]:
    for node in owner.body:
        if not isinstance(node, Function):
            continue
        if node.name == "__init__":
            yield Callable(owner.name, node, f"{_text(owner)}\n\n{_text(node)}")
        elif not node.name.startswith("_"):
            yield Callable(f"{owner.name}.{node.name}", node, _text(node))


def _callables(tree: ast.Module) -> Iterator[Callable]:
    public = {name for name in _public(tree) if not name.startswith("_")}
    for node in tree.body:
        if isinstance(node, Function) and node.name in public:
            yield Callable(node.name, node, _text(node))
        elif isinstance(node, ast.ClassDef) and node.name in public:
            yield from _methods(node)


def _parameters(node: Function) -> list[str]:
    passed = node.args
    named = [*passed.posonlyargs, *passed.args, *passed.kwonlyargs]
    packed = [each for each in (passed.vararg, passed.kwarg) if each]
    names = [each.arg for each in (*named, *packed)]
    return [name for name in names if name not in {"self", "cls"} and not name.startswith("_")]


DOCUMENTS = {
    each.name: each.documents
    for path in MODULES
    for each in _callables(ast.parse(path.read_text(encoding="utf-8")))
}


def _described(text: str) -> set[str]:
    found = re.search(SECTION.format("Parameters"), text, re.MULTILINE | re.DOTALL)
    if not found:
        return set()
    lines = (entry.group(1) for entry in ENTRY.finditer(found.group(1)))
    return {name.strip(" *") for line in lines for name in line.split(",")}


def _known(each: Callable) -> set[str]:
    known = _described(each.documents)
    method = each.name.rpartition(".")[2]
    for same, protocol in REFERENCE.findall(each.documents):
        name = f"{protocol}.{method}" if protocol else same.removeprefix("resonance.")
        known |= _described(DOCUMENTS[name])
    return known


def _needs_sections(each: Callable) -> bool:
    parameters = _parameters(each.node)
    return bool(parameters) and ("\n" in each.documents.strip() or len(parameters) > 2)


def _undescribed(source: str) -> list[str]:
    return [
        f"{each.name}: {name}"
        for each in _callables(ast.parse(source))
        if _needs_sections(each)
        for name in _parameters(each.node)
        if name not in _known(each)
    ]


def _gives_something(node: Function) -> bool:
    is_given = node.returns is not None and ast.unparse(node.returns) not in {"None", "bool"}
    return is_given and node.name != "__init__"


def _without_returns(source: str) -> list[str]:
    return [
        each.name
        for each in _callables(ast.parse(source))
        if _needs_sections(each)
        and _gives_something(each.node)
        and not RETURNED.search(each.documents)
        and not REFERENCE.search(each.documents)
    ]


def _raised(node: Function) -> set[str]:
    return {
        name
        for each in ast.walk(node)
        if isinstance(each, ast.Raise) and isinstance(each.exc, ast.Call)
        if (name := ast.unparse(each.exc.func)).endswith("Error")
    }


def _hidden_errors(source: str) -> list[str]:
    return [
        f"{each.name}: {name}"
        for each in _callables(ast.parse(source))
        for name in sorted(_raised(each.node))
        if name not in each.documents and not re.search(r"\b[Ee]rrors\b", each.documents)
    ]


def _name(path: Path) -> str:
    return str(path.relative_to(SDK))


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_every_parameter_that_a_caller_passes_is_described(path: Path) -> None:
    assert _undescribed(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_what_comes_back_has_its_section(path: Path) -> None:
    assert _without_returns(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_an_error_that_is_raised_is_told(path: Path) -> None:
    assert _hidden_errors(path.read_text(encoding="utf-8")) == []


POOR = '''
__all__ = ["f"]

def f(a: int, b: int) -> int:
    """Return it.

    Parameters
    ----------
    a : int
    """
    raise ValueError(a)
'''


def test_a_docstring_that_leaves_out_something_is_found() -> None:
    assert _undescribed(POOR) == ["f: b"]
    assert _without_returns(POOR) == ["f"]
    assert _hidden_errors(POOR) == ["f: ValueError"]
