/* What is read is written as one dotted key a line, which must read as the same entries. */
// links: grid_base
#include <stdlib.h>

#include "base/err.h"
#include "base/json.h"
#include "base/toml.h"
#include "tests/toml_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* JSON's strings are TOML's, except that DEL must be escaped. */
static void write_document(const struct toml_document *document, struct buf *out)
{
    struct buf plain;
    buf_init(&plain, 0);
    for (const struct toml_entry *entry = document->first; entry; entry = entry->next) {
        struct json_writer w;
        json_writer_init(&w, &plain);
        buf_append(&plain, entry->table);
        buf_append_str(&plain, entry->table.size > 0 ? "." : "");
        json_append_string(&plain, entry->key);
        buf_append_str(&plain, "=");
        toml_json_write(&w, &entry->value);
        buf_append_str(&plain, "\n");
    }
    for (size_t i = 0; i < plain.size; i++) {
        if (plain.data[i] == 0x7f)
            buf_append_str(out, "\\u007f");
        else
            buf_append_byte(out, plain.data[i]);
    }
    buf_dispose(&plain);
}

static void check_again(const struct toml_document *document, struct arena *arena)
{
    struct buf once, twice;
    struct toml_document again;
    struct toml_error error;
    buf_init(&once, 0);
    buf_init(&twice, 0);
    write_document(document, &once);
    /* A table's parts and a key's together can be more than one key may have. */
    int err = toml_parse(buf_slice(&once), arena, &again, &error);
    if (err != 0 && err != GRID_ELIMIT)
        abort();
    if (err == 0)
        write_document(&again, &twice);
    if (err == 0 && (again.count != document->count || !slice_equal(buf_slice(&once), buf_slice(&twice))))
        abort();
    buf_dispose(&once);
    buf_dispose(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct toml_document document;
    struct toml_error error;
    struct arena *arena = arena_create(4096, 0);
    if (!arena)
        abort();
    if (toml_parse(slice_of(data, size), arena, &document, &error) == 0)
        check_again(&document, arena);
    else if (error.line == 0 || error.column == 0 || !error.message[0])
        abort();
    toml_find(&document, "a", "b");
    arena_destroy(arena);
    return 0;
}
