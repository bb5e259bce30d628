/* SPDX-License-Identifier: GPL-2.0 */
/* Entries of page tables with 64 bits each (SDM vol. 3, 4.4 and 4.5; APM vol. 2, 5.3 and 5.4). EPT has a form of its own. */
#ifndef X86_PAGING_H
#define X86_PAGING_H

#define PTE_PRESENT	(1ull << 0)
#define PTE_WRITE	(1ull << 1)
#define PTE_USER	(1ull << 2)
#define PTE_PWT		(1ull << 3)
#define PTE_PCD		(1ull << 4)
#define PTE_ACCESSED	(1ull << 5)
#define PTE_DIRTY	(1ull << 6)
#define PTE_LARGE	(1ull << 7)	/* above the last level: a leaf */
#define PTE_GLOBAL	(1ull << 8)
#define PTE_NX		(1ull << 63)
#define PTE_ADDRESS	0x000ffffffffff000ull

#endif
