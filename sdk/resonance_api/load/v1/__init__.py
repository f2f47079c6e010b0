# SPDX-License-Identifier: MIT
"""Version 1 of the load report: ``load_report.proto`` and its generated stubs."""
