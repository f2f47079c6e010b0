# SPDX-License-Identifier: MIT
"""The phases of periodic sources."""
