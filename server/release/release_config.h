/* server/release/release_config.h: what a release runs with, judged before anybody takes it. Pure. */
#ifndef GRID_SERVER_RELEASE_RELEASE_CONFIG_H
#define GRID_SERVER_RELEASE_RELEASE_CONFIG_H

#include "base/arena.h"
#include "grid/v1/peer.pb-c.h"
#include "server/supervise/supervisor.h"

enum { RELEASE_ENV_MAX = 512, RELEASE_TASK_FOLDER_MAX = 255, RELEASE_JSON_CONF_MAX = 64 * 1024 };

/* Reads a packed ReleaseConfig into the arena. 0; GRID_EINVAL with a sentence in `why`: bytes that are none, a task_folder that is no single
 * name, instances above SUPERVISOR_INSTANCES_MAX, more variables than RELEASE_ENV_MAX or one that no environment can hold, a json_conf above
 * RELEASE_JSON_CONF_MAX. Otherwise `why` is as it was. */
int release_config_read(struct slice packed, struct arena *arena, const Grid__V1__ReleaseConfig **out, char why[TASK_ERROR_MAX]);

/* The folder of the tasks, "tasks" when it is not said. */
struct slice release_config_folder(const Grid__V1__ReleaseConfig *config);

#endif
