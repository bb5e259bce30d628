/* SPDX-License-Identifier: GPL-2.0 */
/* Error numbers: Linux's values, returned negative. */
#ifndef VMM_ERROR_H
#define VMM_ERROR_H

#if __STDC_HOSTED__
#include <errno.h>
#else
#define EPERM		1
#define ENOENT		2
#define EAGAIN		11
#define ENOMEM		12
#define EBUSY		16
#define EINVAL		22
#define ENOSPC		28
#define ENOSYS		38
#define EOPNOTSUPP	95
#define ESHUTDOWN	108
#endif
#endif
