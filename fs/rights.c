/* Credentials by system call: the C library's setgroups and setresuid change all threads of a process, the kernel's only the one that calls.
 * setfsuid(2), capabilities(7). */
#include "fs/rights.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"

#ifdef SYS_setgroups32
#define SET_GROUPS SYS_setgroups32
#else
#define SET_GROUPS SYS_setgroups
#endif

typedef struct __user_cap_data_struct capabilities[_LINUX_CAPABILITY_U32S_3];

/* What the process is: all its threads, between rights_restore and rights_assume. */
struct own {
    capabilities caps;
    gid_t groups[RIGHTS_GROUPS_MAX];
    int group_count;
};

static _Thread_local struct own own;

bool rights_are_own(const struct rights *r)
{
    return !r || r->uid == geteuid() || r->uid == 0;
}

bool rights_can_change(void)
{
    return geteuid() == 0;
}

int rights_of_user(uid_t uid, struct rights *out)
{
    char room[4096];
    struct passwd entry, *found = NULL;
    int count = RIGHTS_GROUPS_MAX;
    if (getpwuid_r(uid, &entry, room, sizeof room, &found) != 0 || !found)
        return GRID_ENOENT;
    if (getgrouplist(entry.pw_name, entry.pw_gid, out->groups, &count) < 0)
        return GRID_ELIMIT;
    out->uid = uid;
    out->gid = entry.pw_gid;
    out->group_count = (size_t) count;
    return 0;
}

static bool caps_get(capabilities caps)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    return syscall(SYS_capget, &header, caps) == 0;
}

static bool caps_set(const capabilities caps)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    return syscall(SYS_capset, &header, caps) == 0;
}

/* Effective ones go, permitted ones stay: those bring the others back. */
static bool caps_drop(void)
{
    capabilities none;
    memcpy(none, own.caps, sizeof none);
    for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
        none[i].effective = 0;
    return caps_set(none);
}

/* setfsuid and setfsgid tell of no failure; asked for an impossible id they tell what is set. */
static bool ids_are(uid_t uid, gid_t gid)
{
    return (uid_t) setfsuid((uid_t) -1) == uid && (gid_t) setfsgid((gid_t) -1) == gid;
}

static bool take_on(const struct rights *r)
{
    if (syscall(SET_GROUPS, r->group_count, r->groups) != 0)
        return false;
    setfsgid(r->gid);
    setfsuid(r->uid);
    return caps_drop() && ids_are(r->uid, r->gid);
}

static bool give_back(void)
{
    bool back = caps_set(own.caps); /* without CAP_SETUID the rest would fail */
    setfsuid(geteuid());
    setfsgid(getegid());
    back = back && syscall(SET_GROUPS, (size_t) own.group_count, own.groups) == 0;
    return back && caps_set(own.caps) && ids_are(geteuid(), getegid());
}

static void give_back_or_die(void)
{
    int kept = errno;
    if (!give_back()) {
        log_line(LOG_ERROR, "a thread did not get its own rights back after it had read for another user: the node ends here", LOGF_STR("why", strerror(errno)));
        abort();
    }
    errno = kept;
}

int rights_assume(const struct rights *r)
{
    if (rights_are_own(r))
        return 0;
    if (!rights_can_change() || !caps_get(own.caps) || (own.group_count = getgroups(RIGHTS_GROUPS_MAX, own.groups)) < 0)
        return GRID_EPERM;
    if (take_on(r))
        return 0;
    give_back_or_die();
    return GRID_EPERM;
}

void rights_restore(const struct rights *r)
{
    if (!rights_are_own(r))
        give_back_or_die();
}

int rights_openat(const struct rights *r, int dir_fd, const char *name, int flags)
{
    if (rights_assume(r) != 0) {
        errno = EPERM;
        return -1;
    }
    int fd = openat(dir_fd, name, flags);
    rights_restore(r);
    return fd;
}
