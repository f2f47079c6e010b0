// SPDX-License-Identifier: GPL-2.0
/* The least scheduler of sched_ext there is: its defaults, under a name, and only for tasks that
 * ask for it by their class. Enough for the kernel to say that somebody else schedules.
 *
 * libbpf finds the kernel's struct by its name and each member by its own, so this one needs no
 * header of any kernel. Built by vagrant/run-vm: clang -target bpf -g -O2 -c.
 */
typedef unsigned long long u64;

/* SCX_OPS_SWITCH_PARTIAL, enum scx_ops_flags in kernel/sched/ext.c */
#define ONLY_WHO_ASKS 8

struct sched_ext_ops {
	u64 flags;
	char name[128];
};

__attribute__((section(".struct_ops.link"), used)) struct sched_ext_ops minimal = {
	.flags = ONLY_WHO_ASKS,
	.name = "resonance_test",
};

__attribute__((section("license"), used)) char LICENSE[] = "GPL";
