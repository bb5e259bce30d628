#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# font.sh [FONT]: prints a NASM source with font_8x16: for each of the characters 32 to 126 its 16 rows, a byte each, the
# leftmost pixel in the top bit. FONT is in GRUB's format PFF2; without it, the one that comes with grub-common.
set -eu

font=${1:-/usr/share/grub/ascii.pf2}
if [ ! -r "$font" ]; then
	echo "font.sh: $font: no such file: install grub-common" >&2
	exit 1
fi

# PFF2 (GRUB developers' manual, "PFF2 Font File Format"): sections of a name of four letters, a big-endian length and data.
# CHIX lists the characters: code (4 bytes), flags (1), the glyph's place in the file (4). A glyph: width, height, x and y
# offset of its lower left corner from the origin on the baseline, advance (2 bytes each), then its bits, row after row
# without padding.
od -A n -v -t u1 "$font" | LC_ALL=C awk '
	function u16(at) {
		return byte[at] * 256 + byte[at + 1]
	}
	function s16(at,  value) {
		value = u16(at)
		return value < 32768 ? value : value - 65536
	}
	function u32(at) {
		return u16(at) * 65536 + u16(at + 2)
	}
	function name(at,  i, text) {
		for (i = 0; i < 4; i++)
			text = text sprintf("%c", byte[at + i])
		return text
	}
	function fail(text) {
		print "font.sh: " text >"/dev/stderr"
		failed = 1
		exit 1
	}
	function read_sections(  at, section, size) {
		for (at = 0; at + 8 <= count; at += 8 + size) {
			section = name(at)
			size = u32(at + 4)
			if (section == "DATA")
				return
			if (section == "ASCE")
				ascent = u16(at + 8)
			if (section == "CHIX")
				read_index(at + 8, size)
		}
	}
	function read_index(at, bytes,  end) {
		for (end = at + bytes; at < end; at += 9)
			if (byte[at + 4] == 0)
				glyph[u32(at)] = u32(at + 5)
	}
	function bit(at, number) {
		return int(byte[at + int(number / 8)] / 2 ^ (7 - number % 8)) % 2
	}
	function print_glyph(code,  at, width, height, left, top, x, y, row, text) {
		at = glyph[code]
		width = u16(at)
		height = u16(at + 2)
		left = s16(at + 4)
		top = ascent - (s16(at + 6) + height)
		for (y = 0; y < ROWS; y++) {
			row = 0
			for (x = 0; x < width; x++)
				if (y >= top && y < top + height && x + left >= 0 && x + left < COLUMNS)
					row += bit(at + 10, (y - top) * width + x) * 2 ^ (COLUMNS - 1 - x - left)
			text = text (y ? ", " : "") row
		}
		printf "\tdb %s\t; %d\n", text, code
	}
	{
		for (i = 1; i <= NF; i++)
			byte[count++] = $i
	}
	END {
		ROWS = 16
		COLUMNS = 8
		FIRST = 32
		LAST = 126
		if (failed || name(0) != "FILE" || name(8) != "PFF2")
			fail("not a font in the format PFF2")
		read_sections()
		for (code = FIRST; code <= LAST; code++)
			if (!(code in glyph))
				fail("no character " code)
		print "; Made by font.sh."
		print "section .rodata"
		print "global font_8x16"
		print "font_8x16:"
		for (code = FIRST; code <= LAST; code++)
			print_glyph(code)
	}'
