# SPDX-License-Identifier: GPL-2.0
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
keel_unit_test(manifest ALLOCATES
	SOURCES tests/unit/test_manifest.c tools/keel/image_format.c tools/keel/manifest.c tools/keel/position.c tools/keel/syntax.c
		tools/keel/text.c
	INCLUDES tools/keel
	LIBS PkgConfig::JANSSON)
keel_unit_test(manifest-fuzz ALLOCATES
	SOURCES tests/fuzz/fuzz_manifest.c tools/keel/image_format.c tools/keel/manifest.c tools/keel/position.c tools/keel/syntax.c
		tools/keel/text.c
	INCLUDES tools/keel
	LIBS PkgConfig::JANSSON)
