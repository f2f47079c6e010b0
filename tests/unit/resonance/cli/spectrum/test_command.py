# SPDX-License-Identifier: MIT
from __future__ import annotations

import io
import json
import math
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from fakes.hint_daemon import state
from fakes.rhythm import BIN_SECONDS, RHYTHM, RhythmDaemon, aligned, series, source
from resonance.cli.spectrum.page import html
from resonance.cli.spectrum.terminal import print_view
from resonance.cli.spectrum.view import View, view_of
from resonance_api.phase.v1.phase_pb2 import SpectrumResponse
from resonance_api.phase.v1.phase_pb2_grpc import PhaseServicer

from .conftest import Command, ServePhase


def _view(answer: SpectrumResponse | None = None) -> View:
    return view_of(answer or aligned(), state(rhythm=RHYTHM))


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (60, 20)])
def test_text(
    columns: int,
    lines: int,
    command: Command,
    serve_phase: ServePhase,
    golden: Callable[[str, str], None],
) -> None:
    serve_phase(RhythmDaemon(aligned()))
    code, output, error = command("spectrum", columns=columns, lines=lines)
    assert (code, error) == (0, "")
    assert max(map(len, output.splitlines())) <= columns
    golden(f"cli/spectrum-{columns}.txt", output)


def test_both_pictures_fit_a_common_terminal(command: Command, serve_phase: ServePhase) -> None:
    serve_phase(RhythmDaemon(aligned()))
    assert len(command("spectrum", columns=80, lines=24)[1].splitlines()) < 24


@pytest.mark.parametrize("columns", [4, 12, 20])
def test_a_terminal_too_narrow_for_a_picture_gets_what_fits(
    columns: int, command: Command, serve_phase: ServePhase
) -> None:
    serve_phase(RhythmDaemon(aligned()))
    code, output, error = command("spectrum", columns=columns, lines=24)
    assert (code, error) == (0, "")
    assert max(map(len, output.splitlines())) <= columns


def test_the_guide_shows_what_is_drawn(request: pytest.FixtureRequest) -> None:
    root = request.config.rootpath
    guide = (root / "docs" / "phase.md").read_text(encoding="utf-8")
    assert (root / "tests/golden/cli/spectrum-80.txt").read_text(encoding="utf-8") in guide


def _drawn(view: View, width: int, height: int, *, colour: bool = False) -> list[str]:
    output = io.StringIO()
    console = Console(
        file=output, width=width, height=height, highlight=False, force_terminal=colour,
        color_system="truecolor" if colour else None,
    )  # fmt: skip
    print_view(view, console)
    return output.getvalue().splitlines()


@pytest.mark.parametrize("width", [30, 44, 60, 79, 80, 100, 200])
@pytest.mark.parametrize("height", [10, 20, 30, 60])
def test_no_line_is_wider_than_the_terminal(width: int, height: int) -> None:
    assert max(map(len, _drawn(_view(), width, height))) <= width


def test_colours_say_the_same_in_half_the_height() -> None:
    drawn = _drawn(_view(), 80, 24, colour=True)
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in drawn]
    assert max(map(len, plain)) <= 80
    assert sum("▀" in line for line in plain) >= 4
    assert not any("▒" in line for line in plain)
    assert any("38;2;253;231;37" in line for line in drawn)  # the loudest colour


def test_what_was_not_recorded_is_dotted() -> None:
    answer = aligned()
    answer.missing_bins.extend(range(1000, 2500))
    assert any("····" in line for line in _drawn(_view(answer), 80, 24)[1:8])


def test_a_node_without_bins_and_sources_says_so(command: Command, serve_phase: ServePhase) -> None:
    serve_phase(RhythmDaemon())
    code, output, _ = command("spectrum")
    assert code == 0
    assert "There are no time bins" in output
    assert "resonance.every(...)" in output


def test_only_some_cgroups(command: Command, serve_phase: ServePhase) -> None:
    serve_phase(RhythmDaemon(aligned()))
    answer = json.loads(command("spectrum", "--cgroup", "/sys*", "--output", "json")[1])
    assert answer["whose"] == "/system.slice/web.service"
    assert answer["is_periodic"] is False


def test_json_has_the_numbers_of_both_pictures(command: Command, serve_phase: ServePhase) -> None:
    serve_phase(RhythmDaemon(aligned()))
    answer = json.loads(command("spectrum", "--output", "json")[1])
    assert answer["is_periodic"] is True
    assert answer["dominant_period_seconds"] == pytest.approx(0.1, rel=0.01)
    assert answer["neighbours"][0]["cgroup"] == "/flush.slice"
    windows = answer["spectrogram"]["decibels"]
    assert {len(window) for window in windows} == {len(answer["spectrogram"]["hz"])}
    assert len(answer["wheel"]["sources"]) == 8
    assert answer["wheel"]["placements"]["now"]["order_parameter"] > 0.99
    assert len(answer["findings"]) == 4


def test_json_has_no_number_json_has_not(command: Command, serve_phase: ServePhase) -> None:
    unknown = SpectrumResponse(bin_seconds=BIN_SECONDS, sources=[source("one", 0.1)])
    serve_phase(RhythmDaemon(unknown))
    output = command("spectrum", "--output", "json")[1]
    assert "NaN" not in output
    assert "Infinity" not in output
    assert json.loads(output)["waiting"] is None


def test_files_are_written_and_the_findings_printed(
    command: Command, serve_phase: ServePhase, tmp_path: Path
) -> None:
    serve_phase(RhythmDaemon(aligned()))
    png, page = tmp_path / "rhythm.png", tmp_path / "rhythm.html"
    code, output, error = command("spectrum", "--png", str(png), "--html", str(page))
    assert (code, error) == (0, "")
    assert png.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert len(output.splitlines()) == 4
    assert output.startswith("A rhythm every 100ms")


@pytest.mark.parametrize(
    "answer",
    [
        SpectrumResponse(bin_seconds=BIN_SECONDS),
        SpectrumResponse(bin_seconds=BIN_SECONDS, series=[series("/web", bins=70)]),
        SpectrumResponse(bin_seconds=BIN_SECONDS, sources=[source("one", 0.1)]),
        SpectrumResponse(sources=[source(f"{at}", 0.0, work_seconds=math.nan) for at in range(40)]),
    ],
)
def test_little_can_be_drawn_too(answer: SpectrumResponse) -> None:
    from resonance.cli.spectrum.picture import png

    view = _view(answer)
    assert png(view, 0.0).startswith(b"\x89PNG")
    assert "</html>" in html(view, 0.0)
    assert _drawn(view, 80, 24)


def test_a_file_that_cannot_be_written_is_one_clear_line(
    command: Command, serve_phase: ServePhase, tmp_path: Path
) -> None:
    serve_phase(RhythmDaemon(aligned()))
    page = tmp_path / "no" / "page.html"
    complaint = f"resonance: {page}: no such file or directory\n"
    assert command("spectrum", "--html", str(page)) == (1, "", complaint)


def test_the_page_needs_no_other_file_and_no_script() -> None:
    page = html(_view(), 1_790_000_000.0)
    assert not re.search(r"<script|<link|https?://|url\(", page)
    assert "prefers-color-scheme:dark" in page
    assert 'name="viewport"' in page
    assert len(page) < 100_000


def test_every_picture_of_the_page_is_well_formed() -> None:
    page = html(_view(), 0.0)
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(pictures) == 4
    for picture in pictures:
        ET.fromstring(picture)


def test_names_cannot_become_markup() -> None:
    answer = aligned()
    answer.sources[0].name = "<script>alert(1)</script>"
    answer.series[0].cgroup = "/<b>bold"
    del answer.series[1:]
    page = html(_view(answer), 0.0)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "/&lt;b&gt;bold" in page


@pytest.mark.parametrize(
    ("package", "modules", "arguments", "complaint"),
    [
        ("numpy", "view spectrogram wheel findings terminal page", (), "the analysis needs numpy"),
        ("rich", "terminal", (), "the pictures need rich"),
        ("matplotlib", "picture", ("--png", "/nowhere.png"), "a PNG needs matplotlib"),
    ],
)
def test_a_missing_extra_is_named(
    package: str,
    modules: str,
    arguments: tuple[str, ...],
    complaint: str,
    command: Command,
    serve_phase: ServePhase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve_phase(RhythmDaemon(aligned()))
    forgotten = {package, "resonance_core"} if package == "numpy" else {package}
    for name in [name for name in sys.modules if name.partition(".")[0] in forgotten]:
        monkeypatch.delitem(sys.modules, name)
    for name in modules.split():
        monkeypatch.delitem(sys.modules, f"resonance.cli.spectrum.{name}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    code, output, error = command("spectrum", *arguments)
    assert (code, output) == (1, "")
    assert error.startswith(f"resonance: {complaint}")
    assert "pip install 'resonance-runtime[" in error


def test_a_daemon_without_phase_control_is_one_clear_line(
    command: Command, serve_phase: ServePhase
) -> None:
    serve_phase(PhaseServicer())
    code, output, error = command("spectrum")
    assert (code, output) == (1, "")
    assert error.endswith(": the daemon speaks another version; update the older of the two\n")
