# SPDX-License-Identifier: MIT
"""Who the daemon becomes, and the way there without return."""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import signal
from dataclasses import dataclass
from typing import Final

from resonance_tuning import capabilities
from resonanced.config import ServiceSettings
from resonanced.errors import StartError

__all__ = [
    "KEEPER_CAPABILITIES",
    "UNIT_CAPABILITIES",
    "Identity",
    "demand_capabilities",
    "drop",
    "find_identity",
    "keep_only",
]

KEEPER_CAPABILITIES: Final = ("CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_BPF")
"""To remove what the daemon made, to end it, and to read the programs' statistics."""
UNIT_CAPABILITIES: Final = (
    "CAP_BPF",
    "CAP_PERFMON",
    "CAP_SETUID",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_KILL",
    "CAP_NET_ADMIN",
    "CAP_SYS_NICE",
)
"""``CapabilityBoundingSet=`` of the shipped unit; a test compares them."""
_NO_SERVICE_WITHOUT: Final = {
    "CAP_CHOWN": "give the daemon its directory",
    "CAP_SETGID": "take the daemon's group",
    "CAP_SETUID": "become the daemon's user",
    "CAP_KILL": "end the daemon",
    "CAP_DAC_OVERRIDE": "remove what the daemon made",
}
"""What each is for. The others of the unit cost a tier or a knob, which the start tells."""
_FALLBACK_USER: Final = "nobody"
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38


@dataclass(frozen=True, slots=True)
class Identity:
    """A user and group of this host.

    Attributes
    ----------
    user, group : str
        Their names.
    uid, gid : int
        Their numbers.
    is_fallback : bool
        True when the default user does not exist here and ``nobody`` takes its place.
    """

    user: str
    group: str
    uid: int
    gid: int
    is_fallback: bool


def find_identity(settings: ServiceSettings) -> Identity:
    """Look up whom the daemon runs as.

    Raises
    ------
    StartError
        A user or group was configured that does not exist, or the user is root.
    """
    try:
        user, is_fallback = pwd.getpwnam(settings.user), False
    except KeyError as error:
        if settings.user != ServiceSettings().user:
            hint = f"create it, or set service.user ({settings.user!r}) to one that exists"
            raise StartError(settings.user, "no such user", hint) from error
        user, is_fallback = pwd.getpwnam(_FALLBACK_USER), True
    if not user.pw_uid:
        hint = "the daemon needs no privilege: set service.user to an ordinary user"
        raise StartError(settings.user, "is root", hint)
    try:
        group = grp.getgrnam(settings.group)
    except KeyError as error:
        if settings.group != ServiceSettings().group:
            hint = f"create it, or set service.group ({settings.group!r}) to one that exists"
            raise StartError(settings.group, "no such group", hint) from error
        group = grp.getgrgid(user.pw_gid)
    return Identity(user.pw_name, group.gr_name, user.pw_uid, group.gr_gid, is_fallback)


def demand_capabilities() -> None:
    """Look whether root here may do what it takes to start a daemon, and to end it cleanly.

    Asked before anything is done: two of them are needed at the end only, when it is too late
    to say no.

    Raises
    ------
    StartError
        One is missing.
    """
    held = capabilities.current()["CapEff"]
    lacking = [name for name in _NO_SERVICE_WITHOUT if name not in held]
    if lacking:
        what_for = ", ".join(_NO_SERVICE_WITHOUT[name] for name in lacking)
        hint = "grant it: CapabilityBoundingSet= of a unit, --cap-add of a container"
        raise StartError(", ".join(lacking), f"missing, and needed to {what_for}", hint)


def drop(identity: Identity) -> None:
    """Become that user, without any capability, for good; end when the parent ends.

    Leaving uid 0 clears every capability set (capabilities(7)); ``no_new_privs`` keeps a
    set-uid program from bringing them back.

    Raises
    ------
    StartError
        The kernel refused: no such user in this user namespace, or a filter of system calls.
    """
    libc = ctypes.CDLL(None)
    try:
        os.setgroups([])
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
    except OSError as error:
        reason = f"the daemon cannot become this user ({error.strerror})"
        hint = "map it in the user namespace, and let setgroups, setresgid and setresuid pass"
        raise StartError(identity.user, reason, hint) from error
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # After the change of user, which clears it.
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def keep_only(names: tuple[str, ...], for_children: tuple[str, ...] = ()) -> None:
    """Give up every capability but these; those that were not there are not asked for.

    Parameters
    ----------
    names : tuple of str
        What this process may do.
    for_children : tuple of str
        What it may not do itself, but a program that it starts.

    Raises
    ------
    OSError
        The kernel refused.
    """
    capabilities.restrict(names + for_children, effective=names)
