/* The state folder: one daemon at a time, a format version, and the name the node was given at its first start. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bsd/stdlib.h>

#include "base/err.h"
#include "server/moniker.h"
#include "server/node_internal.h"

#define STATE_VERSION "1\n"

static int fail(char why[NODE_WHY_MAX], int err, const char *path, const char *what)
{
    snprintf(why, NODE_WHY_MAX, "--state: %.300s %s", path, what);
    return err;
}

/* mkdir -p. */
static int make_folders(const char *path)
{
    char part[PATH_MAX];
    size_t size = strlen(path);
    if (size >= sizeof part)
        return ENAMETOOLONG;
    for (size_t i = 1; i <= size; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0755) != 0 && errno != EEXIST)
            return errno;
    }
    return 0;
}

static int lock_folder(struct node *n, const char *path, char why[NODE_WHY_MAX])
{
    char file[PATH_MAX], pid[24] = "";
    snprintf(file, sizeof file, "%.4000s/lock", path);
    n->state_lock = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (n->state_lock < 0)
        return fail(why, GRID_EPERM, path, "cannot be written: give a folder that belongs to this user");
    if (flock(n->state_lock, LOCK_EX | LOCK_NB) != 0) {
        ssize_t size = read(n->state_lock, pid, sizeof pid - 1);
        pid[size > 0 ? size : 0] = '\0';
        snprintf(why, NODE_WHY_MAX, "--state: %.300s is in use by another gridd (process %.20s): stop it, or give another folder", path, pid[0] ? pid : "unknown");
        return GRID_EBUSY;
    }
    snprintf(pid, sizeof pid, "%d", (int) getpid());
    if (ftruncate(n->state_lock, 0) != 0 || pwrite(n->state_lock, pid, strlen(pid), 0) < 0)
        return fail(why, GRID_ENOSPC, path, "cannot be written: free some space");
    return 0;
}

/* Reads a small file's text without its line end; "" when there is none. */
static void read_text(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "re");
    out[0] = '\0';
    if (!file)
        return;
    if (fgets(out, (int) size, file))
        out[strcspn(out, "\n")] = '\0';
    fclose(file);
}

/* *fresh: it has no version yet. */
static int check_version(const char *path, bool *fresh, char why[NODE_WHY_MAX])
{
    char file[PATH_MAX], text[16];
    snprintf(file, sizeof file, "%.4000s/VERSION", path);
    read_text(file, text, sizeof text);
    *fresh = text[0] == '\0';
    if (!*fresh && strcmp(text, "1") != 0)
        return fail(why, GRID_EUNSUPPORTED, path, "was written by another version of gridd: use that version, or give another folder");
    return 0;
}

static int write_version(const char *path, char why[NODE_WHY_MAX])
{
    char file[PATH_MAX];
    snprintf(file, sizeof file, "%.4000s/VERSION", path);
    if (trust_file_show(file, SLICE(STATE_VERSION), 0644) == 0) /* the folder is synced with the key that comes into it next */
        return 0;
    return fail(why, GRID_EIO, path, "cannot be written: free space or mend its permissions");
}

static int check_name(const struct node *n, char why[NODE_WHY_MAX])
{
    if (!n->options->name || trust_name_valid(slice_of_str(n->options->name)))
        return 0;
    snprintf(why, NODE_WHY_MAX, "--name: a node's name is 1 to 63 bytes of text without control characters: give a shorter or plainer one");
    return GRID_EINVAL;
}

/* --name, else the name kept from before, else a minted one, which is kept. */
static int take_name(struct node *n, const char *path, char why[NODE_WHY_MAX])
{
    char file[PATH_MAX], minted[MONIKER_MAX];
    snprintf(file, sizeof file, "%.4000s/name", path);
    if (n->options->name) {
        snprintf(n->name, sizeof n->name, "%s", n->options->name);
        return check_name(n, why);
    }
    read_text(file, n->name, sizeof n->name);
    if (trust_name_valid(slice_of_str(n->name)))
        return 0;
    moniker_make(arc4random(), minted);
    snprintf(n->name, sizeof n->name, "%s", minted);
    return trust_file_write(file, slice_of_str(minted), 0644) == 0 ? 0 : fail(why, GRID_EIO, path, "cannot be written: free space or mend its permissions");
}

/* What a crash left of files that were to be renamed over others: copies of keys must not outlive the keys. Behind the lock nobody writes. */
static void clean_folder(const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *d; dir && (d = readdir(dir));)
        if (strstr(d->d_name, TRUST_FILE_BESIDE))
            (void) unlinkat(dirfd(dir), d->d_name, 0);
    if (dir)
        closedir(dir);
}

/* What may lie in a folder before the first start: what its owner has put there for the node, a mount's own, and what a crash before VERSION left. */
static bool is_expected(const char *name)
{
    static const char *const NAMES[] = {".", "..", "lost+found", "lock", "Gridfile", "node.key", "node.crt", "trust", "data"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (strcmp(name, NAMES[i]) == 0)
            return true;
    return strstr(name, TRUST_FILE_BESIDE) != NULL;
}

/* A folder without VERSION that holds other things is somebody's, such as /tmp: taking it over would shut everybody else out of it. */
static int check_contents(const char *path, char why[NODE_WHY_MAX])
{
    bool foreign = false;
    DIR *dir = opendir(path);
    if (!dir)
        return fail(why, GRID_EPERM, path, "cannot be read: give a folder that belongs to this user");
    for (struct dirent *d; !foreign && (d = readdir(dir));)
        foreign = !is_expected(d->d_name);
    closedir(dir);
    return foreign ? fail(why, GRID_EINVAL, path, "is not empty and was not made by gridd: give an empty folder, or the path of a new one") : 0;
}

/* Who owns the folder may put other keys and releases into it. */
static int check_owner(const char *path, char why[NODE_WHY_MAX])
{
    struct stat st;
    if (stat(path, &st) != 0 || st.st_uid == 0 || st.st_uid == geteuid())
        return 0;
    snprintf(why, NODE_WHY_MAX, "--state: %.300s belongs to user %u: give another folder, or run chown -R %u %.300s", path, (unsigned) st.st_uid, (unsigned) geteuid(), path);
    return GRID_EPERM;
}

/* Whether a path that exists may be the state folder; changes nothing. */
static int check_folder(const char *path, bool *fresh, char why[NODE_WHY_MAX])
{
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
        return fail(why, GRID_EINVAL, path, "is not a folder: give another path");
    int err = check_owner(path, why);
    if (err == 0)
        err = check_version(path, fresh, why);
    return err == 0 && *fresh ? check_contents(path, why) : err;
}

int node_state_open(struct node *n, char why[NODE_WHY_MAX])
{
    const char *path = n->options->state;
    int errnum = make_folders(path);
    n->state_lock = -1;
    if (errnum != 0) {
        snprintf(why, NODE_WHY_MAX, "--state: %.300s cannot be made (%s): give a folder that this user may write to", path, strerror(errnum));
        return grid_err_from_errno(errnum);
    }
    bool fresh;
    int unfit = check_folder(path, &fresh, why);
    if (unfit != 0)
        return unfit;
    chmod(path, 0700); /* the tasks' own user, when there is one, is let pass by the supervisor */
    int err = lock_folder(n, path, why);
    if (err == 0)
        err = check_version(path, &n->first_start, why);
    if (err == 0)
        clean_folder(path);
    if (err == 0 && n->first_start)
        err = write_version(path, why);
    return err == 0 ? take_name(n, path, why) : err;
}

int node_state_check(struct node *n, char why[NODE_WHY_MAX])
{
    const char *path = n->options->state;
    bool fresh;
    int err = check_name(n, why);
    if (err != 0 || access(path, F_OK) != 0)
        return err;
    err = check_folder(path, &fresh, why);
    if (err == 0 && access(path, W_OK | X_OK) != 0)
        err = fail(why, GRID_EPERM, path, "cannot be written: give a folder that belongs to this user");
    return err;
}

void node_state_close(struct node *n)
{
    if (n->state_lock >= 0)
        close(n->state_lock);
    n->state_lock = -1;
}
