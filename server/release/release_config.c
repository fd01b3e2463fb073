/* The rules of a release's configuration. */
#include "server/release/release_config.h"

#include <stdarg.h>
#include <stdio.h>

#include "api/pb.h"
#include "base/err.h"
#include "fs/manifest.h"

__attribute__((format(printf, 2, 3))) static int refuse(char why[TASK_ERROR_MAX], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why, TASK_ERROR_MAX, format, args);
    va_end(args);
    return GRID_EINVAL;
}

struct slice release_config_folder(const Grid__V1__ReleaseConfig *config)
{
    return config->task_folder.len > 0 ? pb_slice(config->task_folder) : SLICE("tasks");
}

static int check_folder(const Grid__V1__ReleaseConfig *config, char why[TASK_ERROR_MAX])
{
    struct slice folder = release_config_folder(config);
    if (folder.size <= RELEASE_TASK_FOLDER_MAX && slice_is_utf8(folder) && manifest_name_valid(folder))
        return 0;
    return refuse(why, "the task_folder \"%.*s\" is no name of a folder of the project: give one name without slashes, such as \"tasks\"",
                  SLICE_FMT(slice_first(folder, 100)));
}

static int check_instances(const Grid__V1__ReleaseConfig *config, char why[TASK_ERROR_MAX])
{
    if (config->instances <= SUPERVISOR_INSTANCES_MAX)
        return 0;
    return refuse(why, "instances is %u: give a number from 0 to %d, where 0 starts one and grows to one per core", config->instances, SUPERVISOR_INSTANCES_MAX);
}

static bool variable_is_sound(const Grid__V1__StringPair *variable)
{
    struct slice name = pb_slice(variable->key);
    return name.size > 0 && slice_find_byte(name, 0, '=') < 0 && slice_find_byte(name, 0, '\0') < 0 && slice_find_byte(pb_slice(variable->value), 0, '\0') < 0;
}

static int check_env(const Grid__V1__ReleaseConfig *config, char why[TASK_ERROR_MAX])
{
    if (config->n_env > RELEASE_ENV_MAX)
        return refuse(why, "the environment has %zu variables: give at most %d", config->n_env, RELEASE_ENV_MAX);
    for (size_t i = 0; i < config->n_env; i++)
        if (!variable_is_sound(config->env[i]))
            return refuse(why, "the variable \"%.*s\" of the environment cannot be set: its name is not empty and holds no \"=\", and there are no zero bytes: correct env",
                          SLICE_FMT(slice_first(pb_slice(config->env[i]->key), 100)));
    return 0;
}

static int check_json_conf(const Grid__V1__ReleaseConfig *config, char why[TASK_ERROR_MAX])
{
    if (config->json_conf.len <= RELEASE_JSON_CONF_MAX)
        return 0;
    return refuse(why, "json_conf has %zu bytes: give at most %d", config->json_conf.len, RELEASE_JSON_CONF_MAX);
}

int release_config_read(struct slice packed, struct arena *arena, const Grid__V1__ReleaseConfig **out, char why[TASK_ERROR_MAX])
{
    static int (*const checks[])(const Grid__V1__ReleaseConfig *, char[TASK_ERROR_MAX]) = {check_folder, check_instances, check_env, check_json_conf};
    const Grid__V1__ReleaseConfig *config = pb_unpack(&grid__v1__release_config__descriptor, arena, packed);
    int err = config ? 0 : refuse(why, "its configuration is no ReleaseConfig");
    for (size_t i = 0; err == 0 && i < sizeof checks / sizeof *checks; i++)
        err = checks[i](config, why);
    if (err == 0)
        *out = config;
    return err;
}
