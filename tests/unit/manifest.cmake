# SPDX-License-Identifier: GPL-2.0
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
keel_unit_test(manifest ALLOCATES
	SOURCES tests/unit/test_manifest.c ${KEEL_MANIFEST_SOURCES} tools/common/text.c
	LIBS PkgConfig::JANSSON)
