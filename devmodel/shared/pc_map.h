/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The facts of machine "pc": where what answers, and by which interrupt. Both halves of the device model read them here, and so
 * do the manifest's reader and, through the C preprocessor, the ACPI description of the board: so numbers have no suffix.
 * Places are those of QEMU's and SeaBIOS's i440FX machine; sizes of blocks, where a chip's own header has them, are there.
 */
#ifndef KEEL_PC_MAP_H
#define KEEL_PC_MAP_H

/*
 * What manifests and saved machines call it. A guest that was installed on it finds the same again as long as it is called so: if
 * something of it changes that a guest can see, then that is a machine of another name, beside this one.
 */
#define PC_MACHINE		"pc-1"

/* Memory: from 0 to VGA_HOLE, from its end to at most LOW_MEMORY_MOST, and from HIGH_MEMORY on. Firmware ends at HIGH_MEMORY. */
#define PC_ADDRESS_BITS		40		/* what guests are told of physical addresses */
#define PC_VGA_HOLE		0x000a0000
#define PC_VGA_HOLE_BYTES	0x00020000
#define PC_VGA_HOLE_LAST	0x000bffff
#define PC_VGA_HOLE_END		0x000c0000
#define PC_BIOS_COPY_END	0x00100000	/* the end of the firmware is below 1 MiB too */
#define PC_BIOS_COPY_MOST	0x00020000
#define PC_BIOS_SEGMENT		0xe800		/* of real mode, where it begins below 1 MiB: what SMBIOS says */
#define PC_FIRMWARE_LEAST	0x00010000	/* bytes */
#define PC_FIRMWARE_MOST	0x00100000
#define PC_LOW_MEMORY_LEAST	0x00100000
#define PC_LOW_MEMORY_MOST	0xc0000000
#define PC_HIGH_MEMORY		0x100000000

/* From there up to the first fixed register BARs are placed. */
#define PC_PCI_MEMORY		0xc0000000
#define PC_PCI_MEMORY_BYTES	0x3ec00000
#define PC_PCI_MEMORY_LAST	0xfebfffff

#define PC_IOAPIC		0xfec00000
#define PC_IOAPIC_BYTES		0x00001000
#define PC_HPET			0xfed00000
#define PC_HPET_BYTES		0x00000400
#define PC_LAPIC		0xfee00000	/* at reset */
#define PC_LAPIC_BYTES		0x00001000

/* I/O ports */
#define PC_PORT_LAST		0xffff
#define PC_PORT_PIC_MASTER	0x0020
#define PC_PIC_PORTS		2		/* of each */
#define PC_PORT_PIT		0x0040
#define PC_PIT_PORTS		4
#define PC_PORT_KEYBOARD_DATA	0x0060
#define PC_PORT_CONTROL_B	0x0061		/* system control port B: speaker */
#define PC_PORT_KEYBOARD_COMMAND 0x0064
#define PC_PORT_RTC		0x0070
#define PC_RTC_PORTS		2
#define PC_PORT_POST		0x0080
#define PC_PORT_CONTROL_A	0x0092		/* system control port A: reset, A20 */
#define PC_PORT_PIC_SLAVE	0x00a0
#define PC_PORT_APM		0x00b2		/* control: the FADT's SMI_CMD; status */
#define PC_PORT_IDE_SECONDARY	0x0170
#define PC_PORT_IDE_PRIMARY	0x01f0
#define PC_PORT_IDE_SECONDARY_CONTROL 0x0376
#define PC_PORT_IDE_PRIMARY_CONTROL 0x03f6
#define PC_PORT_SERIAL		0x03f8
#define PC_SERIAL_PORTS		8
#define PC_PORT_DEBUG		0x0402
#define PC_PORT_ELCR_MASTER	0x04d0
#define PC_PORT_ELCR_SLAVE	0x04d1
#define PC_PORT_FW_CFG		0x0510
#define PC_PORT_FW_CFG_DMA	0x0514
#define PC_FW_CFG_PORTS		12		/* all of it */
#define PC_PORT_PM		0x0600		/* where firmware that finds a table loader puts the PIIX4's block */
#define PC_PORT_PCI		0x0cf8
#define PC_PORT_RESET		0x0cf9
#define PC_PCI_PORTS		8
/* Where BARs of ports can be: all but PCI's own. */
#define PC_PCI_IO_LOW_LAST	0x0cf7
#define PC_PCI_IO_LOW_PORTS	0x0cf8
#define PC_PCI_IO_HIGH		0x0d00
#define PC_PCI_IO_HIGH_PORTS	0xf300

/* ISA interrupts, which are the I/O APIC's pins, too, but for the timer's. */
#define PC_IRQ_TIMER		0
#define PC_IRQ_KEYBOARD		1
#define PC_IRQ_CASCADE		2
#define PC_IRQ_SERIAL		4
#define PC_IRQ_PCI_1		5		/* where the PCI links may lead */
#define PC_IRQ_RTC		8
#define PC_IRQ_ACPI		9
#define PC_IRQ_PCI_2		10
#define PC_IRQ_PCI_3		11
#define PC_IRQ_MOUSE		12
#define PC_IRQ_IDE_PRIMARY	14
#define PC_IRQ_IDE_SECONDARY	15
#define PC_GSI_TIMER		2
#define PC_LINT_NMI		1		/* of all local APICs: the NMI button */
/* Those that can be level-triggered; 0, 1, 2, 8 and 13 cannot (82371SB data sheet, 2.5.8). */
#define PC_ELCR_MASTER		0xf8
#define PC_ELCR_SLAVE		0xde
#define PC_HPET_PINS		0x00ff0000	/* of the I/O APIC, which no ISA interrupt has */

/* PCI, bus 0 */
#define PC_SLOT_HOST_BRIDGE	0
#define PC_SLOT_ISA_BRIDGE	1
#define PC_FUNCTION_ISA_BRIDGE	0
#define PC_FUNCTION_IDE		1
#define PC_FUNCTION_ACPI	3
#define PC_SLOT_FREE		2		/* from here on: devices that a manifest can do without */
#define PC_SLOT_RNG		4
#define PC_SLOT_DISK		16		/* the first virtio disk, and the others behind it, up to the last slot; */
#define PC_VIRTIO_DISKS		16
/* network cards: the first eight below the disks, and more from the last slot down, where no disk is. */
#define PC_SLOT_NET		8
#define PC_NETWORKS		16
#define PC_NETWORKS_BELOW	8
#define PC_SLOT_LAST		31
#define PC_NETWORK_SLOT(number)	\
	((number) < PC_NETWORKS_BELOW ? PC_SLOT_NET + (number) : PC_SLOT_LAST + PC_NETWORKS_BELOW - (number))

/*
 * The ISA bridge's registers that route PCI interrupts, PIRQRC[A:D] (82371SB data sheet, 2.2.6): in each the number of an
 * interrupt, or the bit that says that it leads nowhere.
 */
#define PC_PIRQRC		0x60
#define PC_PIRQRCS		4
#define PC_PIRQRC_DISABLED	0x80
#define PC_PIRQRC_IRQ		0x0f

/* What the tables say of registers: the HPET's capabilities, low half; the PIIX4's block (82371AB data sheet, chapter 7). */
#define PC_HPET_ID		0x8086a201	/* Intel, legacy routing, 64 bits, three comparators, revision 1 */
#define PC_PM_BYTES		0x40
#define PC_PM_EVENT		0x00		/* PM1a_EVT_BLK, 4 bytes */
#define PC_PM_CONTROL		0x04		/* PM1a_CNT_BLK, 2 bytes */
#define PC_PM_TIMER		0x08		/* PM_TMR_BLK, 4 bytes */
#define PC_PM_GPE0		0x0c		/* GPE0_BLK, 4 bytes: status, enable */
#define PC_PM_ACPI_ENABLE	0xf1		/* values for SMI_CMD */
#define PC_PM_ACPI_DISABLE	0xf0
#define PC_PM_S5_TYPE		0
#define PC_RESET_HARD		0x06		/* value for the reset control register */
#define PC_RTC_CENTURY		0x32		/* the clock's byte of memory for it */

#endif
