# SPDX-License-Identifier: MIT
"""What several knobs share of one kernel surface: threads, CPU masks, netlink, D-Bus."""
