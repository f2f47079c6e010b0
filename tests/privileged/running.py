# SPDX-License-Identifier: MIT
"""The service as an operator starts it, and what it leaves behind; asserts nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from prometheus_client.parser import text_string_to_metric_families

from resonance_bpf import pins, syscalls

COMMAND = str(Path(sys.executable).with_name("resonanced"))
READY_LINE = "  user "
PROGRAM_GET_FD_BY_ID, LINK_GET_FD_BY_ID = 13, 30


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Place:
    """Where services may leave traces, and which were started."""

    bpffs: Path
    runtime_directory: Path
    config: Path
    port: int
    services: list[Service] = field(default_factory=list)

    def write_config(self, **tables: dict[str, Any]) -> None:
        """Write the configuration file: where to run, and what a test wants besides."""
        ours = {
            "service": {"runtime_directory": str(self.runtime_directory)},
            "probes": {"bpffs_directory": str(self.bpffs)},
            "telemetry": {"port": self.port},
        }
        lines = []
        for table in ours.keys() | tables.keys():
            lines.append(f"[{table}]")
            for key, value in (ours.get(table, {}) | tables.get(table, {})).items():
                # What JSON makes of these values TOML reads as the same.
                lines.append(f"{key} = {json.dumps(value)}")
        self.config.write_text("\n".join(lines), encoding="utf-8")

    def command(self, verb: str, *flags: str) -> list[str]:
        """Return a command line that uses the configuration file."""
        return [COMMAND, verb, "--config", str(self.config), *flags]

    def run(self, verb: str, *flags: str) -> subprocess.CompletedProcess[str]:
        """Run a verb to its end."""
        command = self.command(verb, *flags)
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    def start(self, *flags: str) -> Service:
        """Start the service and wait until it says that it serves."""
        process = subprocess.Popen(
            self.command("run", *flags),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith(READY_LINE):
                self.services.append(Service(self, process, "".join(said)))
                return self.services[-1]
        _, errors = process.communicate()
        raise AssertionError(f"resonanced ended with {process.returncode}: {errors}")

    def generations(self) -> list[pins.Generation]:
        """Return what is pinned."""
        return pins.generations(self.bpffs)

    def clear(self) -> None:
        """Remove what a failed test left."""
        for service in self.services:
            if service.process.poll() is None:
                for process in (*service.keeper.children(), service.keeper):
                    process.kill()
                    process.wait()
            service.process.communicate()
        pins.rollback(self.bpffs)
        shutil.rmtree(self.runtime_directory, ignore_errors=True)

    def left_behind(self) -> list[str]:
        """Return the paths that should be gone when no service runs."""
        paths = [self.runtime_directory, self.bpffs / "resonance"]
        return [str(path) for path in paths if path.exists()]


@dataclass
class Service:
    """A running service."""

    place: Place
    process: subprocess.Popen[str]
    said: str
    errors: str = ""

    @property
    def keeper(self) -> psutil.Process:
        """The privileged parent."""
        return psutil.Process(self.process.pid)

    @property
    def daemon(self) -> psutil.Process:
        """The process that serves."""
        (daemon,) = set(self.keeper.children()) - set(self.actuators)
        return daemon

    @property
    def actuators(self) -> list[psutil.Process]:
        """The process that writes to the kernel, if there is one."""
        children = self.keeper.children()
        return [child for child in children if "resonance_tuning.actuator" in child.cmdline()]

    def kernel_objects(self) -> dict[str, int]:
        """Return the ids of its pinned programs and links, by pin."""
        (generation,) = self.place.generations()
        found = {}
        for pin in generation.path.iterdir():
            if pin.name.startswith(("prog_", "link_")):
                descriptor = syscalls.object_get(str(pin))
                info = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii")
                os.close(descriptor)
                fields = dict(line.split(":\t", 1) for line in info.splitlines())
                found[pin.name] = int(fields[f"{pin.name[:4]}_id"])
        return found

    def metrics(self) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        """Scrape: sample name, to labels, to value."""
        url = f"http://127.0.0.1:{self.place.port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
        samples: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = tuple(sorted(sample.labels.items()))
                samples.setdefault(sample.name, {})[labels] = sample.value
        return samples

    def metric(self, name: str, **labels: str) -> float:
        """Scrape one value."""
        return self.metrics()[name][tuple(sorted(labels.items()))]

    def slots(self) -> dict[str, str]:
        """Scrape who owns which slot: path to slot."""
        rows = [dict(labels) for labels in self.metrics()["resonance_slot_info"]]
        return {row["cgroup"]: row["slot"] for row in rows}

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end, no longer than an operator should; return the exit status."""
        _, self.errors = self.process.communicate(timeout=2)
        return self.process.returncode


def still_loaded(objects: dict[str, int], patience_seconds: float = 5.0) -> dict[str, int]:
    """Return those of the programs and links that the kernel still has after a while.

    It frees what nobody holds when a grace period has passed.
    """
    deadline = time.monotonic() + patience_seconds
    while (left := {pin: number for pin, number in objects.items() if _exists(pin, number)}) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.05)
    return left


def _exists(pin: str, number: int) -> bool:
    command = PROGRAM_GET_FD_BY_ID if pin.startswith("prog_") else LINK_GET_FD_BY_ID
    try:
        descriptor = syscalls._bpf(command, number.to_bytes(12, sys.byteorder), pin)
    except FileNotFoundError:
        return False
    os.close(descriptor)
    return True
