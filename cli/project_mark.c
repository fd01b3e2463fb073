/* The scan that a publish begins with, hashed. */
#include "cli/project_mark.h"

#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

#include "fs/scan.h"

/* FNV-1a: it is to tell changes, not to withstand somebody. */
static uint64_t add_bytes(uint64_t mark, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        mark = (mark ^ ((const uint8_t *) bytes)[i]) * UINT64_C(0x100000001b3);
    return mark;
}

static uint64_t add_number(uint64_t mark, uint64_t number)
{
    return add_bytes(mark, &number, sizeof number);
}

static uint64_t add_stamp(uint64_t mark, const struct scan_stamp *s)
{
    mark = add_number(add_number(mark, s->inode), s->size);
    mark = add_number(add_number(mark, (uint64_t) s->modified.tv_sec), (uint64_t) s->modified.tv_nsec);
    return add_number(add_number(mark, (uint64_t) s->changed.tv_sec), (uint64_t) s->changed.tv_nsec);
}

/* Depth is bounded by the scan. */
static uint64_t add_entry(uint64_t mark, const struct scan_entry *e)
{
    mark = add_number(add_bytes(mark, e->name.data, e->name.size), (uint64_t) e->kind * 2 + e->executable);
    mark = add_bytes(mark, e->target.data, e->target.size);
    if (e->kind == MANIFEST_FILE)
        mark = add_stamp(mark, &e->stamp);
    for (uint32_t i = 0; i < e->child_count; i++)
        mark = add_entry(mark, &e->children[i]);
    return add_number(mark, e->child_count);
}

uint64_t project_mark(const char *root)
{
    struct scan scan;
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    int err = scan_folder(fd, NULL, NULL, &scan);
    close(fd);
    if (err != 0)
        return (uint64_t) -err;
    uint64_t mark = add_entry(UINT64_C(0xcbf29ce484222325), &scan.root);
    scan_dispose(&scan);
    return mark;
}
