// SPDX-License-Identifier: GPL-2.0
/* The event loop, over epoll. */
#include "host/loop.h"

#include <stddef.h>

bool loop_init(struct loop *loop)
{
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	return loop->epoll >= 0;
}

bool loop_add(struct loop *loop, struct loop_source *source)
{
	struct epoll_event event = { .events = source->events, .data.ptr = source };

	return !epoll_ctl(loop->epoll, EPOLL_CTL_ADD, source->fd, &event);
}

void loop_change(struct loop *loop, struct loop_source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	if (events == source->events)
		return;
	source->events = events;
	epoll_ctl(loop->epoll, EPOLL_CTL_MOD, source->fd, &event);
}

void loop_remove(struct loop *loop, struct loop_source *source)
{
	epoll_ctl(loop->epoll, EPOLL_CTL_DEL, source->fd, NULL);
}

void loop_step(struct loop *loop, int milliseconds)
{
	struct epoll_event event;
	struct loop_source *source;

	/* One at a time: a handler may free any other source. */
	if (epoll_wait(loop->epoll, &event, 1, milliseconds) != 1)
		return;
	source = event.data.ptr;
	source->ready(source, event.events);
}
