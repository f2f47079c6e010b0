#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Which pods of this node asked for a slot of their own?

A program beside the daemon, without any privilege on the node: it asks the API server for the
pods of one node and writes the uids of those that carry the annotation ``resonance.dev/slot:
own`` to a file. `with_pods.py`, which the daemon runs under, makes a configuration of it.

Asking is all it does in the cluster, and measuring all that follows: no pod is changed,
whatever its class of service. What cannot be asked leaves the file as it was: after the
library's own attempts it ends, and the kubelet starts it again, each time later.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import urllib3
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from prometheus_client import Counter, Gauge, start_http_server

__all__ = ["ANNOTATION", "Choice", "Pod", "PodsOfNode", "choose", "connect", "main"]

_log = logging.getLogger("resonance-pods")
ANNOTATION: Final = "resonance.dev/slot"
_WANTED: Final = "own"
_MIRROR: Final = "kubernetes.io/config.mirror"
_OVER: Final = frozenset({"Succeeded", "Failed"})
_GONE: Final = 410
_ANSWER_SECONDS: Final = 10.0
_WATCH_SECONDS: Final = 300
"""After so long the pods are listed anew: what a watch has missed is not missed for good."""
_PAUSE_SECONDS: Final = (1.0, 10.0)
"""Between a watch that broke and the next list; drawn, so that not all nodes ask at once."""
_ATTEMPTS: Final = 5
_REASONS: Final = ("value", "room")

# The library does not say the types of these two.
_Watch: Any = watch.Watch
_load_incluster_config: Any = config.load_incluster_config  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

_SLOTS = Gauge("resonance_pods_slots", "Slots that the pods with the annotation may take")
_CHOSEN = Gauge("resonance_pods_with_slot", "Pods of this node that have slots of their own")
_LEFT_OUT = Gauge("resonance_pods_left_out", "Pods with the annotation and no slot", ["reason"])
_BROKEN = Counter("resonance_pods_watches_broken", "Watches of the API server that broke off")
for _reason in _REASONS:
    _LEFT_OUT.labels(_reason)


@dataclass(frozen=True, slots=True)
class Pod:
    """What is known of a pod with the annotation.

    Attributes
    ----------
    name : str
        With its namespace.
    uid : str
        As its cgroup is called after it.
    asked : str
        The annotation's value.
    slots : int
        How many cgroups it has: one for each container, and one for its sandbox.
    created : datetime
        Who was there first goes first.
    """

    name: str
    uid: str
    asked: str
    slots: int
    created: datetime


@dataclass(frozen=True, slots=True)
class Choice:
    """Whose cgroups are measured apart.

    Attributes
    ----------
    uids : tuple of str
        In order, so that two choices of the same pods are equal.
    slots : int
        What they take.
    left_out : dict of str to str
        Pods that asked and do not get it, by name, and why: their value is another, or
        there is no room.
    """

    uids: tuple[str, ...]
    slots: int
    left_out: dict[str, str]


def choose(pods: Iterable[Pod], most_slots: int) -> Choice:
    """Choose whose cgroups are measured apart: the oldest, while there is room."""
    uids: list[str] = []
    left_out: dict[str, str] = {}
    slots = 0
    for pod in sorted(pods, key=lambda pod: (pod.created, pod.uid)):
        if pod.asked != _WANTED:
            left_out[pod.name] = "value"
        elif slots + pod.slots > most_slots:
            left_out[pod.name] = "room"
        else:
            uids.append(pod.uid)
            slots += pod.slots
    return Choice(tuple(sorted(uids)), slots, left_out)


class PodsOfNode:
    """Follows the pods of one node and keeps the file of those that asked.

    Parameters
    ----------
    api : CoreV1Api
    node : str
        Its name in the cluster.
    file : Path
        Replaced as a whole, and only when another choice is made.
    most_slots : int
        What all pods together may take.
    """

    def __init__(self, api: client.CoreV1Api, node: str, file: Path, most_slots: int) -> None:
        self._api = api
        self._file = file
        self._most_slots = most_slots
        self._selector = f"spec.nodeName={node}"
        self._pods: dict[str, Pod] = {}
        self._choice: Choice | None = None

    def follow(self) -> None:
        """List and watch once: until the watch has lasted its time, or breaks.

        Raises
        ------
        ApiException, urllib3.exceptions.HTTPError
            The API server refuses us, or did not answer a single one of our attempts to list.
        """
        version = self._list()
        try:
            self._watch(version)
        except (ApiException, urllib3.exceptions.HTTPError) as error:
            if _status(error) not in {0, _GONE}:
                raise
            _BROKEN.inc()
            _log.warning("watch_broke reason=%r", _line(error))
            time.sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311 - chance, not a secret

    def _list(self) -> str:
        # "0": whatever the server has at hand, so that nobody has to look into its store.
        found: Any = self._api.list_pod_for_all_namespaces(
            field_selector=self._selector, resource_version="0", _request_timeout=_ANSWER_SECONDS
        )
        self._pods = {}
        for pod in found.items:
            self._take(pod)
        self._write()
        return str(found.metadata.resource_version)

    def _watch(self, version: str) -> None:
        events = _Watch().stream(
            self._api.list_pod_for_all_namespaces,
            field_selector=self._selector,
            resource_version=version,
            timeout_seconds=_WATCH_SECONDS,
            _request_timeout=(_ANSWER_SECONDS, _WATCH_SECONDS + _ANSWER_SECONDS),
        )
        for event in events:
            if event["type"] == "DELETED":
                self._pods.pop(event["object"].metadata.uid, None)
            elif event["type"] in {"ADDED", "MODIFIED"}:
                self._take(event["object"])
            self._write()

    def _take(self, pod: Any) -> None:
        annotations: dict[str, str] = pod.metadata.annotations or {}
        if ANNOTATION not in annotations or pod.status.phase in _OVER:
            self._pods.pop(pod.metadata.uid, None)
            return
        # The API server's uid of a static pod's mirror is not the one its cgroup has.
        self._pods[pod.metadata.uid] = Pod(
            name=f"{pod.metadata.namespace}/{pod.metadata.name}",
            uid=annotations.get(_MIRROR) or pod.metadata.uid,
            asked=annotations[ANNOTATION],
            slots=len(pod.spec.containers) + len(pod.spec.init_containers or ()) + 1,
            created=pod.metadata.creation_timestamp or datetime.now(UTC),
        )

    def _write(self) -> None:
        choice = choose(self._pods.values(), self._most_slots)
        if choice == self._choice:
            return
        draft = self._file.with_name(f".{self._file.name}")
        draft.write_text(json.dumps(choice.uids) + "\n", encoding="ascii")
        os.replace(draft, self._file)
        self._choice = choice
        _CHOSEN.set(len(choice.uids))
        _SLOTS.set(choice.slots)
        reasons = list(choice.left_out.values())
        for reason in _REASONS:
            _LEFT_OUT.labels(reason).set(reasons.count(reason))
        _log.info("chosen pods=%d slots=%d", len(choice.uids), choice.slots)
        for name, reason in choice.left_out.items():
            _log.warning("left_out pod=%s reason=%s", name, reason)


def connect(settings: client.Configuration) -> client.CoreV1Api:
    """Return the API, asked again by the library itself where it does not answer."""
    settings.retries = urllib3.Retry(
        total=_ATTEMPTS,
        backoff_factor=1.0,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=frozenset({"GET"}),
    )
    return client.CoreV1Api(client.ApiClient(settings))


def main(argv: Sequence[str] | None = None) -> int:
    """Follow the pods of a node until ended; return the exit status."""
    parser = argparse.ArgumentParser(description="Write down which pods want slots of their own.")
    parser.add_argument("--node", required=True, help="name of the node")
    parser.add_argument("--file", required=True, type=Path, help="where their uids are written")
    parser.add_argument("--most-slots", type=int, default=40, help="for all pods together (40)")
    parser.add_argument("--port", type=int, default=9757, help="of the metrics (9757)")
    arguments = parser.parse_args(argv)
    logging.basicConfig(
        format="time=%(asctime)s level=%(levelname)s event=%(message)s", level=logging.INFO
    )
    settings = client.Configuration()
    try:
        _load_incluster_config(client_configuration=settings)
    except config.ConfigException as error:
        _log.error("not_in_a_pod reason=%r", _line(error))
        return 2
    start_http_server(arguments.port)
    pods = PodsOfNode(connect(settings), arguments.node, arguments.file, arguments.most_slots)
    try:
        while True:
            pods.follow()
    except (ApiException, urllib3.exceptions.HTTPError) as error:
        _log.error("cannot_ask reason=%r kept=%s", _line(error), arguments.file)
        return 1


def _status(error: Exception) -> int:
    """Return what the API server answered; 0 where it was not heard."""
    return int(vars(error).get("status") or 0)


def _line(error: Exception) -> str:
    """Return what an operator needs of an error whose own text may be a page."""
    if _status(error):
        return f"the API server says {_status(error)} {vars(error)['reason']}"
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main())
