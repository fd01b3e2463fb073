/* What each kind of option takes, says it takes, and gives as an example. */
#include "base/option_value.h"

#include <inttypes.h>

#include "base/duration.h"
#include "base/err.h"
#include "base/size.h"

bool option_kind_is_list(enum option_kind kind)
{
    return kind == OPTION_LIST || kind == OPTION_HOSTPORT_LIST;
}

static bool is_hostport(enum option_kind kind)
{
    return kind == OPTION_HOSTPORT || kind == OPTION_HOSTPORT_LIST;
}

static int parse_flag(struct slice text, uint64_t *out)
{
    static const char *const words[] = {"false", "true", "0", "1", "no", "yes", "off", "on"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (slice_equal_str(text, words[i])) {
            *out = i % 2;
            return 0;
        }
    }
    return GRID_EINVAL;
}

static int parse_number(const struct option_row *row, struct slice text, uint64_t *out)
{
    int err = row->kind == OPTION_SIZE       ? size_parse(text, out)
              : row->kind == OPTION_DURATION ? duration_parse(text, out)
                                             : slice_parse_u64(text, UINT64_MAX, out);
    if (err != 0 || *out < row->min || (row->max != 0 && *out > row->max))
        return GRID_EINVAL;
    return 0;
}

static bool is_choice(const char *choices, struct slice text)
{
    while (choices) {
        const char *end = strchr(choices, '|');
        if (slice_equal(text, end ? slice_of(choices, (size_t) (end - choices)) : slice_of_str(choices)))
            return true;
        choices = end ? end + 1 : NULL;
    }
    return false;
}

/* "host:port" or "[v6]:port" */
static int parse_hostport(struct slice text, struct arena *arena, struct option_hostport *out)
{
    size_t colon = text.size;
    uint64_t port;
    while (colon > 0 && text.data[colon - 1] != ':')
        colon--;
    if (colon < 2 || slice_parse_u64(slice_from(text, colon), UINT16_MAX, &port) != 0)
        return GRID_EINVAL;
    struct slice host = slice_first(text, colon - 1);
    bool bracketed = host.data[0] == '[';
    if (bracketed && host.data[host.size - 1] == ']' && host.size > 2)
        host = slice_of(host.data + 1, host.size - 2);
    else if (bracketed || slice_find_byte(host, 0, ':') >= 0)
        return GRID_EINVAL;
    *out = (struct option_hostport){.host = arena_str(arena, host), .port = (uint16_t) port};
    return out->host ? 0 : GRID_ENOMEM;
}

static int parse_item(const struct option_row *row, struct slice text, struct arena *arena, struct option_value *value)
{
    if ((text.size == 0 && !(row->attributes & OPTION_MAY_BE_EMPTY)) || (row->choices && !is_choice(row->choices, text)))
        return GRID_EINVAL;
    value->items[value->item_count] = arena_str(arena, text);
    if (!value->items[value->item_count])
        return GRID_ENOMEM;
    int err = is_hostport(row->kind) ? parse_hostport(text, arena, &value->hostports[value->item_count]) : 0;
    value->item_count += err == 0;
    return err;
}

static size_t count_items(struct slice text)
{
    size_t count = 1;
    for (size_t i = 0; i < text.size; i++)
        count += text.data[i] == ',';
    return count;
}

/* Strings and single addresses are lists of one item that may hold commas. */
static int parse_items(const struct option_row *row, struct slice text, struct arena *arena, struct option_value *value)
{
    size_t count = option_kind_is_list(row->kind) ? count_items(text) : 1;
    int err = 0;
    value->items = arena_calloc(arena, count, sizeof *value->items);
    value->hostports = arena_calloc(arena, count, sizeof *value->hostports);
    if (!value->items || !value->hostports)
        return GRID_ENOMEM;
    for (size_t i = 0; err == 0 && i < count; i++) {
        ptrdiff_t comma = count > 1 ? slice_find_byte(text, 0, ',') : -1;
        struct slice item = comma < 0 ? text : slice_first(text, (size_t) comma);
        err = parse_item(row, option_kind_is_list(row->kind) ? slice_trim(item) : item, arena, value);
        text = slice_from(text, item.size + 1);
    }
    return err;
}

int option_value_parse(const struct option_row *row, struct slice text, struct arena *arena, struct option_value *out)
{
    int err;
    if (slice_find_byte(text, 0, '\0') >= 0)
        return GRID_EINVAL;
    *out = (struct option_value){.text = arena_str(arena, text)};
    if (!out->text)
        return GRID_ENOMEM;
    switch (row->kind) {
    case OPTION_FLAG:
        err = parse_flag(text, &out->number);
        break;
    case OPTION_UINT:
    case OPTION_SIZE:
    case OPTION_DURATION:
        err = parse_number(row, text, &out->number);
        break;
    default:
        err = parse_items(row, text, arena, out);
        break;
    }
    return err;
}

static void format_number(enum option_kind kind, uint64_t value, char out[UNIT_TEXT_MAX])
{
    static const struct unit none[] = {{NULL, 0}};
    if (kind == OPTION_SIZE)
        size_format(value, out);
    else if (kind == OPTION_DURATION)
        duration_format(value, out);
    else
        unit_format(value, none, out);
}

static int describe_number(const struct option_row *row, const char *noun, struct buf *out)
{
    char min[UNIT_TEXT_MAX], max[UNIT_TEXT_MAX];
    format_number(row->kind, row->min, min);
    format_number(row->kind, row->max, max);
    if (row->max != 0)
        return buf_printf(out, "%s from %s to %s", noun, min, max);
    if (row->min != 0)
        return buf_printf(out, "%s of at least %s", noun, min);
    return buf_append_str(out, noun);
}

static int describe_choices(const struct option_row *row, struct buf *out)
{
    int err = buf_append_str(out, row->kind == OPTION_LIST ? "a list of " : "one of ");
    for (const char *c = row->choices; *c && err == 0; c++)
        err = *c == '|' ? buf_append_str(out, ", ") : buf_append_byte(out, (uint8_t) *c);
    return err;
}

int option_value_remark(const struct option_row *row, struct buf *out)
{
    bool has_default = row->fallback && row->kind != OPTION_FLAG;
    int err = row->choices || has_default ? buf_append_str(out, " (") : 0;
    if (err == 0 && row->choices)
        err = describe_choices(row, out);
    if (err == 0 && has_default)
        err = buf_printf(out, "%sdefault %s", row->choices ? "; " : "", row->fallback);
    return err == 0 && (row->choices || has_default) ? buf_append_byte(out, ')') : err;
}

int option_value_describe(const struct option_row *row, struct buf *out)
{
    switch (row->kind) {
    case OPTION_FLAG:
        return buf_append_str(out, "true or false");
    case OPTION_UINT:
        return describe_number(row, "a whole number", out);
    case OPTION_SIZE:
        return describe_number(row, "a size", out);
    case OPTION_DURATION:
        return describe_number(row, "a duration", out);
    case OPTION_HOSTPORT:
        return buf_append_str(out, "a HOST:PORT with a port from 0 to 65535");
    case OPTION_HOSTPORT_LIST:
        return buf_append_str(out, "a list of HOST:PORT with ports from 0 to 65535");
    default:
        if (row->choices)
            return describe_choices(row, out);
        return buf_append_str(out, row->kind == OPTION_LIST ? "a list without empty parts" : "a text of at least one character");
    }
}

const char *option_value_example(const struct option_row *row)
{
    static const char *const by_kind[] = {
        [OPTION_STRING] = "example",
        [OPTION_FLAG] = "true",
        [OPTION_UINT] = "4",
        [OPTION_SIZE] = "6MiB",
        [OPTION_DURATION] = "30s",
        [OPTION_LIST] = "a,b",
        [OPTION_HOSTPORT] = "127.0.0.1:7900",
        [OPTION_HOSTPORT_LIST] = "127.0.0.1:7900",
    };
    if (row->example)
        return row->example;
    if (row->fallback && *row->fallback)
        return row->fallback;
    if (!row->choices)
        return by_kind[row->kind];
    const char *last = strrchr(row->choices, '|');
    return last ? last + 1 : row->choices;
}
