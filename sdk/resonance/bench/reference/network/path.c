// SPDX-License-Identifier: MIT
// A network path between two namespaces: a bottleneck with a buffer, a delay, and loss.
//
//   path NETNS_A NETNS_B RATE_BITS_PER_SECOND BUFFER_BYTES DELAY_SECONDS LOSS_RATIO [SEED]
//
// Two TUN devices called "path", one in each namespace, and queues between them. What A sends
// waits for the bottleneck (drop-tail, BUFFER_BYTES), then for the delay; what B sends waits
// for the delay only. The queue is here, not in a qdisc of the sender: TCP looks into its own
// qdisc (small queues), and would not fill that one. Prints "ready", and at the end, when
// standard input closes, the packets and drops. Ends after ten minutes at the latest.
#define _GNU_SOURCE
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/timerfd.h>

#include "bench.h"

#define PACKETS 8192
#define PACKET_BYTES 2048
#define LONGEST_NS (600 * SECOND_NS)

struct packet {
	int64_t due_ns;
	int bytes;
	char data[PACKET_BYTES];
};

struct line {
	struct packet *ring;
	unsigned int head, tail;
	int from, to;
	long taken, dropped, lost;
};

static int open_device(const char *netns)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	char path[256];
	int space, device;

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	space = open(path, O_RDONLY | O_CLOEXEC);
	if (space < 0 || setns(space, CLONE_NEWNET))
		die(path);
	close(space);
	device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	strcpy(request.ifr_name, "path");
	if (device < 0 || ioctl(device, TUNSETIFF, &request))
		die("TUNSETIFF");
	return device;
}

// The bottleneck is a clock: it says when the last byte taken so far will have left.
static void take(struct line *line, double rate, long buffer, int64_t delay_ns, double loss)
{
	static int64_t free_ns;

	for (;;) {
		struct packet *packet = &line->ring[line->head % PACKETS];
		int64_t now, left_ns;

		packet->bytes = read(line->from, packet->data, PACKET_BYTES);
		if (packet->bytes <= 0)
			return;
		now = now_ns();
		line->taken++;
		left_ns = now;
		if (rate > 0) {
			int64_t queued_ns = free_ns > now ? free_ns - now : 0;

			if (queued_ns * rate / 8e9 + packet->bytes > buffer) {
				line->dropped++;
				continue;
			}
			free_ns = now + queued_ns + (int64_t)(packet->bytes * 8e9 / rate);
			left_ns = free_ns;
		}
		// Lost behind the bottleneck: it took its time there, as noise on a link would.
		if (loss > 0 && drand48() < loss) {
			line->lost++;
			continue;
		}
		if (line->head - line->tail == PACKETS) {
			fprintf(stderr, "path: more packets under way than there is room for\n");
			exit(1);
		}
		packet->due_ns = left_ns + delay_ns;
		line->head++;
	}
}

static int64_t deliver(struct line *line)
{
	while (line->tail != line->head) {
		struct packet *packet = &line->ring[line->tail % PACKETS];

		if (packet->due_ns > now_ns())
			return packet->due_ns;
		if (write(line->to, packet->data, packet->bytes) < 0 && errno != EAGAIN && errno != EIO)
			die("write");
		line->tail++;
	}
	return INT64_MAX;
}

int main(int argc, char **argv)
{
	struct sched_param priority = { .sched_priority = 20 };
	struct line there = { 0 }, back = { 0 };
	int64_t end = now_ns() + LONGEST_NS;
	double rate, loss;
	int64_t delay_ns;
	long buffer;
	int timer;

	if (argc != 7 && argc != 8) {
		fprintf(stderr,
			"usage: path NETNS_A NETNS_B RATE BUFFER_BYTES DELAY_SECONDS LOSS [SEED]\n");
		return 2;
	}
	rate = atof(argv[3]);
	buffer = atol(argv[4]);
	delay_ns = (int64_t)(atof(argv[5]) * SECOND_NS);
	loss = atof(argv[6]);
	srand48(argc > 7 ? atol(argv[7]) : 20011);
	there.from = back.to = open_device(argv[1]);
	there.to = back.from = open_device(argv[2]);
	there.ring = calloc(PACKETS, sizeof(*there.ring));
	back.ring = calloc(PACKETS, sizeof(*back.ring));
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (!there.ring || !back.ring || timer < 0 || mlockall(MCL_CURRENT) ||
	    sched_setscheduler(0, SCHED_FIFO, &priority))
		die("path");
	printf("ready\n");
	fflush(stdout);
	while (now_ns() < end) {
		struct pollfd events[] = { { there.from, POLLIN, 0 }, { back.from, POLLIN, 0 },
					   { timer, POLLIN, 0 }, { 0, POLLIN, 0 } };
		int64_t next, other;
		struct itimerspec at = { 0 };
		uint64_t expired;

		next = deliver(&there);
		other = deliver(&back);
		if (other < next)
			next = other;
		if (next != INT64_MAX) {
			at.it_value.tv_sec = next / SECOND_NS;
			at.it_value.tv_nsec = next % SECOND_NS;
		}
		timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
		if (poll(events, 4, 1000) < 0 && errno != EINTR)
			die("poll");
		if (events[3].revents)
			break;
		if (read(timer, &expired, sizeof(expired)) < 0 && errno != EAGAIN)
			die("timerfd");
		take(&there, rate, buffer, delay_ns, loss);
		take(&back, 0, 0, delay_ns, 0);
	}
	printf("%ld %ld %ld\n", there.taken, there.dropped, there.lost);
	return 0;
}
