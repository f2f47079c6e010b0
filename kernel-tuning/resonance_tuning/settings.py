# SPDX-License-Identifier: MIT
"""What an operator may choose about tuning: the table ``[tuning]``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal

import msgspec

__all__ = ["FORMS", "Group", "Network", "ProfileName", "TuningSettings"]

_Path = Annotated[str, msgspec.Meta(pattern=r"^/[^\x00-\x1f]+\Z")]
_Pattern = Annotated[str, msgspec.Meta(pattern=r"^[/*\[?][^\x00-\x1f]*\Z")]
_Name = Annotated[str, msgspec.Meta(pattern=r"^[^/\x00-\x1f]+\Z")]
_Unit = Annotated[str, msgspec.Meta(pattern=r"^[^/\x00-\x20]+\.(service|slice|scope)\Z")]
_Knob = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]*\Z")]
ProfileName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]*\Z")]
_Route = Annotated[str, msgspec.Meta(pattern=r"^(default|[0-9A-Fa-f.:]+(/[0-9]{1,3})?)\Z")]
_Housekeeping = Annotated[int, msgspec.Meta(ge=1, le=8_192)]
_Cpus = Annotated[int, msgspec.Meta(ge=0, le=8_192)]

FORMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "profile": "must be the name of a profile: small letters, digits, - and _",
        "include": "must be names of profiles: small letters, digits, - and _",
        "profiles_directory": "must be an absolute path",
        "journal_directory": "must be an absolute path",
        "allow": "must be names of knobs, as cpu_weight",
        "refuse": "must be names of knobs, as cpu_weight",
        "units": "must be names of units with their ending: .service, .slice or .scope",
        "cgroups": "must be shell patterns that begin with /, *, [ or ?",
        "processes": "must be names of processes, without a path",
        "routes": "must be destinations as in the routing table: default, or 192.0.2.0/24",
        "devices": "must be names of network devices",
        "namespaces": "must be names of network namespaces; self is the service's own",
    }
)
"""What the patterns of these keys ask for, in words."""


class Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is meant, by any of three kinds of name.

    Attributes
    ----------
    units : tuple of str
        Units of systemd: services, slices, scopes.
    cgroups : tuple of str
        Shell patterns on the path below the hierarchy's root; ``*`` also crosses ``/``.
    processes : tuple of str
        A process's name: what the kernel calls it, or the file name of its command.
    """

    units: tuple[_Unit, ...] = ()
    cgroups: tuple[_Pattern, ...] = ()
    processes: tuple[_Name, ...] = ()


class Network(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of the network a profile may turn, besides the groups' own connections.

    Attributes
    ----------
    routes : tuple of str
        Destinations as in the routing table: ``default``, ``192.0.2.0/24``.
    devices : tuple of str
        Names of network devices.
    namespaces : tuple of str
        Network namespaces below ``/run/netns``; ``self`` is the service's own.
    """

    routes: tuple[_Route, ...] = ()
    devices: tuple[_Name, ...] = ()
    namespaces: tuple[_Name, ...] = ()


class TuningSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the node is tuned, how, and for whom.

    Attributes
    ----------
    mode : {"observe", "shadow", "adaptive", "active"}
        ``observe`` runs nothing that could write; ``shadow`` says what it would do;
        ``adaptive`` turns what is least invasive, one knob at a time, and keeps what
        helped; ``active`` does so with the whole profile.
    profile : str
        A name out of the profiles directory, or of a profile that is shipped.
    profiles_directory : str
        The operator's own profiles, ``NAME.toml``; they win over those shipped.
    journal_directory : str
        Where what was there is written down before it is changed. Lost at reboot, as the
        changes are.
    latency_critical, batch : Group
        Who is protected, and from whom.
    network : Network
    allow : tuple of str
        Opt-in knobs that may be turned.
    refuse : tuple of str
        Knobs that may not, whatever the profile says.
    reclaim : bool
        Turn again what its owner has taken back three times.
    latency_critical_cpus : int
        CPUs a profile may set apart, up to 8,192; 0 leaves the number to the service.
    min_housekeeping_cpus : int
        CPUs that are left to everybody, 1 to 8,192; at least a tenth is in any case.
    on_stop : {"restore", "keep"}
        What happens to the changes when the service stops.
    """

    mode: Literal["observe", "shadow", "adaptive", "active"] = "observe"
    profile: ProfileName = "balanced"
    profiles_directory: _Path = "/etc/resonance/profiles"
    journal_directory: _Path = "/run/resonance-tuning"
    allow: tuple[_Knob, ...] = ()
    refuse: tuple[_Knob, ...] = ()
    reclaim: bool = False
    latency_critical_cpus: _Cpus = 0
    min_housekeeping_cpus: _Housekeeping = 1
    on_stop: Literal["restore", "keep"] = "restore"
    latency_critical: Group = Group()
    batch: Group = Group()
    network: Network = Network()
