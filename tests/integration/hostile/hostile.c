// SPDX-License-Identifier: GPL-2.0
/*
 * A kernel module of the control domain that misuses the hypervisor: hypercalls with arguments made up at random, on pages that
 * it owns and on addresses that it must not touch; reads and writes of donated memory and of the hypervisor's own. Its
 * verdicts are in the kernel's log.
 */

#define pr_fmt(fmt) "hostile: " fmt

#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/smp.h>
#include <asm/asm.h>
#include <asm/msr.h>
#include <keel/hypercall.h>

#define POOL_ORDER	10u		/* the pages that may be given away: one block of 4 MiB */
#define POOL_PAGES	(1u << POOL_ORDER)
#define HALF_ORDER	9u
#define TABLES		8u
#define TABLES_ORDER	3u
#define MOST_VMS	8u
#define ROUNDS		20000u
#define LOCAL_APIC	0xfee00000ull
#define IO_APIC		0xfec00000ull
#define VGA_TEXT	0xb8000ull
#define PATTERN		0x5eadbeefcafef00dull

static ulong first, bytes;
module_param(first, ulong, 0);
MODULE_PARM_DESC(first, "physical address of the hypervisor's memory");
module_param(bytes, ulong, 0);
MODULE_PARM_DESC(bytes, "its size");
static bool registers;
module_param(registers, bool, 0);
MODULE_PARM_DESC(registers, "only the processor's registers are misused");
static bool held;
module_param(held, bool, 0);
MODULE_PARM_DESC(held, "only makes a VM and ends it, and takes its memory back, page by page, when the module is removed");

struct call {
	u64 number, arg[5];
	u64 rdi, rsi, rdx, r8;
};

static u64 state = 0x6b65656c;
static struct page *pool;
static u64 vms[MOST_VMS], records[MOST_VMS];
static unsigned int vm_count;

static void report(bool good, const char *what, u64 detail)
{
	if (good)
		pr_info("ok - module: %s\n", what);
	else
		pr_info("not ok - module: %s: %#llx\n", what, detail);
}

static u64 random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static s64 hypercall(struct call *call)
{
	register u64 r10 asm("r10") = call->arg[3];
	register u64 r8 asm("r8") = call->arg[4];
	u64 rax = call->number;

	call->rdi = call->arg[0];
	call->rsi = call->arg[1];
	call->rdx = call->arg[2];
	if (boot_cpu_data.x86_vendor == X86_VENDOR_INTEL)
		asm volatile("vmcall"
			     : "+a"(rax), "+D"(call->rdi), "+S"(call->rsi), "+d"(call->rdx), "+r"(r10), "+r"(r8)
			     : : "memory", "rcx", "r11");
	else
		asm volatile("vmmcall"
			     : "+a"(rax), "+D"(call->rdi), "+S"(call->rsi), "+d"(call->rdx), "+r"(r10), "+r"(r8)
			     : : "memory", "rcx", "r11");
	call->r8 = r8;
	return rax;
}

static s64 call3(u64 number, u64 a, u64 b, u64 c)
{
	struct call call = { .number = number, .arg = { a, b, c } };

	return hypercall(&call);
}

static u64 free_slots(void)
{
	struct call call = { .number = KEEL_HC_INFO };

	hypercall(&call);
	return call.rdx;
}

/* True: the access did not fault. */
static bool try_read(const volatile u64 *p, u64 *value)
{
	int fault = 0;
	u64 got = 0;

	asm volatile("1: mov (%[p]), %[got]\n"
		     "	jmp 3f\n"
		     "2: mov $1, %[fault]\n"
		     "3:\n"
		     _ASM_EXTABLE(1b, 2b)
		     : [got] "+r"(got), [fault] "+r"(fault) : [p] "r"(p) : "memory");
	*value = got;
	return !fault;
}

static bool try_write(volatile u64 *p, u64 value)
{
	int fault = 0;

	asm volatile("1: mov %[value], (%[p])\n"
		     "	jmp 3f\n"
		     "2: mov $1, %[fault]\n"
		     "3:\n"
		     _ASM_EXTABLE(1b, 2b)
		     : [fault] "+r"(fault) : [p] "r"(p), [value] "r"(value) : "memory");
	return !fault;
}

static void flush_cpu(void *unused)
{
	call3(KEEL_HC_FLUSH, 0, 0, 0);
}

static void flush_all(void)
{
	on_each_cpu(flush_cpu, NULL, 1);
}

/* Each page of the hypervisor's: a fault or all ones for reads, no effect for writes. */
static void touch_hypervisor(void)
{
	void *map = bytes ? ioremap(first, bytes) : NULL;
	u64 seen = 0, value, i;

	if (!map) {
		report(false, "no hypervisor's memory to touch", bytes);
		return;
	}
	for (i = 0; i < bytes; i += PAGE_SIZE) {
		if (try_read(map + i, &value) && value != ~0ull)
			seen++;
		try_write(map + i + 8, PATTERN);
	}
	iounmap(map);
	report(!seen, "the hypervisor's memory cannot be read", seen);
	report(call3(KEEL_HC_INFO, 0, 0, 0) == KEEL_ABI_REVISION, "the hypervisor survives writes to its memory", 0);
}

static u64 pool_page(unsigned int index)
{
	return page_to_phys(pool) + (u64)index * PAGE_SIZE;
}

/* Donated, then accessed: nothing of the page, and no harm. Afterwards it comes back empty. */
static void touch_donated(void)
{
	u64 *words = page_address(pool), value = 0, leaks = 0, dirty = 0;
	unsigned int i;
	s64 vm;

	for (i = 0; i < POOL_PAGES; i++)
		words[i * PAGE_SIZE / 8] = PATTERN;
	vm = call3(KEEL_HC_VM_CREATE, pool_page(0), 1, 16);
	report(vm > 0, "a VM of the module's own", vm);
	if (vm <= 0)
		return;
	report(!call3(KEEL_HC_DONATE, vm, pool_page(8), 3), "a donation", 0);
	report(call3(KEEL_HC_DONATE, vm, pool_page(8), 3) == -EPERM, "a second donation of the same pages is refused", 0);
	report(call3(KEEL_HC_RECLAIM, vm, pool_page(8), 3) == -EBUSY, "a VM that lives keeps its pages", 0);
	flush_all();
	for (i = 8; i < 16; i++) {
		leaks += try_read(words + i * PAGE_SIZE / 8, &value) && value != ~0ull;
		try_write(words + i * PAGE_SIZE / 8, ~PATTERN);
	}
	report(!leaks, "donated pages cannot be read", leaks);
	report(!call3(KEEL_HC_KILL, vm, 0, 0), "kill", 0);
	report(call3(KEEL_HC_RECLAIM, vm, pool_page(0), 1) == -EBUSY, "the record comes last", 0);
	report(!call3(KEEL_HC_RECLAIM, vm, pool_page(8), 3), "the pages come back", 0);
	report(!call3(KEEL_HC_RECLAIM, vm, pool_page(0), 1), "and the record", 0);
	for (i = 8; i < 16; i++)
		dirty += !try_read(words + i * PAGE_SIZE / 8, &value) || value;
	report(!dirty, "what comes back is empty", value);
	report(try_read(words + 16 * PAGE_SIZE / 8, &value) && value == PATTERN, "the page beside it is as it was", value);
}

/*
 * An address for a hypercall. Pages of the control domain's that are not in the pool are left alone: giving those away is
 * its own right, and would end it.
 */
static u64 random_address(u64 order)
{
	u64 page = random() % POOL_PAGES;

	switch (random() % 8) {
	case 0:
		return first + (random() % (bytes ? bytes : 1));
	case 1:
		return LOCAL_APIC;
	case 2:
		return IO_APIC;
	case 3:
		return VGA_TEXT;
	case 4:
		return random() | 1ull << 45;
	case 5:
		return pool_page(page) + random() % PAGE_SIZE + 1;
	default:
		return order <= HALF_ORDER ? pool_page(page & ~((1u << order) - 1)) : pool_page(page) + 1;
	}
}

static u64 random_order(void)
{
	switch (random() % 8) {
	case 0:
		return random();
	case 1:
		return random() % 64;
	default:
		return random() % (HALF_ORDER + 1);
	}
}

static u64 random_vm(void)
{
	switch (random() % 6) {
	case 0:
		return 0;
	case 1:
		return KEEL_MAX_VMS + 1 + random() % 1000;
	case 2:
		return random() | 1ull << 32;
	default:
		return vm_count ? vms[random() % vm_count] : 0;
	}
}

static u64 random_argument(void)
{
	switch (random() % 8) {
	case 0:
		return random();
	case 1:
		return ~0ull - random() % 4096;
	case 2:
		return random() & PAGE_MASK;
	case 3:
		return 0x400000 + (random() % 0x800) * PAGE_SIZE;	/* places in a cell */
	case 4:
		return (random() % 0x10000) * PAGE_SIZE;
	default:
		return random() % 4;
	}
}

static void fuzz_create(void)
{
	u64 at = random_address(1);
	s64 vm = call3(KEEL_HC_VM_CREATE, at, random() % 4 ? random() % 3 : random(), random() % 4 ? random() % 64 : random());

	if (vm <= 0)
		return;
	/* More than can be remembered would be lost. */
	vms[vm_count] = vm;
	records[vm_count++] = at;
}

static void fuzz_call(void)
{
	u64 order = random_order();
	struct call call = {
		.number = random() % 16 ? random() % KEEL_HC_COUNT : random() | 1ull << 20,
		.arg = { random_vm(), random_address(order), order, random_argument(), random_argument() },
	};

	switch (call.number) {
	case KEEL_HC_VM_CREATE:
		if (vm_count < MOST_VMS)
			fuzz_create();
		return;
	case KEEL_HC_ASSIGN:
		call.arg[3] = random() % 4 ? random() % 5 : random();
		break;
	case KEEL_HC_MAP:
		if (random() % 2)
			call.arg[3] &= ~((PAGE_SIZE << (order & 31)) - 1);
		break;
	case KEEL_HC_RUN:
		call.arg[1] = random_argument();
		break;
	case KEEL_HC_KILL:
		if (random() % 16)
			return;
		break;
	case KEEL_HC_FLUSH:
		flush_all();
		return;
	case KEEL_HC_ATTACH:
		return;
	case KEEL_HC_DIRTY:
		if (random() % 2)
			call.arg[1] = random() % 64 * KEEL_DIRTY_BYTES;
		call.arg[2] = random() % 4;
		break;
	}
	hypercall(&call);
	cond_resched();
}

/* Everything back: pages one by one, whichever VM has them; records last. */
static void take_back(void)
{
	unsigned int i, page;

	for (i = 0; i < vm_count; i++)
		call3(KEEL_HC_KILL, vms[i], 0, 0);
	for (i = 0; i < vm_count; i++) {
		for (page = 0; page < POOL_PAGES; page++)
			call3(KEEL_HC_RECLAIM, vms[i], pool_page(page), 0);
		call3(KEEL_HC_RECLAIM, vms[i], records[i], 1);
	}
	vm_count = 0;
}

static bool pool_is_back(void)
{
	u64 *words = page_address(pool), value;
	unsigned int i, missing = 0;

	for (i = 0; i < POOL_PAGES; i++)
		missing += !try_write(words + i * PAGE_SIZE / 8, i) || !try_read(words + i * PAGE_SIZE / 8, &value) ||
			   value != i;
	report(!missing, "every page is back", missing);
	return !missing;
}

static void fuzz(void)
{
	u64 slots = free_slots();
	unsigned int round;

	for (round = 0; round < ROUNDS; round++) {
		fuzz_call();
		if (vm_count == MOST_VMS && random() % 64 == 0)
			take_back();
	}
	take_back();
	report(free_slots() == slots, "20000 hypercalls made up at random: no VM is left", free_slots());
	report(call3(KEEL_HC_COUNT, 0, 0, 0) == -ENOSYS, "a hypercall that is none", 0);
}

/* Of which Linux knows no name. */
#define MSR_AMD_IORR_BASE0	0xc0010016
#define MSR_AMD_SMBASE		0xc0010111
#ifndef MSR_IA32_TME_ACTIVATE
#define MSR_IA32_TME_ACTIVATE	0x982
#endif
#define MSR_IA32_UINTR_RR	0x985

/* What would show or change what is not the control domain's. The values are what the processor would take. */
static void touch_msrs(void)
{
	static const u32 amd[] = {
		MSR_AMD64_SYSCFG, MSR_AMD_IORR_BASE0, MSR_K8_TOP_MEM1, MSR_K8_TOP_MEM2, MSR_FAM10H_MMIO_CONF_BASE, MSR_AMD_SMBASE,
		MSR_K8_TSEG_MASK, MSR_VM_HSAVE_PA, MSR_AMD_SAMP_BR_FROM, MSR_AMD64_IBSFETCHCTL, MSR_AMD64_IBSOPCTL,
		MSR_AMD_DBG_EXTN_CFG, MSR_AMD64_TSC_RATIO, MSR_IA32_TSC,
	};
	static const u32 intel[] = {
		MSR_IA32_TSC, MSR_LBR_SELECT, MSR_IA32_PEBS_ENABLE, MSR_PEBS_DATA_CFG, MSR_IA32_VMX_BASIC,
		MSR_IA32_VMX_PROCBASED_CTLS2, MSR_IA32_VMX_VMFUNC, MSR_IA32_RTIT_OUTPUT_BASE, MSR_IA32_RTIT_STATUS,
		MSR_IA32_RTIT_ADDR0_A, MSR_IA32_RTIT_ADDR3_B, MSR_IA32_DS_AREA, MSR_IA32_TME_ACTIVATE, MSR_IA32_UINTR_RR,
		MSR_ARCH_LBR_CTL, MSR_IA32_HW_FEEDBACK_PTR, MSR_IA32_HW_FEEDBACK_CONFIG,
	};
	bool is_amd = boot_cpu_data.x86_vendor == X86_VENDOR_AMD;
	const u32 *list = is_amd ? amd : intel;
	unsigned int count = is_amd ? ARRAY_SIZE(amd) : ARRAY_SIZE(intel), i;
	u64 value, passed = 0;

	for (i = 0; i < count; i++)
		if (!wrmsrl_safe(list[i], is_amd && !rdmsrl_safe(list[i], &value) ? value : 0))
			passed = list[i];
	report(!passed, "MSRs that are the hypervisor's cannot be written", passed);
	if (is_amd)
		report(!wrmsrl_safe(MSR_AMD64_PATCH_LOADER, (u64)page_address(pool)), "a microcode update changes nothing", 0);
}

#define EFER_LMSLE	(1ull << 13)

/* Each bit of EFER: the processor takes it, or the write faults and changes nothing. A hypervisor's own never. */
static void touch_efer(void)
{
	u64 old, now, lost = 0;
	unsigned int bit;
	int refused;

	rdmsrl(MSR_EFER, old);
	for (bit = 0; bit < 64; bit++) {
		if (old >> bit & 1)
			continue;
		refused = wrmsrl_safe(MSR_EFER, old | 1ull << bit);
		rdmsrl(MSR_EFER, now);
		if (now != (refused ? old : old | 1ull << bit))
			lost |= 1ull << bit;
		if (!refused)
			wrmsrl(MSR_EFER, old);
	}
	report(!lost, "each bit of EFER is taken or refused", lost);
	report(wrmsrl_safe(MSR_EFER, old | EFER_SVME) && wrmsrl_safe(MSR_EFER, old | 2) &&
	       wrmsrl_safe(MSR_EFER, old | EFER_LMSLE), "bits of EFER that are none here are refused", 0);
	report(wrmsrl_safe(MSR_EFER, old & ~(u64)EFER_LME), "long mode cannot be left with paging on", 0);
	rdmsrl(MSR_EFER, now);
	report(now == old, "EFER is as it was", now);
}

static bool try_xsetbv(u64 value)
{
	int fault = 0;

	asm volatile("1: xsetbv\n"
		     "	jmp 3f\n"
		     "2: mov $1, %[fault]\n"
		     "3:\n"
		     _ASM_EXTABLE(1b, 2b)
		     : [fault] "+r"(fault) : "c"(0), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
	return !fault;
}

static u64 xcr0(void)
{
	u32 low, high;

	asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (u64)high << 32 | low;
}

/* x87 cannot be off, AVX needs SSE, and nobody has the last bit. */
static void touch_xcr0(void)
{
	u64 old = xcr0();

	report(!try_xsetbv(0) && !try_xsetbv(5) && !try_xsetbv(old | 1ull << 63), "wrong values of XCR0 are refused", xcr0());
	report(xcr0() == old && try_xsetbv(old), "right ones are taken", xcr0());
}

/* Processor trace, LBR, key locker, PCONFIG, counters with their own records, SVM, instruction-based sampling. */
static void look_at_leaves(void)
{
	static const u32 hidden[] = { 0x14, 0x19, 0x1b, 0x1c, 0x20, 0x23, 0x4000007f, 0x8000000a, 0x8000001b, 0x8000001f };
	unsigned int i, a, b, c, d;
	u64 seen = 0;

	for (i = 0; i < ARRAY_SIZE(hidden); i++) {
		cpuid_count(hidden[i], 0, &a, &b, &c, &d);
		if (a | b | c | d)
			seen = hidden[i];
	}
	report(!seen, "leaves that are not for the control domain are empty", seen);
	cpuid_count(7, 0, &a, &b, &c, &d);
	report(!(d & 1u << 4) || b & 1u << 9, "fast short copies come with fast copies", d);
}

static void touch_registers(void)
{
	touch_msrs();
	touch_efer();
	touch_xcr0();
	look_at_leaves();
}

/*
 * What a device is to look for and not to find: the secret of tests/guests/secret.c, whose sum this module does not hold either.
 */
static volatile u64 secret_half = 0x2b1e5c3a4d6f7091;
#define SECRET_OTHER	0x3141592653589793ull
static s64 held_vm;

static void hold_pages(void)
{
	u64 *words = page_address(pool), secret = secret_half + SECRET_OTHER;
	struct call assign, map;
	unsigned int i;

	for (i = 0; i < POOL_PAGES * (PAGE_SIZE / 8); i++)
		words[i] = secret;
	held_vm = call3(KEEL_HC_VM_CREATE, pool_page(0), 1, 16);
	assign = (struct call){ KEEL_HC_ASSIGN, { held_vm, pool_page(TABLES), TABLES_ORDER, KEEL_USE_TABLE } };
	map = (struct call){ KEEL_HC_MAP, { held_vm, pool_page(1u << HALF_ORDER), HALF_ORDER } };
	report(held_vm > 0, "a VM of the module's own", held_vm);
	report(!call3(KEEL_HC_DONATE, held_vm, pool_page(1u << HALF_ORDER), HALF_ORDER) &&
	       !call3(KEEL_HC_DONATE, held_vm, pool_page(TABLES), TABLES_ORDER), "pages are donated", 0);
	flush_all();
	report(!hypercall(&assign) && !hypercall(&map), "and put to use", 0);
	report(!call3(KEEL_HC_KILL, held_vm, 0, 0), "the VM has ended", 0);
	pr_info("pages of a VM that has ended are held at %llx\n", pool_page(1u << HALF_ORDER));
}

/* Slowly, so that others have the time to look. */
static void give_back(void)
{
	unsigned int i, missing = 0;

	for (i = 1u << HALF_ORDER; i < POOL_PAGES; i++) {
		missing += call3(KEEL_HC_RECLAIM, held_vm, pool_page(i), 0) != 0;
		msleep(10);
	}
	missing += call3(KEEL_HC_RECLAIM, held_vm, pool_page(TABLES), TABLES_ORDER) != 0;
	missing += call3(KEEL_HC_RECLAIM, held_vm, pool_page(0), 1) != 0;
	report(!missing, "they are given back", missing);
}

static int __init hostile_init(void)
{
	if (registers) {
		touch_registers();
		report(true, "it comes to its end", 0);
		return 0;
	}
	pool = alloc_pages(GFP_KERNEL | __GFP_ZERO, POOL_ORDER);
	if (!pool)
		return -ENOMEM;
	if (held) {
		hold_pages();
		return 0;
	}
	touch_hypervisor();
	touch_donated();
	touch_registers();
	fuzz();
	/* Pages that are not back must not be used by anybody. */
	if (pool_is_back())
		__free_pages(pool, POOL_ORDER);
	report(true, "it comes to its end", 0);
	return 0;
}

static void __exit hostile_exit(void)
{
	if (!held)
		return;
	give_back();
	if (pool_is_back())
		__free_pages(pool, POOL_ORDER);
}

module_init(hostile_init);
module_exit(hostile_exit);
MODULE_DESCRIPTION("Misuses the Keel hypervisor, for tests");
MODULE_LICENSE("GPL");
