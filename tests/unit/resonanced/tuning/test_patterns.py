# SPDX-License-Identifier: MIT
from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from resonance_tuning.settings import Group, TuningSettings
from resonanced.tuning.patterns import patterns_of_cgroups, patterns_of_settings


def test_whoever_the_configuration_names_is_measured_apart() -> None:
    settings = TuningSettings(
        latency_critical=Group(cgroups=("/web",), units=("nginx.service",)),
        batch=Group(cgroups=("/batch/*",), units=("backup@[1].service",)),
    )
    patterns = patterns_of_settings(settings)
    assert patterns == ("/web", "/batch/*", "*/nginx.service", "*/backup@[[]1].service")
    assert fnmatchcase("/system.slice/nginx.service", patterns[2])
    assert patterns_of_settings(TuningSettings()) == ()


@pytest.mark.parametrize("path", ["/web", "/a[b]*?", "/web\udcff"])
def test_a_cgroup_of_any_name_is_meant_and_those_below_it(path: str) -> None:
    itself, below = patterns_of_cgroups([path])
    assert fnmatchcase(path, itself)
    assert fnmatchcase(f"{path}/worker", below)
    assert not fnmatchcase(f"{path}2", itself)
    assert not fnmatchcase(f"{path}2", below)
