# SPDX-License-Identifier: MIT
"""A slow path between two network namespaces of a test's own; asserts nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from resonance.bench.reference.network.links import SOURCE
from resonance.bench.reference.programs import program

RATE_BITS_PER_SECOND = 20_000_000
SENDER, RECEIVER = "10.77.0.1", "10.77.0.2"
WAKEUP = Path(__file__).parents[2] / "bench" / "tuning" / "wakeup.c"
TRAFFIC = Path(__file__).with_name("path_traffic.py")


@contextmanager
def path(
    *, buffer_bytes: int, delay_seconds: float, window_bytes: int
) -> Iterator[tuple[str, str]]:
    """Connect two namespaces; give their names, the sender's first.

    The default there is Reno, whatever the kernel's is, and no connection has more than a
    window under way.
    """
    names = [f"resonance-test-{os.getpid()}-{end}" for end in "ab"]
    with ExitStack() as stack:
        for name in names:
            run("ip", "netns", "add", name)
            stack.callback(run, "ip", "netns", "delete", name)
            enter(name, "ip", "link", "set", "lo", "up")
            enter(name, "sysctl", "-qw", *sysctls(window_bytes))
        numbers = map(str, (RATE_BITS_PER_SECOND, buffer_bytes, delay_seconds, 0))
        process = stack.enter_context(
            subprocess.Popen(
                [program(SOURCE), *names, *numbers],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        stack.callback(process.kill)
        said_ready(process)
        for name, own, peer in zip(names, (SENDER, RECEIVER), (RECEIVER, SENDER), strict=True):
            enter(name, "ip", "address", "add", own, "peer", peer, "dev", "path")
            enter(name, "ip", "link", "set", "path", "up")
        yield names[0], names[1]


def sysctls(window_bytes: int) -> list[str]:
    return [
        "net.ipv4.tcp_congestion_control=reno",
        "net.ipv4.tcp_no_metrics_save=1",
        f"net.ipv4.tcp_rmem=4096 131072 {window_bytes}",
    ]


@contextmanager
def traffic(
    namespace: str, *arguments: str, inside: tuple[Path, ...] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """Run an end, in cgroups."""
    # Not `ip netns exec`: it mounts a /sys of its own, in which there are no cgroups.
    entered = "".join(f"echo $$ > {directory}/cgroup.procs && " for directory in inside)
    end = f"exec nsenter --net=/run/netns/{namespace} {sys.executable} {TRAFFIC} "
    process = subprocess.Popen(
        ["sh", "-c", entered + end + " ".join(arguments)], stdout=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def said_ready(process: subprocess.Popen[bytes]) -> None:
    """Wait until a program says that it is."""
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"


def run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=10)


def enter(name: str, *command: str) -> None:
    run("ip", "netns", "exec", name, *command)
