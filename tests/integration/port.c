// SPDX-License-Identifier: GPL-2.0
/* port: reads and writes an I/O port, as any process of root's can. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>

int main(int argc, char **argv)
{
	unsigned int port, value;

	if (argc != 2 && argc != 3) {
		fputs("usage: port PORT [VALUE]\n16 bits wide; without a value, prints what is read.\n", stderr);
		return 2;
	}
	if (iopl(3))
		err(1, "iopl");
	port = (unsigned int)strtoul(argv[1], NULL, 0);
	if (argc == 2) {
		printf("0x%04x\n", inw((unsigned short)port));
		return 0;
	}
	value = (unsigned int)strtoul(argv[2], NULL, 0);
	outw((unsigned short)value, (unsigned short)port);
	return 0;
}
