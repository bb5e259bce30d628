// SPDX-License-Identifier: GPL-2.0
// Which side of the processor's virtualisation it is.

#include "hv.h"

#include <stddef.h>

#include "cpu.h"
#include "string.h"

const struct hv_ops *hv;

static const struct hv_ops *of_vendor(void)
{
	struct cpuid r = cpuid(CPUID_VENDOR, 0);
	const uint32_t vendor[3] = { r.ebx, r.edx, r.ecx };

	if (!memcmp(vendor, "AuthenticAMD", 12) || !memcmp(vendor, "HygonGenuine", 12))
		return &svm_ops;
	if (!memcmp(vendor, "GenuineIntel", 12))
		return &vmx_ops;
	return NULL;
}

const char *hv_choose(void)
{
	if (!(cpuid(CPUID_FEATURES, 0).ecx & ECX1_XSAVE))
		return "this processor lacks XSAVE. Use a newer processor.";
	hv = of_vendor();
	return hv ? hv->cpu.probe() :
		    "this processor is neither an AMD one with SVM nor an Intel one with VMX. Use another machine.";
}
