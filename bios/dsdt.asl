// SPDX-License-Identifier: GPL-2.0
/*
 * The board of machine "pc" as ACPI describes it: one PCI root (440FX), the PIIX3 ISA bridge with its four interrupt links,
 * the fixed ISA devices, and soft-off. 32-bit arithmetic only (revision 1), which every operating system understands.
 * Processors are in a table of their own that is made for each guest.
 */
DefinitionBlock ("dsdt.aml", "DSDT", 1, "KEEL", "KEELPC", 1)
{
	Scope (\_SB)
	{
		Device (PCI0)
		{
			Name (_HID, EisaId ("PNP0A03"))
			Name (_UID, 0)

			// Guest memory ends at 3 GiB at most; IO APIC, HPET, local APICs and firmware begin at 0xFEC00000.
			Name (_CRS, ResourceTemplate ()
			{
				WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0xFF, 0, 0x100)
				IO (Decode16, 0xCF8, 0xCF8, 1, 8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0, 0x0CF7, 0, 0x0CF8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0x0D00, 0xFFFF, 0, 0xF300)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
					0, 0x000A0000, 0x000BFFFF, 0, 0x00020000)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
					0, 0xC0000000, 0xFEBFFFFF, 0, 0x3EC00000)
			})

			// The board rotates the pins: PIRQ (slot - 1 + pin) mod 4.
			Name (_PRT, Package ()
			{
				Package () { 0x0001FFFF, 0, LNKA, 0 },
				Package () { 0x0001FFFF, 1, LNKB, 0 },
				Package () { 0x0001FFFF, 2, LNKC, 0 },
				Package () { 0x0001FFFF, 3, LNKD, 0 },
				Package () { 0x0002FFFF, 0, LNKB, 0 },
				Package () { 0x0002FFFF, 1, LNKC, 0 },
				Package () { 0x0002FFFF, 2, LNKD, 0 },
				Package () { 0x0002FFFF, 3, LNKA, 0 },
				Package () { 0x0003FFFF, 0, LNKC, 0 },
				Package () { 0x0003FFFF, 1, LNKD, 0 },
				Package () { 0x0003FFFF, 2, LNKA, 0 },
				Package () { 0x0003FFFF, 3, LNKB, 0 },
				Package () { 0x0004FFFF, 0, LNKD, 0 },
				Package () { 0x0004FFFF, 1, LNKA, 0 },
				Package () { 0x0004FFFF, 2, LNKB, 0 },
				Package () { 0x0004FFFF, 3, LNKC, 0 },
				Package () { 0x0005FFFF, 0, LNKA, 0 },
				Package () { 0x0005FFFF, 1, LNKB, 0 },
				Package () { 0x0005FFFF, 2, LNKC, 0 },
				Package () { 0x0005FFFF, 3, LNKD, 0 },
				Package () { 0x0006FFFF, 0, LNKB, 0 },
				Package () { 0x0006FFFF, 1, LNKC, 0 },
				Package () { 0x0006FFFF, 2, LNKD, 0 },
				Package () { 0x0006FFFF, 3, LNKA, 0 },
				Package () { 0x0007FFFF, 0, LNKC, 0 },
				Package () { 0x0007FFFF, 1, LNKD, 0 },
				Package () { 0x0007FFFF, 2, LNKA, 0 },
				Package () { 0x0007FFFF, 3, LNKB, 0 },
				Package () { 0x0008FFFF, 0, LNKD, 0 },
				Package () { 0x0008FFFF, 1, LNKA, 0 },
				Package () { 0x0008FFFF, 2, LNKB, 0 },
				Package () { 0x0008FFFF, 3, LNKC, 0 },
				Package () { 0x0009FFFF, 0, LNKA, 0 },
				Package () { 0x0009FFFF, 1, LNKB, 0 },
				Package () { 0x0009FFFF, 2, LNKC, 0 },
				Package () { 0x0009FFFF, 3, LNKD, 0 },
				Package () { 0x000AFFFF, 0, LNKB, 0 },
				Package () { 0x000AFFFF, 1, LNKC, 0 },
				Package () { 0x000AFFFF, 2, LNKD, 0 },
				Package () { 0x000AFFFF, 3, LNKA, 0 },
				Package () { 0x000BFFFF, 0, LNKC, 0 },
				Package () { 0x000BFFFF, 1, LNKD, 0 },
				Package () { 0x000BFFFF, 2, LNKA, 0 },
				Package () { 0x000BFFFF, 3, LNKB, 0 },
				Package () { 0x000CFFFF, 0, LNKD, 0 },
				Package () { 0x000CFFFF, 1, LNKA, 0 },
				Package () { 0x000CFFFF, 2, LNKB, 0 },
				Package () { 0x000CFFFF, 3, LNKC, 0 },
				Package () { 0x000DFFFF, 0, LNKA, 0 },
				Package () { 0x000DFFFF, 1, LNKB, 0 },
				Package () { 0x000DFFFF, 2, LNKC, 0 },
				Package () { 0x000DFFFF, 3, LNKD, 0 },
				Package () { 0x000EFFFF, 0, LNKB, 0 },
				Package () { 0x000EFFFF, 1, LNKC, 0 },
				Package () { 0x000EFFFF, 2, LNKD, 0 },
				Package () { 0x000EFFFF, 3, LNKA, 0 },
				Package () { 0x000FFFFF, 0, LNKC, 0 },
				Package () { 0x000FFFFF, 1, LNKD, 0 },
				Package () { 0x000FFFFF, 2, LNKA, 0 },
				Package () { 0x000FFFFF, 3, LNKB, 0 },
				Package () { 0x0010FFFF, 0, LNKD, 0 },
				Package () { 0x0010FFFF, 1, LNKA, 0 },
				Package () { 0x0010FFFF, 2, LNKB, 0 },
				Package () { 0x0010FFFF, 3, LNKC, 0 },
				Package () { 0x0011FFFF, 0, LNKA, 0 },
				Package () { 0x0011FFFF, 1, LNKB, 0 },
				Package () { 0x0011FFFF, 2, LNKC, 0 },
				Package () { 0x0011FFFF, 3, LNKD, 0 },
				Package () { 0x0012FFFF, 0, LNKB, 0 },
				Package () { 0x0012FFFF, 1, LNKC, 0 },
				Package () { 0x0012FFFF, 2, LNKD, 0 },
				Package () { 0x0012FFFF, 3, LNKA, 0 },
				Package () { 0x0013FFFF, 0, LNKC, 0 },
				Package () { 0x0013FFFF, 1, LNKD, 0 },
				Package () { 0x0013FFFF, 2, LNKA, 0 },
				Package () { 0x0013FFFF, 3, LNKB, 0 },
				Package () { 0x0014FFFF, 0, LNKD, 0 },
				Package () { 0x0014FFFF, 1, LNKA, 0 },
				Package () { 0x0014FFFF, 2, LNKB, 0 },
				Package () { 0x0014FFFF, 3, LNKC, 0 },
				Package () { 0x0015FFFF, 0, LNKA, 0 },
				Package () { 0x0015FFFF, 1, LNKB, 0 },
				Package () { 0x0015FFFF, 2, LNKC, 0 },
				Package () { 0x0015FFFF, 3, LNKD, 0 },
				Package () { 0x0016FFFF, 0, LNKB, 0 },
				Package () { 0x0016FFFF, 1, LNKC, 0 },
				Package () { 0x0016FFFF, 2, LNKD, 0 },
				Package () { 0x0016FFFF, 3, LNKA, 0 },
				Package () { 0x0017FFFF, 0, LNKC, 0 },
				Package () { 0x0017FFFF, 1, LNKD, 0 },
				Package () { 0x0017FFFF, 2, LNKA, 0 },
				Package () { 0x0017FFFF, 3, LNKB, 0 },
				Package () { 0x0018FFFF, 0, LNKD, 0 },
				Package () { 0x0018FFFF, 1, LNKA, 0 },
				Package () { 0x0018FFFF, 2, LNKB, 0 },
				Package () { 0x0018FFFF, 3, LNKC, 0 },
				Package () { 0x0019FFFF, 0, LNKA, 0 },
				Package () { 0x0019FFFF, 1, LNKB, 0 },
				Package () { 0x0019FFFF, 2, LNKC, 0 },
				Package () { 0x0019FFFF, 3, LNKD, 0 },
				Package () { 0x001AFFFF, 0, LNKB, 0 },
				Package () { 0x001AFFFF, 1, LNKC, 0 },
				Package () { 0x001AFFFF, 2, LNKD, 0 },
				Package () { 0x001AFFFF, 3, LNKA, 0 },
				Package () { 0x001BFFFF, 0, LNKC, 0 },
				Package () { 0x001BFFFF, 1, LNKD, 0 },
				Package () { 0x001BFFFF, 2, LNKA, 0 },
				Package () { 0x001BFFFF, 3, LNKB, 0 },
				Package () { 0x001CFFFF, 0, LNKD, 0 },
				Package () { 0x001CFFFF, 1, LNKA, 0 },
				Package () { 0x001CFFFF, 2, LNKB, 0 },
				Package () { 0x001CFFFF, 3, LNKC, 0 },
				Package () { 0x001DFFFF, 0, LNKA, 0 },
				Package () { 0x001DFFFF, 1, LNKB, 0 },
				Package () { 0x001DFFFF, 2, LNKC, 0 },
				Package () { 0x001DFFFF, 3, LNKD, 0 },
				Package () { 0x001EFFFF, 0, LNKB, 0 },
				Package () { 0x001EFFFF, 1, LNKC, 0 },
				Package () { 0x001EFFFF, 2, LNKD, 0 },
				Package () { 0x001EFFFF, 3, LNKA, 0 },
				Package () { 0x001FFFFF, 0, LNKC, 0 },
				Package () { 0x001FFFFF, 1, LNKD, 0 },
				Package () { 0x001FFFFF, 2, LNKA, 0 },
				Package () { 0x001FFFFF, 3, LNKB, 0 }
			})

			Device (ISA)
			{
				Name (_ADR, 0x00010000)

				// PIRQRC[A:D] (82371SB data sheet): bits 0 to 3 the interrupt, bit 7 set = not routed.
				OperationRegion (PIRQ, PCI_Config, 0x60, 4)
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
						IO (Decode16, 0x70, 0x70, 1, 2)
						IRQNoFlags () {8}
					})
				}

				Device (PIT)
				{
					Name (_HID, EisaId ("PNP0100"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x40, 0x40, 1, 4)
						IRQNoFlags () {0}
					})
				}

				Device (PIC)
				{
					Name (_HID, EisaId ("PNP0000"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x20, 0x20, 1, 2)
						IO (Decode16, 0xA0, 0xA0, 1, 2)
						IRQNoFlags () {2}
					})
				}

				Device (SPKR)
				{
					Name (_HID, EisaId ("PNP0800"))
					Name (_CRS, ResourceTemplate () { IO (Decode16, 0x61, 0x61, 1, 1) })
				}

				Device (PS2K)
				{
					Name (_HID, EisaId ("PNP0303"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x60, 0x60, 1, 1)
						IO (Decode16, 0x64, 0x64, 1, 1)
						IRQNoFlags () {1}
					})
				}

				Device (PS2M)
				{
					Name (_HID, EisaId ("PNP0F13"))
					Name (_CRS, ResourceTemplate () { IRQNoFlags () {12} })
				}

				Device (COM1)
				{
					Name (_HID, EisaId ("PNP0501"))
					Name (_UID, 1)
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x03F8, 0x03F8, 1, 8)
						IRQNoFlags () {4}
					})
				}

				// Ports of the board that no driver may take: debug port, edge/level, fw_cfg, power management.
				Device (MBRD)
				{
					Name (_HID, EisaId ("PNP0C02"))
					Name (_UID, 1)
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x0402, 0x0402, 1, 1)
						IO (Decode16, 0x04D0, 0x04D0, 1, 2)
						IO (Decode16, 0x0510, 0x0510, 1, 12)
						IO (Decode16, 0x0600, 0x0600, 1, 64)
					})
				}
			}
		}

		Device (HPET)
		{
			Name (_HID, EisaId ("PNP0103"))
			Name (_UID, 0)
			Name (_CRS, ResourceTemplate () { Memory32Fixed (ReadOnly, 0xFED00000, 0x400) })
		}

		// IO APIC and local APICs.
		Device (APIC)
		{
			Name (_HID, EisaId ("PNP0C02"))
			Name (_UID, 2)
			Name (_CRS, ResourceTemplate ()
			{
				Memory32Fixed (ReadOnly, 0xFEC00000, 0x1000)
				Memory32Fixed (ReadOnly, 0xFEE00000, 0x1000)
			})
		}

		Method (LSTA, 1, NotSerialized)
		{
			If (And (Arg0, 0x80)) { Return (0x09) }
			Return (0x0B)
		}

		Method (LCRS, 1, Serialized)
		{
			Name (RES, ResourceTemplate () { IRQ (Level, ActiveHigh, Shared) {} })
			CreateWordField (RES, 1, MASK)
			If (LNot (And (Arg0, 0x80))) { ShiftLeft (1, And (Arg0, 0x0F), MASK) }
			Return (RES)
		}

		Method (LSRS, 1, Serialized)
		{
			CreateWordField (Arg0, 1, MASK)
			FindSetRightBit (MASK, Local0)
			If (LEqual (Local0, 0)) { Return (0x80) }
			Return (Subtract (Local0, 1))
		}

		Device (LNKA)
		{
			Name (_HID, EisaId ("PNP0C0F"))
			Name (_UID, 1)
			Name (_PRS, ResourceTemplate () { IRQ (Level, ActiveHigh, Shared) {5, 10, 11} })
			Method (_STA, 0, NotSerialized) { Return (LSTA (\_SB.PCI0.ISA.PRQA)) }
			Method (_DIS, 0, NotSerialized) { Or (\_SB.PCI0.ISA.PRQA, 0x80, \_SB.PCI0.ISA.PRQA) }
			Method (_CRS, 0, Serialized) { Return (LCRS (\_SB.PCI0.ISA.PRQA)) }
			Method (_SRS, 1, NotSerialized) { Store (LSRS (Arg0), \_SB.PCI0.ISA.PRQA) }
		}

		Device (LNKB)
		{
			Name (_HID, EisaId ("PNP0C0F"))
			Name (_UID, 2)
			Name (_PRS, ResourceTemplate () { IRQ (Level, ActiveHigh, Shared) {5, 10, 11} })
			Method (_STA, 0, NotSerialized) { Return (LSTA (\_SB.PCI0.ISA.PRQB)) }
			Method (_DIS, 0, NotSerialized) { Or (\_SB.PCI0.ISA.PRQB, 0x80, \_SB.PCI0.ISA.PRQB) }
			Method (_CRS, 0, Serialized) { Return (LCRS (\_SB.PCI0.ISA.PRQB)) }
			Method (_SRS, 1, NotSerialized) { Store (LSRS (Arg0), \_SB.PCI0.ISA.PRQB) }
		}

		Device (LNKC)
		{
			Name (_HID, EisaId ("PNP0C0F"))
			Name (_UID, 3)
			Name (_PRS, ResourceTemplate () { IRQ (Level, ActiveHigh, Shared) {5, 10, 11} })
			Method (_STA, 0, NotSerialized) { Return (LSTA (\_SB.PCI0.ISA.PRQC)) }
			Method (_DIS, 0, NotSerialized) { Or (\_SB.PCI0.ISA.PRQC, 0x80, \_SB.PCI0.ISA.PRQC) }
			Method (_CRS, 0, Serialized) { Return (LCRS (\_SB.PCI0.ISA.PRQC)) }
			Method (_SRS, 1, NotSerialized) { Store (LSRS (Arg0), \_SB.PCI0.ISA.PRQC) }
		}

		Device (LNKD)
		{
			Name (_HID, EisaId ("PNP0C0F"))
			Name (_UID, 4)
			Name (_PRS, ResourceTemplate () { IRQ (Level, ActiveHigh, Shared) {5, 10, 11} })
			Method (_STA, 0, NotSerialized) { Return (LSTA (\_SB.PCI0.ISA.PRQD)) }
			Method (_DIS, 0, NotSerialized) { Or (\_SB.PCI0.ISA.PRQD, 0x80, \_SB.PCI0.ISA.PRQD) }
			Method (_CRS, 0, Serialized) { Return (LCRS (\_SB.PCI0.ISA.PRQD)) }
			Method (_SRS, 1, NotSerialized) { Store (LSRS (Arg0), \_SB.PCI0.ISA.PRQD) }
		}
	}

	// SUS_TYP 0 of the PIIX4 is soft-off (82371AB data sheet, PMCNTRL).
	Name (\_S5, Package () { 0, 0, 0, 0 })
}
