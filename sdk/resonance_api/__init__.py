# SPDX-License-Identifier: MIT
"""The wire between the daemon and applications: protos and their committed stubs, nothing else."""
