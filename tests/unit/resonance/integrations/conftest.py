# SPDX-License-Identifier: MIT
"""What the tests of the HTTP adapters share: one client for each library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from fakes.http_clients import LIBRARIES, NAME, SECURE, Library, Make
from fakes.http_replicas import Replica
from resonance import Policy


@pytest.fixture(params=LIBRARIES)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Make clients of one of the libraries, for replicas behind a name."""
    with ExitStack() as stack:

        def make(
            policy: Policy | None, targets: Any = (), mode: str = "active", **options: Any
        ) -> Library:
            client = None if policy is None else {"policy": policy, "mode": mode}
            if policy is not None:
                urls = targets if callable(targets) else [_url(each) for each in targets]
                options["replicas"] = {SECURE if options.get("tls") else NAME: urls}
            return stack.enter_context(LIBRARIES[request.param](client, **options))

        yield make


def _url(target: Replica | str) -> str:
    return target if isinstance(target, str) else target.url
