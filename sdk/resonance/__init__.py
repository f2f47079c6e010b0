# SPDX-License-Identifier: MIT
"""What applications import to see how busy the node is, and to keep out of each other's way.

::

    hints     how long tasks and sockets wait, per cgroup, told by the daemon on this host
    periodic  timers without drift whose phase the daemon may choose; `every` is its door,
              and `next_valley` says when the node is least busy with such work
    embedded  the same choice without a daemon: `Core`
    cli       the command `resonance`

Nothing is loaded before it is used: ``import resonance`` costs a millisecond, gRPC is imported
when the daemon is first called, and numpy when a `Core` is made.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from resonance import embedded, hints, periodic
    from resonance.embedded import Core
    from resonance.periodic import every, next_valley

__all__ = ["Core", "embedded", "every", "hints", "next_valley", "periodic"]

_ROOMS: Final = {"Core": "embedded", "every": "periodic", "next_valley": "periodic"}


def __getattr__(name: str) -> object:
    """Import a room of the SDK when it, or what it is known for, is first named (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = importlib.import_module(f"{__name__}.{_ROOMS.get(name, name)}")
    value = getattr(room, name) if name in _ROOMS else room
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
