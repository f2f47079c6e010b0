# SPDX-License-Identifier: MIT
"""How loaded a server says it is."""
