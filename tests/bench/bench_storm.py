# SPDX-License-Identifier: MIT
"""How a service and its clients come through an outage of 5 s: ours, tenacity, stamina, no retry.

The server can do 100 requests a second: two slots of 20 ms behind one FIFO queue. Twenty clients
with budgets of their own begin 75 calls a second, at moments of a Poisson process, whatever
becomes of them (open loop). An attempt is given up after a second; the server serves it all the
same, unless ``--withdraw`` is given. In the outage every other request is refused at once, and
the others are never answered. All arms have the same moments, time-out, server and, but for
stamina with its own ten, the same three attempts; `storm.arms` says what they are told.

Goodput of 2 s is the number of calls that got their result in them over the number of calls
begun in them. Time to 95 % goodput goes from the end of the outage to the end of the first 2 s
in which it is 0.95, and stays so for the 3 s after; it is 2 s at least. Where it does not come
while the clients are watched, it counts as if it did just then, so that a ratio to it is at most
what is shown. Amplification is the number of attempts over the number of calls begun: before the
outage, and from its beginning until the end of the run. While the service is out, the table has
it alone, without a bar: that is where the budget is spent.

In a repetition all arms run side by side, each with a server and clients of its own; ours runs
twice. The run says nothing when calls or answers were late.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Final

import paired
from paired import Result
from storm.arms import ARMS, OURS
from storm.scene import Aftermath, Times, run

RECOVERY_BARS: Final = {
    "tenacity exponential": 0.3,
    "tenacity random exponential": 1.0,
    "stamina": 1.0,
    "no retry": 1.25,
    "ours, brake off": 1.25,
}
"""The first is what we promise. *Chosen* for the others: never worse than a library without a
budget, and no later than half a second after those who begin with the shortest time there is."""
AMPLIFICATION_BAR: Final = 1.1
_PLACEBO_BAR: Final = 1.25
_LATE_BAR_SECONDS: Final = 0.050
"""*Chosen*: a twentieth of the time-out."""
_QUICK: Final = Times(calm=3.0, outage=5.0, after=15.0)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=12, help="of about 46 seconds each")
    parser.add_argument("--quick", action="store_true", help="three rounds, and shorter ones")
    parser.add_argument("--withdraw", action="store_true", help="take back what is given up")
    arguments = parser.parse_args(argv)
    paired.end_by_exception()
    times, count = (_QUICK, 3) if arguments.quick else (Times(), arguments.rounds)
    arms = list(ARMS)
    rounds = [run(arms, times, seed, withdraws=arguments.withdraw) for seed in range(count)]
    _print(rounds)
    return paired.conclude("storm", _results(rounds))


def _print(rounds: Sequence[dict[str, Aftermath]]) -> None:
    print(f"\n{f'medians of {len(rounds)}':28}", end="")
    print("to 95 %   attempts for each call:  before  in outage  since   lost  at the end  late ms")
    for arm in ARMS:
        recovery, calm, outage, since, lost, last, late = (
            statistics.median(getattr(each[arm], field.name) for each in rounds)
            for field in fields(Aftermath)
        )
        print(
            f"{arm:28}{recovery:5.1f} s {calm:31.3f} {outage:10.3f} {since:6.3f}  {lost:5.1%}"
            f"  {last:9.1%}  {late * 1e3:7.1f}"
        )


def _results(rounds: Sequence[dict[str, Aftermath]]) -> list[Result]:
    def values(field: str, arm: str = OURS) -> list[float]:
        return [getattr(each[arm], field) for each in rounds]

    recovery = values("recovery_seconds")
    again = paired.placebo(values("recovery_seconds", "ours again"), recovery)
    latest = [max(aftermath.late_seconds for aftermath in each.values()) for each in rounds]
    late = paired.within(latest, _LATE_BAR_SECONDS)
    rows = [
        Result("A/A: time to 95 % goodput", "again", again, _PLACEBO_BAR, is_placebo=True),
        Result("A/A: p99 of lateness, worst arm", "50 ms", late, 1.0, is_placebo=True),
    ]
    for arm, bar in RECOVERY_BARS.items():
        estimate = paired.compare(recovery, values("recovery_seconds", arm))
        rows.append(Result("time to 95 % goodput, ours", arm, estimate, bar))
    for field, when in (("calm_attempts", "before the outage"), ("attempts", "since the outage")):
        estimate = paired.summarize(values(field))
        rows.append(Result(f"attempts, ours, {when}", "calls", estimate, AMPLIFICATION_BAR))
    return rows


if __name__ == "__main__":
    sys.exit(main())
