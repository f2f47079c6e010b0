# SPDX-License-Identifier: MIT
"""The verbs that look at, change and give back the node's settings, and steer the service.

Each imports only what stands below it::

    rollback            needs nothing that can be missing or broken
    tuning, explain     plan, apply, verify, journal; explain
    desk                what each of them looks at
    report, story       what they say
    phase, policies     ask the running service how far it, and the SDK's clients, may go
    running             how it is asked
    options, terminal   what they are told, and how text reaches a terminal unharmed
"""
