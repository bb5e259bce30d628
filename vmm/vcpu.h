/* SPDX-License-Identifier: GPL-2.0 */
/* What the virtualisation sides call back while a vCPU runs. */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H

#include "vm.h"

/* The guest touches DR0-3, which the world switch leaves alone: from now on they change hands with the vCPU. */
void vcpu_use_debug_registers(struct cpu *cpu, struct vcpu *vcpu);

#endif
