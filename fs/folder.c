/* From a path somebody gave to a descriptor that is safe to read from. */
#include "fs/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"

/* RESOLVE_NO_MAGICLINKS: openat2(2), Linux 5.6. */
static int open_plainly(const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS};
    return (int) syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}

static int explain(int errnum, const struct rights *rights, struct fs_report *report)
{
    switch (errnum) {
    case ENOENT:
        return fs_report_fail(report, GRID_ENOENT, "the folder does not exist: give the absolute path of the project's folder");
    case ENOTDIR:
        return fs_report_fail(report, GRID_EINVAL, "this is not a folder: give the absolute path of the project's folder");
    case ELOOP:
        return fs_report_fail(report, GRID_EINVAL, "this path goes through a link of /proc, or in a circle: give the folder's own path");
    case ENOSYS:
        return fs_report_fail(report, GRID_EUNSUPPORTED, "folders are opened by openat2, which this kernel lacks: Linux 5.6 or newer is needed");
    default:
        return fs_report_fail(report, grid_err_from_errno(errnum), "the folder cannot be opened (%s): make it and the folders above it accessible to user %u",
                              strerror(errnum), (unsigned) (rights ? rights->uid : geteuid()));
    }
}

int folder_open(const char *path, const struct rights *rights, const struct closed *closed, struct fs_report *report, int *fd)
{
    if (path[0] != '/')
        return fs_report_fail(report, GRID_EINVAL, "this is not an absolute path: give the absolute path of the project's folder");
    if (rights_assume(rights) != 0)
        return fs_report_fail(report, GRID_EPERM, "the node cannot take on the rights of user %u to read it: run gridd as root with CAP_SETUID and CAP_SETGID", (unsigned) rights->uid);
    *fd = open_plainly(path);
    int errnum = errno;
    rights_restore(rights);
    if (*fd < 0)
        return explain(errnum, rights, report);
    if (!closed_holds(closed, *fd))
        return 0;
    close(*fd);
    *fd = -1;
    return fs_report_fail(report, GRID_EINVAL, "the folder is inside the node's state folder: deploy from another place");
}
