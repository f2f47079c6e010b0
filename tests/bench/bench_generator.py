# SPDX-License-Identifier: MIT
"""How far are the latencies of our generator from those of one in C, and how much can it send?

Both send the same frames at the same drawn moments to the same server, which does next to nothing
and is in a real-time class, so that what differs is the generator's. A round has C, C again and
ours in an order drawn anew; what is reported is how far the p99 of ours is from that of C, in
either direction. Then a rate is held for ten seconds in one process, and HTTP/1.1 to nginx where
that is installed. Needs root, or CAP_SYS_NICE.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import paired
from paired import Estimate, Result
from resonance.bench.load import measure, parse_target
from resonance.bench.load.schedules import draw_moments
from resonance.bench.plan import Load, Stage
from resonance.bench.records import Rule, Slot
from resonance.bench.reference import processes
from resonance.bench.reference.programs import HERE, program

RATES: Final = {8_000: 0.05, 15_000: 0.05}
"""Calls per second, and how far the p99 may be from that of C; the second is the moonshot."""
SUSTAINED_RATE: Final = 20_000
SUSTAINED_SECONDS: Final = 10.0
HTTP_RATE: Final = 8_000
_ACHIEVED_BAR: Final = 0.99
_CPU_BAR: Final = 0.95
"""Of one CPU: what a real-time class is left, sched(7)."""
_PLACEBO_BAR: Final = 1.05
"""What cannot tell C from itself to 5 % cannot tell ours from it."""
_SECONDS: Final = 2.5
_CONNECTIONS: Final = 32
_SERVER_PRIORITY: Final = 5
_GENERATOR: Final = Path(__file__).with_name("generator.c")
_NGINX: Final = """
daemon off; master_process off; pid {0}/pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path {0}; proxy_temp_path {0}; fastcgi_temp_path {0};
  uwsgi_temp_path {0}; scgi_temp_path {0};
  server {{ listen unix:{0}/s; location / {{ return 200 "ok"; }} }}
}}
"""


@dataclass(frozen=True, slots=True)
class Value:
    """What one run had: seconds at p50, p99 of response, p99 of lateness, and CPUs used."""

    p50: float
    p99: float
    lateness: float
    cpus: float


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=31, help="of about nine seconds each")
    parser.add_argument("--quick", action="store_true", help="five rounds")
    parser.add_argument("--only", choices=MEASURES, action="append", help="leave out the others")
    arguments = parser.parse_args(argv)
    paired.end_by_exception()
    rounds = 5 if arguments.quick else arguments.rounds
    results = [row for name in arguments.only or MEASURES for row in MEASURES[name](rounds)]
    return paired.conclude("generator", results)


def _beside_c(rate: int, rounds: int) -> list[Result]:
    """Return how far ours is from C at a rate."""
    with _server() as port:
        seeds = {name: iter(range(rounds)) for name in ("C", "C again", "ours")}
        values = paired.interleave(
            {
                "C": lambda: _c(port, rate, next(seeds["C"])),
                "C again": lambda: _c(port, rate, next(seeds["C again"])),
                "ours": lambda: _ours(port, rate, next(seeds["ours"])),
            },
            rounds,
        )
    print(f"\n{f'{rate:,} per second':16}  p50 us  p99 us  late p99   CPUs")
    for name, each in values.items():
        p50, p99, late = (
            statistics.median(getattr(value, what) for value in each) * 1e6
            for what in ("p50", "p99", "lateness")
        )
        cpus = statistics.median(value.cpus for value in each)
        print(f"{name:16}  {p50:6.0f}  {p99:6.0f}  {late:8.0f}  {cpus:5.2f}")
    p99 = {name: [value.p99 for value in each] for name, each in values.items()}
    again = paired.placebo(p99["C"], p99["C again"])
    far = paired.placebo(p99["ours"], p99["C"])
    cpu = paired.compare(
        [value.cpus for value in values["ours"]], [value.cpus for value in values["C"]]
    )
    at = f"{rate:,} per second"
    return [
        Result(f"A/A: {at}: p99 of C", "again", again, _PLACEBO_BAR, is_placebo=True),
        Result(f"{at}: |p99 - 1|", "C", _less_one(far), RATES[rate]),
        Result(f"{at}: CPU", "C", cpu, 1.25),
    ]


def _sustained(rounds: int) -> list[Result]:
    """Return how much of the highest rate one process sends."""
    with _server() as port:
        slots = [
            _slot(f"tcp://127.0.0.1:{port}", SUSTAINED_RATE, SUSTAINED_SECONDS, seed)
            for seed in range(max(1, rounds // 5))
        ]
    return _rows(f"frames, {SUSTAINED_RATE:,} per second", slots)


def _http(rounds: int) -> list[Result]:
    """Return how much of a rate of HTTP/1.1 one process sends to nginx."""
    if shutil.which("nginx") is None:
        print("\nnginx is not installed: no rows of HTTP/1.1")
        return []
    with _nginx() as target:
        slots = [_slot(target, HTTP_RATE, _SECONDS, seed) for seed in range(max(1, rounds // 3))]
    return _rows(f"HTTP/1.1, {HTTP_RATE:,} per second", slots)


def _rows(what: str, slots: Sequence[Slot]) -> list[Result]:
    achieved = paired.summarize([slot.answered / slot.planned for slot in slots])
    cpus = paired.summarize([slot.generator.cpu_cores for slot in slots])
    return [
        Result(f"{what}: answered", "due", achieved, _ACHIEVED_BAR, is_floor=True),
        Result(f"{what}: CPU of one process", "a CPU", cpus, _CPU_BAR),
    ]


def _c(port: int, rate: int, seed: int) -> Value:
    moments = draw_moments((Stage(_SECONDS, rate),), "poisson", seed)
    done = subprocess.run(
        [program(_GENERATOR), str(port), str(_CONNECTIONS)],
        input=moments.tobytes(),
        stdout=subprocess.PIPE,
        check=True,
    )
    words = (line.split() for line in done.stdout.decode().splitlines())
    said = {name: [int(number) for number in numbers] for name, *numbers in words}
    if said["answered"] != said["planned"]:
        raise SystemExit(f"C had {said['answered'][0]} answers to {said['planned'][0]} calls")
    p50, _, p99, _, _ = (value / 1e9 for value in said["response"])
    return Value(p50, p99, said["lateness"][2] / 1e9, said["cpu_ns"][0] / 1e9 / _SECONDS)


def _ours(port: int, rate: int, seed: int) -> Value:
    slot = _slot(f"tcp://127.0.0.1:{port}", rate, _SECONDS, seed)
    p50, p99, late = slot.quantile(0.5), slot.quantile(0.99), slot.histogram("lateness")
    lateness = late.quantile(0.99)
    if slot.answered != slot.planned or p50 is None or p99 is None or lateness is None:
        raise SystemExit(f"ours had {slot.answered} answers to {slot.planned} calls: {slot.failed}")
    return Value(p50, p99, lateness, slot.generator.cpu_cores)


def _slot(target: str, rate: int, seconds: float, seed: int) -> Slot:
    load = Load(parse_target(target), (Stage(seconds, rate),), connections=_CONNECTIONS, seed=seed)
    measured = measure(load, rule=Rule())
    if not measured.slot.generator.is_realtime:
        raise SystemExit("no real-time class is permitted here: run it as root")
    return measured.slot


def _less_one(estimate: Estimate) -> Estimate:
    return Estimate(estimate.ratio - 1.0, estimate.low - 1.0, estimate.high - 1.0)


@contextmanager
def _server() -> Iterator[int]:
    """Run what answers each frame at once; give its port."""
    with processes.server(program(HERE / "replica.c"), -1, 1) as server:
        os.sched_setscheduler(server.pids[0], os.SCHED_FIFO, os.sched_param(_SERVER_PRIORITY))
        yield server.port


@contextmanager
def _nginx() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="resonance-nginx-") as name:
        configuration = Path(name) / "nginx.conf"
        configuration.write_text(_NGINX.format(name))
        command = ["nginx", "-p", name, "-c", configuration]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
            try:
                until = time.monotonic() + 5.0
                while not (Path(name) / "s").exists() and time.monotonic() < until:
                    time.sleep(0.01)
                yield f"http+unix:{name}/s:/"
            finally:
                server.terminate()


MEASURES: Final[dict[str, Callable[[int], list[Result]]]] = {
    **{f"c-{rate}": partial(_beside_c, rate) for rate in RATES},
    "sustained": _sustained,
    "http": _http,
}
"""What is measured, by name; each takes the rounds and returns its rows."""
if importlib.util.find_spec("generators") and importlib.util.find_spec("generators.wrk2"):
    MEASURES["wrk2"] = importlib.import_module("generators.wrk2").measure


if __name__ == "__main__":
    sys.exit(main())
