# SPDX-License-Identifier: MIT
"""Two network namespaces of our own, and a slow link between them; gone at the end."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from resonance.bench.errors import ExperimentError
from resonance.bench.reference.programs import program

__all__ = ["FAR", "NEAR", "SOURCE", "Link", "Namespaces", "Passed", "enter", "link", "namespaces"]

SOURCE: Final = Path(__file__).with_name("path.c")
NEAR: Final = "10.77.0.1"
"""The end with the bottleneck: what it sends waits there."""
FAR: Final = "10.77.0.2"
_DEFAULT: Final = "reno"
"""Neither of those that are compared: an arm whose knob did nothing would be neither."""
_PATIENCE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Link:
    """How a link is.

    Attributes
    ----------
    rate_bits_per_second : float
        Of the bottleneck; from the far end to the near one there is none.
    delay_seconds : float
        Each way.
    buffer_bytes : int
        Of the bottleneck; what finds no room is dropped.
    loss_ratio : float
        Of the packets behind it, by chance.
    """

    rate_bits_per_second: float
    delay_seconds: float
    buffer_bytes: int
    loss_ratio: float = 0.0


@dataclass(frozen=True, slots=True)
class Namespaces:
    """The names of two namespaces, below ``/run/netns``."""

    near: str
    far: str


@dataclass(slots=True)
class Passed:
    """What the bottleneck saw; known when the link has ended.

    Attributes
    ----------
    packets, dropped, lost : int
        That came; for which the buffer had no room; and that were lost behind it.
    """

    packets: int = 0
    dropped: int = 0
    lost: int = 0

    @property
    def dropped_ratio(self) -> float:
        """The share that the buffer had no room for."""
        return self.dropped / max(1, self.packets)


@contextmanager
def namespaces() -> Generator[Namespaces]:
    """Make two namespaces; remove them at the end, and see that they are gone.

    Yields
    ------
    Namespaces

    Raises
    ------
    ExperimentError
        They cannot be made, or are still there.
    """
    names = [f"resonance-bench-{os.getpid()}-{which}" for which in ("near", "far")]
    with ExitStack() as stack:
        for name in names:
            _ip("netns", "add", name)
            stack.callback(_remove, name)
            _run(*enter(name), "ip", "link", "set", "lo", "up")
            for key, value in (("tcp_congestion_control", _DEFAULT), ("tcp_no_metrics_save", "1")):
                write = f"echo {value} > /proc/sys/net/ipv4/{key}"
                _run(*enter(name), "sh", "-c", write)
        yield Namespaces(*names)


def enter(name: str) -> list[str]:
    """Return what runs a command in a namespace; all but the network is as here.

    Parameters
    ----------
    name : str
        Below ``/run/netns``.

    Returns
    -------
    list of str
        What the command's own words follow.
    """
    # Not `ip netns exec`: it mounts a /sys of its own, in which there are no cgroups.
    return ["nsenter", f"--net=/run/netns/{name}"]


@contextmanager
def link(where: Namespaces, how: Link, seed: int | None = None) -> Generator[Passed]:
    """Connect the namespaces for a while: `NEAR` and `FAR` are the addresses of its ends.

    Parameters
    ----------
    where : Namespaces
    how : Link
    seed : int, optional
        Of the losses.

    Yields
    ------
    Passed
        Filled at the end.

    Raises
    ------
    ExperimentError
        It cannot be made, or ended by itself.
    """
    numbers = [how.rate_bits_per_second, how.buffer_bytes, how.delay_seconds, how.loss_ratio]
    command = [program(SOURCE), where.near, where.far, *map(str, numbers)]
    command += [] if seed is None else [str(seed)]
    passed = Passed()
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise ExperimentError("making a link", _reason(process))
        for name, own, peer in ((where.near, NEAR, FAR), (where.far, FAR, NEAR)):
            _run(*enter(name), "ip", "address", "add", own, "peer", peer, "dev", "path")
            _run(*enter(name), "ip", "link", "set", "path", "up")
        yield passed
        said, _ = process.communicate(timeout=_PATIENCE_SECONDS)
        if process.returncode:
            raise ExperimentError("running a link", _reason(process))
        passed.packets, passed.dropped, passed.lost = map(int, said.split())
    finally:
        process.kill()
        process.communicate()


def _reason(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    said = "" if process.stderr.closed else process.stderr.read().strip()
    return f"{said or 'it ended by itself'}; it takes root, and the module tun"


def _remove(name: str) -> None:
    _ip("netns", "delete", name)
    if Path("/run/netns", name).exists():
        raise ExperimentError("removing a namespace", f"{name} is still there: ip netns delete it")


def _ip(*words: str) -> None:
    if shutil.which("ip") is None or shutil.which("nsenter") is None:
        needs = "apt-get install iproute2 util-linux"
        raise ExperimentError("making namespaces", f"ip or nsenter is not installed: {needs}")
    _run("ip", *words)


def _run(*command: str) -> None:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=_PATIENCE_SECONDS
    )
    if done.returncode:
        raise ExperimentError(_words(command), done.stderr.strip() or "failed; it takes root")


def _words(command: Sequence[str]) -> str:
    return " ".join(command[-6:])
