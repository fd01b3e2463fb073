/* CRC-32C by the processor's instruction where it has one, else by a table. */
#include "base/crc32c.h"

#include <pthread.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#define CRC32C_POLYNOMIAL 0x82f63b78u

static uint32_t crc_table[256];
static bool crc_in_hardware;
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

static void crc_prepare(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? CRC32C_POLYNOMIAL : 0);
        crc_table[byte] = crc;
    }
#if defined(__x86_64__)
    crc_in_hardware = __builtin_cpu_supports("sse4.2") != 0;
#endif
}

static uint32_t crc_by_table(uint32_t crc, struct slice in)
{
    for (size_t i = 0; i < in.size; i++)
        crc = crc >> 8 ^ crc_table[(crc ^ in.data[i]) & 0xff];
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_by_hardware(uint32_t crc, struct slice in)
{
    uint64_t wide = crc;
    size_t i = 0;
    for (; i + 8 <= in.size; i += 8) {
        uint64_t word;
        memcpy(&word, in.data + i, sizeof word);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t) wide;
    for (; i < in.size; i++)
        crc = _mm_crc32_u8(crc, in.data[i]);
    return crc;
}
#else
static uint32_t crc_by_hardware(uint32_t crc, struct slice in)
{
    return crc_by_table(crc, in);
}
#endif

uint32_t crc32c(uint32_t crc, struct slice in)
{
    pthread_once(&crc_once, crc_prepare);
    return ~(crc_in_hardware ? crc_by_hardware(~crc, in) : crc_by_table(~crc, in));
}
