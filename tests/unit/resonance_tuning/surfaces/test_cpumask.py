# SPDX-License-Identifier: MIT
"""CPUs as the kernel's masks."""

from __future__ import annotations

from pathlib import Path

import pytest

from resonance_tuning.host import Host
from resonance_tuning.surfaces.cpumask import format_mask, parse_mask, possible_cpus, wanted_cpus


@pytest.mark.parametrize(
    ("text", "cpus", "possible"),
    [
        ("0", set[int](), 2),
        ("3", {0, 1}, 2),
        ("05", {0, 2}, 8),
        ("1ff", set(range(9)), 9),
        ("ffffffff", set(range(32)), 32),
        ("1,00000000", {32}, 33),
        ("80000000,00000001", {0, 63}, 64),
        ("f,00000000,00000001", {0, 64, 65, 66, 67}, 68),
    ],
)
def test_a_mask_is_as_wide_as_the_kernel_writes_it(
    text: str, cpus: set[int], possible: int
) -> None:
    assert parse_mask(text) == cpus
    assert format_mask(frozenset(cpus), possible) == text


@pytest.fixture
def host(tmp_path: Path) -> Host:
    directory = tmp_path / "sys/devices/system/cpu"
    directory.mkdir(parents=True)
    (directory / "online").write_text("0-2\n")
    (directory / "possible").write_text("0-7\n")
    return Host(tmp_path)


def test_a_profile_names_cpus_that_are_there(host: Host) -> None:
    assert possible_cpus(host) == 8
    assert wanted_cpus(host, "1-2,5") == {1, 2, 5}
    assert wanted_cpus(host, 0) == {0}


@pytest.mark.parametrize("value", ["", "5", "1,8", "x", "2-1", True, 1.5, None, ["1"]])
def test_what_names_none_is_refused(host: Host, value: object) -> None:
    with pytest.raises(ValueError, match="CPUs"):
        wanted_cpus(host, value)


def test_the_masks_of_this_machine_are_written_back_alike() -> None:
    host = Host()
    text = host.read(Path("/proc/irq/default_smp_affinity"))
    assert format_mask(parse_mask(text), possible_cpus(host)) == text
