/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/* How long a task that is being switched in has waited; used by the probe and its canary. */
#ifndef RESONANCE_WAIT_H
#define RESONANCE_WAIT_H

/*
 * The whole wait that ends now: the last segment and what migrations took out of it.
 * Two CPUs' clocks may differ by a little, and the kernel adds a negative segment as it is;
 * so does the baseline, or the next wait would look like a pid used again.
 */
static __always_inline s64 wait_of(u64 run_delay_ns, u32 pid, s64 segment_ns,
				   struct rs_baseline *baseline, int *has_collided)
{
	s64 wait_ns = segment_ns;

#ifndef WITHOUT_BASELINE
	if (baseline->pid == pid) {
		/* A pid used again starts from zero: all its delay so far is this wait's. */
		wait_ns += run_delay_ns - (run_delay_ns < baseline->run_delay_ns ? 0 : baseline->run_delay_ns);
	} else if (baseline->pid) {
		*has_collided = 1;
	}
#endif
	baseline->pid = pid;
	baseline->run_delay_ns = run_delay_ns + segment_ns;
	return wait_ns;
}

#endif
