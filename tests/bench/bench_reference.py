# SPDX-License-Identifier: MIT
"""The reference experiment: what each thing we do gains here, in a quarter of an hour."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

import paired
from paired import Estimate, Result
from resonance import cli
from resonance.bench.comparing import Comparison, compare, parse_gate
from resonance.bench.records import Experiment, read_result
from resonance.bench.report.headline import Claim, read_claims

_ROOT: Final = Path(__file__).parents[2]
_OUTPUT: Final = _ROOT / "build" / "reference"
_CLAIMS: Final = _ROOT / "docs" / "results" / "claims.toml"
_PLACEBO_BAR: Final = 1.35
"""*Chosen*: of the p99; what a claim of half may still be told through."""
_NOT_BELIEVED: Final = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, and set what it found beside what was claimed."""
    paired.end_by_exception()
    arguments = sys.argv[1:] if argv is None else argv
    code = cli.main(["bench", "reference", "--output", str(_OUTPUT), *arguments])
    if code not in {0, _NOT_BELIEVED}:
        return code
    measured = read_result(_OUTPUT / "reference.json")
    assert isinstance(measured, Experiment)
    claims = [
        claim
        for claim in read_claims(_CLAIMS)
        if claim.scene in {scene.name for scene in measured.scenes}
    ]
    return paired.conclude(
        "reference", [*_placebos(measured), *(_result(measured, claim) for claim in claims)]
    )


def _placebos(measured: Experiment) -> Iterator[Result]:
    for scene in measured.scenes:
        if scene.placebo is None:
            continue
        by_repetition = {slot.repetition: slot for slot in scene.run(scene.baseline).slots}
        pairs = [
            (slot.quantile(0.99) or 0.0, by_repetition[slot.repetition].quantile(0.99) or 0.0)
            for slot in scene.run(scene.placebo).slots
        ]
        again = paired.placebo(*zip(*pairs, strict=True))
        what = f"A/A: {scene.name}: p99"
        yield Result(what, "again", again, _PLACEBO_BAR, is_placebo=True)


def _result(measured: Experiment, claim: Claim) -> Result:
    scene = msgspec.structs.replace(measured.scene(claim.scene), baseline=claim.against)
    gate = parse_gate(claim.gate)
    estimate = _estimate(compare(scene), claim.arm, gate.name)
    return Result(f"{claim.scene}: {claim.arm}: {gate.name}", claim.against, estimate, gate.bound)


def _estimate(comparison: Comparison, arm: str, name: str) -> Estimate:
    row = next(row for row in comparison.rows if row.name == arm)
    if name in row.against:
        return row.against[name].estimate
    return paired.summarize([row.costs.get(name, float("nan"))])


if __name__ == "__main__":
    sys.exit(main())
