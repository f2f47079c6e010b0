# SPDX-License-Identifier: MIT
"""What does the README claim? Lines made from results and from what was promised, nothing else.

::

    [[claim]]  # docs/results/claims.toml
    words = "client policies, one client"
    scene = "one node, one client"
    arm = "p2c"
    against = "random"
    gate = "p99<=0.80"
    result = "reference"  # the file's name, where several have such a scene

Each line is one arm of one scene with its own interval; there is no number over several.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from resonance.bench.comparing import Comparison, Gate, Verdict, compare, judge, parse_gate
from resonance.bench.errors import PlanError, ResultFormatError
from resonance.bench.records import QUANTILES, Experiment, Scene
from resonance.bench.report.labels import estimate_text, milliseconds_text, plain, ratio_text

__all__ = ["BEGIN", "END", "Claim", "headline", "inserted", "read_claims"]

BEGIN: Final = "<!-- headline: made by make headline -->"
END: Final = "<!-- end of headline -->"
_HEADS: Final = ("what", "arm, scene", "against", "measured", "bar", "")


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something promised before it was measured.

    Attributes
    ----------
    words : str
        For whoever reads the README.
    scene, arm, against : str
        Which arm of which scene is set beside which other one.
    gate : str
        The bar, as `parse_gate` reads it.
    result : str
        The name of the result's file without its ending; needed where several have such a scene.
    """

    words: str
    scene: str
    arm: str
    against: str
    gate: str
    result: str = ""


class _Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    claim: list[Claim]


class _Compared:
    """Comparisons, each made once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, str, str, str | None], Comparison] = {}

    def of(self, path: Path, scene: Scene) -> Comparison:
        key = (path, scene.name, scene.baseline, scene.placebo)
        if key not in self._known:
            self._known[key] = compare(scene)
        return self._known[key]


@dataclass(frozen=True, slots=True)
class _Line:
    claim: Claim
    gate: Gate
    path: Path
    comparison: Comparison
    verdict: Verdict


def read_claims(path: Path) -> list[Claim]:
    """Read what is claimed.

    Parameters
    ----------
    path : Path
        TOML, a table ``[[claim]]`` for each.

    Returns
    -------
    list of Claim

    Raises
    ------
    ResultFormatError
        It is not such a file.
    OSError
        It cannot be read.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=_Claims).claim
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ResultFormatError(str(path), f"not a file of claims: {error}") from None


def headline(claims: Sequence[Claim], experiments: Mapping[Path, Experiment], base: Path) -> str:
    """Return the lines of a README.

    Parameters
    ----------
    claims : sequence of Claim
        In the order they are to be told in.
    experiments : mapping of Path to Experiment
        By the file each was read from.
    base : Path
        The directory that links begin in.

    Returns
    -------
    str
        Markdown, without the lines that it stands between.

    Raises
    ------
    PlanError
        A claim is of a scene, an arm or a cost that no result has, or of several results.
    IncomparableError
        An arm has no repetitions.
    ResultFormatError
        A histogram cannot be read.
    """
    compared = _Compared()
    lines = [_line(claim, experiments, compared) for claim in claims]
    paths = list(dict.fromkeys(line.path for line in lines))
    return "\n".join([
        _row(_HEADS),
        f"|{'---|' * len(_HEADS)}",
        *(_row(_cells(line)) for line in lines),
        "",
        *(_source(path, experiments[path], lines, base, compared) for path in paths),
    ])  # fmt: skip


def _line(claim: Claim, experiments: Mapping[Path, Experiment], compared: _Compared) -> _Line:
    path, scene = _found(claim, experiments)
    arms = [run.name for run in scene.runs]
    for name in (claim.arm, claim.against):
        if name not in arms:
            raise PlanError(
                _key(claim), f"{path.name} has no arm {name!r} in that scene, but {', '.join(arms)}"
            )
    gate = parse_gate(claim.gate)
    if gate.arm is not None:
        raise PlanError(_key(claim), f"the arm stands in its own key, not in {claim.gate!r}")
    usual = compared.of(path, scene)
    comparison = usual
    # Beside another arm the placebo is one of the arms; the scene's noise is what it was.
    if claim.against != scene.baseline or claim.arm == scene.placebo:
        beside = msgspec.structs.replace(scene, baseline=claim.against, placebo=None)
        comparison = compared.of(path, beside)
    asked = msgspec.structs.replace(gate, arm=claim.arm)
    (verdict,) = judge(comparison, [asked])
    if gate.name in usual.noisy and claim.arm != scene.placebo:
        told = estimate_text(usual.noise[gate.name].estimate)
        reason = f"too noisy, the placebo itself has {told}"
        verdict = msgspec.structs.replace(verdict, outcome="not known", reason=reason)
    return _Line(claim, gate, path, comparison, verdict)


def _found(claim: Claim, experiments: Mapping[Path, Experiment]) -> tuple[Path, Scene]:
    found = [
        (path, scene)
        for path, experiment in experiments.items()
        for scene in experiment
        if scene.name == claim.scene and claim.result in {"", path.stem}
    ]
    if not found:
        raise PlanError(_key(claim), f"no result has a scene {claim.scene!r}{_of(claim)}")
    if len(found) > 1:
        names = ", ".join(path.stem for path, _ in found)
        raise PlanError(_key(claim), f"several results have that scene: say result, of {names}")
    return found[0]


def _of(claim: Claim) -> str:
    return f" and is called {claim.result}" if claim.result else ""


def _key(claim: Claim) -> str:
    return f"claim {claim.words!r}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def _cells(line: _Line) -> tuple[str, ...]:
    claim = line.claim
    return (
        _escaped(claim.words),
        f"{_escaped(claim.arm)}, {_escaped(claim.scene)}",
        _escaped(claim.against),
        _measured(line),
        f"{'at least ' if line.gate.is_floor else ''}{_number(line.gate, line.gate.bound)}",
        _outcome(line),
    )


def _escaped(text: str) -> str:
    for letter, instead in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("*", "\\*")):
        text = text.replace(letter, instead)
    return plain(text)


def _number(gate: Gate, value: float) -> str:
    return ratio_text(value) if gate.name in QUANTILES else f"{value:.3g}"


def _measured(line: _Line) -> str:
    name = line.gate.name
    row = line.comparison.row(line.claim.arm)
    if name not in QUANTILES:
        value = row.costs.get(name)
        return f"{name} {'–' if value is None else _number(line.gate, value)}"  # noqa: RUF001
    effect = row.against.get(name)
    if effect is None:
        return f"{name} –"  # noqa: RUF001
    before = line.comparison.row(line.claim.against).medians[name]
    times = f"{milliseconds_text(before)} → {milliseconds_text(row.medians[name])} ms"
    return f"{name} {estimate_text(effect.estimate)}; {times}"


def _outcome(line: _Line) -> str:
    verdict, gate = line.verdict, line.gate
    if verdict.outcome == "met":
        return "met"
    if verdict.outcome == "not known":
        return f"not known: {_escaped(verdict.reason)}"
    row = line.comparison.row(line.claim.arm)
    effect = row.against.get(gate.name)
    value = effect.estimate.ratio if effect else row.costs[gate.name]
    if not gate.is_floor and value <= gate.bound:
        return "**missed**: the interval holds 1"
    return f"**missed** by {abs(value / gate.bound - 1.0):.0%}" if gate.bound else "**missed**"


def _source(
    path: Path,
    experiment: Experiment,
    lines: Sequence[_Line],
    base: Path,
    compared: _Compared,
) -> str:
    place = Path(os.path.relpath(path, base)).as_posix()
    day = datetime.fromtimestamp(experiment.started_at, UTC).strftime("%Y-%m-%d")
    names = dict.fromkeys(line.claim.scene for line in lines if line.path == path)
    scenes = [experiment.scene(name) for name in names]
    told = [each for scene in scenes for each in _placebo(compared.of(path, scene))]
    placebos = f" Placebo arms at p99: {'; '.join(told)}." if told else ""
    return (
        f"Measured on {day} on {_escaped(str(experiment.machine))}, by release "
        f"{_escaped(experiment.version)}: [`{place}`]({place}).{placebos}"
    )


def _placebo(comparison: Comparison) -> Iterator[str]:
    scene = comparison.scene
    effect = comparison.noise.get("p99")
    if effect is not None:
        estimate = effect.estimate
        noisy = " (**excludes 1**)" if "p99" in comparison.noisy else ""
        yield f"{_escaped(scene.name)} {estimate_text(estimate)}{noisy}"
    if comparison.excluded:
        whole = len(comparison.excluded) + comparison.repetitions
        yield f"{_escaped(scene.name)} without {len(comparison.excluded)} of {whole} repetitions"


def inserted(text: str, block: str) -> str:
    """Return a text with the lines between its markers replaced.

    Parameters
    ----------
    text : str
    block : str

    Returns
    -------
    str

    Raises
    ------
    PlanError
        It has not each of the markers once, the first one first.
    """
    head, begin, rest = text.partition(f"{BEGIN}\n")
    _, end, tail = rest.partition(END)
    if not (begin and end) or text.count(BEGIN) + text.count(END) != 2:
        raise PlanError("headline", f"there must be one line {BEGIN} and, after it, one {END}")
    return f"{head}{begin}{block}\n{end}{tail}"
