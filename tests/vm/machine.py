# SPDX-License-Identifier: MIT
"""What does an operator see and do on this machine? Commands, files and the service's answers.

It imports nothing of ours: what it knows of the service are its commands, its sockets and what
the kernel and systemd say. Times are bounds of patience, generous because the machine may be
emulated; nothing here is a measurement.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

UNIT = "resonanced.service"
CONFIG = Path("/etc/resonance/resonanced.toml")
DROP_INS = Path(f"/run/systemd/system/{UNIT}.d")
CGROUPS = Path("/sys/fs/cgroup")
PINS = Path("/sys/fs/bpf/resonance")
METRICS = "http://127.0.0.1:9756"
PATIENCE_SECONDS = 120.0
CAPABILITIES = {
    "CAP_DAC_OVERRIDE": 1,
    "CAP_KILL": 5,
    "CAP_NET_ADMIN": 12,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYS_NICE": 23,
    "CAP_PERFMON": 38,
    "CAP_BPF": 39,
}
"""Bits of the masks in /proc/PID/status; include/uapi/linux/capability.h."""
_SAMPLE = re.compile(r"^(?P<name>\w+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

Labels = frozenset[tuple[str, str]]
Samples = dict[str, dict[Labels, float]]


# ---- commands ---------------------------------------------------------------------------------


def run(
    *command: str, ok: Collection[int] = (0,), timeout: float = 300.0, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to an end that is expected; say all of what it said when it is another."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False, input=stdin
    )
    said = f"{shlex.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
    assert done.returncode in ok, said
    return done


def asked(*command: str, ok: Collection[int] = (0,)) -> Any:
    """Return what a command says in JSON."""
    return json.loads(run(*command, "--output", "json", ok=ok).stdout)


def with_hidden(*hide: str) -> list[str]:
    """Return the start of a command line that runs the rest where these paths are not to be seen.

    Only that process and its children miss them: they are covered in mounts of its own.
    """
    script = "".join(f"mount -t tmpfs none {shlex.quote(path)} && " for path in hide)
    return in_own_mounts(script.removesuffix(" && ") or "true")


def in_own_mounts(script: str) -> list[str]:
    """Return the start of a command line that runs the rest after a script, in own mounts."""
    return ["unshare", "--mount", "sh", "-c", f'{script} && exec "$@"', "sh"]


def eventually(ask: Callable[[], T], patience_seconds: float = PATIENCE_SECONDS) -> T:
    """Ask until the answer is a yes of any kind; return the last answer."""
    deadline = time.monotonic() + patience_seconds
    while True:
        answer = ask()
        if answer or time.monotonic() > deadline:
            return answer
        time.sleep(0.2)


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line with which a command of ours refuses."""
    assert "Traceback" not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("resonanced: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


# ---- systemd ----------------------------------------------------------------------------------


def show(name: str, unit: str = UNIT) -> str:
    """Return a property of a unit."""
    return run("systemctl", "show", "--property", name, "--value", unit).stdout.strip()


def is_active(unit: str = UNIT) -> bool:
    """Tell whether a unit runs, as `systemctl is-active` would print it."""
    return show("ActiveState", unit) == "active"


def cursor() -> str:
    """Return the place in the journal after which nothing is written yet."""
    last = run("journalctl", "--lines=0", "--show-cursor").stdout
    return last.partition("cursor: ")[2].strip()


def journal_since(place: str, unit: str = UNIT) -> list[dict[str, Any]]:
    """Return what a unit, and systemd about it, wrote after a place."""
    command = ("journalctl", f"--unit={unit}", f"--after-cursor={place}", "--output=json")
    return [json.loads(line) for line in run(*command).stdout.splitlines()]


def messages_since(place: str) -> str:
    """Return the same as text."""
    return "\n".join(str(each["MESSAGE"]) for each in journal_since(place))


@contextmanager
def drop_in(text: str) -> Generator[None]:
    """Lay a drop-in over the service's unit until the next reboot, as `systemctl edit` does."""
    DROP_INS.mkdir(parents=True, exist_ok=True)
    path = DROP_INS / "90-resonance-test.conf"
    path.write_text(text, encoding="utf-8")
    run("systemctl", "daemon-reload")
    try:
        yield
    finally:
        path.unlink()
        if not any(DROP_INS.iterdir()):
            DROP_INS.rmdir()
        run("systemctl", "daemon-reload")


# ---- the service ------------------------------------------------------------------------------


@contextmanager
def configured(text: str) -> Generator[None]:
    """Put a configuration in the place of the installed one."""
    before = CONFIG.read_bytes() if CONFIG.exists() else None
    CONFIG.parent.mkdir(exist_ok=True)
    CONFIG.write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        if before is None:
            CONFIG.unlink()
        else:
            CONFIG.write_bytes(before)


@contextmanager
def running(text: str = "") -> Generator[None]:
    """Start the service with a configuration; stop it at the end, whatever happened."""
    with configured(text):
        run("systemctl", "reset-failed", UNIT)
        run("systemctl", "start", UNIT)
        try:
            yield
        finally:
            run("systemctl", "stop", UNIT)
            run("systemctl", "reset-failed", UNIT)


def processes() -> dict[str, int]:
    """Return the pid of each process of the service by its role; none while it does not run."""
    keeper = int(show("MainPID"))
    if not keeper:
        return {}
    found = {"keeper": keeper}
    for child in _children(keeper):
        words = _words(child)
        role = "actuator" if "resonance_tuning.actuator" in words else "daemon"
        found[role] = child
    return found


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except FileNotFoundError:
        return []
    return [int(word) for word in text.split()]


def _words(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")
    except FileNotFoundError:
        return []


def status_of(pid: int) -> dict[str, str]:
    """Return /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return dict(line.split(":\t", 1) for line in lines)


def capabilities_of(pid: int, kind: str = "CapEff") -> set[str]:
    """Return what a process may; a capability without a name here goes by its bit."""
    mask = int(status_of(pid)[kind], 16)
    names = {bit: name for name, bit in CAPABILITIES.items()}
    return {names.get(bit, f"bit {bit}") for bit in range(64) if mask >> bit & 1}


def scrape() -> Samples:
    """Return every sample the service exports, by name and labels."""
    with urllib.request.urlopen(f"{METRICS}/metrics", timeout=60) as answer:
        text: str = answer.read().decode()
    samples: Samples = {}
    for line in text.splitlines():
        if found := _SAMPLE.match(line):
            labels = frozenset(_LABEL.findall(found["labels"] or ""))
            samples.setdefault(found["name"], {})[labels] = float(found["value"])
    return samples


def sample(samples: Samples, name: str, **labels: str) -> float:
    """Return the sum of the samples of a name that have these labels."""
    rows = samples[name]
    chosen = [value for has, value in rows.items() if labels.items() <= dict(has).items()]
    assert chosen, f"no {name} with {labels} among {list(rows)}"
    return sum(chosen)


def labels_of(samples: Samples, name: str) -> list[dict[str, str]]:
    """Return the labels of each sample of a name."""
    return [dict(labels) for labels in samples.get(name, {})]


def slot_of(samples: Samples, cgroup: str) -> str | None:
    """Return the slot of a cgroup, if it has one."""
    rows = labels_of(samples, "resonance_slot_info")
    return next((row["slot"] for row in rows if row["cgroup"] == cgroup), None)


def health(path: str = "/healthz") -> int:
    """Return the status with which the service answers, 0 where nobody does."""
    try:
        with urllib.request.urlopen(METRICS + path, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def left_behind() -> list[str]:
    """Return what should be gone when no service runs and nothing is applied."""
    paths = (Path("/run/resonance"), PINS)
    return [str(path) for path in paths if path.exists()]


# ---- cgroups and CPUs -------------------------------------------------------------------------


def read(path: Path) -> str:
    """Return a file of the kernel's, without the newline."""
    return path.read_text(encoding="utf-8").strip()


def values(group: Path, names: Collection[str]) -> dict[str, str]:
    """Return some files of a cgroup; none where a controller is not there.

    A list of all CPUs counts as an empty one, which a kernel does not write while there are tasks:
    both leave a group what its parent has.
    """
    found = {name: read(group / name) for name in names if (group / name).exists()}
    if found.get("cpuset.cpus") == read(Path("/sys/devices/system/cpu/possible")):
        found["cpuset.cpus"] = ""
    return found


@contextmanager
def cgroup(name: str) -> Generator[Path]:
    """Make a cgroup right below the root, which systemd leaves alone; end who is left in it."""
    directory = CGROUPS / name
    directory.mkdir()
    try:
        yield directory
    finally:
        (directory / "cgroup.kill").write_text("1", encoding="ascii")
        assert eventually(lambda: "populated 0" in read(directory / "cgroup.events"))
        directory.rmdir()


def start_in(
    group: Path, *command: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start a command that is in a cgroup before its first instruction of its own."""
    enter = f'echo $$ > {shlex.quote(str(group / "cgroup.procs"))} && exec "$@"'
    return subprocess.Popen(
        ["sh", "-c", enter, "sh", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )


def kernel() -> tuple[int, int]:
    """Return the first two numbers of the kernel's release."""
    major, minor, *_ = re.findall(r"\d+", os.uname().release)
    return int(major), int(minor)


@contextmanager
def offline(cpu: int) -> Generator[None]:
    """Take a CPU offline, as when a hypervisor takes it back; bring it back at the end."""
    switch = Path(f"/sys/devices/system/cpu/cpu{cpu}/online")
    switch.write_text("0", encoding="ascii")
    try:
        yield
    finally:
        switch.write_text("1", encoding="ascii")
