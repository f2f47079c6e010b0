// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/*
 * The same for kernels that have no bpf_rdonly_cast (before Linux 6.2). To find that a weak name is
 * not there, libbpf reads the BTF of every module, for which our service has no right: so these are
 * programs that do not name it.
 */
#define WITHOUT_CAST
#include "socket.bpf.c"
