# SPDX-License-Identifier: MIT
"""The repository itself: what every file carries, and what the documents promise."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from resonance import cli as resonance_cli
from resonanced import cli as resonanced_cli

ROOT = Path(__file__).parents[2]
SOURCE_ROOTS = ("bpf", "daemon", "kernel-tuning", "sdk")
GENERATED = re.compile(r"_pb2(_grpc)?\.pyi?$")
WITHOUT_COMMENTS = {".json", ".md", ""}
NOT_OURS = {"__pycache__", "build", "dist", "objects"}
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHELL = re.compile(r"^(?:# |\$ |sudo |\.venv/bin/)?(resonanced?) ([a-z]+)\b", re.MULTILINE)
"""A command at the beginning of a line, as in a console or a block of shell."""
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def _files() -> Iterator[Path]:
    for directory, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in NOT_OURS and name[0] != "."]
        yield from (Path(directory, name) for name in names)
    yield from (ROOT / ".ci").iterdir()


FILES = sorted(_files())
DOCUMENTS = [path for path in FILES if path.suffix == ".md"]
MODULES = [
    path
    for path in FILES
    if path.suffix == ".py"
    and path.relative_to(ROOT).parts[0] in SOURCE_ROOTS
    and not GENERATED.search(path.name)
]


BENCHES = {f"bench-{path.stem.partition('_')[2]}" for path in ROOT.glob("tests/bench/bench_*.py")}


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _carries_a_licence_line(path: Path) -> bool:
    is_exact_output = "golden" in path.relative_to(ROOT).parts
    return path.name == "Makefile" or not (path.suffix in WITHOUT_COMMENTS or is_exact_output)


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_every_file_that_can_has_its_licence_in_its_first_lines(path: Path) -> None:
    if not _carries_a_licence_line(path) or path.name == "py.typed" or GENERATED.search(path.name):
        return
    head = path.read_text(encoding="utf-8").splitlines()[:2]
    assert any("SPDX-License-Identifier: " in line for line in head), head


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_every_module_says_what_it_answers(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_no_file_knows_the_machine_it_was_written_on(path: Path) -> None:
    places = ("/wo" + "rk/", "/ho" + "me/", "/ro" + "ot/", "/us" + "r/src/")
    text = path.read_text(encoding="utf-8")
    assert [place for place in places if place in text] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_links_in_documents_resolve(path: Path) -> None:
    targets = [link.partition("#")[0] for link in LINK.findall(path.read_text(encoding="utf-8"))]
    local = [target for target in targets if target and "://" not in target]
    assert [target for target in local if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_files_and_verbs_named_in_documents_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    roots = "|".join((*SOURCE_ROOTS, "docs", "systemd", "tests"))
    named = re.findall(rf"`((?:{roots})/[\w./-]+)`", text)
    assert [name for name in named if not (ROOT / name).exists()] == []
    verbs = set(re.findall(r"`make ([a-z][a-z-]*)[ `]", text))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    known = {*re.findall(r"^([a-z-]+):", makefile, re.MULTILINE), *BENCHES}
    assert verbs - known == set()


def test_every_page_is_reached_from_the_readme() -> None:
    seen, ahead = set[Path](), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        seen.add(page)
        links = (link.partition("#")[0] for link in LINK.findall(page.read_text(encoding="utf-8")))
        targets = {(page.parent / link).resolve() for link in links if link and "://" not in link}
        ahead += [each for each in targets - seen if each.suffix == ".md"]
    assert set((ROOT / "docs").glob("*.md")) - seen == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_commands_shown_in_documents_exist(path: Path) -> None:
    doors = {"resonance": resonance_cli.main, "resonanced": resonanced_cli.main}
    for program, verb in sorted(set(SHELL.findall(path.read_text(encoding="utf-8")))):
        with pytest.raises(SystemExit, match="0"):
            doors[program]([verb, "--help"])


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_python_shown_in_documents_runs_without_a_daemon(path: Path) -> None:
    for code in PYTHON.findall(path.read_text(encoding="utf-8")):
        subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize(
    "verb",
    [
        "bench",
        "bpf",
        "check",
        "clean",
        "deb",
        "demo-hedge",
        "demo-phase",
        "help",
        "man",
        "privileged",
        "proto",
        "run",
        "test",
        "vm",
        "vm-matrix",
    ],
)
def test_the_verb_exists_and_is_told_by_help(verb: str) -> None:
    told = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert f"make {verb} " in told.stdout


def test_every_package_is_typed_and_in_the_wheel() -> None:
    wheel = _project()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    found = {
        f"{root}/{package.parent.name}"
        for root in SOURCE_ROOTS
        for package in (ROOT / root).glob("*/__init__.py")
    }
    assert found == set(wheel)
    assert all((ROOT / package / "py.typed").exists() for package in found)


def test_every_exception_from_the_linter_has_its_reason() -> None:
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    bare = [line for line in lines if re.fullmatch(r'\s+"[A-Z]{1,4}\d*",\s*', line)]
    assert bare == []


def test_no_exception_in_the_code_is_a_blank_cheque() -> None:
    blank = re.compile(r"#\s*noqa(?!:)|#\s*type:\s*ignore(?!\[)|#\s*pyright:\s*ignore(?!\[)")
    found = [_name(path) for path in MODULES if blank.search(path.read_text(encoding="utf-8"))]
    assert found == []


def test_versions_agree() -> None:
    version = _project()["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {version}" in changelog


PRIVILEGED_MODULES = (
    "resonance_bpf.backends.core",
    "resonance_bpf.canary",
    "resonance_bpf.pins",
    "resonance_bpf.syscalls",
    "resonance_tuning.__main__",
    "resonance_tuning.actuator.process",
    "resonanced.keeper",
)


@pytest.mark.parametrize("module", PRIVILEGED_MODULES)
def test_what_runs_as_root_loads_neither_numpy_nor_grpc(module: str) -> None:
    _assert_import_leaves_out(module, "numpy", "grpc", "prometheus_client", "pyroute2", "bcc")


@pytest.mark.parametrize("module", ["resonance", "resonance.hints"])
def test_the_sdk_loads_no_kernel_library(module: str) -> None:
    _assert_import_leaves_out(module, "numpy", "bcc", "pyroute2", "psutil", "rich", "resonanced")


def _assert_import_leaves_out(module: str, *unwanted: str) -> None:
    code = (
        f"import sys, {module}; "
        f"print(*sorted({set(unwanted)!r} & {{name.partition('.')[0] for name in sys.modules}}))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert loaded.stdout.split() == []


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
