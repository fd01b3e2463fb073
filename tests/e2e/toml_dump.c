/* Reads TOML texts from stdin, each behind its length (four bytes, little-endian), and writes one line of JSON for each: [[table, key, value], ...]
 * in the order of the text, or {"error": [code, line, column, message]}. For tests that compare with another reader. */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/json.h"
#include "base/toml.h"
#include "tests/toml_json.h"

static void write_document(struct json_writer *w, const struct toml_document *document)
{
    json_open_array(w);
    for (const struct toml_entry *entry = document->first; entry; entry = entry->next) {
        json_open_array(w);
        json_write_string(w, entry->table);
        json_write_string(w, entry->key);
        toml_json_write(w, &entry->value);
        json_close_array(w);
    }
    json_close_array(w);
}

static void write_error(struct json_writer *w, int err, const struct toml_error *error)
{
    json_open_object(w);
    json_write_key(w, "error");
    json_open_array(w);
    json_write_str(w, grid_err_name(err));
    json_write_int(w, error->line);
    json_write_int(w, error->column);
    json_write_str(w, error->message);
    json_close_array(w);
    json_close_object(w);
}

static void dump(struct slice text)
{
    struct arena *arena = arena_create(4096, 0);
    struct toml_document document;
    struct toml_error error;
    struct json_writer w;
    struct buf line;
    buf_init(&line, 0);
    json_writer_init(&w, &line);
    int err = toml_parse(text, arena, &document, &error);
    if (err == 0)
        write_document(&w, &document);
    else
        write_error(&w, err, &error);
    fwrite(line.data, 1, line.size, stdout);
    putchar('\n');
    buf_dispose(&line);
    arena_destroy(arena);
}

int main(void)
{
    uint8_t head[4];
    while (fread(head, 1, sizeof head, stdin) == sizeof head) {
        size_t size = (size_t) head[0] | (size_t) head[1] << 8 | (size_t) head[2] << 16 | (size_t) head[3] << 24;
        uint8_t *text = size <= 2 * TOML_MAX_BYTES ? malloc(size ? size : 1) : NULL; /* of its exact size: a sanitizer sees a byte read too far */
        if (!text || fread(text, 1, size, stdin) != size)
            return 1;
        dump(slice_of(text, size));
        free(text);
    }
    return 0;
}
