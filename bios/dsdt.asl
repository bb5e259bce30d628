// SPDX-License-Identifier: GPL-2.0
/*
 * The board of machine "pc" as ACPI describes it: one PCI root (440FX), the PIIX3 ISA bridge with its four interrupt links,
 * the fixed ISA devices, and soft-off. 32-bit arithmetic only (revision 1), which every operating system understands.
 * The C preprocessor goes over it first: what is where is in devmodel/shared/pc_map.h.
 * Processors are in a table of their own that is made for each guest.
 */
#include "shared/pc_map.h"

// A slot's four pins, each to its link.
#define ROUTES(slot, a, b, c, d) \
	Package () { slot, 0, a, 0 }, Package () { slot, 1, b, 0 }, Package () { slot, 2, c, 0 }, Package () { slot, 3, d, 0 }

#define PCI_IRQS		PC_IRQ_PCI_1, PC_IRQ_PCI_2, PC_IRQ_PCI_3

DefinitionBlock ("dsdt.aml", "DSDT", 1, "KEEL", "KEELPC", 1)
{
	Scope (\_SB)
	{
		Device (PCI0)
		{
			Name (_HID, EisaId ("PNP0A03"))
			Name (_UID, 0)

			// Guest memory ends at 3 GiB at most; IO APIC, HPET, local APICs and firmware are behind what BARs
			// may have.
			Name (_CRS, ResourceTemplate ()
			{
				WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0xFF, 0, 0x100)
				IO (Decode16, PC_PORT_PCI, PC_PORT_PCI, 1, PC_PCI_PORTS)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0, PC_PCI_IO_LOW_LAST, 0, PC_PCI_IO_LOW_PORTS)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, PC_PCI_IO_HIGH, PC_PORT_LAST, 0, PC_PCI_IO_HIGH_PORTS)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
					0, PC_VGA_HOLE, PC_VGA_HOLE_LAST, 0, PC_VGA_HOLE_BYTES)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
					0, PC_PCI_MEMORY, PC_PCI_MEMORY_LAST, 0, PC_PCI_MEMORY_BYTES)
			})

			// The board rotates the pins: PIRQ (slot - 1 + pin) mod 4.
			Name (_PRT, Package ()
			{
				ROUTES (0x0000FFFF, LNKD, LNKA, LNKB, LNKC),
				ROUTES (0x0001FFFF, LNKA, LNKB, LNKC, LNKD),
				ROUTES (0x0002FFFF, LNKB, LNKC, LNKD, LNKA),
				ROUTES (0x0003FFFF, LNKC, LNKD, LNKA, LNKB),
				ROUTES (0x0004FFFF, LNKD, LNKA, LNKB, LNKC),
				ROUTES (0x0005FFFF, LNKA, LNKB, LNKC, LNKD),
				ROUTES (0x0006FFFF, LNKB, LNKC, LNKD, LNKA),
				ROUTES (0x0007FFFF, LNKC, LNKD, LNKA, LNKB),
				ROUTES (0x0008FFFF, LNKD, LNKA, LNKB, LNKC),
				ROUTES (0x0009FFFF, LNKA, LNKB, LNKC, LNKD),
				ROUTES (0x000AFFFF, LNKB, LNKC, LNKD, LNKA),
				ROUTES (0x000BFFFF, LNKC, LNKD, LNKA, LNKB),
				ROUTES (0x000CFFFF, LNKD, LNKA, LNKB, LNKC),
				ROUTES (0x000DFFFF, LNKA, LNKB, LNKC, LNKD),
				ROUTES (0x000EFFFF, LNKB, LNKC, LNKD, LNKA),
				ROUTES (0x000FFFFF, LNKC, LNKD, LNKA, LNKB),
				ROUTES (0x0010FFFF, LNKD, LNKA, LNKB, LNKC),
				ROUTES (0x0011FFFF, LNKA, LNKB, LNKC, LNKD),
				ROUTES (0x0012FFFF, LNKB, LNKC, LNKD, LNKA),
				ROUTES (0x0013FFFF, LNKC, LNKD, LNKA, LNKB),
				ROUTES (0x0014FFFF, LNKD, LNKA, LNKB, LNKC),
				ROUTES (0x0015FFFF, LNKA, LNKB, LNKC, LNKD),
				ROUTES (0x0016FFFF, LNKB, LNKC, LNKD, LNKA),
				ROUTES (0x0017FFFF, LNKC, LNKD, LNKA, LNKB),
				ROUTES (0x0018FFFF, LNKD, LNKA, LNKB, LNKC),
				ROUTES (0x0019FFFF, LNKA, LNKB, LNKC, LNKD),
				ROUTES (0x001AFFFF, LNKB, LNKC, LNKD, LNKA),
				ROUTES (0x001BFFFF, LNKC, LNKD, LNKA, LNKB),
				ROUTES (0x001CFFFF, LNKD, LNKA, LNKB, LNKC),
				ROUTES (0x001DFFFF, LNKA, LNKB, LNKC, LNKD),
				ROUTES (0x001EFFFF, LNKB, LNKC, LNKD, LNKA),
				ROUTES (0x001FFFFF, LNKC, LNKD, LNKA, LNKB)
			})

			Device (ISA)
			{
				Name (_ADR, ShiftLeft (PC_SLOT_ISA_BRIDGE, 16))

				OperationRegion (PIRQ, PCI_Config, PC_PIRQRC, PC_PIRQRCS)
				Field (PIRQ, ByteAcc, NoLock, Preserve)
				{
					PRQA, 8,
					PRQB, 8,
					PRQC, 8,
					PRQD, 8
				}

				Device (RTC)
				{
					Name (_HID, EisaId ("PNP0B00"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, PC_PORT_RTC, PC_PORT_RTC, 1, PC_RTC_PORTS)
						IRQNoFlags () {PC_IRQ_RTC}
					})
				}

				Device (PIT)
				{
					Name (_HID, EisaId ("PNP0100"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, PC_PORT_PIT, PC_PORT_PIT, 1, PC_PIT_PORTS)
						IRQNoFlags () {PC_IRQ_TIMER}
					})
				}

				Device (PIC)
				{
					Name (_HID, EisaId ("PNP0000"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, PC_PORT_PIC_MASTER, PC_PORT_PIC_MASTER, 1, PC_PIC_PORTS)
						IO (Decode16, PC_PORT_PIC_SLAVE, PC_PORT_PIC_SLAVE, 1, PC_PIC_PORTS)
						IRQNoFlags () {PC_IRQ_CASCADE}
					})
				}

				Device (SPKR)
				{
					Name (_HID, EisaId ("PNP0800"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, PC_PORT_CONTROL_B, PC_PORT_CONTROL_B, 1, 1)
					})
				}

				Device (PS2K)
				{
					Name (_HID, EisaId ("PNP0303"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, PC_PORT_KEYBOARD_DATA, PC_PORT_KEYBOARD_DATA, 1, 1)
						IO (Decode16, PC_PORT_KEYBOARD_COMMAND, PC_PORT_KEYBOARD_COMMAND, 1, 1)
						IRQNoFlags () {PC_IRQ_KEYBOARD}
					})
				}

				Device (PS2M)
				{
					Name (_HID, EisaId ("PNP0F13"))
					Name (_CRS, ResourceTemplate () { IRQNoFlags () {PC_IRQ_MOUSE} })
				}

				Device (COM1)
				{
					Name (_HID, EisaId ("PNP0501"))
					Name (_UID, 1)
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, PC_PORT_SERIAL, PC_PORT_SERIAL, 1, PC_SERIAL_PORTS)
						IRQNoFlags () {PC_IRQ_SERIAL}
					})
				}

				// Ports of the board that no driver may take: debug port, edge/level, fw_cfg, power management.
				Device (MBRD)
				{
					Name (_HID, EisaId ("PNP0C02"))
					Name (_UID, 1)
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, PC_PORT_DEBUG, PC_PORT_DEBUG, 1, 1)
						IO (Decode16, PC_PORT_ELCR_MASTER, PC_PORT_ELCR_MASTER, 1, 2)
						IO (Decode16, PC_PORT_FW_CFG, PC_PORT_FW_CFG, 1, PC_FW_CFG_PORTS)
						IO (Decode16, PC_PORT_PM, PC_PORT_PM, 1, PC_PM_BYTES)
					})
				}
			}
		}

		Device (HPET)
		{
			Name (_HID, EisaId ("PNP0103"))
			Name (_UID, 0)
			Name (_CRS, ResourceTemplate () { Memory32Fixed (ReadOnly, PC_HPET, PC_HPET_BYTES) })
		}

		// IO APIC and local APICs.
		Device (APIC)
		{
			Name (_HID, EisaId ("PNP0C02"))
			Name (_UID, 2)
			Name (_CRS, ResourceTemplate ()
			{
				Memory32Fixed (ReadOnly, PC_IOAPIC, PC_IOAPIC_BYTES)
				Memory32Fixed (ReadOnly, PC_LAPIC, PC_LAPIC_BYTES)
			})
		}

		Method (LSTA, 1, NotSerialized)
		{
			If (And (Arg0, PC_PIRQRC_DISABLED)) { Return (0x09) }
			Return (0x0B)
		}

		Method (LCRS, 1, Serialized)
		{
			Name (RES, ResourceTemplate () { IRQ (Level, ActiveHigh, Shared) {} })
			CreateWordField (RES, 1, MASK)
			If (LNot (And (Arg0, PC_PIRQRC_DISABLED))) { ShiftLeft (1, And (Arg0, PC_PIRQRC_IRQ), MASK) }
			Return (RES)
		}

		Method (LSRS, 1, Serialized)
		{
			CreateWordField (Arg0, 1, MASK)
			FindSetRightBit (MASK, Local0)
			If (LEqual (Local0, 0)) { Return (PC_PIRQRC_DISABLED) }
			Return (Subtract (Local0, 1))
		}

		Device (LNKA)
		{
			Name (_HID, EisaId ("PNP0C0F"))
			Name (_UID, 1)
			Name (_PRS, ResourceTemplate () { IRQ (Level, ActiveHigh, Shared) {PCI_IRQS} })
			Method (_STA, 0, NotSerialized) { Return (LSTA (\_SB.PCI0.ISA.PRQA)) }
			Method (_DIS, 0, NotSerialized) { Or (\_SB.PCI0.ISA.PRQA, PC_PIRQRC_DISABLED, \_SB.PCI0.ISA.PRQA) }
			Method (_CRS, 0, Serialized) { Return (LCRS (\_SB.PCI0.ISA.PRQA)) }
			Method (_SRS, 1, NotSerialized) { Store (LSRS (Arg0), \_SB.PCI0.ISA.PRQA) }
		}

		Device (LNKB)
		{
			Name (_HID, EisaId ("PNP0C0F"))
			Name (_UID, 2)
			Name (_PRS, ResourceTemplate () { IRQ (Level, ActiveHigh, Shared) {PCI_IRQS} })
			Method (_STA, 0, NotSerialized) { Return (LSTA (\_SB.PCI0.ISA.PRQB)) }
			Method (_DIS, 0, NotSerialized) { Or (\_SB.PCI0.ISA.PRQB, PC_PIRQRC_DISABLED, \_SB.PCI0.ISA.PRQB) }
			Method (_CRS, 0, Serialized) { Return (LCRS (\_SB.PCI0.ISA.PRQB)) }
			Method (_SRS, 1, NotSerialized) { Store (LSRS (Arg0), \_SB.PCI0.ISA.PRQB) }
		}

		Device (LNKC)
		{
			Name (_HID, EisaId ("PNP0C0F"))
			Name (_UID, 3)
			Name (_PRS, ResourceTemplate () { IRQ (Level, ActiveHigh, Shared) {PCI_IRQS} })
			Method (_STA, 0, NotSerialized) { Return (LSTA (\_SB.PCI0.ISA.PRQC)) }
			Method (_DIS, 0, NotSerialized) { Or (\_SB.PCI0.ISA.PRQC, PC_PIRQRC_DISABLED, \_SB.PCI0.ISA.PRQC) }
			Method (_CRS, 0, Serialized) { Return (LCRS (\_SB.PCI0.ISA.PRQC)) }
			Method (_SRS, 1, NotSerialized) { Store (LSRS (Arg0), \_SB.PCI0.ISA.PRQC) }
		}

		Device (LNKD)
		{
			Name (_HID, EisaId ("PNP0C0F"))
			Name (_UID, 4)
			Name (_PRS, ResourceTemplate () { IRQ (Level, ActiveHigh, Shared) {PCI_IRQS} })
			Method (_STA, 0, NotSerialized) { Return (LSTA (\_SB.PCI0.ISA.PRQD)) }
			Method (_DIS, 0, NotSerialized) { Or (\_SB.PCI0.ISA.PRQD, PC_PIRQRC_DISABLED, \_SB.PCI0.ISA.PRQD) }
			Method (_CRS, 0, Serialized) { Return (LCRS (\_SB.PCI0.ISA.PRQD)) }
			Method (_SRS, 1, NotSerialized) { Store (LSRS (Arg0), \_SB.PCI0.ISA.PRQD) }
		}
	}

	// The type of sleep that is soft-off (82371AB data sheet, PMCNTRL).
	Name (\_S5, Package () { PC_PM_S5_TYPE, 0, 0, 0 })
}
