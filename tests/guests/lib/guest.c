// SPDX-License-Identifier: GPL-2.0
/* Console, verdict, interrupts and what else all guests use. */
#include "guest.h"
#include "serial.h"

#include <stdarg.h>

#include <x86/cpuid.h>

#define SERIAL_PATIENCE		1000000		/* looks at a port whose other end does not read */
#define PCI_DATA		(PC_PORT_PCI + 4)
#define PIIX4_PM		(0x80000000u | PC_SLOT_ISA_BRIDGE << 11 | PC_FUNCTION_ACPI << 8)
#define PM_SLEEP		(1u << 13)
#define POWER_OFF_READS		1000

volatile uint32_t failures;
void (*volatile interrupt_hook)(struct frame *frame);
volatile bool count_faults;
volatile uint8_t fault_vector;
volatile uint64_t fault_code, fault_address, fault_rip;
uint64_t recover_rip, recover_rsp;

void guest_start(void) __attribute__((noreturn));
void guest_interrupt(struct frame *frame);

static void console_init(void)
{
	outb(PC_PORT_SERIAL + 3, 3);		/* 8 bits, no divisor latch */
	outb(SERIAL_INTERRUPTS, 0);
	outb(SERIAL_CONTROL, SERIAL_READY);	/* no loopback */
}

static void put_char(char c)
{
	unsigned int patience;

	for (patience = SERIAL_PATIENCE; !(inb(SERIAL_STATUS) & SERIAL_EMPTY) && patience; patience--)
		;
	outb(PC_PORT_SERIAL, (uint8_t)c);
	outb(PC_PORT_DEBUG, (uint8_t)c);
}

static void put_text(const char *text)
{
	while (*text)
		put_char(*text++);
}

static void put_hex(uint64_t number)
{
	int shift;

	for (shift = 60; shift >= 0; shift -= 4)
		put_char("0123456789abcdef"[number >> shift & 15]);
}

static void put_decimal(uint32_t number)
{
	if (number >= 10)
		put_decimal(number / 10);
	put_char((char)('0' + number % 10));
}

static void put_formatted(const char *format, va_list arguments)
{
	for (; *format; format++) {
		if (*format != '%') {
			if (*format == '\n')
				put_char('\r');
			put_char(*format);
			continue;
		}
		switch (*++format) {
		case 's':
			put_text(va_arg(arguments, const char *));
			break;
		case 'l':
			format++;	/* the x of lx */
			put_hex(va_arg(arguments, uint64_t));
			break;
		case 'u':
			put_decimal(va_arg(arguments, uint32_t));
			break;
		default:
			put_char('?');
		}
	}
}

void print(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	put_formatted(format, arguments);
	va_end(arguments);
}

static void put_failure(const char *format, va_list arguments)
{
	print("%s: FAIL ", guest_name);
	put_formatted(format, arguments);
	put_text("\r\n");
}

void report_failure(const char *format, ...)
{
	va_list arguments;

	asm volatile("lock incl %0" : "+m"(failures));
	va_start(arguments, format);
	put_failure(format, arguments);
	va_end(arguments);
}

void fail(const char *format, ...)
{
	va_list arguments;

	interrupts_off();
	console_init();
	va_start(arguments, format);
	put_failure(format, arguments);
	va_end(arguments);
	power_off();
	stop();
}

void pci_write(uint32_t address, uint32_t value)
{
	outl(PC_PORT_PCI, address);
	outl(PCI_DATA, value);
}

void power_off(void)
{
	unsigned int i;

	pci_write(PIIX4_PM | 0x04, 1);			/* I/O decoding on */
	pci_write(PIIX4_PM | 0x40, PC_PORT_PM | 1);
	pci_write(PIIX4_PM | 0x80, 1);
	outw(PC_PORT_PM + PC_PM_CONTROL, PM_SLEEP);
	for (i = 0; i < POWER_OFF_READS; i++)
		inb(PC_PORT_POST);
}

bool on_qemu(void)
{
	return cpuid(CPUID_BRAND_FIRST, 0).eax == ('Q' | 'E' << 8 | 'M' << 16 | 'U' << 24);
}

/* Marsaglia's xorshift with 64 bits. */
uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void recover(struct frame *frame)
{
	fault_vector = (uint8_t)frame->vector;
	fault_code = frame->error;
	fault_address = read_cr2();
	fault_rip = frame->rip;
	frame->rip = recover_rip;
	frame->cs = SEL_CODE64;
	frame->rflags = RFLAGS_FIXED;
	frame->rsp = recover_rsp;
	frame->ss = SEL_DATA;
	recover_rip = 0;
}

static bool is_fault(const struct frame *frame)
{
	return frame->vector < 32 && frame->vector != EXC_NMI;
}

void guest_interrupt(struct frame *frame)
{
	if (is_fault(frame) && recover_rip) {
		recover(frame);
		return;
	}
	if (is_fault(frame) && !count_faults) {
		print("%s: vector, RIP, CR2: %lx %lx %lx\n", guest_name, frame->vector, frame->rip, read_cr2());
		fail("unexpected fault");
	}
	asm volatile("lock incq %0" : "+m"(counts[frame->vector]));
	if (interrupt_hook)
		interrupt_hook(frame);
}

void guest_start(void)
{
	console_init();
	guest_main();
	if (!failures)
		print("%s: ok\n", guest_name);
	power_off();
	fail("power-off did nothing");
}
