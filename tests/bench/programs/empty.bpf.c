// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/* Programs that do nothing: what a hook costs before it does anything. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

SEC("tp_btf/sched_switch")
int empty_switch(void *context)
{
	return 0;
}

SEC("tp_btf/tcp_probe")
int empty_segment(void *context)
{
	return 0;
}
