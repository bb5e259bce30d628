# SPDX-License-Identifier: GPL-2.0
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
keel_unit_test(manifest ALLOCATES
	SOURCES tests/unit/test_manifest.c tools/manifest/image_format.c tools/manifest/manifest.c tools/manifest/position.c tools/manifest/syntax.c
		tools/common/text.c
	LIBS PkgConfig::JANSSON)
keel_unit_test(manifest-fuzz ALLOCATES
	SOURCES tests/fuzz/fuzz_manifest.c tools/manifest/image_format.c tools/manifest/manifest.c tools/manifest/position.c tools/manifest/syntax.c
		tools/common/text.c
	LIBS PkgConfig::JANSSON)
