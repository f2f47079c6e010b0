# SPDX-License-Identifier: MIT
"""What applications import to see how busy the node is.

::

    hints     how long tasks and sockets wait, per cgroup, told by the daemon on this host
    cli       the command `resonance`

Nothing is loaded before it is used: ``import resonance`` costs a millisecond, and gRPC is
imported when the daemon is first called.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resonance import hints

__all__ = ["hints"]


def __getattr__(name: str) -> object:
    """Import a room of the SDK when it is first named (PEP 562)."""
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
