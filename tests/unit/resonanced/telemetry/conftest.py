# SPDX-License-Identifier: MIT
"""A served telemetry room on a free port, and a way to ask it."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from fakes.snapshots import REPORT
from resonanced.telemetry.server import Telemetry
from resonanced.telemetry.settings import TelemetrySettings

Ask = Callable[..., tuple[int, str]]
Scrape = Callable[[], dict[tuple[str, tuple[tuple[str, str], ...]], float]]


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    room = Telemetry(TelemetrySettings(port=0), REPORT, 0.1)
    room.start()
    yield room
    room.stop()


@pytest.fixture
def ask(telemetry: Telemetry) -> Ask:
    def ask(path: str, method: str = "GET") -> tuple[int, str]:
        connection = http.client.HTTPConnection(urlsplit(telemetry.url).netloc, timeout=10)
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read().decode()
        connection.close()
        return response.status, body

    return ask


@pytest.fixture
def scrape(ask: Ask) -> Scrape:
    def scrape() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        status, text = ask("/metrics")
        assert status == 200
        samples: list[Sample] = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]
        return {(each.name, tuple(sorted(each.labels.items()))): each.value for each in samples}

    return scrape
