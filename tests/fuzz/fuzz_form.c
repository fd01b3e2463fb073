/* A form that converts is written again as a form from its JSON, which must convert to the same JSON. */
// links: grid_base
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/form.h"
#include "base/json.h"
#include "base/percent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NAME_MAX_BYTES = 1 << 20 };

struct encoder {
    struct arena *arena;
    struct buf form;
};

static void encode_value(struct encoder *e, struct slice name, struct slice raw);

/* name, or name[key] when there is a name, with the key percent-encoded. */
static struct slice join_name(struct encoder *e, struct slice name, struct slice key)
{
    struct buf joined;
    buf_init(&joined, NAME_MAX_BYTES);
    buf_append(&joined, name);
    if (name.size > 0)
        buf_append_str(&joined, "%5B");
    percent_encode(&joined, key);
    if (name.size > 0)
        buf_append_str(&joined, "]");
    struct slice copy = arena_copy(e->arena, buf_slice(&joined));
    buf_dispose(&joined);
    return copy;
}

static void encode_object(struct encoder *e, struct slice name, struct slice raw)
{
    struct json_iter iter;
    struct slice key_raw, key, value;
    json_iter_init_object(&iter, raw);
    while (json_object_next(&iter, &key_raw, &value)) {
        if (json_string_decode(key_raw, e->arena, &key) != 0)
            abort();
        encode_value(e, join_name(e, name, key), value);
    }
}

static void encode_array(struct encoder *e, struct slice name, struct slice raw)
{
    struct json_iter iter;
    struct slice value;
    char index[16];
    json_iter_init_array(&iter, raw);
    for (unsigned i = 0; json_array_next(&iter, &value); i++) {
        snprintf(index, sizeof index, "%u", i);
        encode_value(e, join_name(e, name, slice_of_str(index)), value);
    }
}

static void encode_value(struct encoder *e, struct slice name, struct slice raw)
{
    struct slice text;
    if (json_type(raw) == JSON_OBJECT) {
        encode_object(e, name, raw);
    } else if (json_type(raw) == JSON_ARRAY) {
        encode_array(e, name, raw);
    } else {
        if (json_string_decode(raw, e->arena, &text) != 0)
            abort();
        buf_append(&e->form, name);
        buf_append_str(&e->form, "=");
        percent_encode(&e->form, text);
        buf_append_str(&e->form, "&");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf json, again;
    struct slice raw;
    struct form_error error = {0};
    buf_init(&json, 0);
    buf_init(&again, 0);
    if (form_to_json(slice_of(data, size), &json, &error) == 0) {
        struct encoder e = {.arena = arena_create(4096, 0)};
        buf_init(&e.form, 0);
        if (!e.arena || json_validate(buf_slice(&json), &raw, NULL) != 0)
            abort();
        encode_value(&e, SLICE(""), raw);
        /* A repeated name at the deepest level is one bracket deeper when spelled out. */
        int err = form_to_json(buf_slice(&e.form), &again, NULL);
        if (err != GRID_ELIMIT && (err != 0 || !slice_equal(buf_slice(&json), buf_slice(&again))))
            abort();
        buf_dispose(&e.form);
        arena_destroy(e.arena);
    } else if (!error.reason) {
        abort();
    }
    buf_dispose(&json);
    buf_dispose(&again);
    return 0;
}
