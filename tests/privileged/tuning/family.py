# SPDX-License-Identifier: MIT
"""A process that makes threads, children and orphans when told, and ends with its input.

Run as a program it is that process; everything it made waits for the same input to end.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resonance_tuning.records import Target


class Family:
    """The process, as the test sees it; each request returns the number of what was made."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid
        self.target = Target("process", str(process.pid))

    def thread(self) -> int:
        return self._ask(b"thread\n")

    def child(self) -> int:
        return self._ask(b"child\n")

    def orphan(self) -> int:
        """Make a process whose parent, a child of ours, ends at once."""
        return self._ask(b"orphan\n")

    def spin(self) -> int:
        """Let a thread of its own take a whole CPU."""
        return self._ask(b"spin\n")

    def leave(self) -> None:
        """End the first process only; what it made stays."""
        self._process.kill()
        self._process.wait()

    def threads(self) -> set[int]:
        return {int(name) for name in os.listdir(f"/proc/{self.pid}/task")}

    def close(self) -> None:
        """End all of it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        while self._process.stdout.read(1):  # until the last holder of it has ended
            continue
        self._process.stdout.close()
        self._process.wait()

    def _ask(self, request: bytes) -> int:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(request)
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def started() -> Iterator[Family]:
    """Start one, in a session of its own."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    family = Family(process)
    assert process.stdout
    process.stdout.readline()
    try:
        yield family
    finally:
        family.close()


def _say(number: int) -> None:
    os.write(1, f"{number}\n".encode())


def _wait_for_end() -> None:
    """Wait until nobody can write to our input any more, without reading it."""
    poll = select.poll()
    poll.register(0, 0)  # hang-up is always told
    poll.poll()
    os._exit(0)


def _spin() -> None:
    while True:
        pass


def _fork(*, is_orphan: bool) -> None:
    if os.fork() == 0:
        parent = os.getpid()
        if is_orphan and os.fork():
            os._exit(0)
        while is_orphan and os.getppid() == parent:
            time.sleep(0.001)
        _say(os.getpid())
        _wait_for_end()
    if is_orphan:
        os.wait()


def main() -> None:
    """Obey until the input ends."""
    threading.Thread(target=_wait_for_end, daemon=True).start()
    _say(os.getpid())
    for line in sys.stdin:
        match line.strip():
            case "thread" | "spin" as what:
                target = threading.Event().wait if what == "thread" else _spin
                thread = threading.Thread(target=target, daemon=True)
                thread.start()
                _say(thread.native_id or 0)
            case "child":
                _fork(is_orphan=False)
            case "orphan":
                _fork(is_orphan=True)


if __name__ == "__main__":
    main()
