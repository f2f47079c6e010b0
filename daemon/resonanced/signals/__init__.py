# SPDX-License-Identifier: MIT
"""From the kernel's shared memory to snapshots: waits, pressure, and who owns which slot."""
