# SPDX-License-Identifier: MIT
"""Does what is installed work, by itself, in a small Debian without a network?"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from packages.root import CHECKOUT, SUITES, Root

pytestmark = pytest.mark.timeout(600)  # the first to ask makes the root

PYTHON = "/usr/lib/resonanced/bin/python3"
MODULES = {
    "resonance": ("grpc", "google.protobuf", "msgspec", "rich.live", "resonance", "resonance_core"),
    "resonanced": (
        "grpc_health.v1.health",
        "grpc_reflection.v1alpha.reflection",
        "jeepney",
        "numpy.fft",
        "numpy.linalg",
        "numpy.random",
        "prometheus_client",
        "psutil",
        "pyroute2",
        "resonanced",
        "resonance_bpf",
        "resonance_tuning",
    ),
}


def _version() -> str:
    with (CHECKOUT / "pyproject.toml").open("rb") as file:
        version: str = tomllib.load(file)["project"]["version"]
    return version


@pytest.mark.parametrize("command", ["resonance", "resonanced"])
def test_each_command_tells_the_release_of_the_project(root: Root, command: str) -> None:
    assert root.run(command, "--version").stdout.strip() == _version()


@pytest.mark.parametrize("package", ["resonance", "resonanced"])
def test_all_that_travels_can_be_imported_and_is_ours(root: Root, package: str) -> None:
    script = "; ".join(f"import {module}" for module in MODULES[package])
    script += "; import sys; print(*{getattr(m, '__file__', None) for m in sys.modules.values()})"
    told = root.run(f"/usr/lib/{package}/bin/python3", "-I", "-c", script).stdout.split()
    places = ("/usr/lib/resonance", f"/usr/lib/python{SUITES[_suite(root)]}/", "None")
    assert [place for place in told if not place.startswith(places)] == []


def _suite(root: Root) -> str:
    text = (root.path / "etc" / "os-release").read_text(encoding="utf-8")
    return text.partition("VERSION_CODENAME=")[2].splitlines()[0]


def test_the_probes_travel(root: Root) -> None:
    objects = root.path / "usr/lib/resonanced/resonance_bpf/objects"
    programs = (CHECKOUT / "bpf" / "resonance_bpf" / "programs").glob("*.bpf.c")
    assert {path.stem for path in objects.iterdir()} == {path.stem for path in programs}


def test_our_modules_come_before_those_of_the_system_which_are_there_too(root: Root) -> None:
    told = root.run(PYTHON, "-I", "-c", "import sys; print(*sys.path)").stdout.split()
    ours = ["/usr/lib/resonanced", "/usr/lib/resonance"]
    theirs = "/usr/lib/python3/dist-packages"  # where python3-bpfcc is
    assert [place for place in told if place in {*ours, theirs}] == [*ours, theirs]


def test_others_on_the_system_do_not_see_our_modules(root: Root) -> None:
    script = "import importlib.util as u; print(*map(u.find_spec, ('resonance', 'grpc', 'numpy')))"
    assert root.run("python3", "-c", script).stdout.split() == ["None"] * 3


def test_neither_the_environment_nor_the_directory_puts_code_into_the_commands(root: Root) -> None:
    trap = root.path / "tmp" / "trap"
    trap.mkdir()
    for name in ("grpc", "msgspec", "resonance_api", "json", "sitecustomize"):
        (trap / f"{name}.py").write_text("raise SystemExit('trapped')\n")
    script = "cd /tmp/trap && resonanced --version && resonance top --help"
    root.run("sh", "-c", script, environment={"PYTHONPATH": "/tmp/trap", "PYTHONHOME": "/tmp/trap"})


@pytest.mark.parametrize(
    "command",
    [
        ["/usr/lib/resonance/bin/python3"],
        ["env", "PYTHONPATH=/usr/lib/resonance", "python3", "-P"],
    ],
    ids=["by its interpreter", "by its path"],
)
def test_an_application_reaches_the_library_as_the_readme_says(
    root: Root, command: list[str]
) -> None:
    script = "import resonance, grpc; print(resonance.__file__)"
    told = root.run(*command, "-c", script).stdout.strip()
    assert told == "/usr/lib/resonance/resonance/__init__.py"


@pytest.mark.parametrize(
    "command",
    [
        [PYTHON, "-I"],
        ["env", "PYTHONPATH=/usr/lib/resonanced", "python3", "-P"],
    ],
    ids=["by its interpreter", "by its path"],
)
def test_what_was_changed_is_put_back_without_the_command(root: Root, command: list[str]) -> None:
    told = root.run(*command, "-m", "resonance_tuning").stdout
    assert told.startswith("nothing to put back")


def test_the_check_tells_what_it_found_to_a_program(root: Root) -> None:
    told = root.run("resonanced", "check", "--output", "json", may_fail=True)
    assert isinstance(json.loads(told.stdout), dict), told.stderr


def test_the_service_runs_without_probes_and_ends(root: Root) -> None:
    told = root.run("resonanced", "run", "--backend", "none", "--for", "2")
    assert "127.0.0.1:9756" in told.stdout


def test_the_live_view_and_the_tables_have_their_library(root: Root) -> None:
    assert "usage: resonance top" in root.run("resonance", "top", "--help").stdout
    told = root.run("resonance", "top", "--once", may_fail=True)
    assert "rich" not in told.stderr
    assert "Traceback" not in told.stderr


def test_simulations_compute_with_what_came_with_the_service(root: Root) -> None:
    assert "setup-cost" in root.run("resonance", "simulate").stdout


def test_a_start_compiles_nothing(root: Root) -> None:
    for package in ("resonance", "resonanced"):
        place = root.path / "usr/lib" / package
        modules = set(place.rglob("*.py"))
        compiled = {_source(path) for path in place.rglob("*.pyc")}
        assert modules - compiled == set()


def _source(compiled: Path) -> Path:
    return compiled.parent.parent / f"{compiled.name.partition('.')[0]}.py"


def test_the_user_the_unit_and_the_journals_directory_are_there(root: Root) -> None:
    assert ":Resonance daemon:" in root.run("getent", "passwd", "resonance").stdout
    told = root.run("systemctl", "is-enabled", "resonanced.service").stdout
    assert told.strip() == "enabled"
    journal = root.path / "run" / "resonance-tuning"
    assert (journal.stat().st_mode & 0o777, journal.stat().st_uid) == (0o700, 0)


def test_the_manuals_are_there(root: Root) -> None:
    for page in ("man1/resonance.1.gz", "man8/resonanced.8.gz"):
        assert (root.path / "usr/share/man" / page).is_file()
