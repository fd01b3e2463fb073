/* Manual pages from tables of options. */
#include "base/option_man.h"

#include "base/err.h"
#include "base/option_value.h"

int man_write_text(struct buf *out, const char *text)
{
    int err = 0;
    for (bool starts = true; err == 0 && *text; text++) {
        if (starts && (*text == '.' || *text == '\''))
            err = buf_append_str(out, "\\&");
        if (err == 0)
            err = *text == '\\' ? buf_append_str(out, "\\e") : *text == '-' ? buf_append_str(out, "\\-") : buf_append_byte(out, (uint8_t) *text);
        starts = *text == '\n';
    }
    return err;
}

int man_write_line(struct buf *out, const char *before, const char *text, const char *after)
{
    int err = buf_append_str(out, before);
    if (err == 0)
        err = man_write_text(out, text);
    return err ? err : buf_append_str(out, after);
}

static int write_remark(const struct option_row *row, struct buf *out)
{
    struct buf text;
    buf_init(&text, 0);
    int err = option_value_remark(row, &text);
    if (err == 0 && text.size > 0)
        err = buf_cstr(&text) ? man_write_text(out, buf_cstr(&text)) : GRID_ENOMEM;
    buf_dispose(&text);
    return err;
}

int option_write_man(const struct option_row *row, char letter, struct buf *out)
{
    int err = buf_append_str(out, ".TP\n.B ");
    if (err == 0 && letter)
        err = buf_printf(out, "\\-%c, ", letter);
    if (err == 0)
        err = man_write_line(out, "\\-\\-", row->name, "");
    if (err == 0 && row->kind != OPTION_FLAG)
        err = man_write_line(out, " \\fI", row->placeholder ? row->placeholder : "VALUE", "\\fR");
    if (err == 0)
        err = man_write_line(out, "\n", row->help, "");
    if (err == 0)
        err = write_remark(row, out);
    if (err == 0 && row->env_alias)
        err = man_write_line(out, " (also ", row->env_alias, " in the environment)");
    return err ? err : buf_append_byte(out, '\n');
}
