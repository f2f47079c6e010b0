# SPDX-License-Identifier: MIT
"""Why was it done, or not done? One code for each answer, the same in results, counters and text.

A code never changes its meaning. `docs/policies.md` says what to do about each.
"""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Final

__all__ = ["SENTENCES", "Reason"]


@unique
class Reason(StrEnum):
    """Why a policy did what it did; `SENTENCES` has it in words."""

    # where the first attempt went
    ONLY_REPLICA = "only_replica"
    CHOSEN = "chosen"
    EJECTED_OTHERS = "ejected_others"
    # a hedge that was sent
    HEDGED = "hedged"
    HEDGED_EARLY = "hedged_early"
    HEDGE_WON = "hedge_won"
    HEDGE_LOST = "hedge_lost"
    ROOM_BY_PRESSURE = "room_by_pressure"
    ROOM_BY_INFLIGHT = "room_by_inflight"
    # a hedge that was not
    NOT_IDEMPOTENT = "not_idempotent"
    TOO_FEW_SAMPLES = "too_few_samples"
    TAIL_TOO_SHORT = "tail_too_short"
    BUDGET_EMPTY = "budget_empty"
    INFLIGHT_SHARE = "inflight_share"
    SATURATED_BY_PRESSURE = "saturated_by_pressure"
    SATURATED_BY_INFLIGHT = "saturated_by_inflight"
    DEADLINE_TOO_NEAR = "deadline_too_near"
    PUSHED_BACK = "pushed_back"
    NO_OTHER_REPLICA = "no_other_replica"
    NO_WORKER = "no_worker"
    # retries
    RETRIED = "retried"
    RETRIED_WHEN_TOLD = "retried_when_told"
    NOT_RETRIABLE = "not_retriable"
    ATTEMPTS_USED = "attempts_used"
    TOLD_TO_STOP = "told_to_stop"
    RETRIED_ABOVE = "retried_above"
    IN_STEP = "in_step"
    # before anything was sent
    THROTTLED = "throttled"
    LIMITED = "limited"
    # modes
    OBSERVED = "observed"
    ADVISED = "advised"
    KILLED = "killed"
    BYPASSED = "bypassed"
    # submitted tasks
    RAN_AT_ONCE = "ran_at_once"
    BATCH_FULL = "batch_full"
    BATCH_LATENCY = "batch_latency"
    BATCH_PRESSURE_CLEARED = "batch_pressure_cleared"
    BATCH_VALLEY = "batch_valley"
    BATCH_FLUSHED = "batch_flushed"
    DEFERRED_FOR_PRESSURE = "deferred_for_pressure"
    DEFERRED_FOR_VALLEY = "deferred_for_valley"


SENTENCES: Final[dict[Reason, str]] = {
    Reason.ONLY_REPLICA: "there is one replica",
    Reason.CHOSEN: "chosen among the replicas by their state",
    Reason.EJECTED_OTHERS: "chosen among those replicas that are not ejected",
    Reason.HEDGED: "a copy was sent, because the first attempt was slower than most",
    Reason.HEDGED_EARLY: "a copy was sent early: the first replica's tasks wait for a CPU",
    Reason.HEDGE_WON: "the copy answered first",
    Reason.HEDGE_LOST: "the first attempt answered before its copy",
    Reason.ROOM_BY_PRESSURE: "the kernel says that another replica has room",
    Reason.ROOM_BY_INFLIGHT: "few requests of ours are at another replica, so it may have room",
    Reason.NOT_IDEMPOTENT: "no copy: nothing says that doing it twice is the same as once",
    Reason.TOO_FEW_SAMPLES: "no copy: too few latencies were seen to know what is slow",
    Reason.TAIL_TOO_SHORT: "no copy: the slowest are hardly slower than the rest",
    Reason.BUDGET_EMPTY: "nothing extra was sent: successes have not paid for it yet",
    Reason.INFLIGHT_SHARE: "no copy: too many of the attempts in flight are copies",
    Reason.SATURATED_BY_PRESSURE: "no copy: the kernel says that every other replica is busy",
    Reason.SATURATED_BY_INFLIGHT: "no copy: every other replica has requests of ours to do",
    Reason.DEADLINE_TOO_NEAR: "nothing extra was sent: it could not answer in time",
    Reason.PUSHED_BACK: "no copy: the service asked for less a moment ago",
    Reason.NO_OTHER_REPLICA: "no copy: there is no other replica",
    Reason.NO_WORKER: "no copy: every worker thread is taken",
    Reason.RETRIED: "tried again after a jittered delay",
    Reason.RETRIED_WHEN_TOLD: "tried again when the server said",
    Reason.NOT_RETRIABLE: "not tried again: another try would not, or must not, be made",
    Reason.ATTEMPTS_USED: "not tried again: all attempts are used",
    Reason.TOLD_TO_STOP: "not tried again: the server said not to",
    Reason.RETRIED_ABOVE: "not tried again here: a caller above retries already",
    Reason.IN_STEP: "waited longer: retries were in step with each other",
    Reason.THROTTLED: "not sent: the service refuses most of what it gets",
    Reason.LIMITED: "not sent: as much is in flight as the service takes well",
    Reason.OBSERVED: "mode observe: it was only counted what would have been done",
    Reason.ADVISED: "mode advise: it is only said what should be done",
    Reason.KILLED: "the operator of this host switched policies off",
    Reason.BYPASSED: "run at once, without a policy, as asked",
    Reason.RAN_AT_ONCE: "run at once: it may not wait, or nothing was gained by waiting",
    Reason.BATCH_FULL: "its batch was full",
    Reason.BATCH_LATENCY: "its batch had waited as long as it may",
    Reason.BATCH_PRESSURE_CLEARED: "its batch went when tasks stopped waiting for a CPU",
    Reason.BATCH_VALLEY: "its batch went in a valley of the node's periodic work",
    Reason.BATCH_FLUSHED: "its batch was sent because it was asked for, or at the end",
    Reason.DEFERRED_FOR_PRESSURE: "held back shortly while tasks waited for a CPU",
    Reason.DEFERRED_FOR_VALLEY: "held back for a valley of the node's periodic work",
}
"""Each code in one sentence, as `explain` prints it."""
