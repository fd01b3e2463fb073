/* fs/report.h: what a person is told of a job: warnings as it goes on, one error when it ends. Any one thread at a time. */
#ifndef GRID_FS_REPORT_H
#define GRID_FS_REPORT_H

#include "base/buf.h"

/* Sentences kept at most; the others are counted. */
#define FS_REPORT_MAX_WARNINGS 200

/* Zero-initialized is valid and empty. Fields are read by the caller; they change through fs_report_*. */
struct fs_report {
    char *warnings[FS_REPORT_MAX_WARNINGS];
    size_t kept;
    size_t warning_count; /* those not kept too */
    char *error; /* what failed, on what, why and what to do; NULL when nothing did (or memory was short) */
};

void fs_report_dispose(struct fs_report *r);

/* `r` may be NULL in both. Control characters in the finished sentence become '?'. */
void fs_report_warn(struct fs_report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Returns `err`, so that a failing function can end with it. The first error stays. */
int fs_report_fail(struct fs_report *r, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
