# SPDX-License-Identifier: GPL-2.0
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
set(manifest boot complain drive file image_format manifest position processor serial syntax want)
list(TRANSFORM manifest REPLACE "(.+)" "tools/manifest/\\1.c")
keel_unit_test(manifest ALLOCATES
	SOURCES tests/unit/test_manifest.c ${manifest} tools/common/text.c
	LIBS PkgConfig::JANSSON)
keel_unit_test(manifest-fuzz ALLOCATES
	SOURCES tests/fuzz/fuzz_manifest.c ${manifest} tools/common/text.c
	LIBS PkgConfig::JANSSON)
