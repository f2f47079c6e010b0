# SPDX-License-Identifier: MIT
"""The pictures as one HTML file: no script, no other file, light and dark, down to a phone.

Pictures are inline SVG in the page's own colours. The spectrogram is a small PNG of one colour
whose opacity is the power, so that it stands on either background.
"""

from __future__ import annotations

import base64
import html as markup
import math
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from resonance.cli.rhythm import LEAST_SCORE
from resonance.cli.spectrum.findings import beat_findings, placement_title, wheel_findings
from resonance.cli.spectrum.spectrogram import Spectrogram, banded
from resonance.cli.spectrum.view import View
from resonance.cli.spectrum.wheel import Hand, Mark, Wheel, marks
from resonance.cli.units import duration_text, moment_text, safe_text
from resonance_api.hints.v1.hints_pb2 import Neighbour

__all__ = ["html"]

_STYLE = """\
:root{color-scheme:light dark;--text:#1c1c1c;--page:#fcfcfb;--faint:#71716d;--line:#d5d5d0;
--now:#b8430f;--planned:#1d63a8;--natural:#71716d}
@media(prefers-color-scheme:dark){:root{--text:#e8e8e4;--page:#161616;--faint:#a0a09a;
--line:#3b3b39;--now:#ff9a66;--planned:#7db8f5;--natural:#a0a09a}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:46rem;padding:1rem;background:var(--page);color:var(--text);
font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.35rem;margin:.2rem 0}h2{font-size:1.1rem;margin:2rem 0 .3rem}
p{margin:.3rem 0}.faint,figcaption{color:var(--faint);font-size:.9rem}
figure{margin:1rem 0}svg{display:block;width:100%;height:auto}
svg text{fill:var(--faint);font:11px system-ui,sans-serif}
svg .axis{stroke:var(--line);fill:none}svg image{image-rendering:pixelated}
.wheels{display:grid;grid-template-columns:repeat(auto-fit,minmax(13rem,1fr));gap:1rem}
.wheels figure{margin:.5rem 0;text-align:center}.wheels svg{max-width:20rem;margin:auto}
svg .letter{fill:var(--page);font-size:8px;font-weight:600;text-anchor:middle;
dominant-baseline:central}
.now{fill:var(--now);stroke:var(--now);color:var(--now)}
.planned{fill:var(--planned);stroke:var(--planned);color:var(--planned)}
.natural{fill:var(--natural);stroke:var(--natural);color:var(--natural)}
svg .curve{fill:none;stroke-width:1.8}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{padding:.3rem .6rem .3rem 0;text-align:right;border-bottom:1px solid var(--line);
white-space:nowrap}th:first-child,td:first-child{text-align:left;white-space:normal;
min-width:8rem}
th{color:var(--faint);font-weight:500}
"""
_MOST_DECIBELS = 27.0
_LEAST_DECIBELS = 3.0
_RED, _GREEN, _BLUE = 214, 92, 30
_ROWS = 96
_COLUMNS = 256
_TICKS_HZ = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)
_WIDTH, _LEFT, _RIGHT, _PLOT_HEIGHT = 400, 52, 48, 190
_RING, _DISC = 96, 6


def html(view: View, unix_seconds: float) -> str:
    """Return the page of a view, taken at that time."""
    taken = datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    about = (
        f"{taken}; the last {duration_text(view.duration_seconds)} of {_text(view.whose)}, "
        f"in bins of {duration_text(view.bin_seconds)}{_control(view)}"
    )
    return "\n".join([
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>Resonance: the rhythm of this node, {taken}</title>",
        f"<style>{_STYLE}</style></head><body>",
        "<h1>The rhythm of this node</h1>",
        f'<p class="faint">{about}</p>',
        *_waits(view),
        *_sources(view),
        "</body></html>",
        "",
    ])  # fmt: skip


def _text(text: str) -> str:
    return markup.escape(safe_text(text))


def _control(view: View) -> str:
    if not view.mode:
        return ""
    reason = f", {_text(view.guard_reason)}" if view.guard_reason else ""
    return f"; phase control in mode {_text(view.mode)}{reason}"


def _paragraphs(sentences: Iterable[str]) -> Iterator[str]:
    for sentence in sentences:
        yield f"<p>{_text(sentence)}</p>"


def _waits(view: View) -> Iterator[str]:
    yield "<h2>Waits for a CPU, by frequency</h2>"
    yield from _paragraphs(beat_findings(view))
    if view.picture:
        yield from _spectrogram(view.picture, view.duration_seconds)
    coherent = [each for each in view.neighbours if each.is_named or each.score >= LEAST_SCORE]
    if coherent:
        yield from _neighbours(coherent)


def _spectrogram(picture: Spectrogram, duration_seconds: float) -> Iterator[str]:
    plot = _WIDTH - _LEFT - _RIGHT
    bottom = _PLOT_HEIGHT + 8
    _, cells = banded(picture, _ROWS, _COLUMNS)
    low, high = math.log(picture.hz[0]), math.log(picture.hz[-1])
    yield f'<figure><svg viewBox="0 0 {_WIDTH} {bottom + 36}" role="img" aria-label="spectrogram">'
    yield (
        f'<image x="{_LEFT}" y="8" width="{plot}" height="{_PLOT_HEIGHT}" '
        f'preserveAspectRatio="none" href="data:image/png;base64,{_png(cells)}"/>'
    )
    yield f'<rect class="axis" x="{_LEFT}" y="8" width="{plot}" height="{_PLOT_HEIGHT}"/>'
    for hz in _TICKS_HZ:
        if low <= math.log(hz) <= high:
            y = 8 + _PLOT_HEIGHT * (high - math.log(hz)) / (high - low)
            yield f'<text x="{_LEFT - 4}" y="{y + 4:.1f}" text-anchor="end">{hz:g} Hz</text>'
            yield f'<text x="{_WIDTH - _RIGHT + 4}" y="{y + 4:.1f}">{duration_text(1 / hz)}</text>'
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        ago = duration_seconds * (1.0 - share)
        told = f"{duration_text(ago)} ago" if ago else "now"
        x = _LEFT + plot * share
        yield f'<text x="{x:.0f}" y="{bottom + 14}" text-anchor="{anchor}">{told}</text>'
    yield f'<text x="{_LEFT}" y="{bottom + 30}">left: how often; right: one every</text>'
    yield "</svg><figcaption>"
    yield (
        f"Stronger colour is more power, from {_LEAST_DECIBELS:.0f} to {_MOST_DECIBELS:.0f} dB "
        "above the median of its moment. A rhythm is a level line, and so are its multiples; "
        "noise has specks. Stretches without any speck were not recorded.</figcaption></figure>"
    )


def _png(cells: Sequence[Sequence[float | None]]) -> str:
    """Return an image of one colour and 256 opacities, as base64.

    References
    ----------
    PNG specification, third edition, W3C 2025: colour type 3 with a palette and ``tRNS``.
    """
    lines = b"".join(b"\0" + bytes(_opacity(cell) for cell in row) for row in cells)
    palette = bytes((_RED, _GREEN, _BLUE)) * 256
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", len(cells[0]), len(cells), 8, 3, 0, 0, 0)),
        (b"PLTE", palette),
        (b"tRNS", bytes(range(256))),
        (b"IDAT", zlib.compress(lines, 9)),
        (b"IEND", b""),
    )
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return base64.b64encode(data).decode()


def _opacity(decibels: float | None) -> int:
    if decibels is None:
        return 0
    share = (decibels - _LEAST_DECIBELS) / (_MOST_DECIBELS - _LEAST_DECIBELS)
    return round(255 * min(max(share, 0.0), 1.0))


def _neighbours(neighbours: Iterable[Neighbour]) -> Iterator[str]:
    yield '<div class="scroll"><table><tr><th>whose rhythm the others queue in</th>'
    yield "<th>coherence</th><th>every</th><th>they follow after</th></tr>"
    for each in neighbours:
        verdict = " <b>(noisy neighbour)</b>" if each.is_named else ""
        yield (
            f"<tr><td>{_text(each.cgroup)}{verdict}</td><td>{each.score:.2f}</td>"
            f"<td>{duration_text(each.period_seconds)}</td>"
            f"<td>{moment_text(each.lag_seconds)}</td></tr>"
        )
    yield "</table></div>"


def _sources(view: View) -> Iterator[str]:
    wheel = view.wheel
    yield "<h2>Where in their period the sources run</h2>"
    yield from _paragraphs(wheel_findings(view))
    if wheel is None:
        return
    yield '<div class="wheels">'
    for name in wheel.turns:
        yield from _wheel(wheel, name)
    yield "</div>"
    yield from _profiles(wheel)
    yield from _table(wheel)


def _wheel(wheel: Wheel, name: str) -> Iterator[str]:
    width, height = 2 * (_RING + 58), 2 * (_RING + 24)
    yield f'<figure><svg viewBox="{-width / 2} {-height / 2} {width} {height}" role="img" '
    yield f'aria-label="{placement_title(name)}"><circle class="axis" r="{_RING}"/>'
    for quarter, anchor in enumerate(("middle", "start", "middle", "end")):
        x, y = Mark("", quarter / 4, 1.0).at(_RING + 11)
        told = moment_text(quarter / 4 * wheel.period_seconds)
        yield f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="{anchor}">{told}</text>'
    for mark in marks(wheel.hands, name, 2.0 * _DISC / _RING):
        x, y = mark.at(_RING)
        yield f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="{_DISC - 0.5}"/>'
        yield f'<text class="letter" x="{x:.1f}" y="{y:.1f}">{mark.letter}</text>'
    yield "</svg><figcaption>"
    yield f'<b class="{name}">{placement_title(name)}</b>; one turn is '
    yield f"{duration_text(wheel.period_seconds)}, clockwise</figcaption></figure>"


def _profiles(wheel: Wheel) -> Iterator[str]:
    curves = {name: wheel.placements[name].profile_seconds for name in wheel.turns}
    values = [value for curve in curves.values() for value in curve]
    if not values:
        return
    low, high = min(values), max(values)
    plot, height = _WIDTH - _LEFT - 8, 120
    yield f'<figure><svg viewBox="0 0 {_WIDTH} {height + 36}" role="img" aria-label="work">'
    for value in sorted({low, 0.0, high}):
        y = _level(value, low, high, height)
        yield f'<path class="axis" d="M{_LEFT} {y:.1f}h{plot}"/>'
        yield f'<text x="{_LEFT - 4}" y="{y + 4:.1f}" text-anchor="end">{moment_text(value)}</text>'
    for name, curve in curves.items():
        points = " ".join(
            f"{_LEFT + plot * at / len(curve):.1f},{_level(value, low, high, height):.1f}"
            for at, value in enumerate((*curve, curve[0]))
        )
        yield f'<polyline class="curve {name}" points="{points}"/>'
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        told = moment_text(share * wheel.period_seconds)
        x = _LEFT + plot * share
        yield f'<text x="{x:.0f}" y="{height + 26}" text-anchor="{anchor}">{told}</text>'
    yield "</svg><figcaption>Work that has come in ahead of its mean rate, over one period: "
    told = ", ".join(f'<b class="{name}">{placement_title(name)}</b>' for name in curves)
    yield f"{told}. High peaks are queues; the flatter, the shorter they are."
    yield "</figcaption></figure>"


def _level(value: float, low: float, high: float, height: int) -> float:
    return 8 + height * (high - value) / ((high - low) or 1.0)


def _table(wheel: Wheel) -> Iterator[str]:
    names = list(wheel.placements)
    yield '<div class="scroll"><table><tr><th>source</th><th>every</th><th>work</th>'
    yield "".join(f"<th>{placement_title(name)}</th>" for name in names)
    yield "<th>may be moved</th></tr>"
    for hand in wheel.hands:
        cells = "".join(f"<td>{_moment(wheel, hand, name)}</td>" for name in names)
        yield (
            f"<tr><td><b>{hand.letter}</b> {_text(hand.name)}</td>"
            f"<td>{duration_text(hand.period_seconds)}</td>"
            f"<td>{duration_text(hand.work_seconds)}</td>{cells}"
            f"<td>{'yes' if hand.is_eligible else 'no'}</td></tr>"
        )
    yield "</table></div>"


def _moment(wheel: Wheel, hand: Hand, name: str) -> str:
    places = hand.places(name)
    return moment_text(places[0] * wheel.period_seconds) if places else "-"
