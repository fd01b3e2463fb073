/* Temporary folders for the tests of fs/. */
#ifndef GRID_TESTS_UNIT_FS_TREE_H
#define GRID_TESTS_UNIT_FS_TREE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"

/* A new folder; the name is malloc'ed. */
static inline char *tree_make(void)
{
    const char *base = getenv("TMPDIR");
    char *path = NULL;
    assert_true(asprintf(&path, "%s/grid-fs-XXXXXX", base ? base : "/tmp") > 0);
    assert_non_null(mkdtemp(path));
    return path;
}

static inline int tree_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void) st;
    (void) type;
    (void) ftw;
    return remove(path);
}

static inline void tree_remove(char *path)
{
    nftw(path, tree_remove_one, 32, FTW_DEPTH | FTW_PHYS);
    free(path);
}

/* "FOLDER/NAME" in one of four static buffers. */
static inline const char *tree_path(const char *folder, const char *name)
{
    static char paths[4][4096];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static inline void tree_dir(const char *folder, const char *name)
{
    assert_int_equal(mkdir(tree_path(folder, name), 0755), 0);
}

static inline void tree_write(const char *folder, const char *name, const void *bytes, size_t size)
{
    FILE *file = fopen(tree_path(folder, name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static inline void tree_file(const char *folder, const char *name, const char *text)
{
    tree_write(folder, name, text, strlen(text));
}

static inline int tree_open(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static inline void tree_read(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char block[4096];
    buf_clear(out);
    for (size_t n; (n = fread(block, 1, sizeof block, file)) > 0;)
        assert_int_equal(buf_append(out, slice_of(block, n)), 0);
    fclose(file);
}

/* Bytes that do not compress, the same for the same seed. */
static inline void tree_noise(uint8_t *out, size_t size, uint64_t seed)
{
    uint64_t x = seed * 2654435769u + 1;
    for (size_t i = 0; i < size; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        out[i] = (uint8_t) (x >> 32);
    }
}

#endif
