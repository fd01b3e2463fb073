/* Sentences for people, with names of files in them that may hold anything. */
#include "fs/report.h"

#include <stdlib.h>

__attribute__((format(printf, 1, 0))) static char *sentence_format(const char *format, va_list args)
{
    struct buf b;
    buf_init(&b, 16 * 1024);
    size_t size;
    if (buf_vprintf(&b, format, args) != 0 || !buf_cstr(&b)) {
        buf_dispose(&b);
        return NULL;
    }
    char *text = (char *) buf_detach(&b, &size);
    for (size_t i = 0; i < size; i++)
        if ((unsigned char) text[i] < 0x20 || text[i] == 0x7f)
            text[i] = '?';
    return text;
}

void fs_report_dispose(struct fs_report *r)
{
    for (size_t i = 0; i < r->kept; i++)
        free(r->warnings[i]);
    free(r->error);
    *r = (struct fs_report){0};
}

void fs_report_warn(struct fs_report *r, const char *format, ...)
{
    if (!r || r->warning_count++ >= FS_REPORT_MAX_WARNINGS)
        return;
    va_list args;
    va_start(args, format);
    char *text = sentence_format(format, args);
    va_end(args);
    if (text)
        r->warnings[r->kept++] = text;
}

int fs_report_fail(struct fs_report *r, int err, const char *format, ...)
{
    if (!r || r->error)
        return err;
    va_list args;
    va_start(args, format);
    r->error = sentence_format(format, args);
    va_end(args);
    return err;
}
