# SPDX-License-Identifier: MIT
"""The hints the daemon gives."""
