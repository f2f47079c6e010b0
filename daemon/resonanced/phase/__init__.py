# SPDX-License-Identifier: MIT
"""What is periodic on this node, and where its sources are to be.

::

    server           the service `Phase`: a guest on the socket of the hints
      conversation   one stream: reports in, orders out, no faster than asked for
      pace           how often that is
      explain        why a source is where it is
      spectrum       what the analysis sees, on the wire
    admin            the service `Admin`: the mode and the kill switch, for the operator alone
    registry         the sources of all streams and their controller; the room's middle
      attendance     the sources of one stream, and what it is still to be told
    requests         messages into records; what cannot be is refused
    loop             the room's part of a tick: listens to the node, has the controller decide
      listener       the node's period, and the cgroup whose rhythm its queue follows
      bins           what the kernel counted, millisecond by millisecond
      others         the waits by which the controller is judged, and how busy the CPUs are
      rhythm         all of it as the record that telemetry and hints show
    settings         the table [phase]

Nothing is imported here, so that the keeper reads the settings without numpy.
"""
