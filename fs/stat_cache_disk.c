/* Small files in a folder of their own, replaced by renaming. */
#include "fs/stat_cache_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/hash.h"
#include "fs/stat_cache.h"

#define FOLDER "stat-cache"
#define TEMPORARY "new"

/* ---- names ---- */

static int describe_rights(const struct rights *rights, struct buf *out)
{
    if (rights_are_own(rights))
        return buf_printf(out, "own %u", (unsigned) geteuid());
    int err = buf_printf(out, "%u %u", (unsigned) rights->uid, (unsigned) rights->gid);
    for (size_t i = 0; err == 0 && i < rights->group_count; i++)
        err = buf_printf(out, " %u", (unsigned) rights->groups[i]);
    return err;
}

int stat_cache_file_name(const struct stat *folder, const struct rights *rights, char out[STAT_CACHE_NAME_SIZE])
{
    struct object_id hash;
    char hex[OBJECT_ID_HEX + 1];
    struct buf text;
    buf_init(&text, 0);
    int err = buf_printf(&text, "%llu %llu ", (unsigned long long) folder->st_dev, (unsigned long long) folder->st_ino);
    if (err == 0)
        err = describe_rights(rights, &text);
    if (err == 0)
        err = hash_sha256(buf_slice(&text), hash.bytes);
    if (err == 0) {
        object_id_to_hex(&hash, hex);
        snprintf(out, STAT_CACHE_NAME_SIZE, "%.32s", hex);
    }
    buf_dispose(&text);
    return err;
}

/* ---- files ---- */

static int open_folder(int state_fd)
{
    if (mkdirat(state_fd, FOLDER, 0700) != 0 && errno != EEXIST)
        return -1;
    return openat(state_fd, FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool read_whole(int fd, size_t size, struct buf *out)
{
    if (buf_reserve(out, size) != 0)
        return false;
    while (size > 0) {
        ssize_t n = read(fd, out->data + out->size, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        out->size += (size_t) n;
        size -= (size_t) n;
    }
    return true;
}

void stat_cache_load(int state_fd, const char *name, struct buf *out)
{
    struct stat st;
    size_t before = out->size;
    int folder = open_folder(state_fd), fd = folder < 0 ? -1 : openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool sound = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= (off_t) STAT_CACHE_BYTES_MAX;
    if (!sound || !read_whole(fd, (size_t) st.st_size, out))
        buf_truncate(out, before);
    if (sound)
        futimens(fd, NULL); /* when it was last used */
    if (fd >= 0)
        close(fd);
    if (folder >= 0)
        close(folder);
}

static bool write_whole(int fd, struct slice bytes)
{
    while (bytes.size > 0) {
        ssize_t n = write(fd, bytes.data, bytes.size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes = slice_from(bytes, (size_t) n);
    }
    return true;
}

/* The file least recently used, when there are too many; false when there are not. */
static bool find_oldest(DIR *dir, char out[STAT_CACHE_NAME_SIZE])
{
    struct timespec oldest = {0};
    struct stat st;
    unsigned count = 0;
    rewinddir(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (strlen(entry->d_name) != STAT_CACHE_NAME_SIZE - 1 || fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        bool older = st.st_mtim.tv_sec < oldest.tv_sec || (st.st_mtim.tv_sec == oldest.tv_sec && st.st_mtim.tv_nsec < oldest.tv_nsec);
        if (count++ == 0 || older) {
            oldest = st.st_mtim;
            memcpy(out, entry->d_name, STAT_CACHE_NAME_SIZE);
        }
    }
    return count > STAT_CACHE_FILES_MAX;
}

/* `fd` is the folder's; it is closed. */
static void remove_oldest(int fd)
{
    char name[STAT_CACHE_NAME_SIZE];
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return;
    }
    while (find_oldest(dir, name) && unlinkat(fd, name, 0) == 0)
        ;
    closedir(dir);
}

void stat_cache_save(int state_fd, const char *name, struct slice bytes)
{
    int folder = open_folder(state_fd);
    int fd = folder < 0 ? -1 : openat(folder, TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool written = fd >= 0 && write_whole(fd, bytes);
    if (fd >= 0)
        written = close(fd) == 0 && written;
    if (fd >= 0 && (!written || renameat(folder, TEMPORARY, folder, name) != 0))
        unlinkat(folder, TEMPORARY, 0);
    if (folder >= 0)
        remove_oldest(folder);
}
