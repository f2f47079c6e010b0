# SPDX-License-Identifier: MIT
"""Version 1 of the hints: ``hints.proto`` and its generated stubs."""
