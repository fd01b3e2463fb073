/* --task-user, and the number that is used without it. */
#include "server/supervise/task_user.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"

enum {
    LARGE_FIRST = 0x70000000, /* systemd-uids(7): unused up to 2147352575 */
    LARGE_COUNT = 1 << 20,
    SMALL_FIRST = 61184, /* of services' dynamic users */
    SMALL_COUNT = 65519 - SMALL_FIRST + 1,
    DIGITS_USED = 8,
};

uint32_t task_user_number(const char *node_id, bool small)
{
    char digits[DIGITS_USED + 1];
    snprintf(digits, sizeof digits, "%s", node_id);
    uint32_t number = (uint32_t) strtoul(digits, NULL, 16);
    return small ? SMALL_FIRST + number % SMALL_COUNT : LARGE_FIRST + number % LARGE_COUNT;
}

bool task_user_is_mapped(const char *map, uint32_t uid)
{
    unsigned long long inside, outside, count;
    int used;
    for (; sscanf(map, "%llu %llu %llu%n", &inside, &outside, &count, &used) == 3; map += used)
        if (uid >= inside && uid - inside < count)
            return true;
    return false;
}

static bool is_mapped_here(const char *table, uint32_t number)
{
    char text[4096];
    FILE *file = fopen(table, "re");
    size_t size = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[size] = '\0';
    return size == 0 || task_user_is_mapped(text, number);
}

static bool is_usable(uint32_t number)
{
    return is_mapped_here("/proc/self/uid_map", number) && is_mapped_here("/proc/self/gid_map", number);
}

static int allocate(const char *node_id, struct task_user *out, char why[TASK_WHY_MAX])
{
    for (int small = 0; small < 2; small++) {
        uint32_t number = task_user_number(node_id, small != 0);
        if (is_usable(number)) {
            *out = (struct task_user){.own = true, .exclusive = small == 0, .uid = number, .gid = number};
            return 0;
        }
    }
    snprintf(why, TASK_WHY_MAX, "--task-user: this user namespace has no number to spare for tasks: name a user, or \"root\" to run them as the node");
    return GRID_EINVAL;
}

static int take(uint32_t uid, uint32_t gid, const char *name, struct task_user *out, char why[TASK_WHY_MAX])
{
    *out = (struct task_user){.own = uid != geteuid(), .uid = uid, .gid = gid};
    snprintf(out->name, sizeof out->name, "%s", name);
    if (!out->own || geteuid() == 0)
        return 0;
    snprintf(why, TASK_WHY_MAX, "--task-user: only root may run tasks as another user: start gridd as root, or leave the option out");
    return GRID_EINVAL;
}

static bool is_number(const char *text, uint32_t *out)
{
    char *end;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    *out = (uint32_t) number;
    return isdigit((unsigned char) text[0]) && *end == '\0' && errno == 0 && number < UINT32_MAX;
}

int task_user_resolve(const char *asked, const char *node_id, struct task_user *out, char why[TASK_WHY_MAX])
{
    uint32_t number;
    if (!asked) {
        *out = (struct task_user){.uid = geteuid(), .gid = getegid()};
        return geteuid() == 0 ? allocate(node_id, out, why) : 0;
    }
    const struct passwd *user = is_number(asked, &number) ? getpwuid(number) : getpwnam(asked);
    if (user)
        return take(user->pw_uid, user->pw_gid, user->pw_name, out, why);
    if (is_number(asked, &number) && is_usable(number))
        return take(number, number, "", out, why);
    snprintf(why, TASK_WHY_MAX, "--task-user: there is no user \"%.64s\": make one with \"useradd --system NAME\", give a number, or leave the option out", asked);
    return GRID_EINVAL;
}
