# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest

from resonance.periodic import _wire
from resonanced.phase.pace import heartbeat_seconds, report_interval_seconds, valid_seconds

STREAMS = pytest.mark.parametrize("streams", [1, 4, 5, 24, 25, 64, 288])
MANY = pytest.mark.parametrize("streams", [1, 24, 64, 288, 721, 1_024, 65_536])


@STREAMS
@pytest.mark.parametrize("is_quiet", [True, False])
def test_all_streams_together_report_and_are_told_no_more_than_8_times_a_second(
    streams: int, is_quiet: bool
) -> None:
    interval = report_interval_seconds(streams, streams, is_quiet=is_quiet)
    assert streams / interval <= 8.0
    assert streams / heartbeat_seconds(streams) <= 8.0
    assert interval >= (4.0 if is_quiet else 0.5)


@pytest.mark.parametrize("sources", [1, 50, 51, 256, 1_024])
def test_the_more_sources_there_are_the_rarer_are_the_reports(sources: int) -> None:
    assert sources / report_interval_seconds(1, sources, is_quiet=False) <= 100.0


def test_reports_are_rarer_while_nothing_is_to_be_decided() -> None:
    busy, quiet = (report_interval_seconds(8, 8, is_quiet=each) for each in (False, True))
    assert quiet >= 4 * busy


@MANY
def test_no_client_gives_up_an_order_before_the_next_one_is_due(streams: int) -> None:
    believed = min(valid_seconds(streams), _wire._MOST_VALID_SECONDS)
    assert believed >= heartbeat_seconds(streams) + 2.0


@STREAMS
def test_what_was_told_outlives_an_order_that_is_two_seconds_late(streams: int) -> None:
    assert valid_seconds(streams) >= 5.0
    assert valid_seconds(streams) >= heartbeat_seconds(streams) + 2.0


def test_no_stream_is_told_what_holds_for_longer_than_a_client_believes() -> None:
    assert valid_seconds(100_000) <= 60.0
