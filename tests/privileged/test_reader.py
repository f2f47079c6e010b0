# SPDX-License-Identifier: MIT
"""Can an unprivileged reader read all, and change nothing?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from privileged.probes import Probes
from resonance_bpf.catalogue import MAPS
from resonance_bpf.slot_table import SlotTable
from resonanced.keeper import possible_cpus

READER = """
import ctypes, errno, json, mmap, os, platform, struct, sys
from pathlib import Path
from resonance_bpf import syscalls
from resonance_bpf.catalogue import MAPS, map_bytes
from resonance_bpf.reader import open_maps
from resonanced import privileges
from resonanced.config import ServiceSettings

descriptors, cpus = json.loads(sys.argv[1]), int(sys.argv[2])
privileges.drop(privileges.find_identity(ServiceSettings()))
status = dict(line.split(":\\t", 1) for line in Path("/proc/self/status").read_text().splitlines())

def refusal(act):
    try:
        act()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"

def update(descriptor, value_bytes):
    key, value = ctypes.create_string_buffer(4), ctypes.create_string_buffer(value_bytes)
    addresses = (ctypes.addressof(key), ctypes.addressof(value))
    command = struct.pack("=IIQQQ", descriptor, 0, *addresses, 0)
    return lambda: syscalls._bpf(2, command, "update")

def map_writable(name):
    return lambda: mmap.mmap(descriptors[name], map_bytes(name, cpus))

maps = open_maps(descriptors, cpus)
print(json.dumps({
    "uid": os.getuid(),
    "capabilities": [int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")],
    "events": int(maps.runqueue["n"].sum()),
    "updates": {
        name: refusal(update(descriptor, MAPS[name].value_bytes))
        for name, descriptor in descriptors.items()
    },
    "writable": {name: refusal(map_writable(name)) for name in descriptors},
}))
"""


def _read(descriptors: dict[str, int]) -> dict[str, object]:
    reading = subprocess.run(
        [sys.executable, "-c", READER, json.dumps(descriptors), str(possible_cpus())],
        pass_fds=tuple(descriptors.values()),
        stdout=subprocess.PIPE,
        check=True,
    )
    answer: dict[str, object] = json.loads(reading.stdout)
    return answer


def test_a_reader_without_capabilities_reads_every_map_and_can_write_none(probes: Probes) -> None:
    outputs = {name: probes.open(name) for name, spec in MAPS.items() if spec.is_output}
    try:
        answer = _read(outputs)
    finally:
        for descriptor in outputs.values():
            os.close(descriptor)
    refused = dict.fromkeys(outputs, "EPERM")
    assert answer["uid"] != 0
    assert answer["capabilities"] == [0, 0, 0, 0]
    assert isinstance(answer["events"], int)
    assert answer["events"] > 0
    assert answer["updates"] == refused
    assert answer["writable"] == refused


def test_an_output_map_cannot_be_written_even_by_root(probes: Probes) -> None:
    descriptor = probes.open("runqueue_histograms")
    try:
        with pytest.raises(PermissionError):
            SlotTable(descriptor)
    finally:
        os.close(descriptor)


def test_map_memory_is_what_the_report_says(probes: Probes) -> None:
    for name, reported in probes.report.map_bytes.items():
        descriptor = probes.open(name)
        info = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii")
        fields = dict(line.split(":\t", 1) for line in info.splitlines())
        os.close(descriptor)
        values = int(fields["value_size"]) * int(fields["max_entries"])
        assert values == reported
    assert set(probes.report.map_bytes) == set(MAPS)
