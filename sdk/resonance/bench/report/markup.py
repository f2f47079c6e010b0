# SPDX-License-Identifier: MIT
"""How does it all become one file that is read without a network, on a phone and in the dark?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Final, NamedTuple

from resonance.bench.comparing import FEWEST_PAIRS, Comparison
from resonance.bench.records import Experiment, Run, Scene
from resonance.bench.report.canvas import png, svg
from resonance.bench.report.figures import Picture, pictures_of
from resonance.bench.report.tables import arm_table, load_table, parts_table
from resonance.bench.report.words import doubt, escaped, finding, notes

__all__ = ["page", "pictures"]

_ABOVE: Final = 2
"""Pictures that stand before the table: those that say most."""


def page(
    measured: Experiment | Sequence[Scene],
    comparisons: Sequence[Comparison],
    *,
    title: str = "",
    named: Sequence[str] = (),
) -> str:
    """Return a report as one HTML file that asks for no other.

    Parameters
    ----------
    measured : Experiment or sequence of Scene
        At least one scene, with at least one run and one slot each.
    comparisons : sequence of Comparison
        One of each scene, in the same order.
    title : str
        Instead of the experiment's own.
    named : sequence of str
        Arms that the pictures lift out, besides the best ones; they lift out three.

    Returns
    -------
    str

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    ResultFormatError
        A histogram cannot be read.
    """
    head = _head(measured, title)
    style = resources.files("resonance.bench.report").joinpath("style.css").read_text("utf-8")
    return "\n".join([
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        '<link rel="icon" href="data:,">',
        f"<title>{escaped(head.title)}</title>",
        f"<style>{style}</style></head><body>",
        *_top(head),
        *_contents(comparisons),
        "<main>",
        *(
            line
            for number, comparison in enumerate(comparisons, 1)
            for line in _section(f"scene-{number}", comparison, named)
        ),
        "</main>",
        *_notes(comparisons),
        "</body></html>",
        "",
    ])  # fmt: skip


def pictures(comparisons: Sequence[Comparison], *, named: Sequence[str] = ()) -> dict[str, bytes]:
    """Return the figures of a report as PNG, for a light background.

    Parameters
    ----------
    comparisons : sequence of Comparison
    named : sequence of str
        As `page` has it.

    Returns
    -------
    dict of str to bytes
        By the names that files of them may have.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    ResultFormatError
        A histogram cannot be read.
    """
    return {
        f"{number}-{_slug(comparison.scene.name)}-{each.name}.png": png(
            each.draw, each.height_inches
        )
        for number, comparison in enumerate(comparisons, 1)
        for each in pictures_of(comparison, named)
    }


def _slug(name: str) -> str:
    letters = (letter if letter.isascii() and letter.isalnum() else "-" for letter in name.lower())
    words = "".join(letters).split("-")
    return "-".join(word for word in words if word)[:60] or "scene"


class _Head(NamedTuple):
    title: str
    facts: list[tuple[str, str]]
    differences: list[str] | None
    notes: list[str]


def _head(measured: Experiment | Sequence[Scene], title: str) -> _Head:
    if isinstance(measured, Experiment):
        facts = [
            ("machine", str(measured.machine)),
            ("measured", _moment(measured.started_at, measured.seconds)),
            ("release", measured.version),
        ]
        return _Head(title or measured.title, facts, measured.differences, measured.notes)
    runs = [run for scene in measured for run in scene.runs]
    facts = [
        ("machine", _listed(str(run.machine or "not known") for run in runs)),
        ("measured", _when(runs)),
        ("release", _listed(run.version for run in runs)),
    ]
    if any(run.tool != "resonance" for run in runs):
        facts.append(("measured with", _listed(run.tool for run in runs)))
    usual = f"Response times of {_listed(run.name for run in runs)}"
    return _Head(title or usual, facts, None, [])


def _listed(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))


def _when(runs: Sequence[Run]) -> str:
    slots = [slot for run in runs for slot in run.slots]
    first = min(slot.started_at for slot in slots)
    return _moment(first, max(slot.started_at + slot.seconds for slot in slots) - first)


def _moment(unix_seconds: float, seconds: float) -> str:
    at = datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    took = f"{seconds / 60.0:.1f} minutes" if seconds >= 90.0 else f"{seconds:.0f} s"
    return f"{at}, took {took}"


def _top(head: _Head) -> Iterator[str]:
    yield f"<header><h1>{escaped(head.title)}</h1><dl>"
    for name, value in head.facts:
        yield f"<dt>{name}</dt><dd>{escaped(value)}</dd>"
    if head.differences is not None:
        yield f"<dt>host</dt><dd>{_host(head.differences)}</dd>"
    yield "</dl>"
    if head.differences:
        yield '<div class="box"><ul>'
        yield from (f"<li>{escaped(each)}</li>" for each in head.differences)
        yield "</ul></div>"
    if head.notes:
        yield "<ul>"
        yield from (f"<li>{escaped(each)}</li>" for each in head.notes)
        yield "</ul>"
    yield "</header>"


def _host(differences: Sequence[str]) -> str:
    if not differences:
        return "left as it was found"
    return '<span class="bad">not as it was found:</span>'


def _contents(comparisons: Sequence[Comparison]) -> Iterator[str]:
    if len(comparisons) < 2:
        return
    yield '<nav aria-label="scenes"><ul>'
    for number, comparison in enumerate(comparisons, 1):
        told = f"<br><small>{_sentence(finding(comparison))}</small>"
        yield f'<li><a href="#scene-{number}">{escaped(comparison.scene.name)}</a>{told}</li>'
    yield "</ul></nav>"


def _sentence(text: str) -> str:
    """Return it escaped, with no line broken within an interval."""
    return escaped(text).replace("–", "&#8288;–&#8288;")  # noqa: RUF001


def _section(name: str, comparison: Comparison, named: Sequence[str]) -> Iterator[str]:
    scene = comparison.scene
    yield f'<section id="{name}"><h2>{escaped(scene.name)}</h2>'
    if scene.summary:
        yield f"<p>{escaped(scene.summary)}</p>"
    told = finding(comparison)
    if told:
        yield f'<p class="finding">{_sentence(told)}</p>'
    yield from _doubts(comparison)
    drawn = [_figure(name, each) for each in pictures_of(comparison, named)]
    yield from _figures(drawn[:_ABOVE])
    yield from arm_table(comparison)
    yield from _counted(comparison)
    yield from parts_table(comparison)
    yield from _figures(drawn[_ABOVE:])
    yield "<details><summary>What was sent, and what became of it</summary>"
    yield from load_table(scene.runs)
    yield "</details></section>"


def _figures(drawn: Sequence[str]) -> Iterator[str]:
    if drawn:
        yield '<div class="figures">'
        yield from drawn
        yield "</div>"


def _figure(section: str, picture: Picture) -> str:
    drawing = svg(picture.draw, picture.height_inches, f"{section}-{picture.name}")
    told = f'<svg role="img" aria-label="{picture.title}"'
    return (
        f"<figure><h3>{picture.title}</h3>{drawing.replace('<svg', told, 1)}"
        f"<figcaption>{picture.caption}</figcaption></figure>"
    )


def _doubts(comparison: Comparison) -> Iterator[str]:
    why = doubt(comparison)
    if not (why or comparison.excluded or comparison.warnings):
        return
    yield '<div class="box">'
    if why:
        yield f'<p class="bad">{escaped(why)}</p>'
    if comparison.excluded:
        number = len(comparison.excluded)
        whole = number + comparison.repetitions
        yield f'<p class="bad">Left out by the rule: {number} of {whole} repetitions.</p><ul>'
        yield from (f"<li>{escaped(each)}</li>" for each in comparison.excluded)
        yield "</ul>"
    yield from (f"<p>{escaped(each)}</p>" for each in comparison.warnings)
    yield "</div>"


def _counted(comparison: Comparison) -> Iterator[str]:
    number = comparison.repetitions
    if not number:
        return
    of = "1 repetition" if number == 1 else f"{number} repetitions"
    told = ""
    if len(comparison.rows) > 1:
        span = "95 % interval" if number >= FEWEST_PAIRS else "the least and the greatest of them"
        told = f" Below each, its ratio to the baseline of the same repetition, with {span}."
    yield f'<p class="faint">Medians of {of}.{told}</p>'


def _notes(comparisons: Sequence[Comparison]) -> Iterator[str]:
    yield "<footer><h2>How to read this</h2>"
    for title, text in notes(comparisons):
        yield f"<p><b>{escaped(title)}.</b> {escaped(text)}</p>"
    yield "</footer>"
