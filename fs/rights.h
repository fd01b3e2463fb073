/* fs/rights.h: another user's rights to files, taken on by one thread for as long as it opens something. Linux keeps credentials by thread:
 * no other thread of the process notices. docs/decisions/callers-rights.md. */
#ifndef GRID_FS_RIGHTS_H
#define GRID_FS_RIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { RIGHTS_GROUPS_MAX = 256 };

/* Whose rights. */
struct rights {
    uid_t uid;
    gid_t gid;
    size_t group_count; /* supplementary */
    gid_t groups[RIGHTS_GROUPS_MAX];
};

/* What this process may open at all times is what that user may open: nothing needs to be taken on. True for NULL. */
bool rights_are_own(const struct rights *r);
/* Whether this process is able to take on other users' rights. */
bool rights_can_change(void);
/* The rights that the user database gives a uid. 0; GRID_ENOENT for a uid without an entry; GRID_ELIMIT for too many groups. May block. */
int rights_of_user(uid_t uid, struct rights *out);

/* From here to rights_restore this thread opens files with these rights alone: user, groups, and not one capability. NULL and own rights:
 * nothing changes. 0, or GRID_EPERM with the thread's own rights as before. The pair must be on one thread, and no thread be started in between
 * (it would begin with these rights). */
int rights_assume(const struct rights *r);
/* Ends the process when the rights do not come back: a thread with somebody else's rights must not go on. */
void rights_restore(const struct rights *r);

/* openat with these rights. Returns a descriptor, or -1 with errno. */
int rights_openat(const struct rights *r, int dir_fd, const char *name, int flags);

#endif
