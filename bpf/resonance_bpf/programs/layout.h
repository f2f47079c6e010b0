/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */
/*
 * The layout that kernel and user space share. The Python side is layouts.py and
 * catalogue.py; a test compiles this file and holds sizes and offsets together.
 */
#ifndef RESONANCE_LAYOUT_H
#define RESONANCE_LAYOUT_H

#define SLOTS 64
#define OTHER_SLOT 0
#define SUB_BUCKET_BITS 3
#define SUB_BUCKETS 8
#define BUCKETS 304
#define BIN_NS 1000000ULL
#define SLOT_TABLE 1024
#define SLOT_TABLE_BITS 10
#define SLOT_PROBES 4
#define CANDIDATES 1024
#define LISTENERS 4096
#define BASELINES 65536
#define COST_SAMPLE_INTERVAL 1024

/* Macros and the prefix rs_, because the kernel's own names come in beside these. */
#define CLASS_DEADLINE 0
#define CLASS_REALTIME 1
#define CLASS_FAIR 2
#define CLASS_IDLE 3
#define CLASSES 4

#define KIND_SRTT 0
#define KIND_CONNECT 1
#define KIND_RECEIVE 2
#define KINDS 3

/* Row of each program in probe_costs: the order of catalogue.PROGRAMS. */
#define PROGRAM_RUNQUEUE_SWITCH 0
#define PROGRAM_SOCKET_SRTT 1
#define PROGRAM_SOCKET_CONNECT 2
#define PROGRAM_SOCKET_READY 3
#define PROGRAM_SOCKET_RECEIVE 4
#define PROGRAM_SOCKET_RETRANSMIT 5
#define PROGRAMS 6

/* Twenty cache lines. Sockets use class 0 of n and sum only. */
struct rs_histogram {
	unsigned long long n[CLASSES];
	unsigned long long sum_ns[CLASSES];
	unsigned int buckets[BUCKETS];
};

/* A writer that finds another epoch starts the cell anew; a reader masks by epoch. */
struct rs_bin {
	unsigned int epoch; /* run-queue clock (or monotonic, for sockets) / BIN_NS */
	unsigned int n;
	unsigned long long sum_ns;
};

/* One per CPU: the run-queue clock beside CLOCK_MONOTONIC, and what went wrong there. */
struct rs_clock_pair {
	unsigned long long runqueue_ns;
	unsigned long long monotonic_ns;
	unsigned long long baseline_collisions;
	unsigned long long unassigned_events;
	unsigned long long saturations;
	unsigned long long negative_waits;
	unsigned long long pad[2];
};

struct rs_baseline {
	unsigned int pid;
	unsigned int pad;
	unsigned long long run_delay_ns;
};

struct rs_slot_cell {
	unsigned long long cgroup_id; /* 0: empty */
	unsigned int slot;
	unsigned int pad;
};

/* A majority vote per cell: the busiest unassigned cgroup that hashes there stays. */
struct rs_candidate {
	unsigned long long cgroup_id;
	unsigned long long votes;
};

struct rs_listener {
	unsigned long long cgroup_id;
	unsigned int network_namespace; /* inode number */
	unsigned int port;		/* host byte order */
};

/* Read-only data of every object, written by the loader before the load. */
struct rs_settings {
	unsigned int possible_cpus;
	unsigned int bins_mask;	     /* bins per CPU - 1; a power of two */
	unsigned int is_v1;	     /* the v1 cpu hierarchy attributes work, not v2 */
	unsigned int has_data_ready; /* sk_data_ready stamps the arrival of data */
	unsigned long long root_cgroup_id;
	unsigned int canary_pid;
	unsigned int pad;
};

/* What the canary saw of the one task it watches. */
struct rs_canary {
	struct rs_baseline baseline;
	unsigned long long switches;
	unsigned long long wait_ns;
	unsigned long long cgroup_id;
	unsigned int prio;
	unsigned int policy;
};

/* A task's own account of its waiting: sched_info. */
struct rs_queue_times {
	unsigned long long last_queued_ns; /* 0: not queued, or the idle task */
	unsigned long long run_delay_ns;   /* all waits before the one that ends now */
};

/* What a socket's storage remembers between two events. */
struct rs_socket_note {
	unsigned long long connect_ns;
	unsigned long long ready_ns;
	unsigned long long cgroup_id; /* of the process that last connected, listened or read */
	unsigned int listening_port;  /* an ephemeral one is given back before LISTEN ends */
	unsigned int pad;
};

struct rs_cost {
	unsigned long long runs;
	unsigned long long sampled_runs;
	unsigned long long sampled_ns; /* the clock read itself taken off */
	unsigned long long pad[5];
};

#endif
