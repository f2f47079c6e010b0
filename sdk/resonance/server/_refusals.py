# SPDX-License-Identifier: MIT
"""Why was a request refused? One code for each answer, the same in replies, counters and text.

A code never changes its meaning. It goes to the caller as the header, or the trailer,
``resonance-reason``.
"""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Final

__all__ = ["SENTENCES", "Refusal"]


@unique
class Refusal(StrEnum):
    """Why a server refused a request; `SENTENCES` has it in words."""

    QUEUE_FULL = "queue_full"
    DISPLACED = "displaced"
    QUEUED_TOO_LONG = "queued_too_long"
    DEADLINE_OVER = "deadline_over"
    DEADLINE_TOO_NEAR = "deadline_too_near"


SENTENCES: Final[dict[Refusal, str]] = {
    Refusal.QUEUE_FULL: "the queue is full of requests that are as important",
    Refusal.DISPLACED: "the queue was full, and a more important request took its place",
    Refusal.QUEUED_TOO_LONG: "it waited longer in the queue than an overloaded server lets it",
    Refusal.DEADLINE_OVER: "its deadline was over before it was begun",
    Refusal.DEADLINE_TOO_NEAR: "less time was left than half of such requests take",
}
"""Each code in one sentence."""
