# SPDX-License-Identifier: MIT
"""Does the side container write down the pods that asked, against an API server that answers?

The server is the test's own and speaks what the program asks for: a list of pods, and a watch
that sends one JSON event a line.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from prometheus_client import REGISTRY

NODE = "node-1"
UID = "0f8b6c1e-5a0c-4b7e-9d55-{:012d}"
END: None = None


def pod(number: int, asks: str | None = "own", **fields: Any) -> dict[str, Any]:
    """Return a pod as the API server shows it; its class of service is among the fields."""
    annotations = {} if asks is None else {"resonance.dev/slot": asks}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"pod-{number}",
            "namespace": "default",
            "uid": UID.format(number),
            "creationTimestamp": f"2026-01-01T00:00:{number:02d}Z",
            "annotations": annotations | fields.get("annotations", {}),
            "resourceVersion": "7",
        },
        "spec": {"containers": [{"name": f"c{n}"} for n in range(fields.get("containers", 1))]},
        "status": {
            "phase": fields.get("phase", "Running"),
            "qosClass": fields.get("qos", "Burstable"),
        },
    }


class ApiServer:
    """What is asked of it, what it answers, and when it does not."""

    def __init__(self) -> None:
        self.pods: list[dict[str, Any]] = []
        self.events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.refusals: list[int] = []
        self.asked: list[dict[str, list[str]]] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                api.answer(self)

            def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.02}
        )
        self.thread.start()

    @property
    def lists(self) -> list[dict[str, list[str]]]:
        return [query for query in self.asked if "watch" not in query]

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        where = urlsplit(request.path)
        self.asked.append(parse_qs(where.query))
        status = self.refusals.pop(0) if self.refusals else 200
        request.send_response(status if where.path == "/api/v1/pods" else 404)
        request.send_header("Content-Type", "application/json")
        if status == 200 and "watch" in self.asked[-1]:
            self._send_events(request)
            return
        found = {"kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": self.pods}
        body = json.dumps(found).encode() if status == 200 else b""
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _send_events(self, request: BaseHTTPRequestHandler) -> None:
        """Send each event at once, in a chunk of its own."""
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        while (event := self.events.get()) is not END:
            line = json.dumps(event).encode() + b"\n"
            request.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        request.wfile.write(b"0\r\n\r\n")

    def close(self) -> None:
        self.events.put(END)
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def api() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    server.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pods.json"


@pytest.fixture
def node(
    pods: ModuleType, api: ApiServer, file: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    monkeypatch.setattr(pods, "_PAUSE_SECONDS", (0.0, 0.0))
    settings = client.Configuration()
    settings.host = f"http://127.0.0.1:{api.server.server_port}"
    connected = pods.connect(settings)
    monkeypatch.setattr(urllib3.Retry, "get_backoff_time", lambda _self: 0.0)
    yield pods.PodsOfNode(connected, NODE, file, 40)
    connected.api_client.close()


def written(file: Path) -> list[str]:
    found: list[str] = json.loads(file.read_text())
    return found


def event(kind: str, what: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": what}


def test_only_pods_of_this_node_are_asked_for(api: ApiServer, node: Any) -> None:
    api.events.put(END)
    node.follow()
    assert {query["fieldSelector"][0] for query in api.asked} == {f"spec.nodeName={NODE}"}


def test_a_pod_with_the_annotation_is_written_and_one_without_is_not(
    api: ApiServer, node: Any, file: Path
) -> None:
    api.pods = [pod(1), pod(2, None)]
    api.events.put(END)
    node.follow()
    assert written(file) == [UID.format(1)]


@pytest.mark.parametrize("qos", ["Guaranteed", "Burstable", "BestEffort"])
def test_every_class_of_service_may_be_measured(
    qos: str, api: ApiServer, node: Any, file: Path
) -> None:
    api.pods = [pod(1, qos=qos)]
    api.events.put(END)
    node.follow()
    assert written(file) == [UID.format(1)]


def test_a_pod_that_comes_is_added(api: ApiServer, node: Any, file: Path) -> None:
    api.events.put(event("ADDED", pod(1)))
    api.events.put(END)
    node.follow()
    assert written(file) == [UID.format(1)]


def test_a_removed_annotation_takes_the_slot_back(api: ApiServer, node: Any, file: Path) -> None:
    api.pods = [pod(1), pod(2)]
    api.events.put(event("MODIFIED", pod(1, None)))
    api.events.put(END)
    node.follow()
    assert written(file) == [UID.format(2)]


@pytest.mark.parametrize(
    "last", [event("DELETED", pod(1)), event("MODIFIED", pod(1, phase="Succeeded"))]
)
def test_a_pod_that_is_over_has_no_slot(
    last: dict[str, Any], api: ApiServer, node: Any, file: Path
) -> None:
    api.pods = [pod(1)]
    api.events.put(last)
    api.events.put(END)
    node.follow()
    assert written(file) == []


def test_a_static_pod_is_known_by_the_uid_its_cgroup_has(
    api: ApiServer, node: Any, file: Path
) -> None:
    cgroup = "8d3c1b5ab2f64ec3a1b7d1d8b6f1a2c3"
    api.pods = [pod(1, annotations={"kubernetes.io/config.mirror": cgroup})]
    api.events.put(END)
    node.follow()
    assert written(file) == [cgroup]


def test_another_value_is_refused_logged_and_counted(
    api: ApiServer, node: Any, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    api.pods = [pod(1, "latency-critical"), pod(2)]
    api.events.put(END)
    node.follow()
    assert written(file) == [UID.format(2)]
    assert "left_out pod=default/pod-1 reason=value" in caplog.text
    assert REGISTRY.get_sample_value("resonance_pods_left_out", {"reason": "value"}) == 1


def test_where_there_is_no_room_the_oldest_stay(
    api: ApiServer, node: Any, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    api.pods = [pod(n, containers=19) for n in (3, 1, 2)]  # each with its sandbox takes 20 of 40
    api.events.put(END)
    node.follow()
    assert written(file) == [UID.format(1), UID.format(2)]
    assert "left_out pod=default/pod-3 reason=room" in caplog.text


def test_a_reader_never_sees_half_a_file(api: ApiServer, node: Any, file: Path) -> None:
    api.pods = [pod(1)]
    api.events.put(END)
    node.follow()
    before = file.open()
    api.pods = [pod(1), pod(2)]
    api.events.put(END)
    node.follow()
    with before:
        assert json.load(before) == [UID.format(1)], "it was replaced, not written over"
    assert len(written(file)) == 2


def test_a_server_that_stumbles_is_asked_again(api: ApiServer, node: Any, file: Path) -> None:
    api.pods = [pod(1)]
    api.refusals = [503, 500, 503]
    api.events.put(END)
    node.follow()
    assert written(file) == [UID.format(1)]


def test_a_server_that_is_away_is_asked_so_often_and_the_file_is_kept(
    api: ApiServer, node: Any, file: Path
) -> None:
    api.pods = [pod(1)]
    api.events.put(END)
    node.follow()
    api.refusals = [503] * 100
    asked = len(api.asked)
    with pytest.raises(urllib3.exceptions.MaxRetryError):
        node.follow()
    assert len(api.asked) - asked == 1 + 5, "five attempts after the first, then the kubelet's turn"
    assert written(file) == [UID.format(1)]


def test_a_refusal_of_rbac_is_not_asked_again(api: ApiServer, node: Any) -> None:
    api.refusals = [403]
    with pytest.raises(ApiException, match="403"):
        node.follow()
    assert len(api.asked) == 1


def test_a_watch_that_is_too_old_is_begun_anew_with_a_list(
    api: ApiServer, node: Any, file: Path
) -> None:
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    api.events.put(event("ERROR", gone))
    node.follow()
    api.events.put(END)  # for the watch that the client has left
    api.pods = [pod(1)]
    api.events.put(END)
    node.follow()
    assert len(api.lists) == 2
    assert written(file) == [UID.format(1)]


def test_main_ends_with_one_line_when_the_server_refuses(
    pods: ModuleType,
    api: ApiServer,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def of_test(client_configuration: client.Configuration) -> None:
        client_configuration.host = f"http://127.0.0.1:{api.server.server_port}"

    monkeypatch.setattr(pods, "_load_incluster_config", of_test)
    monkeypatch.setattr(pods, "start_http_server", lambda _port: None)
    api.refusals = [403]
    assert pods.main(["--node", NODE, "--file", str(file)]) == 1
    assert "the API server says 403 Forbidden" in caplog.messages[-1]
    assert "\n" not in caplog.messages[-1]


def test_outside_of_a_pod_it_says_so_in_one_line(
    pods: ModuleType,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert pods.main(["--node", NODE, "--file", str(file)]) == 2
    assert caplog.messages == ["not_in_a_pod reason='Service host/port is not set.'"]
