/* Stretching by OpenSSL's scrypt. */
#include "trust/stretch.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "base/err.h"

enum { SCRYPT_N = 1 << 17, SCRYPT_R = 8, SCRYPT_P = 1, SALT_MAX = 128 };
/* 128 * N * r bytes, and room for the rest; OpenSSL refuses more than 32 MiB unless told. */
static const uint64_t SCRYPT_MEMORY_MAX = 160 * 1024 * 1024;

static int stretch(struct slice password, const char *prefix, const char *grid_name, uint8_t out[STRETCH_SIZE])
{
    char salt[SALT_MAX];
    int size = snprintf(salt, sizeof salt, "%s%s", prefix, grid_name);
    if (size < 0 || size >= SALT_MAX || password.size == 0 || password.size > STRETCH_PASSWORD_MAX)
        return GRID_EINVAL;
    int done = EVP_PBE_scrypt((const char *) password.data, password.size, (const uint8_t *) salt, (size_t) size, SCRYPT_N,
                              SCRYPT_R, SCRYPT_P, SCRYPT_MEMORY_MAX, out, STRETCH_SIZE);
    ERR_clear_error();
    return done == 1 ? 0 : GRID_ENOMEM;
}

int stretch_password(struct slice password, const char *grid_name, uint8_t out[STRETCH_SIZE])
{
    return stretch(password, "gridcontrol/join/1/password/", grid_name, out);
}

int stretch_open(const char *grid_name, uint8_t out[STRETCH_SIZE])
{
    return stretch(SLICE("open"), "gridcontrol/join/1/open/", grid_name, out);
}
