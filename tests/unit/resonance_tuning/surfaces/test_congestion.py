# SPDX-License-Identifier: MIT
from __future__ import annotations

from pathlib import Path

import pytest

from resonance_tuning.host import Host
from resonance_tuning.surfaces.congestion import not_loaded, parse_algorithm


@pytest.mark.parametrize("name", ["bbr", "cubic", "bpf_cubic", "x", "a23456789012345"])
def test_a_name_is_taken_as_it_is(name: str) -> None:
    assert parse_algorithm(name) == name


@pytest.mark.parametrize("value", ["", "BBR", "-x", "a b", "bbr\n", "a" * 16, 1, None, ["bbr"]])
def test_what_is_no_name_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="name of a congestion control"):
        parse_algorithm(value)


def test_an_algorithm_must_be_in_the_kernel_already(tmp_path: Path) -> None:
    host = Host(tmp_path)
    assert "cannot be listed" in not_loaded(host, "bbr")
    file = host.path("/proc/sys/net/ipv4/tcp_available_congestion_control")
    file.parent.mkdir(parents=True)
    file.write_text("reno cubic\n", encoding="ascii")
    assert not_loaded(host, "cubic") == ""
    assert not_loaded(host, "bbr") == "bbr is not loaded; try: modprobe tcp_bbr"
