# SPDX-License-Identifier: MIT
"""A process that does what a test orders, one order at a time, and sleeps in between.

Orders and answers are lines of JSON on its standard input and output. It imports nothing but
the standard library and has one thread, so that its only waits are those a test planned.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

CLONE_NEWNET = 0x4000_0000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x4004_54CA, 0x0001, 0x1000
TCP_INFO_RTT_OFFSET = 68
"""Of ``tcpi_rtt`` in ``struct tcp_info``, include/uapi/linux/tcp.h."""
HERE, THERE = "198.18.0.1", "198.18.0.2"
"""Benchmark addresses (RFC 2544): ours, and the one behind the delayed link."""

_libc = ctypes.CDLL(None, use_errno=True)
_listener: socket.socket


def ping() -> None:
    """Wake up, and sleep again."""


def spin(seconds: float) -> None:
    """Keep a CPU busy for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def churn(seconds: float, seed: int) -> None:
    """Work and sleep in turns of random length, as a server does."""
    dice = random.Random(seed)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        spin(dice.uniform(0.001, 0.008))
        time.sleep(dice.uniform(0.0, 0.001))


def burn_by_count(rounds: int) -> None:
    """Sleep for a moment so many times, with a little work in between."""
    for _ in range(rounds):
        spin(0.0001)
        time.sleep(0.0005)


def wait_for_bytes(descriptor: int, count: int) -> None:
    """Sleep until the next byte comes, so many times."""
    for _ in range(count):
        os.read(descriptor, 1)


def wake_and_spin(descriptor: int, count: int, slice_seconds: float, rest_seconds: float) -> None:
    """Wake the reader of a pipe, keep the CPU from it for a slice, then let it have it."""
    for _ in range(count):
        end = time.monotonic() + slice_seconds
        os.write(descriptor, b"!")
        while time.monotonic() < end:
            pass
        time.sleep(rest_seconds)


def pulse(hz: float, seconds: float) -> None:
    """Take the CPU for 0.4 ms of each millisecond, in every first half of a period."""
    start = time.monotonic()
    for step in range(round(seconds * 1_000)):
        at = step / 1_000
        wait = start + at - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        if at * hz % 1.0 < 0.5:
            end = start + at + 0.0004
            while time.monotonic() < end:
                pass


def tick(seconds: float) -> None:
    """Wake up a few thousand times a second to do nothing."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.0002)


def shake(pids: list[int], seconds: float) -> int:
    """Push tasks from CPU to CPU; return how many were provably moved while they waited.

    A task's run delay grows when its wait ends, and when it leaves a queue for another. If it
    has grown and the task has not run, the task was moved in the middle of a wait.
    """
    cpus = sorted(os.sched_getaffinity(0))
    moved = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for pid in pids:
            for cpu in cpus:
                _, delay_before, runs_before = _schedstat(pid)
                os.sched_setaffinity(pid, {cpu})
                _, delay_after, runs_after = _schedstat(pid)
                moved += delay_after > delay_before and runs_after == runs_before
        time.sleep(0.005)
    for pid in pids:
        os.sched_setaffinity(pid, cpus)
    return moved


def _schedstat(pid: int) -> tuple[int, ...]:
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return tuple(map(int, file.read().split()))


def pass_through_cgroups(mount: str, prefix: str, count: int) -> None:
    """Live for a moment in each of so many cgroups, one after the other, and remove them."""
    for number in range(count):
        directory = f"{mount}/{prefix}-{number}"
        os.mkdir(directory)
        _join(directory)
        time.sleep(0.0002)
        time.sleep(0.0002)
        _join(mount)
        os.rmdir(directory)


def _join(directory: str) -> None:
    with open(f"{directory}/cgroup.procs", "w", encoding="ascii") as file:
        file.write(str(os.getpid()))


def enter_new_network() -> None:
    """Enter a network namespace that has a loopback device and nothing else."""
    if _libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def enter_network_of(pid: int) -> None:
    """Enter the network namespace of another process."""
    descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    if _libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
    os.close(descriptor)


def delay_link(one_way_seconds: float, drop_every: int) -> None:
    """Make `THERE` a mirror of `HERE` at a distance; lose each n-th packet that holds data.

    Never returns. Each packet comes back with its addresses exchanged, which leaves its
    checksums as they are; so both ends of a connection live in one namespace.
    """
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"far", IFF_TUN | IFF_NO_PI))
    for command in (f"addr add {HERE}/30 dev far", "link set far up"):
        subprocess.run(["ip", *command.split()], check=True)
    _answer(None)
    on_the_way: list[tuple[float, int, bytes]] = []
    packets = data_packets = 0
    while True:
        left = on_the_way[0][0] - time.monotonic() if on_the_way else None
        if select.select([device], [], [], max(left, 0.0) if left is not None else None)[0]:
            packet = os.read(device, 65_536)
            packets += 1
            is_ipv4 = packet[0] >> 4 == 4
            is_data = is_ipv4 and packet[9] == socket.IPPROTO_TCP and _payload_bytes(packet) > 0
            data_packets += is_data
            is_lost = is_data and drop_every and data_packets % drop_every == 0
            if is_ipv4 and not is_lost:
                mirrored = packet[:12] + packet[16:20] + packet[12:16] + packet[20:]
                heapq.heappush(on_the_way, (time.monotonic() + one_way_seconds, packets, mirrored))
        while on_the_way and on_the_way[0][0] <= time.monotonic():
            os.write(device, heapq.heappop(on_the_way)[2])


def _payload_bytes(packet: bytes) -> int:
    header = (packet[0] & 15) * 4
    return len(packet) - header - (packet[header + 12] >> 4) * 4


def listen(host: str, port: int) -> None:
    """Listen at a port of the network namespace."""
    global _listener  # noqa: PLW0603
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    _listener = socket.create_server((host, port), family=family, backlog=512)


def stop_listening() -> None:
    """Close the listening socket."""
    _listener.close()


def accept_and_close(count: int) -> None:
    """Take so many connections and close each after the other side has."""
    for _ in range(count):
        connection, _ = _listener.accept()
        with connection:
            connection.recv(1)


def echo() -> None:
    """Take one connection and send back what comes, until the other side closes."""
    connection, _ = _listener.accept()
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while heard := connection.recv(4_096):
            connection.sendall(heard)


def connect(host: str, port: int, count: int) -> list[float]:
    """Connect so many times; return how long each took, in seconds."""
    took = []
    for _ in range(count):
        started = time.monotonic()
        with socket.create_connection((host, port)):
            took.append(time.monotonic() - started)
    return took


def converse(host: str, port: int, count: int) -> list[int]:
    """Send so many messages to an echo; return the kernel's round trip after each, in µs."""
    with socket.create_connection((host, port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        rtt_us = []
        for _ in range(count):
            connection.sendall(b"?" * 64)
            connection.recv(4_096)
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
            rtt_us.append(struct.unpack_from("=I", info, TCP_INFO_RTT_OFFSET)[0])
    return rtt_us


def send_unheard(host: str, port: int, count: int) -> None:
    """Send so many segments to a listener that never takes the connection."""
    with socket.create_connection((host, port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            connection.sendall(b"?")


def read_late(count: int, delay_seconds: float) -> list[int]:
    """Leave each of so many bytes unread for a while; return how long it lay there, in ns."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        receiver, _ = listener.accept()
    lay_ns = []
    with sender, receiver:
        sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            sender.sendall(b"!")
            sent_ns = time.monotonic_ns()
            time.sleep(delay_seconds)
            receiver.recv(1)
            lay_ns.append(time.monotonic_ns() - sent_ns)
    return lay_ns


def retransmitted_segments() -> int:
    """Return ``TcpRetransSegs`` of this network namespace."""
    with open("/proc/self/net/snmp", encoding="ascii") as file:
        names, values = (line.split() for line in file if line.startswith("Tcp:"))
    return int(values[names.index("RetransSegs")])


ORDERS: dict[str, Callable[..., Any]] = {
    order.__name__: order
    for order in (
        accept_and_close,
        burn_by_count,
        churn,
        connect,
        converse,
        delay_link,
        echo,
        enter_network_of,
        enter_new_network,
        listen,
        pass_through_cgroups,
        ping,
        pulse,
        read_late,
        retransmitted_segments,
        send_unheard,
        shake,
        spin,
        stop_listening,
        tick,
        wait_for_bytes,
        wake_and_spin,
    )
}


def _answer(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    for line in sys.stdin:
        name, arguments = json.loads(line)
        _answer(ORDERS[name](*arguments))
