# SPDX-License-Identifier: MIT
"""Is this kernel measured by the objects that were built elsewhere, and what comes after them?"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from vm import machine
from vm.machine import UNIT, eventually, run, sample, scrape

NO_BTF = "BTF"
BTF = "/sys/kernel/btf"
HEADERS = Path(f"/lib/modules/{os.uname().release}/build")
OBJECTS = "/usr/lib/resonanced/resonance_bpf/objects"
RUN = ("resonanced", "run", "--no-view", "--for", "2", "--port", "0")
PROGRAMS = {
    "runqueue_switch",
    "socket_srtt",
    "socket_connect",
    "socket_receive",
    "socket_retransmit",
}


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    yield
    assert machine.left_behind() == []


def _backend_line(said: str) -> str:
    return next(line.strip() for line in said.splitlines() if line.startswith("  backend"))


def test_the_objects_of_the_package_load_on_this_kernel_and_its_canary_agrees() -> None:
    """They were compiled once, on the machine that built the package; nothing here could."""
    assert {path.name for path in Path(OBJECTS).glob("*.bpf.o")} >= {
        "canary.bpf.o",
        "runqueue.bpf.o",
        "socket.bpf.o",
        "socket_without_cast.bpf.o",
    }
    checked = machine.asked("resonanced", "check")
    assert (checked["tier"], checked["passed_over"], checked["exit_status"]) == ("core", [], 0)
    with machine.running('[probes]\nbackend = "core"\n'):
        samples = scrape()
        (backend,) = machine.labels_of(samples, "resonance_backend_info")
        assert (backend["backend"], backend["tier"]) == ("core", "core")
        attached = machine.labels_of(samples, "resonance_probe_attached")
        on = {
            row["program"]
            for row in attached
            if sample(samples, "resonance_probe_attached", program=row["program"]) == 1
        }
        # sk_data_ready is a tracepoint since 6.3.
        assert on == (PROGRAMS | {"socket_ready"} if machine.kernel() >= (6, 3) else PROGRAMS)
        loaded = json.loads(run("bpftool", "--json", "prog", "show").stdout)
        # The kernel keeps 15 characters of a name; a newer bpftool finds the rest in BTF.
        assert {name[:15] for name in on} <= {each.get("name", "")[:15] for each in loaded}


@pytest.mark.parametrize("headers", ["with", "without"])
def test_bcc_measures_with_the_kernels_headers_and_without_them(headers: str) -> None:
    """It compiles against types of the running kernel's BTF, so that headers make no difference."""
    assert (HEADERS / "include").is_dir(), "this image has no kernel headers that could be hidden"
    hide = ("/usr/src",) if headers == "without" else ()
    seen = run(*machine.with_hidden(*hide), "ls", f"{HEADERS}/", ok=(0, 2))
    assert (seen.returncode == 0) == (headers == "with")
    done = run(*machine.with_hidden(*hide), *RUN, "--backend", "bcc")
    assert "backend  bcc, tier bcc, cgroups by v2" in _backend_line(done.stdout)
    assert "Traceback" not in done.stderr


def test_without_btf_a_privileged_command_takes_bcc_by_tracefs_and_says_why_not_core() -> None:
    checked = machine.asked(*machine.with_hidden(BTF), "resonanced", "check", ok=(3,))
    assert checked["tier"] == "bcc-tracefs"
    assert any(NO_BTF in reason for reason in checked["passed_over"])
    done = run(*machine.with_hidden(BTF), *RUN)
    assert "backend  bcc, tier bcc-tracefs" in _backend_line(done.stdout)
    assert "not core: /sys/kernel/btf/vmlinux: this kernel has no BTF" in done.stdout


def test_without_btf_a_backend_that_was_asked_for_is_refused_and_not_replaced() -> None:
    done = run(*machine.with_hidden(BTF), *RUN, "--backend", "core", ok=(1,))
    assert done.stdout == ""
    assert "this kernel has no BTF" in machine.complaint(done)


def test_without_btf_the_unit_serves_in_a_lower_tier_and_says_so_everywhere() -> None:
    """Its capabilities do not open perf events where the kernel is paranoid: Debian's setting."""
    place = machine.cursor()
    with machine.drop_in(f"[Service]\nInaccessiblePaths={BTF}\n"), machine.running():
        samples = scrape()
        (backend,) = machine.labels_of(samples, "resonance_backend_info")
        assert backend["tier"] in {"bcc-tracefs", "procfs"}
        rejected = {
            row["backend"] for row in machine.labels_of(samples, "resonance_backend_rejected_info")
        }
        assert "core" in rejected
        assert ("bcc" in rejected) == (backend["tier"] == "procfs")
        said = machine.messages_since(place)
        assert "not core: /sys/kernel/btf/vmlinux: this kernel has no BTF" in said
        assert f"tier {backend['tier']}" in said
        assert "Traceback" not in said
        # What is not known is absent, and what is known is there in every tier.
        has_histograms = "resonance_runqueue_latency_seconds_count" in samples
        assert has_histograms == (backend["tier"] != "procfs")
        assert eventually(lambda: sample(scrape(), "resonance_runqueue_switches_total") > 0)
        assert machine.health() == 200
        state = machine.asked("resonance", "hints", "get")
        assert state["tier"] == backend["tier"]
    assert machine.show("Result") == "success"
    assert machine.show("LoadState", UNIT) == "loaded"


def test_without_bpf_at_all_means_are_served_and_no_histograms() -> None:
    with machine.running('[probes]\nbackend = "none"\n'):
        samples = scrape()
        (backend,) = machine.labels_of(samples, "resonance_backend_info")
        assert (backend["backend"], backend["tier"]) == ("none", "procfs")
        waited = "resonance_runqueue_wait_seconds_total"
        assert eventually(lambda: sample(scrape(), waited, slot="0") > 0)
        assert "resonance_runqueue_latency_seconds_count" not in samples
        assert "resonance_tcp_rtt_seconds_count" not in samples
