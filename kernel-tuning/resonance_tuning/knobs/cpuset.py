# SPDX-License-Identifier: MIT
"""Which CPUs may a group run on? ``cpuset.cpus``, in v1 together with ``cpuset.mems``."""

from __future__ import annotations

import errno
import os
import re
import shlex
from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import ClassVar, Final

from resonance_tuning.errors import KnobRefusedError
from resonance_tuning.host import format_cpus, parse_cpus
from resonance_tuning.knob import CgroupFileKnob
from resonance_tuning.records import State, Target
from resonance_tuning.surfaces import cpu_lists

__all__ = ["Cpuset"]

_MEMS: Final = "cpuset.mems"
_RELEASE: Final = re.compile(r"\d+")
_HINTS: Final = {
    errno.EACCES: "it must stay within the CPUs of the group above",
    errno.EBUSY: "a group below it has other CPUs, or deadline tasks need them",
    errno.EINVAL: "a CPU is offline, or belongs to an exclusive sibling",
    errno.ENOSPC: "it has tasks by now, and a group with tasks cannot be without CPUs",
}


class Cpuset(CgroupFileKnob):
    """The CPUs of a group.

    v2 keeps what was asked for and computes what is effective; an empty list inherits, and one
    that cannot be emptied any more is given every CPU, which is the same in effect. v1 has
    no inheritance: a child must stay within its parent, and a new one is without CPUs and
    without memory nodes, and takes no task until it has both. Where the nodes are missing they
    are the parent's, written first, and cleared again by the undo.
    """

    name: ClassVar[str] = "cpuset"
    summary: ClassVar[str] = (
        "The CPUs the group may run on: keeps it off the others, and keeps nobody off its own."
    )
    rung: ClassVar[int] = 3
    controller: ClassVar[str] = "cpuset"
    v1_file: ClassVar[str] = "cpuset.cpus"
    v2_file: ClassVar[str] = "cpuset.cpus"

    def targets(self, matched: Iterable[Target]) -> list[Target]:
        """Return the groups; in v1 with those below them that have CPUs, deepest first.

        v1 does not narrow a group below whose children are wider.
        """
        found = super().targets(matched)
        if self.version() != 1:
            return found
        family = {member for target in found for member in self._family(target)}
        return sorted(family, key=lambda member: (-member.name.count("/"), member.name))

    def unavailable(self, target: Target) -> str:
        """Return why the CPUs of this group cannot be chosen."""
        if reason := super().unavailable(target):
            return reason
        if not target.name.strip("/"):
            return "the root group has every CPU"
        if len(self.host.online_cpus()) < 2:
            return "there is one CPU online; nothing can be kept apart"
        if self.version() == 1:
            for name in (self.v1_file, _MEMS):
                if not self.read_file(target, f"../{name}"):
                    return f"the group above {target.name} has no {name} to give"
        return self._forgotten(target)

    def parse(self, value: object) -> str:
        """Return a cpulist as the kernel writes it."""
        try:
            cpus = parse_cpus(str(value) if type(value) in {int, str} else "?")
        except ValueError:
            raise ValueError(f"CPUs are a list as '0-2,5', not {value!r}") from None
        if not cpus:
            raise ValueError("a group needs at least one CPU")
        if absent := cpus - self.host.online_cpus():
            raise ValueError(f"CPUs {format_cpus(absent)} are not online")
        return format_cpus(cpus)

    def read(self, target: Target) -> State:
        """Return the CPUs asked for; where v1 lacks something, the memory nodes beside them."""
        state = super().read(target)
        if self.version() != 1:
            return state
        nodes = self.read_file(target, _MEMS)
        return state if state.value and nodes else State(state.value, {_MEMS: nodes})

    def canonical(self, target: Target, value: str) -> str:
        """Return the list as it will be read; v1 drops CPUs as they go offline."""
        cpus = parse_cpus(value)
        if not cpus and self.version() != 1:
            return cpu_lists.cleared(self.host, self.directory(target))
        return format_cpus(cpus & self.host.online_cpus() if self.version() == 1 else cpus)

    def write(self, target: Target, value: str) -> None:
        """Write the CPUs; first, in v1, the memory nodes if there are none."""
        if self.version() == 1 and not self.read_file(target, _MEMS):
            self._put(target, _MEMS, self._nodes_above(target))
        self._put(target, self.v1_file, value)

    def is_ours(self, target: Target, found: str, written: Collection[str]) -> bool:
        """Tell whether it is what was written, less the CPUs v1 dropped as they went offline."""
        return found in written or found in {self.canonical(target, text) for text in written}

    def restore(self, target: Target, prior: State) -> None:
        """Put the CPUs back, and clear memory nodes that `write` filled.

        v1 takes no offline CPU: it had dropped those by itself, and so does this.
        """
        if self.version() != 1 and not prior.value:
            self._clear(target)
            return
        value = self.canonical(target, prior.value)
        if prior.value and not value:
            raise KnobRefusedError(
                self.name, str(target), prior.value, errno.EINVAL, "all of them are offline"
            )
        if super().read(target).value != value:
            self._put(target, self.v1_file, value)
        had_none = prior.coupled.get(_MEMS) == ""
        if had_none and self.read_file(target, _MEMS) == self._nodes_above(target):
            self._put(target, _MEMS, "")

    def contradiction(self, target: Target, value: str) -> str:
        """Return which CPUs are effective instead, or which task may leave them."""
        cpus = parse_cpus(value) & self.host.online_cpus()
        effective = self._effective(target)
        if effective != cpus:
            return f"asked for CPUs {value}, effective are {format_cpus(effective) or 'none'}"
        for thread, allowed in self._affinities(target):
            if not allowed <= cpus:
                return f"thread {thread} may still run on CPUs {format_cpus(allowed - cpus)}"
        return ""

    def commands(self, target: Target, prior: State) -> tuple[str, ...]:
        """Return the echoes; an empty one clears, and where it is refused every CPU is as good."""
        if self.version() != 1 and not prior.value:
            path = shlex.quote(str(self.path(target)))
            return (f"echo > {path} || cat /sys/devices/system/cpu/possible > {path}",)
        first = super().commands(target, prior)
        if prior.coupled.get(_MEMS) != "":
            return first
        return (*first, f"echo > {shlex.quote(str(self.directory(target) / _MEMS))}")

    def _family(self, target: Target) -> Iterator[Target]:
        yield target
        top = self.directory(target)
        for path in top.glob("**/cpuset.cpus"):
            below = path.parent.relative_to(top)
            with suppress(FileNotFoundError):
                if path.parent != top and self.host.read(path):
                    yield Target("cgroup", f"{target.name.rstrip('/')}/{below}")

    def _forgotten(self, target: Target) -> str:
        """Return whose own affinity the kernel would forget: before 6.2 it keeps one mask."""
        release = self.host.read(self.host.path("/proc/sys/kernel/osrelease"))
        major, minor = map(int, _RELEASE.findall(release)[:2])
        if (major, minor) >= (6, 2):
            return ""
        effective = self._effective(target)
        for thread, allowed in self._affinities(target):
            if allowed != effective:
                return (
                    f"thread {thread} has an affinity of its own, CPUs {format_cpus(allowed)}, "
                    f"which kernel {release} would forget"
                )
        return ""

    def _effective(self, target: Target) -> frozenset[int]:
        name = "cpuset.effective_cpus" if self.version() == 1 else "cpuset.cpus.effective"
        return parse_cpus(self.read_file(target, name))

    def _affinities(self, target: Target) -> Iterator[tuple[int, frozenset[int]]]:
        """Yield the CPUs each thread of the group may run on."""
        name = "tasks" if self.version() == 1 else "cgroup.threads"
        for thread in map(int, self.read_file(target, name).split()):
            with suppress(ProcessLookupError):  # it has ended meanwhile
                if thread:  # 0 is one of another pid namespace, and would be ourselves
                    yield thread, frozenset(os.sched_getaffinity(thread))

    def _nodes_above(self, target: Target) -> str:
        return self.read_file(target, f"../{_MEMS}")

    def _put(self, target: Target, name: str, text: str) -> None:
        with self._told(target, text):
            self.write_file(target, name, text)

    def _clear(self, target: Target) -> None:
        with self._told(target, ""):
            cpu_lists.clear(self.host, self.directory(target))

    @contextmanager
    def _told(self, target: Target, text: str) -> Generator[None]:
        """Say what the kernel means by its refusals."""
        try:
            yield
        except OSError as error:
            number = error.errno or 0
            if number not in _HINTS:
                raise
            raise KnobRefusedError(self.name, str(target), text, number, _HINTS[number]) from error
