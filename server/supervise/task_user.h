/* server/supervise/task_user.h: whom tasks run as. */
#ifndef GRID_SERVER_SUPERVISE_TASK_USER_H
#define GRID_SERVER_SUPERVISE_TASK_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TASK_WHY_MAX = 512 };

struct task_user {
    bool own;       /* not the node's own user */
    bool exclusive; /* and nobody's but this node's tasks': whatever runs as it is theirs */
    uint32_t uid, gid;
    char name[33]; /* "" when the number has no name */
};

/* `asked` is --task-user: a name, a number, or NULL. As root without it: a number that nobody has, made from the node's id, so that two
 * nodes of a machine differ and a node keeps its own. Otherwise the node's user. 0, or GRID_EINVAL with a sentence in `why`. */
int task_user_resolve(const char *asked, const char *node_id, struct task_user *out, char why[TASK_WHY_MAX]);

/* The numbers made, best first: outside what systemd-uids(7) gives to users, containers and services; then, for a user namespace that has only
 * 65,536, among those of services. Pure. The first of `node_id`'s digits choose. */
uint32_t task_user_number(const char *node_id, bool small);

/* Whether a text like /proc/self/uid_map maps this number. Pure. */
bool task_user_is_mapped(const char *map, uint32_t uid);

#endif
