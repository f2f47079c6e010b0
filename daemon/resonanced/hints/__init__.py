# SPDX-License-Identifier: MIT
"""Tells applications what the daemon knows: a gRPC service, and a shared page beside it.

::

    settings    the [hints] table
    messages    a Snapshot as protobuf, built only when somebody asks
      rhythm    what is periodic, as the same
    socket      the Unix socket: taken, stale, too long, forbidden
    server      Get, Watch, Resolve, health and reflection over that socket
    page        pressure per slot in memory that readers map (docs/shared-page.md)
    policies    how far the SDK's policies may go: the operator's switch

Nothing is imported here, so that the keeper reads the settings without numpy and gRPC.
"""
