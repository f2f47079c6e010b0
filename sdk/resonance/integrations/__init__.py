# SPDX-License-Identifier: MIT
"""The libraries people already use; each module needs its own extra."""
