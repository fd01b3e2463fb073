/* cli/text.h: text for people: what came from elsewhere made harmless, and how wide it is. Pure. */
#ifndef GRID_CLI_TEXT_H
#define GRID_CLI_TEXT_H

#include "base/buf.h"

/* Appends with control characters (C0, DEL, C1, line and paragraph separators, bidirectional marks) and bytes that are not UTF-8 as \xNN
 * or \uNNNN, so that nothing in it moves a terminal's cursor. Results as buf_append. */
int text_append_line(struct buf *out, struct slice text);
/* The same, but line ends and tabs stay. */
int text_append_lines(struct buf *out, struct slice text);

/* The text with " --api API" behind each `"grid` that begins a command in quotes; as it is when `api` is NULL. Results as buf_append. */
int text_append_hint(struct buf *out, struct slice text, const char *api);

/* Columns that text_append_line's output takes: characters, without looking at wide ones. */
size_t text_width(struct slice text);

/* How people say it. Each writes a NUL-terminated text. */
enum { TEXT_SHORT_MAX = 32 };
/* "0s", "59s", "3m 12s", "4h 2m", "12d 3h"; "-" for a negative span. */
void text_age(int64_t ms, char out[TEXT_SHORT_MAX]);
/* "512 B", "1.2 MiB". */
void text_bytes(uint64_t bytes, char out[TEXT_SHORT_MAX]);
/* "2026-11-22 20:12:04" in UTC; "-" for 0. */
void text_time(int64_t unix_ms, char out[TEXT_SHORT_MAX]);
/* "20:12:04.123" in UTC. */
void text_clock(int64_t unix_ms, char out[TEXT_SHORT_MAX]);
/* "2026-11-22 20:12:04.123" in UTC. */
void text_moment(int64_t unix_ms, char out[TEXT_SHORT_MAX]);

#endif
