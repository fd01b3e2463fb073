/* gRPC's bytes: the same messages whether the stream comes whole or in pieces, messages framed again read as they were, and every text
 * coding read, written and read again. The first byte: bit 0 gzip, the rest the size of the pieces. */
// links: grid_net
// covers: net/grpc.c
#include <stdlib.h>

#include "base/err.h"
#include "net/grpc.h"

#define CHECK(condition)                                                                                                            \
    do {                                                                                                                            \
        if (!(condition))                                                                                                           \
            abort();                                                                                                                \
    } while (0)

enum { LIMIT = 4096 };

/* Appends every message of `in` to `seen`, framed without gzip. 0 or the error that ended it. */
static int read_all(struct slice in, size_t size, bool gzip, struct buf *seen)
{
    struct grpc_deframer d;
    struct slice message;
    grpc_deframer_init(&d, LIMIT, gzip);
    int err = 0;
    while (err == 0 && in.size > 0) {
        struct slice piece = slice_first(in, size);
        err = grpc_deframer_feed(&d, piece);
        while (err != GRID_ENOMEM && (err = grpc_deframer_next(&d, &message)) == 0) {
            CHECK(message.size <= LIMIT && d.inflated.size <= LIMIT + 1);
            CHECK(grpc_frame(seen, message, false) == 0);
        }
        err = err == GRID_EAGAIN ? 0 : err;
        in = slice_from(in, piece.size);
    }
    grpc_deframer_reset(&d, LIMIT, gzip);
    CHECK(grpc_deframer_empty(&d));
    grpc_deframer_dispose(&d);
    return err;
}

static void check_stream(struct slice in, size_t size, bool gzip)
{
    struct buf whole, pieces, again;
    buf_init(&whole, 0);
    buf_init(&pieces, 0);
    buf_init(&again, 0);
    int err = read_all(in, SIZE_MAX, gzip, &whole);
    CHECK(read_all(in, size, gzip, &pieces) == err);
    CHECK(slice_equal(buf_slice(&whole), buf_slice(&pieces)));
    CHECK(read_all(buf_slice(&whole), size, false, &again) == 0 && slice_equal(buf_slice(&whole), buf_slice(&again)));
    buf_clear(&again);
    buf_clear(&pieces);
    CHECK(grpc_frame(&again, slice_first(in, LIMIT), true) == 0 && read_all(buf_slice(&again), size, true, &pieces) == 0);
    CHECK(slice_equal(slice_from(buf_slice(&pieces), GRPC_PREFIX_SIZE), slice_first(in, LIMIT)));
    buf_dispose(&whole);
    buf_dispose(&pieces);
    buf_dispose(&again);
}

static void check_texts(struct slice in)
{
    struct buf a, b;
    uint64_t ms, back;
    char text[16];
    buf_init(&a, 0);
    buf_init(&b, 0);
    CHECK(grpc_message_encode(in, &a) == 0 && grpc_message_decode(buf_slice(&a), &b) == 0 && slice_equal(buf_slice(&b), in));
    CHECK(grpc_message_decode(in, &b) == 0);
    buf_clear(&a);
    buf_clear(&b);
    CHECK(grpc_bin_encode(in, &a) == 0 && grpc_bin_decode(buf_slice(&a), &b) == 0 && slice_equal(buf_slice(&b), in));
    for (struct slice list = in, value; grpc_bin_next(&list, &value);)
        grpc_bin_decode(value, &b);
    if (grpc_timeout_parse(in, &ms) == 0) {
        grpc_timeout_format(ms, text);
        CHECK(grpc_timeout_parse(slice_of_str(text), &back) == 0 && back <= ms && ms - back < 3600000);
    }
    buf_dispose(&a);
    buf_dispose(&b);
}

/* Whatever number comes from the other side stands for a status that has a name. */
static void check_statuses(uint8_t number)
{
    int http = grpc_status_from_http(number * 4), reset = grpc_status_from_reset(number);
    CHECK(http > GRPC_OK && http <= GRPC_UNAUTHENTICATED && reset > GRPC_OK && reset <= GRPC_UNAUTHENTICATED);
    CHECK(grpc_status_name(number)[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct slice in = slice_of(data + 1, size - 1);
    check_stream(in, (size_t) (data[0] >> 1) + 1, data[0] & 1);
    check_texts(in);
    check_statuses(data[0]);
    return 0;
}
