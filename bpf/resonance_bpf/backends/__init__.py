# SPDX-License-Identifier: MIT
"""The ways to measure, best first: CO-RE by libbpf, bcc, and /proc without BPF."""
