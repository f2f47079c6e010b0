# SPDX-License-Identifier: MIT
"""The privileged parent: loads the probes, starts the daemon, and takes everything back.

It is small on purpose: no numpy, no gRPC, nothing of what a client sent. After the start it
can write to one kernel object, the slot table, and it removes pins, socket and page when
the daemon ends, however it ends. What is tuned is written by another process, the actuator,
which it starts and outlives: what that one cannot put back, a rollback does.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import subprocess
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from resonance_bpf import loader, pins, syscalls
from resonance_bpf.catalogue import MAPS, PROGRAMS
from resonance_bpf.errors import PinError
from resonance_bpf.hierarchy import CgroupHierarchy, find_hierarchy, path_of_task
from resonance_bpf.report import BackendName, LoadReport, LoadRequest, Rejection
from resonance_bpf.slot_table import SlotTable
from resonanced import actuator, config, link, privileges, runtime
from resonanced.config import Settings
from resonanced.errors import ConfigError, RefusedError, StartError

if TYPE_CHECKING:
    from resonance_tuning.actuator.wire import Begun

__all__ = ["Inheritance", "Keeper", "possible_cpus"]

_log = logging.getLogger("resonanced.keeper")
_MAX_BYTES: Final = 1 << 16
_STOP_SECONDS: Final = 1.5
"""What the daemon gets to end by itself, so that all is over within two seconds."""
_SIGNALS: Final = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGCHLD,
    signal.SIGABRT,
)


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What the daemon process is given; all it will ever hold of the kernel.

    Attributes
    ----------
    descriptors : dict of str to int
        Open descriptors of the frozen output maps, by name; empty without BPF.
    requests, orders : socket
        Its ends of the two links to the keeper.
    actuator : Actuator or None
        The process that writes to the kernel, and the daemon's connection to it; none in
        mode observe.
    """

    settings: Settings
    identity: privileges.Identity
    report: LoadReport
    hierarchy: CgroupHierarchy
    cpus: int
    descriptors: dict[str, int]
    requests: socket.socket
    orders: socket.socket
    actuator: actuator.Actuator | None = None


def possible_cpus(path: Path = Path("/sys/devices/system/cpu/possible")) -> int:
    """Return how many CPUs the kernel may ever have; its arrays are that long."""
    last = path.read_text().strip().rpartition(",")[2].rpartition("-")[2]
    return int(last) + 1


class Keeper:
    """One run of the service, from load to rollback.

    Parameters
    ----------
    read_settings : callable
        Returns the configuration; called again at SIGHUP.
    run_daemon : callable
        Becomes the daemon; called in the forked child, returns its exit status.
    announce : callable
        Told the report and where the daemon serves, once it does.
    view : list of str or None
        A command to show on the terminal; when it ends, so does the service.
    for_seconds : float or None
        End after this long; ``None`` for never.
    """

    def __init__(
        self,
        read_settings: Callable[[], Settings],
        run_daemon: Callable[[Inheritance], int],
        announce: Callable[[LoadReport, link.Ready, privileges.Identity], None],
        *,
        view: list[str] | None = None,
        for_seconds: float | None = None,
    ) -> None:
        self._read_settings = read_settings
        self._run_daemon = run_daemon
        self._announce = announce
        self._view = view
        self._for_seconds = for_seconds
        self._settings = read_settings()
        self._children: dict[int, str] = {}
        self._programs: dict[str, int] = {}
        self._table: SlotTable | None = None
        self._actuator: actuator.Actuator | None = None
        self._is_ready = False
        self._stop_at: float | None = None
        self._status: int | None = None

    @property
    def begun(self) -> Begun | None:
        """What the actuator said when it was ready; nothing where none runs."""
        return self._actuator.begun if self._actuator else None

    def run(self) -> int:
        """Run the service until it is told to end; return its exit status.

        Raises
        ------
        StartError, ProbeError
            It cannot start; everything done so far is taken back.
        """
        if os.geteuid() != 0:
            raise StartError("not root", "only root may load probes", "run it with sudo")
        privileges.demand_capabilities()
        identity = privileges.find_identity(self._settings.service)
        try:
            with ExitStack() as stack:
                return self._run(stack, identity)
        except loader.Stopped:
            return 0

    def _run(self, stack: ExitStack, identity: privileges.Identity) -> int:
        # First, so that a second Ctrl-C does not end us before all is taken back.
        wakeup = stack.enter_context(_signal_wakeup())
        stack.enter_context(runtime.directory(self._settings, identity))
        if self._view:
            stack.enter_context(runtime.held_back_log())
        report = self._load(stack, partial(_is_told_to_stop, wakeup))
        self._start_actuator(stack)
        requests, orders = self._start_daemon(stack, report, identity, wakeup)
        undoing = self._actuator.begun.capabilities if self._actuator else ()
        privileges.keep_only(privileges.KEEPER_CAPABILITIES, for_children=undoing)
        return self._serve(requests, orders, wakeup, report, identity)

    def _load(self, stack: ExitStack, is_told_to_stop: Callable[[], bool]) -> LoadReport:
        settings = self._settings.probes
        self._hierarchy = hierarchy = find_hierarchy()
        bpffs = Path(settings.bpffs_directory)
        own_path = path_of_task(Path("/proc/self"), hierarchy)
        own_directory = hierarchy.directory(own_path) if own_path and hierarchy.is_whole else None
        request = LoadRequest(
            directory="",
            possible_cpus=possible_cpus(),
            hierarchy=hierarchy.name,
            root_cgroup_id=hierarchy.root_cgroup_id,
            own_cgroup_id=own_directory.stat().st_ino if own_directory else 0,
        )
        if settings.backend != "none":
            try:
                generation = _make_generation(bpffs)
            except PinError as error:
                if settings.backend != "auto":
                    raise
                # Nowhere to pin, as in most containers: what needs no BPF still measures.
                return _without_bpf(request, error)
            stack.callback(pins.remove, generation)
            request = msgspec.structs.replace(request, directory=str(generation.path))
        report = loader.choose(settings.backend, request, is_told_to_stop)
        if report.loader_pid:
            self._children[report.loader_pid] = "loader"
        return report

    def _start_actuator(self, stack: ExitStack) -> None:
        tuning = self._settings.tuning
        actuator.roll_back(tuning)
        self._actuator = actuator.start(tuning)
        if self._actuator:
            self._children[self._actuator.process.pid] = "actuator"
            stack.callback(actuator.roll_back, tuning)
            # Nothing is served yet: without a daemon it ends by itself.
            stack.callback(self._end_children)
            stack.callback(self._actuator.connection.close)

    def _start_daemon(
        self,
        stack: ExitStack,
        report: LoadReport,
        identity: privileges.Identity,
        wakeup: socket.socket,
    ) -> tuple[socket.socket, socket.socket]:
        requests, daemon_requests = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        orders, daemon_orders = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Last in, first out: the daemon must not wait for an answer when it is told to end,
        # and ends before its orders and pins go.
        stack.callback(orders.close)
        stack.callback(self._end_children)
        stack.callback(requests.close)
        outputs: dict[str, int] = {}
        if report.backend != "none":
            outputs = {
                name: syscalls.object_get(f"{report.directory}/map_{name}")
                for name, spec in MAPS.items()
                if spec.is_output and name in report.map_bytes
            }
        pid = os.fork()
        if pid == 0:
            _reset_signals()
            # What the keeper hears of signals is not the daemon's to read or write.
            wakeup.close()
            requests.close()
            orders.close()
            inheritance = Inheritance(
                settings=self._settings,
                identity=identity,
                report=report,
                hierarchy=self._hierarchy,
                cpus=possible_cpus(),
                descriptors=outputs,
                requests=daemon_requests,
                orders=daemon_orders,
                actuator=self._actuator,
            )
            _exit_with(partial(self._run_daemon, inheritance))
        self._children[pid] = "daemon"
        daemon_requests.close()
        daemon_orders.close()
        if self._actuator:
            self._actuator.connection.close()  # the daemon's copy is the last
        for descriptor in outputs.values():
            os.close(descriptor)
        if report.backend != "none":
            self._table = SlotTable(syscalls.object_get(f"{report.directory}/map_cgroup_slots"))
            self._programs = {
                program.name: syscalls.object_get(f"{report.directory}/prog_{program.name}")
                for program in PROGRAMS
                if os.path.exists(f"{report.directory}/prog_{program.name}")
            }
        return requests, orders

    def _serve(
        self,
        requests: socket.socket,
        orders: socket.socket,
        wakeup: socket.socket,
        report: LoadReport,
        identity: privileges.Identity,
    ) -> int:
        with selectors.DefaultSelector() as selector:
            selector.register(requests, selectors.EVENT_READ)
            selector.register(wakeup, selectors.EVENT_READ)
            while self._status is None:
                left = None if self._stop_at is None else self._stop_at - time.monotonic()
                if left is not None and left <= 0:
                    return 0
                ready = {key.fileobj for key, _ in selector.select(left)}
                if wakeup in ready:
                    self._take_signals(wakeup.recv(_MAX_BYTES), orders)
                if requests in ready and not self._take_request(requests, report, identity):
                    selector.unregister(requests)
        return self._status

    def _take_request(
        self, requests: socket.socket, report: LoadReport, identity: privileges.Identity
    ) -> bool:
        """Answer one request; return whether there may be more.

        Raises
        ------
        RefusedError
            The daemon said that it failed, or what it would never say: it is not ours any more.
        """
        try:
            raw = requests.recv(_MAX_BYTES)
            if not raw:
                return False
            answer = self._answer(link.decode_request(raw), report, identity)
            if answer:
                # One that does not read its answers must not hold us up.
                requests.send(msgspec.json.encode(answer), socket.MSG_DONTWAIT)
        except (ValueError, BlockingIOError) as error:
            raise RefusedError(f"the daemon process speaks nonsense: {error}", 1) from error
        except (BrokenPipeError, ConnectionResetError):
            return False  # it died; SIGCHLD says how
        return True

    def _answer(
        self, request: link.Request, report: LoadReport, identity: privileges.Identity
    ) -> link.Answer | None:
        match request:
            case link.Assign(slot=slot, cgroup_id=cgroup_id):
                is_done = self._table is not None and self._table.assign(slot, cgroup_id)
                return link.Answer(is_done=is_done)
            case link.Release(cgroup_id=cgroup_id):
                if self._table:
                    self._table.release(cgroup_id)
                return None
            case link.Misses():
                read = syscalls.program_recursion_misses
                return link.Answer(misses={name: read(fd) for name, fd in self._programs.items()})
            case link.Ready():
                if self._is_ready:
                    raise ValueError("it is ready twice")
                self._is_ready = True
                self._announce(report, request, identity)
                if self._for_seconds is not None:
                    self._stop_at = time.monotonic() + self._for_seconds
                if self._view:
                    self._children[subprocess.Popen(self._view).pid] = "view"
                return link.Answer()
            case link.Failed(reason=reason, exit_code=exit_code):
                raise RefusedError(reason, exit_code)

    def _take_signals(self, numbers: bytes, orders: socket.socket) -> None:
        for number in numbers:
            if number in (signal.SIGTERM, signal.SIGINT):
                self._status = 0
            elif number == signal.SIGABRT:
                # The service manager's watchdog. To us it comes first, so that a rollback finds
                # nobody of ours alive: the daemon that hangs is ended on the way out.
                _log.error("watchdog_bite reason=%r", "the daemon gave no sign of life")
                self._status = 1
            elif number == signal.SIGHUP:
                self._reload(orders)
            elif number == signal.SIGCHLD:
                self._reap()

    def _reap(self) -> None:
        for pid in list(self._children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            role, code = self._children.pop(pid), os.waitstatus_to_exitcode(status)
            if role == "view":
                self._status = 0
            elif self._status is None:
                _log.error("child_ended role=%s status=%d", role, code)
                self._status = 1

    def _reload(self, orders: socket.socket) -> None:
        """Hand new settings to the daemon; a bad file changes nothing and is counted there."""
        try:
            settings, refused = self._read_settings(), ""
        except ConfigError as error:
            settings, refused = self._settings, str(error)
        restart = config.keys_that_need_a_restart(self._settings, settings)
        order = link.Reload(settings=settings, refused=refused, needs_restart=restart)
        try:
            orders.send(msgspec.json.encode(order), socket.MSG_DONTWAIT)
        except (BlockingIOError, BrokenPipeError, ConnectionResetError) as error:
            _log.warning("reload_lost reason=%r", f"the daemon does not listen: {error.strerror}")

    def _end_children(self) -> None:
        deadline = time.monotonic() + _STOP_SECONDS
        for pid in self._children:
            os.kill(pid, signal.SIGTERM)
        while self._children and time.monotonic() < deadline:
            for pid in list(self._children):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    del self._children[pid]
            time.sleep(0.01)
        for pid, role in self._children.items():
            _log.warning("child_killed role=%s reason=%s", role, "it did not end in time")
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self._children.clear()


def _make_generation(bpffs: Path) -> pins.Generation:
    """Remove what dead services pinned, and make a directory for our own pins."""
    pins.ensure_bpffs(bpffs)
    removed, _ = pins.rollback(bpffs)
    for generation in removed:
        _log.warning("stale_pins_removed directory=%s", generation.path)
    return pins.create(bpffs)


def _without_bpf(request: LoadRequest, error: PinError) -> LoadReport:
    """Fall back to what needs no pins, and say of both others why they are not taken."""
    backends: tuple[BackendName, ...] = ("core", "bcc")
    rejected = tuple(Rejection(backend=each, reason=str(error)) for each in backends)
    report = loader.choose("none", request)
    return msgspec.structs.replace(report, rejected=rejected)


@contextmanager
def _signal_wakeup() -> Generator[socket.socket]:
    """Turn signals into readable bytes, so that one loop waits for everything."""
    read, write = socket.socketpair()
    read.setblocking(False)
    write.setblocking(False)
    before = {number: signal.signal(number, _wake) for number in _SIGNALS}
    signal.set_wakeup_fd(write.fileno(), warn_on_full_buffer=False)
    try:
        yield read
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        read.close()
        write.close()


def _is_told_to_stop(wakeup: socket.socket) -> bool:
    """Look for a polite signal among those that wait to be taken, and leave all where they are."""
    try:
        waiting = wakeup.recv(_MAX_BYTES, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    return not {signal.SIGTERM, signal.SIGINT}.isdisjoint(waiting)


def _wake(_number: int, _frame: object) -> None:
    """Do nothing: the interpreter has written the number where the loop waits."""


def _exit_with(run: Callable[[], int]) -> NoReturn:
    """Leave a forked child here: what it unwound to would take back what its parent made."""
    status = 1
    try:
        status = run()
    except BaseException:  # noqa: BLE001 - a defect of ours, or a package that is missing
        traceback.print_exc()
    finally:
        os._exit(status)


def _reset_signals() -> None:
    os.close(signal.set_wakeup_fd(-1))
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
