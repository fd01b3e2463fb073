/* Taking a plan apart: each key's row says how its value is taken. */
#include "server/confine/plan.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct confine_plan *plan;
    size_t argument, variable;
    char *from; /* the place whose other end comes next */
};

static int take_number(const char *value, uint64_t max, uint64_t *out)
{
    char *end;
    if (!isdigit((unsigned char) *value))
        return -1;
    errno = 0;
    *out = strtoull(value, &end, 10);
    return *end == '\0' && errno == 0 && *out <= max ? 0 : -1;
}

static int take_user(struct reader *r, char *value)
{
    uint64_t number;
    if (take_number(value, UINT32_MAX - 1, &number) != 0)
        return -1;
    r->plan->change_user = true;
    r->plan->uid = (uint32_t) number;
    return 0;
}

static int take_group(struct reader *r, char *value)
{
    uint64_t number;
    if (take_number(value, UINT32_MAX - 1, &number) != 0)
        return -1;
    r->plan->gid = (uint32_t) number;
    return 0;
}

static int take_view(struct reader *r, char *value)
{
    r->plan->view = true;
    return strcmp(value, "own") == 0 ? 0 : -1;
}

static int take_cover(struct reader *r, char *value)
{
    if (r->plan->cover_count == CONFINE_COVERS_MAX || value[0] != '/')
        return -1;
    r->plan->covers[r->plan->cover_count++] = value;
    return 0;
}

static int take_from(struct reader *r, char *value)
{
    r->from = value;
    return value[0] == '/' ? 0 : -1;
}

static int take_place(struct reader *r, char *value, bool writes)
{
    struct confine_plan *p = r->plan;
    if (!r->from || p->place_count == CONFINE_PLACES_MAX || value[0] != '/')
        return -1;
    p->places[p->place_count++] = (struct confine_place){r->from, value, writes};
    r->from = NULL;
    return 0;
}

static int take_read(struct reader *r, char *value)
{
    return take_place(r, value, false);
}

static int take_write(struct reader *r, char *value)
{
    return take_place(r, value, true);
}

static int take_landlock(struct reader *r, char *value)
{
    uint64_t number;
    if (take_number(value, CONFINE_LANDLOCK_ALL, &number) != 0)
        return -1;
    r->plan->landlock = (enum confine_landlock) number;
    return 0;
}

static int take_port(struct reader *r, char *value)
{
    uint64_t number;
    if (take_number(value, UINT16_MAX, &number) != 0)
        return -1;
    r->plan->port = (uint16_t) number;
    return 0;
}

static int take_filter(struct reader *r, char *value)
{
    r->plan->filter = value;
    return 0;
}

static int take_folder(struct reader *r, char *value)
{
    r->plan->folder = value;
    return value[0] == '/' ? 0 : -1;
}

static int take_argument(struct reader *r, char *value)
{
    r->plan->argv[r->argument++] = value;
    return 0;
}

static int take_variable(struct reader *r, char *value)
{
    r->plan->env[r->variable++] = value;
    return strchr(value, '=') ? 0 : -1;
}

static int take_record(struct reader *r, char *record)
{
    static const struct {
        const char *key;
        int (*take)(struct reader *r, char *value);
    } rows[] = {{"user=", take_user}, {"group=", take_group}, {"view=", take_view}, {"cover=", take_cover}, {"from=", take_from},
                {"read=", take_read}, {"write=", take_write}, {"landlock=", take_landlock}, {"port=", take_port}, {"filter=", take_filter},
                {"folder=", take_folder}, {"arg=", take_argument}, {"env=", take_variable}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t size = strlen(rows[i].key);
        if (strncmp(record, rows[i].key, size) == 0)
            return rows[i].take(r, record + size);
    }
    return -1;
}

static size_t count_records(const char *text, size_t size, const char *key)
{
    size_t count = 0;
    for (const char *at = text; at < text + size; at += strlen(at) + 1)
        count += strncmp(at, key, strlen(key)) == 0;
    return count;
}

int confine_plan_decode(char *text, size_t size, struct confine_plan *out)
{
    struct reader r = {.plan = out};
    *out = (struct confine_plan){.view = false};
    if (size == 0 || size > CONFINE_PLAN_MAX || text[size - 1] != '\0')
        return -1;
    out->argv = calloc(count_records(text, size, "arg=") + 1, sizeof *out->argv);
    out->env = calloc(count_records(text, size, "env=") + 1, sizeof *out->env);
    if (!out->argv || !out->env)
        return -1;
    for (char *at = text, *next; at < text + size; at = next) {
        next = at + strlen(at) + 1;
        if (take_record(&r, at) != 0)
            return -1;
    }
    return out->argv[0] && out->folder && !r.from ? 0 : -1;
}

void confine_plan_dispose(struct confine_plan *p)
{
    free(p->argv);
    free(p->env);
    *p = (struct confine_plan){.view = false};
}
