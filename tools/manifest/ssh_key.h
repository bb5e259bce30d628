/* SPDX-License-Identifier: GPL-2.0 */
/* Public keys of SSH, as lines of authorized_keys (sshd(8)): [OPTIONS] TYPE BASE64 [COMMENT]. */
#ifndef KEEL_SSH_KEY_H
#define KEEL_SSH_KEY_H

#include <stddef.h>

/*
 * NULL: the line, without its end, is a public key, whole and fit to be shown. Else what it is instead, such as "is a private
 * key".
 */
const char *ssh_key_fault(const char *line, size_t length);

#endif
