/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Text that others wrote (manifests, file names, guests' processes), made fit to be shown: control characters, those that turn
 * the direction of writing, and bytes that are not UTF-8 become escapes (\n, \u001b, \xe9). Shown text stays as it is when it is
 * shown once more.
 */
#ifndef KEEL_TEXT_H
#define KEEL_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TEXT_QUOTED		80u	/* room for text_quote */
#define TEXT_NEAR		3u	/* words of a smaller distance may be meant for each other */

/* Length of the UTF-8 character at text, of at most bytes; 0: there is none. */
size_t text_character(const char *text, size_t bytes, uint32_t *code);
/* How many of the bytes come before a character that may go on behind them. */
size_t text_whole(const char *text, size_t bytes);
/* Shown, in one line; the caller's to free. NULL: out of memory. */
char *text_show(const char *text, size_t bytes);
/* The same to a stream; lines and tabulators stay what they are. */
void text_print(FILE *to, const char *text, size_t bytes);
/* Cut to the room, at whole characters, with "..." at its end if something is missing. Returns quoted. */
const char *text_quote(char quoted[TEXT_QUOTED], const char *text);
/* Fits text into the room by leaving out its middle: messages begin with what failed and end with why. */
void text_fit(char *to, size_t room, const char *text);
/* Only zeros, and bytes that are not UTF-8, become escapes, as for JSON, which has its own for the rest; the caller's to free. */
char *text_utf8(const char *text, size_t bytes);
/* Of two words, in single-letter edits. */
unsigned int text_distance(const char *a, const char *b);

#endif
