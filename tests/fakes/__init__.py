# SPDX-License-Identifier: MIT
"""Stand-ins for the kernel: trees of files with the shapes of /proc and of a cgroup mount."""
