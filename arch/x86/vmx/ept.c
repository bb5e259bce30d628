// SPDX-License-Identifier: GPL-2.0
// Extended page tables (SDM vol. 3, 29.3.2).

#include "pt_format.h"

#define EPT_READ	UINT64_C(0x001)
#define EPT_WRITE	UINT64_C(0x002)
#define EPT_EXEC	UINT64_C(0x004)
#define EPT_TYPE_WB	(UINT64_C(6) << 3)
#define EPT_IGNORE_PAT	UINT64_C(0x040)
#define EPT_LARGE	UINT64_C(0x080)
#define EPT_ACCESSED	UINT64_C(0x100)
#define EPT_DIRTY	UINT64_C(0x200)
#define EPT_ADDRESS	UINT64_C(0x000ffffffffff000)

/*
 * Write without read is a misconfiguration (29.3.3.1), so each leaf can be read. Its type and IGNORE_PAT overrule the guest's PAT
 * (29.3.7). Bits 52 to 58 are ignored (29.3.2): PT_SOFTWARE.
 */
const struct pt_format pt_format_ept = {
	.present = EPT_READ | EPT_WRITE | EPT_EXEC,
	.address = EPT_ADDRESS,
	.table = EPT_READ | EPT_WRITE | EPT_EXEC | EPT_ACCESSED,
	.leaf = EPT_READ | EPT_ACCESSED | EPT_DIRTY,
	.large = EPT_LARGE,
	.write = EPT_WRITE,
	.exec = EPT_EXEC,
	.cached = EPT_TYPE_WB,
	.coherent = EPT_IGNORE_PAT,
	.hardware = EPT_ACCESSED | EPT_DIRTY,
	.dirty = EPT_DIRTY,
};
