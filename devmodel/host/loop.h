/* SPDX-License-Identifier: GPL-2.0 */
/* The event loop: file descriptors and who is told that they are ready. One thread. */
#ifndef KEEL_LOOP_H
#define KEEL_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop {
	int epoll;
};

/* Part of its owner's structure. ready may remove and free its own source. */
struct loop_source {
	int fd;
	uint32_t events;	/* EPOLLIN and so on; 0: nothing but hang-ups */
	void (*ready)(struct loop_source *source, uint32_t events);
};

bool loop_init(struct loop *loop);
bool loop_add(struct loop *loop, struct loop_source *source);
void loop_change(struct loop *loop, struct loop_source *source, uint32_t events);
/* Does not close the descriptor. */
void loop_remove(struct loop *loop, struct loop_source *source);
/* Waits for one event, at most that long (-1: for ever), and handles it. */
void loop_step(struct loop *loop, int milliseconds);

#endif
