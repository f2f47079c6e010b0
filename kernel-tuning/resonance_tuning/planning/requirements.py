# SPDX-License-Identifier: MIT
"""What does a profile ask of a host before anything is touched, and is it so here?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

import msgspec

from resonance_tuning.errors import RequirementError
from resonance_tuning.host import Host
from resonance_tuning.planning.other_tuners import extensible_scheduler

__all__ = ["Requirements", "demand"]

_Cpus = Annotated[int, msgspec.Meta(ge=1, le=8_192)]
_Version = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+(\.[0-9]+){1,2}\Z")]


class Requirements(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must hold on a host before anything is touched.

    Attributes
    ----------
    cpus_online : int
        At least so many.
    kernel : str
        At least this version, as ``5.15``.
    controllers, congestion_control : tuple of str
        Cgroup controllers that are mounted; algorithms the kernel offers.
    no_sched_ext : bool
        No scheduler loaded from user space.
    """

    cpus_online: _Cpus = 1
    kernel: _Version = "0.0"
    controllers: tuple[str, ...] = ()
    congestion_control: tuple[str, ...] = ()
    no_sched_ext: bool = False


def demand(host: Host, profile: str, requirements: Requirements) -> None:
    """Return when all of it holds.

    Raises
    ------
    RequirementError
        The first that does not.
    """
    for requirement, found in _unmet(host, requirements):
        raise RequirementError(profile, requirement, found)


def _unmet(host: Host, requirements: Requirements) -> Iterator[tuple[str, str]]:
    online = len(host.online_cpus())
    if online < requirements.cpus_online:
        yield f"{requirements.cpus_online} CPUs online", str(online)
    release = host.read(host.path("/proc/sys/kernel/osrelease"))
    if _numbers(release) < _numbers(requirements.kernel):
        yield f"kernel {requirements.kernel}", release
    for name in requirements.controllers:
        if not host.controller(name):
            mounted = sorted(name for mount in host.cgroup_mounts for name in mount.controllers)
            yield f"the cgroup controller {name}", " ".join(mounted) or "none"
    for name in requirements.congestion_control:
        offered = host.read(host.path("/proc/sys/net/ipv4/tcp_available_congestion_control"))
        if name not in offered.split():
            yield f"congestion control {name} (modprobe tcp_{name})", offered
    scheduler = extensible_scheduler(host) if requirements.no_sched_ext else ""
    if scheduler:
        yield "no scheduler loaded from user space", scheduler


def _numbers(release: str) -> tuple[int, ...]:
    """Return the first three numbers of a kernel release.

    >>> _numbers("6.1.0-28-amd64")
    (6, 1, 0)
    """
    found = re.match(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?", release)
    return tuple(int(number or 0) for number in found.groups()) if found else (0, 0, 0)
