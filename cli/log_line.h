/* cli/log_line.h: a task's log line as `grid logs` shows it, and as it gives it to programs. Pure. */
#ifndef GRID_CLI_LOG_LINE_H
#define GRID_CLI_LOG_LINE_H

#include "api/pb.h"
#include "grid/v1/control.pb-c.h"

enum log_style { LOG_STYLE_RAW, LOG_STYLE_TERMINAL, LOG_STYLE_COLOUR };

/* "2026-11-22 20:12:04.123 hello.0  text" and a line end; with `shows_node` "... node1 hello.0  text". Control characters are escaped but in the raw style, where the text stands as it came.
 * Colour: the time is dim, stderr red, the node's own remarks yellow. */
void log_line_append(struct buf *out, const Grid__V1__LogLine *line, enum log_style style, bool shows_node);

/* Reads a line that `grid logs --json` has written; strings are in the arena. False when it is none. */
bool log_line_parse(struct slice json, struct arena *arena, Grid__V1__LogLine *out);

#endif
