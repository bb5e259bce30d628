// SPDX-License-Identifier: GPL-2.0
/*
 * A kernel module of the control domain that looks at all processors and all memory: whether each processor that is on line runs
 * under the hypervisor, and whether a page of RAM can be read that holds the secret of tests/guests/secret.c. To be loaded
 * after an event that might take one of them out of the hypervisor's hands. Its verdicts are in the kernel's log, each with the
 * label; peek-guest.sh shows them.
 */

#define pr_fmt(fmt) "peek: " fmt

#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <asm/asm.h>
#include <asm/processor.h>

#define HYPERVISOR_LEAF	0x40000000u
#define SIGNATURE	"KeelKeelKeel"
#define SIGNATURE_BYTES	12u

/* As in the guest: the sum is looked for, so that this module does not hold what it looks for. */
#define SECRET_HALF	0x2b1e5c3a4d6f7091ull
#define SECRET_OTHER	0x3141592653589793ull
#define SAMPLE_BYTES	512u	/* between two looks at a page */

static char *label = "peek";
module_param(label, charp, 0);
MODULE_PARM_DESC(label, "what the verdicts begin with");
static ulong secrets;
module_param(secrets, ulong, 0);
MODULE_PARM_DESC(secrets, "pages that are to hold the secret at least, to see that it would be found; 0: none may");
static ulong refused;
module_param(refused, ulong, 0);
MODULE_PARM_DESC(refused, "pages whose reading the hypervisor refuses, at least");

static struct {
	char signature[SIGNATURE_BYTES + 1];
	bool looked;
} seen[NR_CPUS];

static volatile u64 half = SECRET_HALF;

static bool try_read(const u64 *from, u64 *value)
{
	u64 got = 0;
	int fault = 0;

	asm volatile("1:	mov (%[from]), %[got]\n"
		     "	jmp 3f\n"
		     "2:	mov $1, %[fault]\n"
		     "3:\n"
		     _ASM_EXTABLE(1b, 2b)
		     : [got] "+r"(got), [fault] "+r"(fault) : [from] "r"(from) : "memory");
	*value = got;
	return !fault;
}

/* In an interrupt: nothing is printed here. */
static void look_at_cpu(void *unused)
{
	unsigned int cpu = smp_processor_id(), i;
	u32 leaf, word[3];

	cpuid(HYPERVISOR_LEAF, &leaf, &word[0], &word[1], &word[2]);
	memcpy(seen[cpu].signature, word, SIGNATURE_BYTES);
	for (i = 0; i < SIGNATURE_BYTES; i++)
		if (seen[cpu].signature[i] < ' ' || seen[cpu].signature[i] > '~')
			seen[cpu].signature[i] = '.';
	seen[cpu].looked = true;
}

static void look_at_cpus(void)
{
	unsigned int cpu;

	on_each_cpu(look_at_cpu, NULL, 1);
	for_each_online_cpu(cpu) {
		if (seen[cpu].looked && !strcmp(seen[cpu].signature, SIGNATURE))
			pr_info("ok - %s: CPU %u runs under Keel\n", label, cpu);
		else
			pr_info("not ok - %s: CPU %u runs under Keel: CPUID says \"%s\"\n", label, cpu,
				seen[cpu].signature);
	}
}

static bool holds_secret(const u8 *page, bool *refuses)
{
	u64 value, secret = half + SECRET_OTHER;
	unsigned int offset;

	for (offset = 0; offset < PAGE_SIZE; offset += SAMPLE_BYTES) {
		*refuses = !try_read((const u64 *)(page + offset), &value);
		if (*refuses)
			return false;
		if (value == secret)
			return true;
	}
	return false;
}

static void look_at_memory(void)
{
	unsigned long pfn, pages = 0, refusing = 0, found = 0, first = 0, kept = 0;
	bool refuses;
	int node;

	for_each_online_node(node) {
		for (pfn = node_start_pfn(node); pfn < node_end_pfn(node); pfn++) {
			if (!(pfn & 1023))
				cond_resched();
			if (!pfn_valid(pfn) || !page_is_ram(pfn))
				continue;
			pages++;
			if (holds_secret(__va((u64)pfn << PAGE_SHIFT), &refuses) && !found++)
				first = pfn;
			if (refuses && !refusing++)
				kept = pfn;
		}
	}
	if (secrets)
		pr_info("%s - %s: pages that hold the secret are found: %lu of %lu\n",
			found >= secrets ? "ok" : "not ok", label, found, pages);
	else if (!found)
		pr_info("ok - %s: no page holds the secret\n", label);
	else
		pr_info("not ok - %s: no page holds the secret: %lu do, the first is %#lx\n", label, found, first);
	if (refusing)
		pr_info("the first page that it keeps is at %lx\n", kept << PAGE_SHIFT);
	if (refusing >= refused)
		pr_info("ok - %s: the hypervisor keeps its pages: %lu of %lu\n", label, refusing, pages);
	else
		pr_info("not ok - %s: the hypervisor keeps its pages: %lu of %lu, not %lu\n", label, refusing, pages, refused);
}

static int __init peek_init(void)
{
	look_at_cpus();
	look_at_memory();
	return 0;
}

static void __exit peek_exit(void)
{
}

module_init(peek_init);
module_exit(peek_exit);
MODULE_DESCRIPTION("Looks at all processors and all memory, for tests of the Keel hypervisor");
MODULE_LICENSE("GPL");
