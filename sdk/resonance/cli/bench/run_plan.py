# SPDX-License-Identifier: MIT
"""What do the arguments of ``resonance bench run`` ask for: which arms, how often, judged how?"""

from __future__ import annotations

import argparse
import os
import random
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from resonance.bench.errors import PlanError
from resonance.bench.load import parse_target
from resonance.bench.plan import Load, Request, Stage, Target
from resonance.bench.records import Rule
from resonance.bench.scenarios import Scenario, Threshold, load_scenario, parse_threshold

__all__ = ["Arm", "Plan", "plan_of"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What is safe as a file, as a tag of a log, and in a table."""
_OF_SCENARIO: Final = {
    "rate": "--rate",
    "duration": "--duration",
    "method": "--method",
    "header": "--header",
    "data": "--data",
}
"""What only the file says where there is one."""
_OPTIONS: Final = {
    "seconds": "--duration",
    "rate": "--rate",
    "warm_up": "--warm-up",
    "timeout": "--timeout",
    "connections": "--connections",
    "processes": "--processes",
    "frame_bytes": "--frame-bytes",
    "target": "TARGET",
}
_DURATION_SECONDS: Final = 30.0
_SEED_BITS: Final = 48


@dataclass(frozen=True, slots=True)
class Arm:
    """One target, and what is sent to it; `name` is safe as a file's."""

    name: str
    load: Load

    def load_of(self, repetition: int) -> Load:
        """Return what is sent in one repetition: the same for every arm, new in each."""
        if repetition == 0:
            return self.load
        draw = random.Random(f"{self.load.seed} {repetition}")  # noqa: S311 - not for secrets
        return replace(self.load, seed=draw.getrandbits(_SEED_BITS))


@dataclass(frozen=True, slots=True)
class Plan:
    """Arms that are measured in turn, and what they must keep to."""

    arms: tuple[Arm, ...]
    repetitions: int
    thresholds: tuple[Threshold, ...]
    rule: Rule

    def order(self, repetition: int) -> list[Arm]:
        """Return the arms as they follow each other in a repetition: drawn by the seed."""
        arms = list(self.arms)
        seed = self.arms[0].load.seed
        random.Random(f"order {seed} {repetition}").shuffle(arms)  # noqa: S311 - not for secrets
        return arms

    @property
    def seconds(self) -> float:
        """How long all of it takes, but for connecting and counting."""
        return self.repetitions * sum(arm.load.seconds for arm in self.arms)


def plan_of(arguments: argparse.Namespace) -> Plan:
    """Return what was asked for.

    Raises
    ------
    PlanError
        It cannot be measured; the key is the option, or the file and the path in it.
    """
    text: str = arguments.target
    is_file = "://" not in text and (text.endswith(".toml") or os.path.exists(text))
    scenario = _read(arguments, text) if is_file else _made(arguments, text)
    return Plan(
        arms=_arms(arguments, scenario.load),
        repetitions=scenario.repetitions,
        thresholds=tuple(
            parse_threshold(each) for each in (*scenario.thresholds, *arguments.threshold)
        ),
        rule=scenario.rule,
    )


def _read(arguments: argparse.Namespace, path: str) -> Scenario:
    for name, option in _OF_SCENARIO.items():
        if getattr(arguments, name) not in (None, []):
            raise PlanError(option, f"is what {path} says; change it there")
    scenario = load_scenario(path)
    load = scenario.load
    changes = {
        name: value
        for name, value in (
            ("arrival", arguments.arrival),
            ("warm_up_seconds", arguments.warm_up),
            ("timeout_seconds", arguments.timeout),
            ("connections", arguments.connections),
            ("processes", arguments.processes),
            ("frame_bytes", arguments.frame_bytes),
            ("seed", arguments.seed),
        )
        if value is not None
    }
    target = replace(
        load.target,
        verify=load.target.verify and not arguments.insecure,
        certificate_authorities=arguments.ca or load.target.certificate_authorities,
    )
    try:
        load = replace(load, target=target, **changes)
    except PlanError as error:
        raise _by_option(error) from None
    repetitions = arguments.repetitions or scenario.repetitions
    return replace(scenario, load=load, repetitions=repetitions)


def _made(arguments: argparse.Namespace, text: str) -> Scenario:
    """Return the scenario that the options describe."""
    if arguments.rate is None:
        raise PlanError("--rate", "how many calls per second? such as --rate 2000")
    body: bytes = arguments.data or b""
    given = {
        "arrival": arguments.arrival,
        "warm_up_seconds": arguments.warm_up,
        "timeout_seconds": arguments.timeout,
        "connections": arguments.connections,
        "processes": arguments.processes,
        "frame_bytes": arguments.frame_bytes,
        "seed": arguments.seed,
    }
    seconds = _DURATION_SECONDS if arguments.duration is None else arguments.duration
    try:
        load = Load(
            target=_target(arguments, text),
            stages=(Stage(seconds, arguments.rate),),
            requests=(
                Request(
                    method=arguments.method or ("POST" if body else "GET"),
                    headers=tuple(arguments.header),
                    body=body,
                ),
            ),
            **{name: value for name, value in given.items() if value is not None},
        )
    except PlanError as error:
        raise _by_option(error) from None
    return Scenario(load, repetitions=arguments.repetitions or 1)


def _by_option(error: PlanError) -> PlanError:
    return PlanError(_OPTIONS.get(error.key, error.key), error.reason)


def _target(arguments: argparse.Namespace, text: str) -> Target:
    return parse_target(text, verify=not arguments.insecure, certificate_authorities=arguments.ca)


def _arms(arguments: argparse.Namespace, load: Load) -> tuple[Arm, ...]:
    arms = [Arm(arguments.name or _default_name(arguments), load)]
    if arguments.placebo:
        arms.append(Arm("placebo", load))
    for name, text in arguments.versus:
        try:
            arms.append(Arm(name, replace(load, target=_target(arguments, text))))
        except PlanError as error:
            raise PlanError("--versus", error.reason) from None
    names = [arm.name for arm in arms]
    for number, name in enumerate(names):
        if not _NAME.fullmatch(name):
            raise PlanError(
                "--versus" if number else "--name",
                f"{name!r} is no name of an arm: letters, digits, . _ -, at most 64",
            )
        if name in names[:number]:
            raise PlanError("--versus", f"{name!r} is already the name of an arm")
    return tuple(arms)


def _default_name(arguments: argparse.Namespace) -> str:
    """Return what the file will be called, so that two of them differ; or what is compared with."""
    output: str = arguments.output or ""
    is_directory = output.endswith("/") or os.path.isdir(output)
    if not (is_directory or arguments.versus or arguments.placebo):
        stem = Path(output).stem
        if _NAME.fullmatch(stem):
            return stem
    return "baseline"
