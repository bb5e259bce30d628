/* SPDX-License-Identifier: GPL-2.0 */
/* An interrupt line, held by the chip that drives it. The machine wires it; an unwired line is all zeros. */
#ifndef KEEL_LINE_H
#define KEEL_LINE_H

#include <stdbool.h>

struct line {
	void (*set)(void *sink, unsigned int pin, bool level);
	void *sink;
	unsigned int pin;
};

static inline void line_set(const struct line *line, bool level)
{
	if (line->set)
		line->set(line->sink, line->pin, level);
}

#endif
