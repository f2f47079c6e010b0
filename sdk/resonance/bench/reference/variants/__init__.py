# SPDX-License-Identifier: MIT
"""Is what the experiment finds an artefact of its own server? The same with others.

::

    VARIANTS          by name: grpc, nginx, uvicorn
    variant           one of them: its servers, equal in work, and the links to them
    commands          how each server is started, and what it needs for that
    starting          a process that has its place before it begins, and ends with its parent
    placing           run as a script: takes the place, then becomes the server
    calibrating       how much work takes the time that is asked for
    serving_uvicorn   run as a script: an ASGI application
    serving_grpc      run as a script: a unary method
    wired             the links of the driver, over wires of the generator
    cancelling        of those the one that can cancel

A request costs the server a fixed amount of CPU time, as with our own replica: a tail comes from
queueing and from the scheduler. Each replica is one process with one worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from resonance.bench.reference.variants.commands import grpc, nginx, uvicorn
from resonance.bench.reference.variants.variant import Variant

__all__ = ["VARIANTS", "Variant"]

VARIANTS: Final[Mapping[str, Variant]] = {
    each.name: each
    for each in (
        Variant(
            name="grpc",
            summary="grpcio, one thread of work; a hash of many rounds",
            scheme="grpc",
            path="/resonance.Work/Do",
            command=grpc,
            guesses=(1, 2_000),
        ),
        Variant(
            name="nginx",
            summary="nginx, one process; gzip of a file",
            scheme="http",
            path="/work",
            headers=(("Accept-Encoding", "gzip"),),
            command=nginx,
            guesses=(1_024, 12_288),
        ),
        Variant(
            name="uvicorn",
            summary="uvicorn, one process; an ASGI application, a hash of many rounds",
            scheme="http",
            path="/work",
            command=uvicorn,
            guesses=(1, 2_000),
        ),
    )
}
"""By name."""
