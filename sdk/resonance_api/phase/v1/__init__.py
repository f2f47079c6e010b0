# SPDX-License-Identifier: MIT
"""Version 1: ``phase.proto`` and its generated stubs."""
