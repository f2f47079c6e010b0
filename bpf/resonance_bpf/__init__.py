# SPDX-License-Identifier: MIT
"""See the kernel: how long tasks wait for a CPU and sockets for the network, per cgroup.

Layers, each using only what stands above it::

    catalogue, errors, report     names, sizes and records; no imports beyond msgspec
    syscalls, pins, hierarchy     the kernel's own interfaces
    btf, headers, libbpf, vmlinux the kernel's types, and the libraries that use them
    canary                        does a loaded program read the truth?
    backends                      core (CO-RE), bcc, none (procfs)
    loader                        which backend; one attempt per short-lived process
    layouts, reader               the shared memory as numpy, for the unprivileged side
    socket_options                what new connections of a cgroup get; held by who attaches it

This package deliberately does not name cgroups, compute percentiles or keep history: that
is the daemon's business.
"""
