/* base/crc32c.h: CRC-32C (Castagnoli, RFC 3720 appendix B.4): finds torn and rotten records, proves nothing. Any thread. */
#ifndef GRID_BASE_CRC32C_H
#define GRID_BASE_CRC32C_H

#include <stdint.h>

#include "base/slice.h"

/* Goes on from `crc`, which is 0 for the first bytes. */
uint32_t crc32c(uint32_t crc, struct slice in);

#endif
