# SPDX-License-Identifier: MIT
"""What only the operator may ask."""
