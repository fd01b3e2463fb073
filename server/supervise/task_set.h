/* server/supervise/task_set.h: which tasks a release's tasks folder holds. The rules are pure; one function reads the folder. */
#ifndef GRID_SERVER_SUPERVISE_TASK_SET_H
#define GRID_SERVER_SUPERVISE_TASK_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "server/supervise/task_platform.h"

enum { TASK_NAME_MAX = 128, TASK_SET_MAX = 1024, TASK_SET_LISTED_MAX = 65536, TASK_DIGEST_BYTES = 32, TASK_ERROR_MAX = 640 };

enum task_kind {
    TASK_NODE,       /* .js .mjs .cjs, or a folder with package.json: under runtimes/node */
    TASK_PYTHON,     /* .py: under runtimes/python */
    TASK_EXECUTABLE, /* anything else that may be executed, as it is */
};

/* One name as listed in the tasks folder. */
struct task_entry {
    const char *name;
    bool folder;         /* otherwise a file (or a link to one) */
    bool executable;     /* a file that may be executed */
    bool package_json;   /* a folder that holds one */
    bool bootstrap;      /* a folder that holds an executable of that name */
    bool own_executable; /* a folder that holds an executable of its own name (without the platform) */
};

struct task {
    char name[TASK_NAME_MAX + 1];
    char platform[TASK_PLATFORM_MAX + 1]; /* that its file is for; "": any */
    enum task_kind kind;
    char *entry; /* the name in the tasks folder, such as "req.js" or "job": what is the task's own content */
    char *path;  /* what is run, relative to the tasks folder: "req.js", "job/bootstrap", "job" (a package) */
    uint8_t digest[TASK_DIGEST_BYTES]; /* zero until the caller fills it: of all that, when it changes, asks for a restart */
};

/* A task of the release that this node does not run, since no file of it is for this platform. */
struct task_elsewhere {
    char name[TASK_NAME_MAX + 1];
    char *why; /* "it is for linux-arm64, and this node is linux-x64" */
};

struct task_set {
    struct task *tasks; /* sorted by name */
    size_t count;
    struct task_elsewhere *elsewhere; /* likewise */
    size_t elsewhere_count;
    char **passed_over; /* names in the tasks folder of files for other platforms, or for any where there is one for this, and tasks.toml */
    size_t passed_over_count;
    char **notes; /* a sentence for each name that is no task, such as "tasks/README.md is no task: ..." */
    size_t note_count;
    const char **forgotten; /* those of the notes whose file looks like a task that lacks its executable bit */
    size_t forgotten_count;
};

struct task_folder {
    const char *name;     /* as shown in sentences, such as "tasks" */
    const char *platform; /* of this node, such as "linux-x64" */
    struct slice toml;    /* what its tasks.toml (tasks_toml.h) holds; empty: there is none */
};

/* Builds the set of a folder from its listing; everything is copied. Of several files of one task the one for the platform is taken, else the one for any, unless
 * tasks.toml names its platforms and this is none of them. 0; GRID_EINVAL with a sentence in `error` (two tasks of one name and platform, a name outside
 * [A-Za-z0-9_.-]{1,128}, a platform that is none, a tasks.toml that says something else, or of a task that has no file for any platform); GRID_ENOENT with one when
 * there is no task for any platform; GRID_ELIMIT above TASK_SET_MAX tasks; GRID_ENOMEM. On an error the set is empty. */
int task_set_build(const struct task_folder *folder, const struct task_entry *entries, size_t count, struct task_set *out, char error[TASK_ERROR_MAX]);

/* The same from the folder `root`/`folder` on disk. Also GRID_ENOENT and GRID_EPERM, GRID_EIO, with a sentence, when it cannot be read. */
int task_set_read(const char *root, const char *folder, const char *platform, struct task_set *out, char error[TASK_ERROR_MAX]);
/* Whether the project open as `project_fd` has that folder at all, before anything of it is read. 0; GRID_ENOENT with a sentence in `error`. Blocking. */
int task_set_look(int project_fd, const char *folder, char error[TASK_ERROR_MAX]);

/* Frees what it holds and leaves it empty. A zeroed set is empty. */
void task_set_dispose(struct task_set *set);

/* Takes the tasks elsewhere out of the set; theirs to free is with task_elsewhere_free. */
struct task_elsewhere *task_set_take_elsewhere(struct task_set *set, size_t *count);
void task_elsewhere_free(struct task_elsewhere *list, size_t count);

/* Whether that name in the tasks folder is passed over on this platform. */
bool task_set_passes_over(const struct task_set *set, const char *entry);

/* NULL when there is none. */
const struct task *task_set_find(const struct task_set *set, const char *name);

#endif
