/* Object identities by OpenSSL's SHA-256. */
#include "fs/hash.h"

#include <pthread.h>

#include <openssl/evp.h>

#include "base/err.h"

static EVP_MD *sha256_method;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

/* Fetched once: a fetch per hash costs more than hashing a small file. */
static void sha256_fetch(void)
{
    sha256_method = EVP_MD_fetch(NULL, "SHA256", NULL);
}

static int sha256_two(struct slice first, struct slice second, uint8_t out[32])
{
    pthread_once(&sha256_once, sha256_fetch);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool done = sha256_method && ctx && EVP_DigestInit_ex2(ctx, sha256_method, NULL) == 1 &&
                EVP_DigestUpdate(ctx, first.data, first.size) == 1 && EVP_DigestUpdate(ctx, second.data, second.size) == 1 &&
                EVP_DigestFinal_ex(ctx, out, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return done ? 0 : GRID_ENOMEM;
}

int object_id_compute(enum object_type type, struct slice content, struct object_id *out)
{
    uint8_t byte = (uint8_t) type;
    return sha256_two(slice_of(&byte, 1), content, out->bytes);
}

int hash_sha256(struct slice in, uint8_t out[32])
{
    return sha256_two(in, slice_of(NULL, 0), out);
}

void object_id_to_hex(const struct object_id *id, char out[OBJECT_ID_HEX + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < OBJECT_ID_BYTES; i++) {
        out[2 * i] = digits[id->bytes[i] >> 4];
        out[2 * i + 1] = digits[id->bytes[i] & 15];
    }
    out[OBJECT_ID_HEX] = '\0';
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int object_id_from_hex(struct slice hex, struct object_id *out)
{
    struct object_id id;
    if (hex.size != OBJECT_ID_HEX)
        return GRID_EINVAL;
    for (size_t i = 0; i < OBJECT_ID_BYTES; i++) {
        int high = hex_digit(hex.data[2 * i]), low = hex_digit(hex.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return GRID_EINVAL;
        id.bytes[i] = (uint8_t) (high << 4 | low);
    }
    *out = id;
    return 0;
}

int object_id_from_slice(struct slice bytes, struct object_id *out)
{
    if (bytes.size != OBJECT_ID_BYTES)
        return GRID_EINVAL;
    memcpy(out->bytes, bytes.data, OBJECT_ID_BYTES);
    return 0;
}
