# SPDX-License-Identifier: MIT
"""What the fixtures of the folder above give."""

from __future__ import annotations

from collections.abc import Callable

from resonance_api.phase.v1.phase_pb2_grpc import PhaseServicer

Command = Callable[..., tuple[int, str, str]]
ServePhase = Callable[[PhaseServicer], None]
