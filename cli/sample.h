/* cli/sample.h: the sample project, built into the program from examples/sample. */
#ifndef GRID_CLI_SAMPLE_H
#define GRID_CLI_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>

struct sample_file {
    const char *path; /* below the project's folder; folders stand before what is in them by order of '/' */
    bool is_executable;
    const unsigned char *data;
    size_t size;
};

/* Ends with a NULL path. */
extern const struct sample_file SAMPLE_FILES[];

/* Writes the project into the new folder `name`. An exit code, with the sentence said. */
int sample_write(const char *name);

#endif
