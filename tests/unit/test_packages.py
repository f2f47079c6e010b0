# SPDX-License-Identifier: MIT
"""The Debian packages' description: does it agree with what is built, and is nothing forgotten?"""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DEBIAN = ROOT / "systemd" / "debian"
MAKE_DEB = (ROOT / "systemd" / "make-deb").read_text(encoding="utf-8")
PACKAGES = ("resonance", "resonanced")
SHELL = [
    ROOT / "systemd" / "make-deb",
    *sorted(path for path in DEBIAN.iterdir() if path.suffix in {".postinst", ".prerm", ".postrm"}),
]


def _project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project: dict[str, Any] = tomllib.load(file)["project"]
    return project


def _read(name: str) -> str:
    return (DEBIAN / name).read_text(encoding="utf-8")


def _paragraphs(name: str) -> list[dict[str, str]]:
    text = re.sub(r"^#.*\n", "", _read(name), flags=re.MULTILINE)
    paragraphs: list[dict[str, str]] = []
    for paragraph in re.split(r"\n\n+", text.strip()):
        unfolded = re.sub(r"\n[ \t]+", " ", paragraph)
        fields = (line.partition(":") for line in unfolded.splitlines())
        paragraphs.append({field: value.strip() for field, _, value in fields})
    return paragraphs


def _control(package: str) -> dict[str, str]:
    (found,) = [each for each in _paragraphs("control") if each.get("Package") == package]
    return found


def _depends(package: str) -> list[str]:
    return re.split(r",\s*", _control(package)["Depends"])


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _wheels(package: str) -> dict[str, str]:
    lines = [line for line in _read(f"{package}.wheels").splitlines() if line[:1] != "#"]
    pairs = (line.split("==") for line in lines)
    return {_canonical(name): version for name, version in pairs}


def _requirements(*groups: list[str]) -> dict[str, str]:
    parts = [re.fullmatch(r"([\w-]+)>=([\d.]+)", each) for group in groups for each in group]
    return {_canonical(each[1]): each[2] for each in parts if each}


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def test_the_changelog_begins_with_the_release_of_the_project() -> None:
    first = _read("changelog").splitlines()[0]
    assert re.match(r"resonance \(([^-)]*)-\d+\) ", first), first
    assert first.startswith(f"resonance ({_project()['version']}-")


def test_each_suite_has_a_python_that_the_project_supports() -> None:
    floor = int(_project()["requires-python"].removeprefix(">=3."))
    minors = [int(minor) for minor in re.findall(r"minor=(\d+) debian=", MAKE_DEB)]
    assert len(minors) == 2
    assert min(minors) == floor


def test_the_packages_depend_on_the_python_their_wheels_are_for_and_no_other() -> None:
    for package in PACKAGES:
        assert "${python:Depends}" in _depends(package)
    assert "PYTHON_DEPENDS := python3 (>= 3.$minor~), python3 (<< 3.$((minor + 1))~)" in MAKE_DEB


def test_the_service_depends_on_the_library_of_its_own_release() -> None:
    assert "resonance (= ${binary:Version})" in _depends("resonanced")


def test_the_service_depends_on_the_libbpf_that_the_loader_opens() -> None:
    loader = (ROOT / "bpf" / "resonance_bpf" / "libbpf.py").read_text(encoding="utf-8")
    assert 'CDLL("libbpf.so.1"' in loader
    assert "libbpf1" in _depends("resonanced")


def test_bcc_is_recommended_and_not_packed() -> None:
    assert "python3-bpfcc" in _control("resonanced")["Recommends"]
    assert not {"bcc", "bpfcc"} & (_wheels("resonance").keys() | _wheels("resonanced").keys())


def test_every_dependency_of_the_project_travels_at_its_floor_or_above() -> None:
    project = _project()
    extras = project["optional-dependencies"]
    library = _requirements(project["dependencies"], extras["cli"])
    service = _requirements(extras["daemon"])
    packed = {"resonance": _wheels("resonance"), "resonanced": _wheels("resonanced")}
    for package, wanted in (("resonance", library), ("resonanced", service)):
        assert wanted.keys() - packed[package].keys() == set()
        for name, floor in wanted.items():
            assert _numbers(packed[package][name]) >= _numbers(floor), name


def test_no_wheel_travels_in_both_packages() -> None:
    assert _wheels("resonance").keys() & _wheels("resonanced").keys() == set()


def test_what_travels_is_named_in_copyright_with_a_licence_that_is_described() -> None:
    paragraphs = _paragraphs("copyright")
    comments = " ".join(each.get("Comment", "") for each in paragraphs if "Files" in each)
    for package in PACKAGES:
        for name in _wheels(package):
            assert re.search(rf"(^| ){re.escape(name)}[,.]", comments), name
    described = set(re.findall(r"^License: (.+)\n ", _read("copyright"), re.MULTILINE))
    used = {
        licence.strip()
        for each in paragraphs
        if "Files" in each
        for licence in re.split(r"\bor\b|\band\b", each["License"])
    }
    assert used - described == set()
    assert described - used == set()


@pytest.mark.parametrize(
    "path",
    sorted(path for path in (ROOT / "systemd").iterdir() if path.is_file()),
    ids=lambda path: str(path.name),
)
def test_every_file_of_the_service_is_installed(path: Path) -> None:
    if path.name in {"make-deb", "make-man"}:  # made with, not installed
        return
    assert f"systemd/{path.name}" in MAKE_DEB


def test_the_unit_starts_the_command_that_is_installed() -> None:
    unit = (ROOT / "systemd" / "resonanced.service").read_text(encoding="utf-8")
    commands = set(re.findall(r"^Exec\w+=[-+!@]*(/\S*resonance\S*)", unit, re.MULTILINE))
    assert commands == {"/usr/bin/resonanced"}
    assert "bin/resonanced usr/bin" in _read("resonanced.install")


def test_the_configuration_is_installed_where_the_service_reads_it() -> None:
    from resonanced import config

    (line,) = [line for line in _read("resonanced.install").splitlines() if "toml" in line]
    name, directory = line.split()
    assert Path("/", directory, name) == Path(config.DEFAULT_PATH)


def test_each_command_has_its_manual() -> None:
    for package in PACKAGES:
        (page,) = [each for each in _read(f"{package}.manpages").splitlines() if each[0] != "#"]
        assert (ROOT / "systemd" / page).is_file()


def test_all_of_our_code_travels() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        wheel = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["wheel"]
    copied = re.findall(r"^  ours \S+ (.*)$", MAKE_DEB, re.MULTILINE)
    assert sorted(" ".join(copied).split()) == sorted(wheel["packages"])


def test_the_launchers_call_what_the_wheel_calls_and_heed_no_environment() -> None:
    template = re.search(r"printf '(#!/usr/lib/%s/bin/python3 -I\\n.*)' \\\n", MAKE_DEB)
    assert template
    launched = re.findall(r'^  launcher "\$stage/bin/(\w+)" (\w+) (\S+)$', MAKE_DEB, re.MULTILINE)
    scripts = _project()["scripts"]
    assert {name: f"{module}:main" for name, _, module in launched} == scripts
    for _, package, module in launched:
        text = template[1].replace("\\n", "\n") % (package, module)
        ast.parse(text)
        assert f"bin/python3 usr/lib/{package}/bin/python3" in _read(f"{package}.links")


def test_the_rules_fetch_nothing() -> None:
    words = re.findall(r"[\w-]+", _read("rules"))
    assert not {"apt", "apt-get", "curl", "git", "pip", "python3", "wget"} & set(words)


def test_only_one_command_of_make_deb_may_reach_an_index() -> None:
    calls = re.findall(r"-m pip (\w+).*", MAKE_DEB)
    assert calls == ["download", "install"]
    assert "-m pip install --quiet --no-index" in MAKE_DEB


@pytest.mark.parametrize("path", SHELL, ids=lambda path: str(path.name))
def test_shell_parses(path: Path) -> None:
    shell = "bash" if path.suffix == "" else "sh"
    subprocess.run([shell, "-n", path], check=True)


@pytest.mark.parametrize("word", ["potato", "--colour"])
def test_make_deb_says_what_it_cannot_do_and_builds_nothing(word: str) -> None:
    told = subprocess.run(
        [ROOT / "systemd" / "make-deb", word], check=False, capture_output=True, text=True
    )
    assert told.returncode == 1
    assert told.stderr.startswith("make-deb: ")
    assert not (ROOT / "build" / "deb" / word).exists()


def test_every_exception_from_lintian_has_its_reason() -> None:
    for package in PACKAGES:
        lines = _read(f"{package}.lintian-overrides").splitlines()[1:]
        assert lines
        for above, line in itertools.pairwise(lines):
            assert line.startswith("#") or above.startswith("#"), line
