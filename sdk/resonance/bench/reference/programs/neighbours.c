// SPDX-License-Identifier: MIT
// What shares CPUs with replicas: batch jobs of several threads each, or threads that never stop.
//
//   neighbours jobs CPU [CGROUP_DIRECTORY...]
//   neighbours spin CPU THREADS [CGROUP_DIRECTORY...]         CPU -1 for any
//
// Jobs are told on standard input, one a line: when it is due (CLOCK_MONOTONIC, ns), then the CPU
// time of each of its threads in ns. An empty line lets them begin. Each begins when it is due,
// however many are still under way (open loop), so that nothing hides what they are made to wait.
// When all have ended there is one line for each, the ns from its due time to the end of its last
// thread, and an empty line. `spin` says "spinning" and goes on until it is killed.
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>

#include "bench.h"

#define JOBS 4096
#define THREADS 16
#define STACK_BYTES (64 << 10)

struct job {
	int64_t due_ns, took_ns;
	int threads;
	atomic_int left;
	int64_t work_ns[THREADS];
	atomic_int next;
};

static struct job jobs[JOBS];
static sem_t ended;
static pthread_attr_t small;

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

static void *run_thread(void *argument)
{
	struct job *job = argument;

	work(job->work_ns[atomic_fetch_add(&job->next, 1)]);
	if (atomic_fetch_sub(&job->left, 1) == 1) {
		job->took_ns = now_ns() - job->due_ns;
		sem_post(&ended);
	}
	return NULL;
}

static void *spin_thread(void *argument)
{
	for (;;)
		__asm__ volatile("" : : "r"(argument));
	return NULL;
}

static void begin(void *(*run)(void *), void *argument)
{
	pthread_t thread;

	errno = pthread_create(&thread, &small, run, argument);
	if (errno)
		die("pthread_create");
}

static void read_job(struct job *job, char *line)
{
	char *rest = line;

	job->due_ns = strtoll(rest, &rest, 10);
	job->threads = 0;
	while (*rest != '\n' && *rest && job->threads < THREADS)
		job->work_ns[job->threads++] = strtoll(rest, &rest, 10);
	atomic_store(&job->left, job->threads);
	atomic_store(&job->next, 0);
}

static void run_jobs(int count)
{
	for (int i = 0; i < count; i++) {
		sleep_until(jobs[i].due_ns);
		for (int thread = 0; thread < jobs[i].threads; thread++)
			begin(run_thread, &jobs[i]);
	}
	for (int i = 0; i < count; i++)
		while (sem_wait(&ended))
			;
	for (int i = 0; i < count; i++)
		printf("%lld\n", (long long)jobs[i].took_ns);
	printf("\n");
	fflush(stdout);
}

static int follow_orders(void)
{
	char line[1024];
	int count = 0;

	while (fgets(line, sizeof(line), stdin)) {
		if (*line == '\n') {
			run_jobs(count);
			count = 0;
		} else if (count == JOBS) {
			die("too many jobs");
		} else {
			read_job(&jobs[count++], line);
		}
	}
	return 0;
}

static int spin(int threads)
{
	printf("spinning\n");
	fflush(stdout);
	while (--threads > 0)
		begin(spin_thread, NULL);
	spin_thread(NULL);
	return 0;
}

int main(int argc, char **argv)
{
	int is_spin = argc > 3 && !strcmp(argv[1], "spin");

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!is_spin && (argc < 3 || strcmp(argv[1], "jobs"))) {
		fprintf(stderr, "usage: neighbours jobs CPU [CGROUP_DIRECTORY...]\n"
				"       neighbours spin CPU THREADS [CGROUP_DIRECTORY...]\n");
		return 2;
	}
	move_into(argv + (is_spin ? 4 : 3));
	if (atoi(argv[2]) >= 0)
		pin(atoi(argv[2]));
	if (sem_init(&ended, 0, 0) || pthread_attr_init(&small) ||
	    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED) ||
	    pthread_attr_setstacksize(&small, STACK_BYTES))
		die("pthread_attr");
	return is_spin ? spin(atoi(argv[3])) : follow_orders();
}
