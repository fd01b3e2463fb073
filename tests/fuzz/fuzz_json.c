/* A sound text is walked and written anew; what was written must be sound, and must be written the same the second time. */
// links: grid_base
#include <stdlib.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_anew(struct json_writer *w, struct arena *arena, struct slice raw);

static void write_string_anew(struct json_writer *w, struct arena *arena, struct slice raw, bool is_key)
{
    struct slice bytes;
    if (json_string_decode(raw, arena, &bytes) != 0 || !json_string_equal(raw, bytes))
        abort();
    if (is_key)
        json_write_key_slice(w, bytes);
    else
        json_write_string(w, bytes);
}

static void write_members_anew(struct json_writer *w, struct arena *arena, struct slice raw)
{
    struct json_iter iter;
    struct slice key, value;
    json_open_object(w);
    if (json_iter_init_object(&iter, raw) != 0)
        abort();
    while (json_object_next(&iter, &key, &value)) {
        write_string_anew(w, arena, key, true);
        write_anew(w, arena, value);
    }
    json_close_object(w);
}

static void write_elements_anew(struct json_writer *w, struct arena *arena, struct slice raw)
{
    struct json_iter iter;
    struct slice value;
    json_open_array(w);
    if (json_iter_init_array(&iter, raw) != 0)
        abort();
    while (json_array_next(&iter, &value))
        write_anew(w, arena, value);
    json_close_array(w);
}

static void write_number_anew(struct json_writer *w, struct slice raw)
{
    int64_t number;
    if (json_int_decode(raw, INT64_MIN, INT64_MAX, &number) == 0)
        json_write_int(w, number);
    else
        json_write_raw(w, raw);
}

static void write_anew(struct json_writer *w, struct arena *arena, struct slice raw)
{
    bool flag;
    switch (json_type(raw)) {
    case JSON_OBJECT:
        write_members_anew(w, arena, raw);
        break;
    case JSON_ARRAY:
        write_elements_anew(w, arena, raw);
        break;
    case JSON_STRING:
        write_string_anew(w, arena, raw, false);
        break;
    case JSON_NUMBER:
        write_number_anew(w, raw);
        break;
    case JSON_BOOL:
        if (json_bool_decode(raw, &flag) != 0)
            abort();
        json_write_bool(w, flag);
        break;
    case JSON_NULL:
        json_write_null(w);
        break;
    }
}

static void rewrite(struct slice text, struct buf *out)
{
    struct slice raw;
    struct json_writer w;
    struct arena *arena = arena_create(4096, 0);
    json_writer_init(&w, out);
    if (!arena || json_validate(text, &raw, NULL) != 0)
        abort();
    write_anew(&w, arena, raw);
    if (json_writer_finish(&w) != 0)
        abort();
    arena_destroy(arena);
}

/* Unsound texts must at least keep the iterators inside the bytes. */
static void touch_unsound(struct slice text)
{
    struct json_iter iter;
    struct slice key, value;
    if (json_iter_init_array(&iter, text) == 0)
        while (json_array_next(&iter, &value))
            json_string_equal(value, SLICE("a"));
    if (json_iter_init_object(&iter, text) == 0)
        while (json_object_next(&iter, &key, &value))
            json_object_get(value, "a", &key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size), raw;
    size_t at = 0;
    struct buf once, twice;
    if (json_validate(text, &raw, &at) != 0) {
        if (at > size)
            abort();
        touch_unsound(text);
        return 0;
    }
    json_object_get(raw, "a", &raw);
    buf_init(&once, 0);
    buf_init(&twice, 0);
    rewrite(text, &once);
    rewrite(buf_slice(&once), &twice);
    if (!slice_equal(buf_slice(&once), buf_slice(&twice)))
        abort();
    buf_dispose(&once);
    buf_dispose(&twice);
    return 0;
}
