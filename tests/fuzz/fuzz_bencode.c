/* What parses is written again token by token; there is one way to write each value, so that is the input. */
// links: grid_discovery
#include <stdlib.h>

#include "discovery/bencode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool so)
{
    if (!so)
        abort();
}

/* Writes the value with all that is in it; the depth is bounded by the parser. */
static void write_value(const struct bencode *b, const struct bencode_token *t, struct buf *out)
{
    if (t->kind == BENCODE_STRING)
        expect(bencode_put_string(out, bencode_bytes(b, t)) == 0);
    else if (t->kind == BENCODE_INTEGER)
        expect(bencode_put_integer(out, t->number) == 0);
    else {
        expect(buf_append_str(out, t->kind == BENCODE_DICT ? "d" : "l") == 0);
        for (const struct bencode_token *in = bencode_first(b, t); in; in = bencode_next(b, t, in))
            write_value(b, in, out);
        expect(buf_append_str(out, "e") == 0);
    }
}

static void ask(const struct bencode *b)
{
    struct slice text;
    int64_t number = 7;
    const struct bencode_token *any = bencode_find(b, b->tokens, "a");
    bool is_string = bencode_find_string(b, b->tokens, "a", &text), is_number = bencode_find_integer(b, b->tokens, "a", &number);
    bool is_list = bencode_find_list(b, b->tokens, "a") != NULL;
    expect(is_string + is_number + is_list <= (any != NULL));
    expect(!is_string || text.size <= b->in.size);
    expect(!is_number || any->number == number);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct bencode first, again;
    struct buf out;
    if (bencode_parse(slice_of(data, size), &first) != 0)
        return 0;
    buf_init(&out, 0);
    write_value(&first, first.tokens, &out);
    expect(slice_equal(buf_slice(&out), slice_of(data, size))); /* there is one way to write each value, and the order is kept */
    expect(bencode_parse(buf_slice(&out), &again) == 0 && again.count == first.count && again.sorted == first.sorted);
    ask(&first);
    buf_dispose(&out);
    return 0;
}
