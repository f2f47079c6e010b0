# SPDX-License-Identifier: MIT
"""What does the operator's monitoring see: the latest snapshot, over HTTP.

::

    server        HTTP: /metrics, /healthz, /readyz; the room's door, `server.Telemetry`
      metrics     a snapshot and a load report as Prometheus families
        tuning    what is changed on this host, as the same
        rhythm    what is periodic on it, as the same
      histograms  exact classic histograms, written straight as text
    settings      the table [telemetry]

Nothing is imported here, so that the keeper reads the settings without numpy.
"""
