/* tests/toml_json.h: a TOML value as JSON, for tests that show or compare what was read. */
#ifndef GRID_TESTS_TOML_JSON_H
#define GRID_TESTS_TOML_JSON_H

#include "base/json.h"
#include "base/toml.h"

static inline void toml_json_write(struct json_writer *w, const struct toml_value *value)
{
    switch (value->type) {
    case TOML_STRING:
        json_write_string(w, value->string);
        break;
    case TOML_INTEGER:
        json_write_int(w, value->integer);
        break;
    case TOML_BOOL:
        json_write_bool(w, value->boolean);
        break;
    case TOML_ARRAY:
        json_open_array(w);
        for (const struct toml_value *item = value->first; item; item = item->next)
            toml_json_write(w, item);
        json_close_array(w);
        break;
    }
}

#endif
