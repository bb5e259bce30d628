# SPDX-License-Identifier: GPL-2.0
# keel_fuzz_target(NAME ...), with arguments as keel_unit_test has them: tests/fuzz/fuzz_NAME.c and the sources that it tries.
# Read by tests/unit, which makes a unit test of each, and by tests/fuzz, which makes a program for libFuzzer.
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(LIBURING REQUIRED IMPORTED_TARGET liburing)

keel_fuzz_target(acpi
	SOURCES arch/x86/acpi.c
	INCLUDES vmm arch/x86)
keel_fuzz_target(channel ALLOCATES
	SOURCES devmodel/host/backend/block_queue.c devmodel/host/backend/claim.c devmodel/host/backend/disk.c
		devmodel/host/backend/bucket.c devmodel/host/backend/direct.c devmodel/host/backend/throttle.c
		devmodel/host/loop.c ${KEEL_BOARD_SOURCES} devmodel/cell/core/stream.c devmodel/shared/vq_driver.c
		tools/common/rundir.c tools/common/exit.c tools/common/text.c tools/manifest/image_format.c
	LIBS PkgConfig::JANSSON PkgConfig::LIBURING)
keel_fuzz_target(control ALLOCATES
	SOURCES devmodel/host/backend/console.c devmodel/host/control.c devmodel/host/ending.c devmodel/host/backend/logfile.c
		devmodel/host/backend/bucket.c devmodel/host/backend/throttle.c
		devmodel/host/loop.c devmodel/host/machine_control.c devmodel/host/machine_disks.c devmodel/host/machine_media.c
		devmodel/host/machine_networks.c devmodel/host/machine_statistics.c ${KEEL_BOARD_SOURCES}
		devmodel/host/backend/claim.c tools/common/rundir.c tools/common/exit.c tools/common/text.c
	LIBS PkgConfig::JANSSON PkgConfig::LIBURING util)
keel_fuzz_target(emulate
	SOURCES ${KEEL_EMULATE_SOURCES})
keel_fuzz_target(fw_cfg
	SOURCES devmodel/cell/chip/fw_cfg.c devmodel/cell/core/gmem.c devmodel/cell/core/state.c)
# A vCPU's state from a cell.
keel_fuzz_target(guest_state
	SOURCES arch/x86/guest_state.c arch/x86/msr.c
	INCLUDES vmm arch/x86)
keel_fuzz_target(ide
	SOURCES ${KEEL_IDE_SOURCES})
# The readers of what the firmware says of IOMMUs.
keel_fuzz_target(iommu
	SOURCES arch/x86/amdvi.c arch/x86/vtd.c
	INCLUDES vmm arch/x86)
keel_fuzz_target(link
	SOURCES ${KEEL_PC_SOURCES})
keel_fuzz_target(machine
	SOURCES ${KEEL_PC_SOURCES})
keel_fuzz_target(manifest ALLOCATES
	SOURCES ${KEEL_MANIFEST_SOURCES} tools/common/text.c
	LIBS PkgConfig::JANSSON)
# No program is started.
keel_fuzz_target(net
	SOURCES devmodel/host/backend/bucket.c devmodel/host/backend/net.c devmodel/host/backend/net_passt.c devmodel/host/loop.c
		devmodel/shared/vq_device.c devmodel/shared/vq_driver.c tools/common/exit.c tools/common/text.c
	DEFINES fprintf=fuzz_fprintf posix_spawnp=fuzz_spawnp socketpair=fuzz_socketpair waitpid=fuzz_waitpid
		clock_gettime=fuzz_clock_gettime
	LIBS PkgConfig::JANSSON)
keel_fuzz_target(rng
	SOURCES devmodel/host/backend/rng.c devmodel/shared/vq_device.c devmodel/shared/vq_driver.c
		tools/common/exit.c tools/common/text.c
	LIBS PkgConfig::JANSSON)
keel_fuzz_target(transfer
	SOURCES ${KEEL_PC_SOURCES})
keel_fuzz_target(virtio
	SOURCES tests/unit/virtio_rig.c
		devmodel/cell/virtio/rng.c devmodel/cell/virtio/virtio.c devmodel/cell/virtio/virtio_pci.c
		devmodel/cell/virtio/virtio_queue.c devmodel/cell/pci/msi.c devmodel/cell/pci/pci.c
		devmodel/cell/core/bus.c devmodel/cell/core/gmem.c devmodel/cell/core/state.c
		devmodel/shared/vq_device.c devmodel/shared/vq_driver.c)
keel_fuzz_target(virtio_net
	SOURCES tests/unit/virtio_rig.c
		devmodel/cell/virtio/net.c devmodel/cell/virtio/virtio.c devmodel/cell/virtio/virtio_pci.c
		devmodel/cell/virtio/virtio_queue.c devmodel/cell/pci/msi.c devmodel/cell/pci/pci.c
		devmodel/cell/core/bus.c devmodel/cell/core/gmem.c devmodel/cell/core/state.c
		devmodel/shared/vq_device.c devmodel/shared/vq_driver.c)
keel_fuzz_target(vq
	SOURCES devmodel/shared/vq_device.c devmodel/shared/vq_driver.c)
keel_fuzz_target(multiboot2
	SOURCES vmm/multiboot2.c vmm/bootmem.c
	INCLUDES vmm arch/x86)
keel_fuzz_target(pci
	SOURCES devmodel/cell/pci/i440fx.c devmodel/cell/pci/msi.c devmodel/cell/pci/pci.c devmodel/cell/pci/piix3.c
		devmodel/cell/pci/piix4_acpi.c devmodel/cell/core/bus.c devmodel/cell/core/state.c)
