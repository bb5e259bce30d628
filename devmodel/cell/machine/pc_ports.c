// SPDX-License-Identifier: GPL-2.0
/* The map of I/O ports. */
#include "machine/pc.h"

#include "core/string.h"

#define NOTHING			UINT32_MAX

#define IDE_DATA_PORT		0u
#define FW_CFG_SELECTOR		0u
#define FW_CFG_DATA		1u
#define SERIAL_DATA		0u
#define KEYBOARD_COMMAND	4u

/* System control port A (IBM PS/2 technical reference): bit 0 resets on its rising edge, bit 1 is A20. */
#define PORT92_RESET		0x01u
#define PORT92_A20		0x02u

/* What bits of an access of so many bytes count. */
#define ACCESS_MASK(bytes)	(UINT32_MAX >> (32 - 8 * (bytes)))

enum {
	BLOCK_NONE, BLOCK_BUS_MASTER, BLOCK_PM, BLOCK_PIC_MASTER, BLOCK_PIT, BLOCK_KEYBOARD_DATA, BLOCK_PORT61, BLOCK_KEYBOARD_COMMAND, BLOCK_RTC,
	BLOCK_POST, BLOCK_PORT92, BLOCK_PIC_SLAVE, BLOCK_APM, BLOCK_IDE_SECONDARY, BLOCK_IDE_PRIMARY,
	BLOCK_IDE_SECONDARY_CONTROL, BLOCK_IDE_PRIMARY_CONTROL, BLOCK_SERIAL, BLOCK_DEBUG, BLOCK_ELCR, BLOCK_FW_CFG,
	BLOCK_FW_CFG_DMA, BLOCK_PCI, BLOCK_RESET, BLOCKS,
};

_Static_assert(BLOCKS <= PC_BLOCKS_MOST, "pc.port_base has a place for every block");

static uint32_t pic_master_read(struct pc *pc, unsigned int offset, unsigned int bytes)
{
	(void)bytes;
	return i8259_read(&pc->pic_master, offset);
}

static void pic_master_write(struct pc *pc, unsigned int offset, unsigned int bytes, uint32_t value)
{
	(void)bytes;
	i8259_write(&pc->pic_master, offset, (uint8_t)value);
}

static uint32_t pic_slave_read(struct pc *pc, unsigned int offset, unsigned int bytes)
{
	(void)bytes;
	return i8259_read(&pc->pic_slave, offset);
}

static void pic_slave_write(struct pc *pc, unsigned int offset, unsigned int bytes, uint32_t value)
{
	(void)bytes;
	i8259_write(&pc->pic_slave, offset, (uint8_t)value);
}

static uint32_t elcr_read(struct pc *pc, unsigned int offset, unsigned int bytes)
{
	(void)bytes;
	return i8259_read_elcr(offset ? &pc->pic_slave : &pc->pic_master);
}

static void elcr_write(struct pc *pc, unsigned int offset, unsigned int bytes, uint32_t value)
{
	(void)bytes;
	i8259_write_elcr(offset ? &pc->pic_slave : &pc->pic_master, (uint8_t)value);
}

static uint32_t pit_read(struct pc *pc, unsigned int offset, unsigned int bytes)
{
	(void)bytes;
	return i8254_read(&pc->pit, offset, pc->now);
}

static void pit_write(struct pc *pc, unsigned int offset, unsigned int bytes, uint32_t value)
{
	(void)bytes;
	i8254_write(&pc->pit, offset, (uint8_t)value, pc->now);
}

static uint32_t port61_read(struct pc *pc, unsigned int offset, unsigned int bytes)
{
	(void)offset;
	(void)bytes;
	return i8254_read_port61(&pc->pit, pc->now);
}

static void port61_write(struct pc *pc, unsigned int offset, unsigned int bytes, uint32_t value)
{
	(void)offset;
	(void)bytes;
	i8254_write_port61(&pc->pit, (uint8_t)value, pc->now);
}

static uint32_t keyboard_data_read(struct pc *pc, unsigned int offset, unsigned int bytes)
{
	(void)bytes;
	return i8042_read(&pc->keyboard, offset);
}

static void keyboard_data_write(struct pc *pc, unsigned int offset, unsigned int bytes, uint32_t value)
{
	(void)bytes;
	i8042_write(&pc->keyboard, offset, (uint8_t)value);
}

static uint32_t keyboard_command_read(struct pc *pc, unsigned int offset, unsigned int bytes)
{
	(void)offset;
	(void)bytes;
	return i8042_read(&pc->keyboard, KEYBOARD_COMMAND);
}

static void keyboard_command_write(struct pc *pc, unsigned int offset, unsigned int bytes, uint32_t value)
{
	(void)offset;
	(void)bytes;
	i8042_write(&pc->keyboard, KEYBOARD_COMMAND, (uint8_t)value);
}

static uint32_t rtc_read(struct pc *pc, unsigned int offset, unsigned int bytes)
{
	(void)bytes;
	return mc146818_read(&pc->rtc, offset, pc->now);
}

static void rtc_write(struct pc *pc, unsigned int offset, unsigned int bytes, uint32_t value)
{
	(void)bytes;
	mc146818_write(&pc->rtc, offset, (uint8_t)value, pc->now);
}

static uint32_t post_read(struct pc *pc, unsigned int offset, unsigned int bytes)
{
	(void)offset;
	(void)bytes;
	return pc->post_code;
}

static void post_write(struct pc *pc, unsigned int offset, unsigned int bytes, uint32_t value)
{
	(void)offset;
	(void)bytes;
	pc->post_code = (uint8_t)value;
}

/* A20 is always on, whatever is written. */
static uint32_t port92_read(struct pc *pc, unsigned int offset, unsigned int bytes)
{
	(void)offset;
	(void)bytes;
	return pc->port92 | PORT92_A20;
}

static void port92_write(struct pc *pc, unsigned int offset, unsigned int bytes, uint32_t value)
{
	(void)offset;
	(void)bytes;
	if (value & PORT92_RESET && !(pc->port92 & PORT92_RESET))
		pc_end(pc, KEEL_END_RESET, 0);
	pc->port92 = (uint8_t)value;
}

static uint32_t apm_read(struct pc *pc, unsigned int offset, unsigned int bytes)
{
	(void)bytes;
	return piix4_pm_read_apm(&pc->pm, offset);
}

static void apm_write(struct pc *pc, unsigned int offset, unsigned int bytes, uint32_t value)
{
	(void)bytes;
	piix4_pm_write_apm(&pc->pm, offset, (uint8_t)value);
}

static uint32_t ide_channel_read(struct ide_channel *ch, unsigned int offset, unsigned int bytes)
{
	if (bytes == 1)
		return ide_read(ch, offset);
	if (offset != IDE_DATA_PORT)
		return NOTHING;
	return bytes == 2 ? ide_data_read16(ch) : ide_data_read32(ch);
}

static void ide_channel_write(struct ide_channel *ch, unsigned int offset, unsigned int bytes, uint32_t value)
{
	if (bytes == 1)
		ide_write(ch, offset, (uint8_t)value);
	else if (offset == IDE_DATA_PORT && bytes == 2)
		ide_data_write16(ch, (uint16_t)value);
	else if (offset == IDE_DATA_PORT)
		ide_data_write32(ch, value);
}

static uint32_t ide_primary_read(struct pc *pc, unsigned int offset, unsigned int bytes)
{
	return ide_channel_read(&pc->ide.channel[0], offset, bytes);
}

static void ide_primary_write(struct pc *pc, unsigned int offset, unsigned int bytes, uint32_t value)
{
	ide_channel_write(&pc->ide.channel[0], offset, bytes, value);
}

static uint32_t ide_secondary_read(struct pc *pc, unsigned int offset, unsigned int bytes)
{
	return ide_channel_read(&pc->ide.channel[1], offset, bytes);
}

static void ide_secondary_write(struct pc *pc, unsigned int offset, unsigned int bytes, uint32_t value)
{
	ide_channel_write(&pc->ide.channel[1], offset, bytes, value);
}

static uint32_t ide_primary_control_read(struct pc *pc, unsigned int offset, unsigned int bytes)
{
	(void)offset;
	(void)bytes;
	return ide_control_read(&pc->ide.channel[0]);
}

static void ide_primary_control_write(struct pc *pc, unsigned int offset, unsigned int bytes, uint32_t value)
{
	(void)offset;
	(void)bytes;
	ide_control_write(&pc->ide.channel[0], (uint8_t)value);
}

static uint32_t ide_secondary_control_read(struct pc *pc, unsigned int offset, unsigned int bytes)
{
	(void)offset;
	(void)bytes;
	return ide_control_read(&pc->ide.channel[1]);
}

static void ide_secondary_control_write(struct pc *pc, unsigned int offset, unsigned int bytes, uint32_t value)
{
	(void)offset;
	(void)bytes;
	ide_control_write(&pc->ide.channel[1], (uint8_t)value);
}

/* Room that the other end has made shows at the guest's next look, not only at an event. */
static uint32_t serial_read(struct pc *pc, unsigned int offset, unsigned int bytes)
{
	uint8_t value;

	(void)bytes;
	if (pc->serial.s.tx_count)
		ns16550_drain(&pc->serial);
	value = ns16550_read(&pc->serial, offset);
	if (offset == SERIAL_DATA)
		pc_serial_input(pc);
	return value;
}

static void serial_write(struct pc *pc, unsigned int offset, unsigned int bytes, uint32_t value)
{
	(void)bytes;
	ns16550_write(&pc->serial, offset, (uint8_t)value);
	if (offset != SERIAL_DATA)
		pc_serial_input(pc);
}

static uint32_t debug_read(struct pc *pc, unsigned int offset, unsigned int bytes)
{
	(void)offset;
	(void)bytes;
	return debugport_read(&pc->debug);
}

static void debug_write(struct pc *pc, unsigned int offset, unsigned int bytes, uint32_t value)
{
	(void)offset;
	(void)bytes;
	debugport_write(&pc->debug, (uint8_t)value);
}

static uint32_t fw_cfg_port_read(struct pc *pc, unsigned int offset, unsigned int bytes)
{
	if (offset != FW_CFG_DATA || bytes != 1)
		return 0;
	return fw_cfg_read_data(&pc->fw_cfg);
}

static void fw_cfg_port_write(struct pc *pc, unsigned int offset, unsigned int bytes, uint32_t value)
{
	if (offset == FW_CFG_SELECTOR && bytes == 2)
		fw_cfg_select(&pc->fw_cfg, (uint16_t)value);
}

static uint32_t fw_cfg_dma_read(struct pc *pc, unsigned int offset, unsigned int bytes)
{
	return bytes == sizeof(uint32_t) ? fw_cfg_read_dma(&pc->fw_cfg, offset) : NOTHING;
}

static void fw_cfg_dma_write(struct pc *pc, unsigned int offset, unsigned int bytes, uint32_t value)
{
	if (bytes == sizeof(uint32_t))
		fw_cfg_write_dma(&pc->fw_cfg, offset, value);
}

static uint32_t pci_port_read(struct pc *pc, unsigned int offset, unsigned int bytes)
{
	return pci_read(&pc->pci, offset, bytes);
}

static void pci_port_write(struct pc *pc, unsigned int offset, unsigned int bytes, uint32_t value)
{
	pci_write(&pc->pci, offset, bytes, value);
}

static uint32_t reset_read(struct pc *pc, unsigned int offset, unsigned int bytes)
{
	(void)offset;
	(void)bytes;
	return reset_control_read(&pc->reset_control);
}

static void reset_write(struct pc *pc, unsigned int offset, unsigned int bytes, uint32_t value)
{
	(void)offset;
	(void)bytes;
	reset_control_write(&pc->reset_control, (uint8_t)value);
}

static uint32_t bus_master_read(struct pc *pc, unsigned int offset, unsigned int bytes)
{
	return piix3_ide_bm_read(&pc->ide, offset, bytes);
}

static void bus_master_write(struct pc *pc, unsigned int offset, unsigned int bytes, uint32_t value)
{
	piix3_ide_bm_write(&pc->ide, offset, bytes, value);
}

static uint32_t pm_read(struct pc *pc, unsigned int offset, unsigned int bytes)
{
	return piix4_pm_read(&pc->pm, offset, bytes, pc->now);
}

static void pm_write(struct pc *pc, unsigned int offset, unsigned int bytes, uint32_t value)
{
	piix4_pm_write(&pc->pm, offset, bytes, value, pc->now);
}

/* Accesses wider than a block takes, or over its end, are split into bytes, as the ISA bridge does. */
struct block {
	uint16_t first, count;
	uint8_t widest;
	bool timed;		/* an access can change the chip's deadline */
	uint32_t (*read)(struct pc *pc, unsigned int offset, unsigned int bytes);
	void (*write)(struct pc *pc, unsigned int offset, unsigned int bytes, uint32_t value);
};

/* In this order: a later block covers an earlier one. The first two answer where the guest puts them, but not over fixed ports. */
static const struct block blocks[BLOCKS] = {
	[BLOCK_BUS_MASTER] = { 0, PIIX3_IDE_BM_PORTS, 4, false, bus_master_read, bus_master_write },
	[BLOCK_PM] = { 0, PIIX4_PM_BYTES, 4, true, pm_read, pm_write },
	[BLOCK_PIC_MASTER] = { 0x20, 2, 1, false, pic_master_read, pic_master_write },
	[BLOCK_PIT] = { 0x40, 4, 1, true, pit_read, pit_write },
	[BLOCK_KEYBOARD_DATA] = { 0x60, 1, 1, false, keyboard_data_read, keyboard_data_write },
	[BLOCK_PORT61] = { 0x61, 1, 1, true, port61_read, port61_write },
	[BLOCK_KEYBOARD_COMMAND] = { 0x64, 1, 1, false, keyboard_command_read, keyboard_command_write },
	[BLOCK_RTC] = { 0x70, 2, 1, true, rtc_read, rtc_write },
	[BLOCK_POST] = { 0x80, 1, 1, false, post_read, post_write },
	[BLOCK_PORT92] = { 0x92, 1, 1, false, port92_read, port92_write },
	[BLOCK_PIC_SLAVE] = { 0xa0, 2, 1, false, pic_slave_read, pic_slave_write },
	[BLOCK_APM] = { 0xb2, 2, 1, true, apm_read, apm_write },
	[BLOCK_IDE_SECONDARY] = { 0x170, 8, 4, false, ide_secondary_read, ide_secondary_write },
	[BLOCK_IDE_PRIMARY] = { 0x1f0, 8, 4, false, ide_primary_read, ide_primary_write },
	[BLOCK_IDE_SECONDARY_CONTROL] = { 0x376, 1, 1, false, ide_secondary_control_read, ide_secondary_control_write },
	[BLOCK_IDE_PRIMARY_CONTROL] = { 0x3f6, 1, 1, false, ide_primary_control_read, ide_primary_control_write },
	[BLOCK_SERIAL] = { 0x3f8, 8, 1, false, serial_read, serial_write },
	[BLOCK_DEBUG] = { 0x402, 1, 1, false, debug_read, debug_write },
	[BLOCK_ELCR] = { 0x4d0, 2, 1, false, elcr_read, elcr_write },
	[BLOCK_FW_CFG] = { 0x510, 2, 2, false, fw_cfg_port_read, fw_cfg_port_write },
	[BLOCK_FW_CFG_DMA] = { 0x514, 8, 4, false, fw_cfg_dma_read, fw_cfg_dma_write },
	[BLOCK_PCI] = { 0xcf8, 8, 4, false, pci_port_read, pci_port_write },
	[BLOCK_RESET] = { 0xcf9, 1, 1, false, reset_read, reset_write },
};

/* Port 0 is nobody's: a base of 0 says that the block does not answer. */
static void mark(struct pc *pc, unsigned int block, unsigned int from, unsigned int to)
{
	for (unsigned int i = 0; i < blocks[block].count && pc->port_base[block] + i < PC_PORTS; i++)
		if (pc->port_block[pc->port_base[block] + i] == from || from == BLOCKS)
			pc->port_block[pc->port_base[block] + i] = (uint8_t)to;
}

static void mark_all(struct pc *pc)
{
	for (unsigned int i = 1; i < BLOCKS; i++)
		if (pc->port_base[i])
			mark(pc, i, BLOCKS, i);
}

static void move(struct pc *pc, unsigned int block, uint16_t base)
{
	if (pc->port_base[block])
		mark(pc, block, block, BLOCK_NONE);
	pc->port_base[block] = base;
	mark_all(pc);
}

void pc_ports_init(struct pc *pc)
{
	memset(pc->port_block, BLOCK_NONE, sizeof(pc->port_block));
	for (unsigned int i = 0; i < BLOCKS; i++)
		pc->port_base[i] = blocks[i].first;
	mark_all(pc);
}

void pc_ports_bus_master(void *owner, unsigned int bar, uint32_t base, uint32_t bytes, bool on)
{
	(void)bytes;
	if (bar == PIIX3_IDE_BM_BAR)
		move(owner, BLOCK_BUS_MASTER, on ? (uint16_t)base : 0);
}

void pc_ports_power_management(void *owner, uint16_t base, bool on)
{
	move(owner, BLOCK_PM, on ? base : 0);
}

static const struct block *block_at(struct pc *pc, uint16_t port, unsigned int *offset)
{
	unsigned int number = pc->port_block[port];

	*offset = (unsigned int)port - pc->port_base[number];
	return &blocks[number];
}

static uint32_t read_bytes(struct pc *pc, uint16_t port, unsigned int bytes)
{
	uint32_t value = 0;

	for (unsigned int i = 0; i < bytes; i++)
		value |= (pc_port_read(pc, (uint16_t)(port + i), 1) & UINT8_MAX) << (8 * i);
	return value;
}

static void write_bytes(struct pc *pc, uint16_t port, unsigned int bytes, uint32_t value)
{
	for (unsigned int i = 0; i < bytes; i++)
		pc_port_write(pc, (uint16_t)(port + i), 1, value >> (8 * i) & UINT8_MAX);
}

uint32_t pc_port_read(void *owner, uint16_t port, unsigned int bytes)
{
	struct pc *pc = owner;
	unsigned int offset;
	const struct block *block = block_at(pc, port, &offset);

	if (bytes > 1 && (bytes > block->widest || offset + bytes > block->count))
		return read_bytes(pc, port, bytes);
	if (!block->read)
		return ACCESS_MASK(bytes);
	pc->deadline_stale |= block->timed;
	return block->read(pc, offset, bytes) & ACCESS_MASK(bytes);
}

void pc_port_write(void *owner, uint16_t port, unsigned int bytes, uint32_t value)
{
	struct pc *pc = owner;
	unsigned int offset;
	const struct block *block = block_at(pc, port, &offset);

	if (bytes > 1 && (bytes > block->widest || offset + bytes > block->count)) {
		write_bytes(pc, port, bytes, value);
		return;
	}
	if (!block->write)
		return;
	pc->deadline_stale |= block->timed;
	block->write(pc, offset, bytes, value & ACCESS_MASK(bytes));
}
