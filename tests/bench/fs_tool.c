/* Drives fs/ from outside of a node, one job a process, so that tests/bench/run can hold it against programs that do the same job. Each prints
 * one JSON object.
 *
 *     fs_tool publish STATE FOLDER          a folder into STATE/store, durably, as a node does it
 *     fs_tool tree STATE ROOT TREES PREVIOUS SPARE HOW
 *                                           the tree ROOT in the folder TREES, from STATE/store, the tree PREVIOUS or out of SPARE ("-": none);
 *                                           HOW holds "s" to sync it, "g" when trees are guarded
 *     fs_tool chunk FILE                    where a file is cut, in memory, without hashing
 *     fs_tool hash FILE                     SHA-256 of it by pieces of 64 KiB, as chunks are hashed
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "fs/materialize.h"
#include "fs/publish.h"

enum { PIECE_BYTES = 64 * 1024 };

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static int complain(int err, const struct fs_report *report)
{
    fprintf(stderr, "fs_tool: %s\n", report->error ? report->error : grid_err_text(err));
    return 1;
}

static int open_folder(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int publish_into(int state_fd, const char *store_path, const char *folder, struct fs_report *report, struct publish_result *out)
{
    struct publish_options options = {.state_fd = &state_fd};
    struct store *store;
    int err = store_open(store_path, NULL, report, &store);
    if (err != 0)
        return err;
    int fd = open_folder(folder);
    err = fd >= 0 ? release_publish(store, fd, &options, report, out) : GRID_ENOENT;
    if (fd >= 0)
        close(fd);
    store_close(store);
    return err;
}

static int publish(char **arguments)
{
    struct fs_report report = {0};
    struct publish_result out;
    char root[OBJECT_ID_HEX + 1], path[4096];
    snprintf(path, sizeof path, "%s/store", arguments[0]);
    int state_fd = open_folder(arguments[0]), err = state_fd >= 0 ? publish_into(state_fd, path, arguments[1], &report, &out) : GRID_ENOENT;
    if (err != 0)
        return complain(err, &report);
    close(state_fd);
    object_id_to_hex(&out.root, root);
    printf("{\"root\":\"%s\",\"files\":%llu,\"unread_files\":%llu,\"bytes\":%llu,\"stored_bytes\":%llu,\"saved_bytes\":%llu}\n", root, (unsigned long long) out.files,
           (unsigned long long) out.unread_files, (unsigned long long) out.bytes, (unsigned long long) out.stored_bytes, (unsigned long long) out.saved_bytes);
    fs_report_dispose(&report);
    return 0;
}

static const char *name_or_none(const char *argument)
{
    return strcmp(argument, "-") == 0 ? NULL : argument;
}

static int make_tree(const char *store_path, char **arguments, struct fs_report *report, struct materialize_result *out, double *seconds)
{
    struct store *store;
    struct object_id root;
    const char *spare = name_or_none(arguments[4]);
    struct materialize_options options = {.previous = name_or_none(arguments[3]), .spares = &spare, .spare_count = spare != NULL,
                                          .guarded = strchr(arguments[5], 'g') != NULL, .sync = strchr(arguments[5], 's') != NULL};
    int err = store_open(store_path, NULL, report, &store);
    if (err != 0)
        return err;
    double begun = now_s();
    int fd = open_folder(arguments[2]);
    err = fd >= 0 ? object_id_from_hex(slice_of_str(arguments[1]), &root) : GRID_ENOENT;
    if (err == 0)
        err = materialize_tree(store, &root, fd, arguments[1], &options, report, out);
    *seconds = now_s() - begun;
    if (fd >= 0)
        close(fd);
    store_close(store);
    return err;
}

static int tree(char **arguments)
{
    struct fs_report report = {0};
    struct materialize_result out;
    char path[4096];
    double seconds;
    snprintf(path, sizeof path, "%s/store", arguments[0]);
    int err = make_tree(path, arguments, &report, &out, &seconds);
    if (err != 0)
        return complain(err, &report);
    printf("{\"files\":%llu,\"kept\":%llu,\"reused\":%llu,\"patched\":%s,\"seconds\":%.6f}\n", (unsigned long long) out.files, (unsigned long long) out.kept_files,
           (unsigned long long) out.reused_files, out.patched ? "true" : "false", seconds);
    fs_report_dispose(&report);
    return 0;
}

/* The whole file. */
static bool read_file(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "rbe");
    size_t got = 1;
    buf_init(out, 0);
    while (file && got > 0 && buf_reserve(out, 1024 * 1024) == 0) {
        got = fread(out->data + out->size, 1, 1024 * 1024, file);
        out->size += got;
    }
    if (file)
        fclose(file);
    return file && got == 0 && out->size > 0;
}

static void print_speed(const char *count_name, size_t count, size_t bytes, double seconds)
{
    printf("{\"bytes\":%zu,\"seconds\":%.6f,\"%s\":%zu}\n", bytes, seconds, count_name, count);
}

static int chunk(char **arguments)
{
    struct buf content;
    struct chunker chunker;
    size_t chunks = 0;
    bool cut;
    if (!read_file(arguments[0], &content) || chunker_init(&chunker, &chunker_default_params) != 0)
        return complain(GRID_EIO, &(struct fs_report){0});
    double begun = now_s();
    for (size_t at = 0; at < content.size; chunks += cut)
        at += chunker_feed(&chunker, slice_from(buf_slice(&content), at), &cut);
    print_speed("chunks", chunks, content.size, now_s() - begun);
    buf_dispose(&content);
    return 0;
}

static int hash(char **arguments)
{
    struct buf content;
    struct object_id id;
    size_t pieces = 0;
    int err = read_file(arguments[0], &content) ? 0 : GRID_EIO;
    double begun = now_s();
    for (size_t at = 0; err == 0 && at < content.size; at += PIECE_BYTES, pieces++)
        err = object_id_compute(OBJECT_CHUNK, slice_first(slice_from(buf_slice(&content), at), PIECE_BYTES), &id);
    if (err != 0)
        return complain(err, &(struct fs_report){0});
    print_speed("pieces", pieces, content.size, now_s() - begun);
    buf_dispose(&content);
    return 0;
}

static const struct {
    const char *name;
    int arguments;
    int (*run)(char **arguments);
} jobs[] = {
    {"publish", 2, publish},
    {"tree", 6, tree},
    {"chunk", 1, chunk},
    {"hash", 1, hash},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof jobs / sizeof *jobs; i++)
        if (strcmp(argv[1], jobs[i].name) == 0 && argc - 2 == jobs[i].arguments)
            return jobs[i].run(argv + 2);
    fprintf(stderr, "fs_tool: give a job and its arguments, as its source says\n");
    return 2;
}
