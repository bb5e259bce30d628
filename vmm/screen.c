// SPDX-License-Identifier: GPL-2.0
// Text on the screen, at its bottom; older lines move up.

#include "screen.h"

#include <stddef.h>

#include "memory.h"
#include "string.h"

#define TEXT_PA		0xb8000u
#define TEXT_COLUMNS	80u
#define TEXT_ROWS	25u
#define TEXT_COLOUR	0x0700u

#define GLYPH_WIDTH	8u
#define GLYPH_HEIGHT	16u
#define GLYPH_FIRST	' '
#define GLYPH_LAST	'~'

/* font.asm, made by tools/lib/font.sh. */
extern const uint8_t font_8x16[GLYPH_LAST - GLYPH_FIRST + 1][GLYPH_HEIGHT];

static volatile uint16_t *text;
static uint8_t *pixels;
static uint32_t pitch, width, height, pixel_bytes;
static unsigned int column;

void screen_init_text(void)
{
	volatile uint16_t *cell = phys_to_virt(TEXT_PA);

	/* Text memory answers only in a text mode; under UEFI there is none. */
	*cell = TEXT_COLOUR | ' ';
	text = *cell == (TEXT_COLOUR | ' ') ? cell : NULL;
}

void screen_init(const struct boot_framebuffer *framebuffer)
{
	uint64_t bytes = (uint64_t)framebuffer->pitch * framebuffer->height;

	if (!framebuffer->present || framebuffer->type == FRAMEBUFFER_TEXT)
		return;
	text = NULL;
	if (framebuffer->type != FRAMEBUFFER_RGB || (framebuffer->bits != 32 && framebuffer->bits != 24) ||
	    framebuffer->address >= SIZE_4G || bytes > SIZE_4G - framebuffer->address ||
	    framebuffer->height < GLYPH_HEIGHT || framebuffer->width < GLYPH_WIDTH ||
	    (uint64_t)framebuffer->width * (framebuffer->bits / 8) > framebuffer->pitch)
		return;
	pixels = phys_to_virt(framebuffer->address);
	pitch = framebuffer->pitch;
	width = framebuffer->width;
	height = framebuffer->height;
	pixel_bytes = framebuffer->bits / 8;
	column = 0;
}

static void text_scroll(void)
{
	unsigned int i;

	for (i = 0; i < TEXT_COLUMNS * (TEXT_ROWS - 1); i++)
		text[i] = text[i + TEXT_COLUMNS];
	for (; i < TEXT_COLUMNS * TEXT_ROWS; i++)
		text[i] = TEXT_COLOUR | ' ';
}

static void pixel_scroll(void)
{
	size_t line = (size_t)pitch * GLYPH_HEIGHT, all = (size_t)pitch * height;

	memmove(pixels, pixels + line, all - line);
	memset(pixels + all - line, 0, line);
}

static void pixel_glyph(const uint8_t glyph[GLYPH_HEIGHT])
{
	uint8_t *at = pixels + (size_t)pitch * (height - GLYPH_HEIGHT) + (size_t)column * GLYPH_WIDTH * pixel_bytes;
	unsigned int row, i;

	for (row = 0; row < GLYPH_HEIGHT; row++, at += pitch)
		for (i = 0; i < GLYPH_WIDTH; i++)
			memset(at + i * pixel_bytes, glyph[row] & 0x80 >> i ? 0xff : 0, pixel_bytes);
}

void screen_put(char c)
{
	unsigned int columns = text ? TEXT_COLUMNS : width / GLYPH_WIDTH;

	if (!text && !pixels)
		return;
	if (c == '\n' || column == columns) {
		column = 0;
		if (text)
			text_scroll();
		else
			pixel_scroll();
	}
	if (c < GLYPH_FIRST || c > GLYPH_LAST)
		return;
	if (text)
		text[TEXT_COLUMNS * (TEXT_ROWS - 1) + column] = TEXT_COLOUR | (uint8_t)c;
	else
		pixel_glyph(font_8x16[c - GLYPH_FIRST]);
	column++;
}
