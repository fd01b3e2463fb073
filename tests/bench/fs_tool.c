/* Drives fs/ from outside of a node, one job a process, so that tests/bench/run can hold it against programs that do the same job. Each prints
 * one JSON object.
 *
 *     fs_tool publish STORE FOLDER          a folder into a store, durably
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

static int publish(char **arguments)
{
    struct fs_report report = {0};
    struct publish_result out;
    struct store *store;
    char root[OBJECT_ID_HEX + 1];
    int err = store_open(arguments[0], NULL, &report, &store);
    if (err != 0)
        return complain(err, &report);
    int fd = open(arguments[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    err = fd >= 0 ? release_publish(store, fd, NULL, &report, &out) : GRID_ENOENT;
    if (fd >= 0)
        close(fd);
    store_close(store);
    if (err != 0)
        return complain(err, &report);
    object_id_to_hex(&out.root, root);
    printf("{\"root\":\"%s\",\"files\":%llu,\"bytes\":%llu,\"stored_bytes\":%llu,\"saved_bytes\":%llu}\n", root, (unsigned long long) out.files,
           (unsigned long long) out.bytes, (unsigned long long) out.stored_bytes, (unsigned long long) out.saved_bytes);
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
