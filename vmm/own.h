/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Ownership of page frames. The control domain's second-level table (identity) is the record:
 *
 *   present leaf, no mark              the control domain's memory
 *   present leaf, mark 1 to 64         the control domain's memory, shared with that VM's cell
 *   present leaf, mark OWN_DEVICE      not memory: registers, firmware; never given away
 *   not present, owner and state       that VM's or Keel's frame
 *   zero                               beyond the limit of the map
 *
 * Invariant: a frame has one owner; nothing that is not the control domain's or shared is mapped in it.
 *
 * Where there is an IOMMU, a second table says the same to devices: what the control domain may read and write, its devices may,
 * at the same addresses, and nothing else; pages whose writes are trapped are not for devices. It has a frame for each frame of
 * the first table, at one distance from it, and changes by the same steps, so that neither can fail alone.
 *
 * Locking: the caller holds one lock, the same for all calls. CPUs may walk the
 * table at any time. TLBs are the caller's: after own_donate() and own_take_for_keel() every CPU and every IOMMU must drop
 * the control domain's translations before the frames are put to use; after own_reclaim() the IOMMUs must, for a device's access
 * that meets an entry of before is not tried again.
 *
 * Each 2 MiB and each 1 GiB of memory has a frame of the reserve of its own for the table below it, so a
 * split cannot fail, and a CPU that still walks a table which a merge took out finds only entries of the same
 * place, never another's. Such an entry may say that a page is not there which is again: that fault asks for
 * another try.
 *
 * Blocks: hpa, order <= OWN_ORDER_MAX, hpa aligned to the block. Calls check first, then cannot fail: -EINVAL
 * for a malformed argument, -EPERM when a frame of the block is not in the state asked for; then nothing has
 * changed.
 */
#ifndef VMM_OWN_H
#define VMM_OWN_H

#include <stdint.h>

#include "pagetable.h"

#define OWN_ORDER_MAX	18u
#define OWN_VMS		64u	/* VM identifiers are 1 to OWN_VMS */
#define OWN_CONTROL	0u	/* owners that are not VMs */
#define OWN_DEVICE	126u
#define OWN_KEEL	127u
#define OWN_SPARES	144u	/* two for each unit of IOMMUs, which lies in a block without memory, and some for others */
#define OWN_NOWHERE	UINT64_MAX

enum own_state {
	OWN_NONE,	/* beyond the limit */
	OWN_MAPPED,	/* the control domain's; or, with owner OWN_DEVICE, not memory */
	OWN_SHARED,	/* mapped in the control domain and in the cell of VM owner */
	OWN_DONATED,	/* owned, not yet in use */
	OWN_RAM,
	OWN_TABLE,
	OWN_CELL,
	OWN_VCPU,
	OWN_RECORD,
	OWN_HELD,	/* Keel's own */
	OWN_TRAPPED,	/* not memory; mapped, but writes fault */
	OWN_STATES,
};

/* A stretch of RAM: sorted, disjoint, whole pages. What lies between stretches is not memory. */
struct own_range {
	uint64_t start;
	uint64_t end;
};

struct own_frame {
	unsigned owner;
	enum own_state state;
	unsigned order;		/* of the entry that says so: 0, 9, 18, or 27 beyond the map */
};

/*
 * Entries of the I/O table, of four levels like the other: a leaf is address, rights, leaf and, above the last level,
 * large; an entry that points to a table is address, rights, and `level` times the number of the table's level, which
 * is 1 for the last; what devices may not reach is 0.
 */
struct own_io_format {
	uint64_t rights;
	uint64_t leaf;
	uint64_t large;
	uint64_t level;
	bool coherent;			/* else IOMMUs read memory past the caches, which are written back */
};

struct own_config {
	const struct pt_format *format;
	unsigned largest;		/* PT_ORDER_1G if the CPU has such leaves, else PT_ORDER_2M */
	uint64_t limit;			/* the map covers addresses below it; rounded up to 1 GiB */
	const struct own_range *ranges;
	unsigned count;
	/* The memory type of an aligned block; NULL: the same for all. */
	enum pt_caching (*caching)(uint64_t hpa, uint64_t bytes);
	const struct own_io_format *io;	/* NULL: no I/O table */
};

/* Before own_init(): pages of the reserve, enough for all memory in 4 KiB pages. 0: config is invalid. */
uint64_t own_frames_needed(const struct own_config *config);

/*
 * Builds the table in the reserve: own_frames_needed() contiguous pages, reached through the direct map. They and
 * everything else of Keel's are to be taken with own_take_for_keel() afterwards. The first page is the top table, for
 * what the processor is given as the second level; own_io_root() has the other one. -EINVAL: ranges not sorted, not whole pages,
 * beyond the limit.
 */
int own_init(const struct own_config *config, uint64_t reserve);

/* The I/O table's top table for 4 levels, or the one below it, for the first 512 GiB, for 3. 0: there is no I/O table. */
uint64_t own_io_root(unsigned levels);

/*
 * At boot: whole pages that are the control domain's, or not memory, become Keel's for good. Any length.
 * -ENOSPC: the OWN_SPARES frames that are kept for splits outside memory are used up.
 */
int own_take_for_keel(uint64_t start, uint64_t end);

/* At boot: a page that is not memory (a register page) becomes OWN_TRAPPED. Errors as above. */
int own_trap_writes(uint64_t hpa);

/* The control domain's plain memory becomes OWN_DONATED of vm. */
int own_donate(uint64_t hpa, unsigned order, unsigned vm);

/* vm's frames that are all in state from change to state to; both are OWN_DONATED to OWN_RECORD. */
int own_assign(uint64_t hpa, unsigned order, unsigned vm, enum own_state from, enum own_state to);

/* As own_assign() without the change: 0 if all of the block is vm's in this state. */
int own_check(uint64_t hpa, unsigned order, unsigned vm, enum own_state state);

/* Plain memory of the control domain becomes shared with vm, and back. */
int own_share(uint64_t hpa, unsigned order, unsigned vm);
int own_unshare(uint64_t hpa, unsigned order, unsigned vm);

/* Frames of vm, in any states but shared, go back to the control domain, mapped by the largest leaves. */
int own_reclaim(uint64_t hpa, unsigned order, unsigned vm);

struct own_frame own_query(uint64_t hpa);

/* The first block at or behind hpa that is out to a VM or shared with one, and what it is. OWN_NOWHERE: there is none. */
uint64_t own_next(uint64_t hpa, struct own_frame *frame);

/* Pages out to vm (donated, in whatever state), and shared with it. */
uint64_t own_count(unsigned vm);
uint64_t own_count_shared(unsigned vm);

#endif
