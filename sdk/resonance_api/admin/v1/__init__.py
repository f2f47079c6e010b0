# SPDX-License-Identifier: MIT
"""Version 1: ``admin.proto`` and its generated stubs."""
