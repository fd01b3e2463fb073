/* Help from the table: the list of options, and the name that was probably meant. */
#include <stdio.h>

#include "base/err.h"
#include "base/option_value.h"

enum { HELP_INDENT = 28, HELP_WIDTH = 80, NAME_MAX_BYTES = 63 };

static int pad(struct buf *out, size_t width)
{
    return buf_printf(out, "%*s", (int) width, "");
}

/* Appends `word` and a blank before it, or a line break where it would pass the width. */
static int write_word(struct buf *out, struct slice word, size_t *column)
{
    int err = 0;
    if (*column + 1 + word.size > HELP_WIDTH) {
        err = buf_append_byte(out, '\n');
        if (err == 0)
            err = pad(out, HELP_INDENT);
        *column = HELP_INDENT;
    } else if (*column > HELP_INDENT) {
        err = buf_append_byte(out, ' ');
        *column += 1;
    }
    *column += word.size;
    return err ? err : buf_append(out, word);
}

static int write_wrapped(struct buf *out, struct slice text)
{
    size_t column = HELP_INDENT;
    int err = 0;
    while (err == 0 && text.size > 0) {
        ptrdiff_t blank = slice_find_byte(text, 0, ' ');
        struct slice word = blank < 0 ? text : slice_first(text, (size_t) blank);
        err = write_word(out, word, &column);
        text = slice_from(text, word.size + 1);
    }
    return err ? err : buf_append_byte(out, '\n');
}

static int write_row(const struct option_row *row, struct buf *out)
{
    struct buf text;
    size_t start = out->size;
    bool takes_value = row->kind != OPTION_FLAG;
    int err = buf_printf(out, "  --%s%s%s", row->name, takes_value ? " " : "",
                         takes_value ? (row->placeholder ? row->placeholder : "VALUE") : "");
    size_t width = out->size - start;
    if (err == 0 && width >= HELP_INDENT)
        err = buf_append_byte(out, '\n');
    if (err == 0)
        err = pad(out, width >= HELP_INDENT ? HELP_INDENT : HELP_INDENT - width);
    if (err != 0)
        return err;
    buf_init(&text, 0);
    err = buf_append_str(&text, row->help);
    if (err == 0)
        err = option_value_remark(row, &text);
    if (err == 0 && row->env_alias)
        err = buf_printf(&text, " (also %s in the environment)", row->env_alias);
    if (err == 0)
        err = write_wrapped(out, buf_slice(&text));
    buf_dispose(&text);
    return err;
}

int option_write_help(const struct option_row *rows, size_t count, struct buf *out)
{
    int err = 0;
    for (size_t i = 0; err == 0 && i < count; i++)
        err = write_row(&rows[i], out);
    return err;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance, with one row of the matrix; `b` is at most NAME_MAX_BYTES long. */
static size_t edit_distance(struct slice a, struct slice b)
{
    size_t row[NAME_MAX_BYTES + 1];
    for (size_t j = 0; j <= b.size; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.size; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size; j++) {
            size_t above = row[j];
            row[j] = least(least(row[j] + 1, row[j - 1] + 1), diagonal + (a.data[i - 1] != b.data[j - 1]));
            diagonal = above;
        }
    }
    return row[b.size];
}

const char *option_nearest(const struct option_row *rows, size_t count, struct slice name)
{
    const char *nearest = NULL;
    size_t best = SIZE_MAX;
    if (name.size > NAME_MAX_BYTES)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t distance = edit_distance(slice_of_str(rows[i].name), name);
        if (distance < best) {
            best = distance;
            nearest = rows[i].name;
        }
    }
    return best <= 1 + name.size / 3 ? nearest : NULL;
}
