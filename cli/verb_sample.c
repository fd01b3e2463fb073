/* grid sample: a project to begin with. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cli/sample.h"
#include "cli/verb_names.h"

enum { PATH_SIZE = 4096 };

static int explain(const char *path)
{
    return cli_fail(GRID_FAILED, "%s cannot be written (%s): give the name of a new folder in one that you may write to", path, strerror(errno));
}

/* Makes the folders of `path` behind its first `skip` bytes. */
static int make_folders(char *path, size_t skip)
{
    for (char *slash = strchr(path + skip, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int failed = mkdir(path, 0777) != 0 && errno != EEXIST;
        if (failed)
            return explain(path);
        *slash = '/';
    }
    return GRID_DONE;
}

static int write_file(const char *folder, const struct sample_file *file)
{
    char path[PATH_SIZE];
    int size = snprintf(path, sizeof path, "%s/%s", folder, file->path);
    if (size >= PATH_SIZE)
        return cli_fail(GRID_FAILED, "%.80s... is too long a path: give a shorter one", folder);
    int code = make_folders(path, strlen(folder) + 1);
    if (code != GRID_DONE)
        return code;
    FILE *out = fopen(path, "wbxe");
    if (!out)
        return explain(path);
    bool written = fwrite(file->data, 1, file->size, out) == file->size;
    if (fclose(out) != 0 || !written || (file->is_executable && chmod(path, 0755) != 0))
        return explain(path);
    return GRID_DONE;
}

int sample_write(const char *name)
{
    int code = GRID_DONE;
    if (mkdir(name, 0777) != 0)
        return errno == EEXIST ? cli_fail(GRID_FAILED, "%s exists already: give the name of a new folder", name) : explain(name);
    for (const struct sample_file *file = SAMPLE_FILES; code == GRID_DONE && file->path; file++)
        code = write_file(name, file);
    return code;
}

static int run(struct cli *cli)
{
    const char *name = cli->arguments[0];
    int code = sample_write(name);
    if (code == GRID_DONE)
        fprintf(stderr, "%s written. Next: cd %s && make && grid dev\n", name, name);
    return code;
}

const struct verb VERB_sample = {
    .name = "sample",
    .arguments = "NAME",
    .summary = "write a sample project into a new folder",
    .details = "It has a task in JavaScript, one in Python and one in C. No node is needed.",
    .example = "grid sample demo",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
