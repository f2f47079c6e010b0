# SPDX-License-Identifier: MIT
"""How does a Snapshot read on the wire?

Nothing is built before somebody asks. A `Publication` belongs to one snapshot and keeps
the serialised cgroups per question, so that many readers of one snapshot cost one build.

Percentiles interpolate linearly inside the bucket that holds the rank, as Prometheus'
``histogram_quantile`` does; a bucket is at most 1/8 of its value wide. The last bucket also
holds what is longer and yields its upper edge.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, TypedDict

import numpy as np
import numpy.typing as npt

from resonance_api.hints.v1 import hints_pb2
from resonance_bpf.catalogue import SLOTS
from resonance_bpf.layouts import BUCKET_UPPER_NS
from resonanced.hints.rhythm import rhythm_message
from resonanced.model import Distribution, Snapshot, UInts, shown_path

__all__ = ["Header", "Publication", "Question", "quantiles_ns"]

_QUANTILES: Final = np.array([0.50, 0.90, 0.99, 0.999])
_KEPT_ANSWERS: Final = 256
"""Different questions whose answers one publication keeps; more are answered, not kept."""

_UPPER_NS: Final = BUCKET_UPPER_NS.astype(np.float64)
_LOWER_NS: Final = np.concatenate(([0.0], _UPPER_NS[:-1]))
_NOT_MEASURED: Final = (None,) * SLOTS

_Latencies = Sequence[hints_pb2.Latency | None]
"""One per slot."""


class _Recent(TypedDict, total=False):
    recent_count: int
    p50_seconds: float
    p90_seconds: float
    p99_seconds: float
    p999_seconds: float


@dataclass(frozen=True, slots=True)
class Header:
    """What every state of one daemon run says of itself."""

    instance: int
    valid_for_seconds: float
    percentile_window_seconds: float
    backend: str
    tier: str
    hierarchy: str


@dataclass(frozen=True, slots=True)
class Question:
    """Which cgroups a reader wants (shell patterns, empty for all), and in what detail."""

    cgroups: tuple[str, ...] = ()
    include_histograms: bool = False

    def wants(self, cgroup: str) -> bool:
        """Tell whether a cgroup is asked for."""
        return not self.cgroups or any(fnmatchcase(cgroup, each) for each in self.cgroups)


def quantiles_ns(buckets: UInts) -> npt.NDArray[np.float64]:
    """Return p50, p90, p99 and p99.9 of each histogram.

    Parameters
    ----------
    buckets : (slots, BUCKETS) uint64
        Events per bucket.

    Returns
    -------
    (4, slots) float64
        In ns; 0 where a histogram is empty.
    """
    seen = buckets.ravel().cumsum().astype(np.float64)
    ends = seen[buckets.shape[1] - 1 :: buckets.shape[1]]
    starts = np.concatenate(([0.0], ends[:-1]))
    ranks = starts + _QUANTILES[:, None] * (ends - starts)
    # One search for all rows: the running count never falls, and a rank lies in its own row.
    found = np.searchsorted(seen, ranks)
    inside = buckets.ravel()[found].astype(np.float64)
    into = (ranks - (seen[found] - inside)) / np.maximum(inside, 1.0)
    bucket = found % buckets.shape[1]
    value = _LOWER_NS[bucket] + into * (_UPPER_NS[bucket] - _LOWER_NS[bucket])
    return np.where(ends > starts, value, 0.0)


class Publication:
    """One snapshot, and what has been asked of it.

    Parameters
    ----------
    snapshot : Snapshot
    header : Header
    latencies : dict, optional
        Those of the snapshot's waits, where they are known already.
    rhythm : bytes, optional
        A serialised response that holds the snapshot's rhythm, likewise.
    """

    __slots__ = ("_answers", "_asked", "_header", "_latencies", "_rhythm", "snapshot")

    def __init__(
        self,
        snapshot: Snapshot,
        header: Header,
        latencies: dict[str, _Latencies] | None = None,
        rhythm: bytes | None = None,
    ) -> None:
        self.snapshot = snapshot
        self._header = header
        self._answers: dict[Question, bytes] = {}
        self._asked: set[Question] = set()
        self._latencies = latencies
        self._rhythm = rhythm

    def followed_by(self, snapshot: Snapshot) -> Publication:
        """Return the publication of the next snapshot.

        Waits change once a second, the rhythm at most twice, pressure with each snapshot;
        records are replaced, never changed, so the same ones mean the same messages.
        """
        is_same = (
            snapshot.runqueue is self.snapshot.runqueue
            and snapshot.sockets is self.snapshot.sockets
        )
        has_same_rhythm = snapshot.rhythm is self.snapshot.rhythm
        return Publication(
            snapshot,
            self._header,
            self._latencies if is_same else None,
            self._rhythm if has_same_rhythm else None,
        )

    def head(self) -> hints_pb2.State:
        """Return the state without its cgroups and the rhythm, as old as it is now."""
        snapshot, header = self.snapshot, self._header
        return hints_pb2.State(
            instance=header.instance,
            sequence=snapshot.sequence,
            monotonic_ns=snapshot.monotonic_ns,
            unix_seconds=snapshot.unix_seconds,
            age_seconds=max(time.monotonic_ns() - snapshot.monotonic_ns, 0) / 1e9,
            valid_for_seconds=header.valid_for_seconds,
            backend=header.backend,
            tier=header.tier,
            hierarchy=header.hierarchy,
            mode=snapshot.tuning.mode,
            percentile_window_seconds=header.percentile_window_seconds,
        )

    def answer(self, question: Question) -> bytes:
        """Return a serialised response that holds only the cgroups asked for, and the rhythm.

        ``GetResponse`` and ``WatchResponse`` both carry the state as field 1, and protobuf
        merges what is concatenated: these bytes followed by a response with `head` are one
        message. So the costly part is made once and shared by all readers.

        References
        ----------
        https://protobuf.dev/programming-guides/encoding/#last-one-wins
        """
        if len(self._asked) < _KEPT_ANSWERS:
            self._asked.add(question)
        return self._made(question)

    def is_ready(self, question: Question) -> bool:
        """Whether the answer to this question is made already."""
        return question in self._answers

    def _made(self, question: Question) -> bytes:
        answer = self._answers.get(question)
        if answer is None:
            state = hints_pb2.State(
                cgroups=self._cgroups(question), policy_ceiling=self.snapshot.policy_ceiling
            )
            answer = hints_pb2.GetResponse(state=state).SerializeToString() + self._told_rhythm()
            if len(self._answers) < _KEPT_ANSWERS:
                self._answers[question] = answer
        return answer

    def _told_rhythm(self) -> bytes:
        if self._rhythm is None:
            state = hints_pb2.State(rhythm=rhythm_message(self.snapshot.rhythm))
            self._rhythm = hints_pb2.GetResponse(state=state).SerializeToString()
        return self._rhythm

    def _cgroups(self, question: Question) -> Iterator[hints_pb2.CgroupState]:
        waits = self.latencies()
        pressure = self.snapshot.pressure.tolist()
        grants = self.snapshot.tuning.grants
        for slot in self.snapshot.slots:
            cgroup = shown_path(slot.cgroup)
            if not question.wants(cgroup):
                continue
            index = slot.index
            state = hints_pb2.CgroupState(
                slot=index,
                slot_generation=slot.generation,
                cgroup=cgroup,
                cgroup_id=slot.cgroup_id,
                pressure=None if math.isnan(pressure[index]) else pressure[index],
                runqueue=waits["runqueue"][index],
                srtt=waits.get("srtt", _NOT_MEASURED)[index],
                connect=waits.get("connect", _NOT_MEASURED)[index],
                receive=waits.get("receive", _NOT_MEASURED)[index],
                retransmits=int(self.snapshot.retransmits[index]),
                exclusive_cpus=grants.get(slot.cgroup, ()),
            )
            if question.include_histograms:
                self._add_histograms(state)
            yield state

    def prepare(self, before: Publication) -> None:
        """Make what was asked of the publication before, so that no reader waits for it."""
        for question in before.asked:
            self._made(question)

    @property
    def asked(self) -> frozenset[Question]:
        """What readers asked of this publication."""
        return frozenset(self._asked)

    def latencies(self) -> dict[str, _Latencies]:
        """Return the message of each slot per kind; the costly part, made once."""
        if self._latencies is None:
            self._latencies = {kind: _latencies(waits) for kind, waits in self._distributions()}
        return self._latencies

    def _distributions(self) -> list[tuple[str, Distribution]]:
        return [("runqueue", self.snapshot.runqueue), *self.snapshot.sockets.items()]

    def _add_histograms(self, state: hints_pb2.CgroupState) -> None:
        for kind, distribution in self._distributions():
            if distribution.buckets is None:
                continue
            counts = distribution.buckets[state.slot]
            filled = np.flatnonzero(counts)
            histogram: hints_pb2.Histogram = getattr(state, kind).histogram
            histogram.upper_ns.extend(BUCKET_UPPER_NS[filled].tolist())
            histogram.counts.extend(counts[filled].tolist())


def _latencies(distribution: Distribution) -> _Latencies:
    rows = _recent(distribution.recent)
    return [
        hints_pb2.Latency(count=count, sum_seconds=sum_ns / 1e9, **rows.get(slot, {}))
        for slot, (count, sum_ns) in enumerate(
            zip(distribution.count.tolist(), distribution.sum_ns.tolist(), strict=True)
        )
    ]


def _recent(recent: UInts | None) -> dict[int, _Recent]:
    """Return the fields of the slots that had events lately."""
    if recent is None:
        return {}
    counts = recent.sum(axis=1)
    filled = np.flatnonzero(counts)
    columns = (counts[filled], *(quantiles_ns(recent[filled]) / 1e9))
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return {
        slot: _Recent(
            recent_count=count,
            p50_seconds=p50,
            p90_seconds=p90,
            p99_seconds=p99,
            p999_seconds=p999,
        )
        for slot, (count, p50, p90, p99, p999) in zip(filled.tolist(), rows, strict=True)
    }
