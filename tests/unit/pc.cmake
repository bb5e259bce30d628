# SPDX-License-Identifier: GPL-2.0
# The machine: guest memory, fw_cfg, wiring and entries.
keel_unit_test(gmem SOURCES tests/unit/test_gmem.c devmodel/core/gmem.c)
keel_unit_test(fw_cfg SOURCES
	tests/unit/test_fw_cfg.c devmodel/chip/fw_cfg.c devmodel/core/gmem.c devmodel/core/state.c)
