# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from resonance_tuning.errors import TargetVanishedError
from resonance_tuning.host import Host
from resonance_tuning.surfaces.namespaces import identity_of, run_in


def test_it_answers_from_a_thread_that_is_gone_afterwards() -> None:
    before = threading.enumerate()
    assert run_in(Host(), "", threading.current_thread) is not threading.current_thread()
    assert threading.enumerate() == before


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyError("x"), SystemExit(3)])
def test_what_goes_wrong_there_is_raised_here(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        run_in(Host(), "", fail)
    assert raised.value is error


def test_a_namespace_that_is_not_there_has_vanished(tmp_path: Path) -> None:
    host = Host(tmp_path)
    with pytest.raises(TargetVanishedError, match="namespace gone"):
        run_in(host, "gone", lambda: None)
    with pytest.raises(TargetVanishedError, match="namespace gone"):
        identity_of(host, "gone")


def test_a_file_that_is_no_namespace_cannot_be_entered(tmp_path: Path) -> None:
    host = Host(tmp_path)
    file = host.path("/run/netns/fake")
    file.parent.mkdir(parents=True)
    file.touch()
    with pytest.raises(OSError, match="setns"):
        run_in(host, "fake", lambda: None)


def test_our_own_namespace_is_the_kernels_word_for_it() -> None:
    found = os.stat("/proc/self/ns/net")
    assert identity_of(Host(), "") == f"{found.st_dev}:{found.st_ino}"
