/* The tasks of a node: what a release asks for, what is there, and what others are told of it. */
#include "server/supervise/supervisor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "server/supervise/log_file.h"
#include "server/supervise/pid_file.h"
#include "server/supervise/proc.h"
#include "server/supervise/supervisor_internal.h"

enum { NODE_ID_DIGITS = 64 };

/* ---- news ---- */

static int write_pids(struct supervisor *s)
{
    size_t count = 0;
    for (struct sup_child *c = s->children; c; c = c->next)
        count++;
    struct pid_entry *entries = calloc(count + 1, sizeof *entries);
    char *path;
    if (!entries || asprintf(&path, "%s/tasks.pids", s->options.state_dir) < 0) {
        free(entries);
        return GRID_ENOMEM;
    }
    size_t n = 0;
    for (struct sup_child *c = s->children; c; c = c->next) {
        if (c->process && !c->exited)
            entries[n++] = (struct pid_entry){process_pid(c->process), c->start_time};
    }
    int err = pid_file_write(path, entries, n);
    free(path);
    free(entries);
    return err;
}

static int compare_ports(const void *a, const void *b)
{
    return *(const uint16_t *) a - *(const uint16_t *) b;
}

static void shut_wide_ports(struct supervisor *s)
{
    uint16_t ports[FIREWALL_PORTS_MAX];
    size_t count = 0;
    if (!s->firewall)
        return;
    for (const struct sup_child *c = s->children; c && count < FIREWALL_PORTS_MAX; c = c->next)
        if (c->wide && !c->exited)
            ports[count++] = c->instance->port;
    qsort(ports, count, sizeof *ports, compare_ports);
    firewall_set(s->firewall, ports, count);
}

static void tell_changes(void *arg)
{
    struct supervisor *s = arg;
    shut_wide_ports(s);
    int err = write_pids(s);
    if (err != 0)
        log_line(LOG_WARN, "tasks.pids could not be written: after a crash of this daemon its tasks would be left running", LOGF_ERR(err));
    if (s->options.on_change)
        s->options.on_change(s->options.ctx);
}

void supervisor_changed(struct supervisor *s)
{
    loop_defer(s->loop, &s->changed, tell_changes, s);
}

/* ---- logs ---- */

static struct sup_task *task_find(struct supervisor *s, const char *name)
{
    for (size_t i = 0; i < s->task_count; i++) {
        if (strcmp(s->tasks[i]->spec.name, name) == 0)
            return s->tasks[i];
    }
    return NULL;
}

static void log_to_file(struct sup_slot *slot, struct slice text)
{
    const char *state_dir = slot->task->supervisor->options.state_dir;
    char *path;
    if (!slot->log && asprintf(&path, "%s/logs/%s.%u.log", state_dir, slot->task->spec.name, slot->number) >= 0) {
        slot->log = log_sink_create(slot->task->supervisor->log_writer, path, LOG_FILE_BYTES);
        free(path);
    }
    if (slot->log)
        log_sink_write(slot->log, text);
}

void supervisor_log(struct sup_slot *slot, enum task_stream stream, struct slice text)
{
    struct sup_task *t = slot->task;
    struct task_line line = {loop_wall_ms(), t->spec.name, slot->number, stream, text};
    log_to_file(slot, text);
    line_ring_push(&t->ring, &line);
    for (struct log_follower *f = t->supervisor->followers; f; f = f->next) {
        if (!f->task || strcmp(f->task, t->spec.name) == 0)
            f->emit(f->ctx, &line);
    }
}

struct sup_slot *supervisor_slot(struct supervisor *s, const char *task, uint32_t number)
{
    struct sup_task *t = task_find(s, task);
    return t && number < t->slot_count ? t->slots[number] : NULL;
}

void supervisor_logs(struct supervisor *s, const char *task, size_t lines, void (*emit)(void *ctx, const struct task_line *line), void *ctx)
{
    for (size_t i = 0; i < s->task_count; i++) {
        const char *name = s->tasks[i]->spec.name;
        if (!task || strcmp(task, name) == 0)
            line_ring_last(&s->tasks[i]->ring, name, lines, emit, ctx);
    }
}

struct log_follower *supervisor_follow(struct supervisor *s, const char *task, void (*emit)(void *ctx, const struct task_line *line),
                                       void *ctx)
{
    struct log_follower *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    *f = (struct log_follower){.task = task ? strdup(task) : NULL, .emit = emit, .ctx = ctx, .next = s->followers};
    if (task && !f->task) {
        free(f);
        return NULL;
    }
    s->followers = f;
    return f;
}

void supervisor_unfollow(struct supervisor *s, struct log_follower *f)
{
    for (struct log_follower **at = &s->followers; *at; at = &(*at)->next) {
        if (*at != f)
            continue;
        *at = f->next;
        free(f->task);
        free(f);
        return;
    }
}

/* ---- slots ---- */

static int slot_add(struct sup_task *t)
{
    struct sup_slot **slots = realloc(t->slots, (t->slot_count + 1) * sizeof(struct sup_slot *));
    if (!slots)
        return GRID_ENOMEM;
    t->slots = slots;
    struct sup_slot *slot = calloc(1, sizeof *slot);
    if (!slot)
        return GRID_ENOMEM;
    slot->task = t;
    slot->number = (uint32_t) t->slot_count;
    t->slots[t->slot_count++] = slot;
    return 0;
}

static void slot_drop_last(struct sup_task *t)
{
    struct sup_slot *slot = t->slots[--t->slot_count];
    slot_retire(slot);
    log_sink_close(slot->log);
    free(slot);
    supervisor_changed(t->supervisor);
}

/* As many slots as are wanted, and each with what it needs. */
static int task_reconcile(struct sup_task *t)
{
    while (t->slot_count > t->wanted)
        slot_drop_last(t);
    int err = 0;
    while (err == 0 && t->slot_count < t->wanted)
        err = slot_add(t);
    for (size_t i = 0; i < t->slot_count; i++)
        slot_reconcile(t->slots[i]);
    return err;
}

/* ---- releases ---- */

static char **copy_list(const char *const *list)
{
    size_t count = 0, bytes = 0;
    for (; list && list[count]; count++)
        bytes += strlen(list[count]) + 1;
    char **copy = malloc((count + 1) * sizeof *copy + bytes);
    if (!copy)
        return NULL;
    char *text = (char *) (copy + count + 1);
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(list[i]) + 1;
        copy[i] = memcpy(text, list[i], size);
        text += size;
    }
    copy[count] = NULL;
    return copy;
}

void sup_release_unref(struct sup_release *r)
{
    if (--r->references > 0)
        return;
    free(r->root);
    free(r->tasks_folder);
    free(r->release);
    free(r->env);
    free(r);
}

struct sup_release *sup_release_ref(struct sup_release *r)
{
    r->references++;
    return r;
}

static struct sup_release *release_create(const struct release_env *env)
{
    struct sup_release *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    *r = (struct sup_release){1, strdup(env->root), strdup(env->tasks_folder), strdup(env->release), copy_list(env->env), env->instances};
    if (r->root && r->tasks_folder && r->release && r->env)
        return r;
    sup_release_unref(r);
    return NULL;
}

/* ---- tasks ---- */

static void task_destroy(struct sup_task *t)
{
    while (t->slot_count > 0)
        slot_drop_last(t);
    supervisor_changed(t->supervisor);
    line_ring_dispose(&t->ring);
    if (t->release)
        sup_release_unref(t->release);
    free(t->slots);
    free(t->spec.entry);
    free(t->spec.path);
    free(t);
}

static int compare_tasks(const void *a, const void *b)
{
    const struct sup_task *const *x = a, *const *y = b;
    return strcmp((*x)->spec.name, (*y)->spec.name);
}

static struct sup_task *task_add(struct supervisor *s, const char *name)
{
    struct sup_task **tasks = realloc(s->tasks, (s->task_count + 1) * sizeof(struct sup_task *));
    if (!tasks)
        return NULL;
    s->tasks = tasks;
    struct sup_task *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->supervisor = s;
    memcpy(t->spec.name, name, strlen(name) + 1);
    s->tasks[s->task_count++] = t;
    return t;
}

/* What stood in the way of the old version need not stand in the way of this one. */
static void task_forgive(struct sup_task *t)
{
    for (size_t i = 0; i < t->slot_count; i++) {
        loop_timer_stop(&t->slots[i]->restart);
        t->slots[i]->backoff = (struct backoff){0};
    }
    t->reason[0] = '\0';
    t->told_wide = false;
}

static uint32_t wanted_within(const struct sup_task *t, uint32_t count)
{
    uint32_t most = t->release->instances ? t->release->instances : t->supervisor->options.max_instances;
    return count < 1 ? 1 : count > most ? most : count;
}

static int task_update(struct sup_task *t, const struct task *spec, struct sup_release *release)
{
    char *entry = strdup(spec->entry), *path = strdup(spec->path);
    if (!entry || !path) {
        free(entry);
        free(path);
        return GRID_ENOMEM;
    }
    free(t->spec.entry);
    free(t->spec.path);
    t->spec = *spec;
    t->spec.entry = entry;
    t->spec.path = path;
    if (t->release)
        sup_release_unref(t->release);
    t->release = sup_release_ref(release);
    t->wanted = release->instances ? release->instances : wanted_within(t, t->wanted);
    t->seen = true;
    task_forgive(t);
    supervisor_changed(t->supervisor);
    return task_reconcile(t);
}

/* A task that could not be added whole is not there at all. */
static int apply_task(struct supervisor *s, const struct task *spec, struct sup_release *release)
{
    struct sup_task *t = task_find(s, spec->name);
    if (!t)
        t = task_add(s, spec->name);
    int err = t ? task_update(t, spec, release) : GRID_ENOMEM;
    if (t && !t->release) {
        s->task_count--;
        task_destroy(t);
    }
    return err;
}

static void drop_unseen(struct supervisor *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->task_count; i++) {
        if (s->tasks[i]->seen)
            s->tasks[kept++] = s->tasks[i];
        else
            task_destroy(s->tasks[i]);
    }
    s->task_count = kept;
}

int supervisor_apply(struct supervisor *s, const struct task_set *set, const struct release_env *env)
{
    struct sup_release *release = release_create(env);
    if (!release)
        return GRID_ENOMEM;
    for (size_t i = 0; i < s->task_count; i++)
        s->tasks[i]->seen = task_set_find(set, s->tasks[i]->spec.name) != NULL;
    drop_unseen(s);
    int err = 0;
    for (size_t i = 0; err == 0 && i < set->count; i++)
        err = apply_task(s, &set->tasks[i], release);
    if (s->task_count > 0)
        qsort(s->tasks, s->task_count, sizeof(struct sup_task *), compare_tasks);
    sup_release_unref(release);
    return err;
}

void supervisor_clear(struct supervisor *s)
{
    for (size_t i = 0; i < s->task_count; i++)
        s->tasks[i]->seen = false;
    drop_unseen(s);
    supervisor_changed(s);
}

void supervisor_want(struct supervisor *s, const char *task, uint32_t count)
{
    struct sup_task *t = task_find(s, task);
    if (!t || wanted_within(t, count) == t->wanted)
        return;
    t->wanted = wanted_within(t, count);
    supervisor_changed(s);
    task_reconcile(t);
}

void supervisor_grow(struct supervisor *s, const char *task)
{
    struct sup_task *t = task_find(s, task);
    if (!t)
        return;
    for (size_t i = 0; i < t->slot_count; i++) {
        if (!t->slots[i]->serving || t->slots[i]->serving->exited)
            return;
    }
    supervisor_want(s, task, t->wanted + 1);
}

void supervisor_report_refused(struct supervisor *s, uint64_t instance_id)
{
    for (struct sup_child *c = s->children; c; c = c->next) {
        if (c->instance->id == instance_id) {
            child_check(c);
            return;
        }
    }
}

bool supervisor_uses_root(const struct supervisor *s, const char *root)
{
    for (const struct sup_child *c = s->children; c; c = c->next)
        if (strcmp(c->release->root, root) == 0)
            return true;
    return false;
}

/* ---- the list ---- */

const char *supervisor_status_name(enum supervisor_status status)
{
    static const char *const names[] = {"online", "starting", "errored"};
    return names[status];
}

/* One allocation: the tasks, their instances, their places, their paths. */
struct listing {
    struct supervisor_task *tasks;
    struct supervisor_instance *instances;
    struct supervisor_place *places;
    char *text;
};

static size_t path_size(const struct sup_task *t)
{
    return strlen(t->release->tasks_folder) + 1 + strlen(t->spec.path) + 1;
}

static void list_child(struct listing *l, struct supervisor_task *out, const struct sup_child *c, const struct firewall *f)
{
    if (!c || c->exited)
        return;
    bool ready = c->state == CHILD_READY;
    *l->instances++ = (struct supervisor_instance){.instance = c->instance, .pid = process_pid(c->process), .started_at_ms = c->started_at_ms,
                                                   .release = c->confirmed->release, .ready = ready, .wide = c->wide,
                                                   .shut = c->wide && f && firewall_is_shut(f, c->instance->port)};
    out->instance_count++;
    out->ready += ready;
    if (out->port == 0)
        out->port = c->instance->port;
}

static void list_place(struct listing *l, struct supervisor_task *out, const struct sup_slot *slot)
{
    struct supervisor_place place = {.errored = backoff_is_errored(&slot->backoff) || (slot->starting && slot->starting->late)};
    if (loop_timer_running(&slot->restart))
        place.next_start_at_ms = slot->restart_at_ms;
    if (place.next_start_at_ms && (!out->next_start_at_ms || place.next_start_at_ms < out->next_start_at_ms))
        out->next_start_at_ms = place.next_start_at_ms;
    out->hopeless |= backoff_is_hopeless(&slot->backoff);
    *l->places++ = place;
    out->place_count++;
}

static enum supervisor_status status_of(const struct supervisor_task *t)
{
    for (size_t i = 0; t->ready == 0 && i < t->place_count; i++)
        if (t->places[i].errored)
            return SUPERVISOR_ERRORED;
    return t->ready > 0 ? SUPERVISOR_ONLINE : SUPERVISOR_STARTING;
}

static bool is_outdated(const struct sup_task *t, const struct sup_child *c)
{
    return c && !c->exited && memcmp(c->digest, t->spec.digest, sizeof c->digest) != 0;
}

static void list_task(struct listing *l, const struct sup_task *t)
{
    struct supervisor_task *out = l->tasks++;
    *out = (struct supervisor_task){.name = t->spec.name, .path = l->text, .reason = t->reason, .restarts = t->restarts,
                                    .wanted = t->wanted, .instances = l->instances, .places = l->places};
    l->text += sprintf(l->text, "%s/%s", t->release->tasks_folder, t->spec.path) + 1;
    for (size_t i = 0; i < t->slot_count; i++) {
        out->renewing |= is_outdated(t, t->slots[i]->serving);
        list_child(l, out, t->slots[i]->serving, t->supervisor->firewall);
        list_child(l, out, t->slots[i]->starting, t->supervisor->firewall);
        list_place(l, out, t->slots[i]);
    }
    out->hopeless &= out->ready == 0;
    out->status = status_of(out);
}

const struct supervisor_task *supervisor_list(struct supervisor *s, size_t *count)
{
    size_t places = 0, text = 0;
    for (size_t i = 0; i < s->task_count; i++) {
        places += s->tasks[i]->slot_count;
        text += path_size(s->tasks[i]);
    }
    *count = 0;
    free(s->listed);
    s->listed = calloc(1, s->task_count * sizeof(struct supervisor_task) + places * (2 * sizeof(struct supervisor_instance) + sizeof(struct supervisor_place)) + text + 1);
    if (!s->listed || s->task_count == 0)
        return NULL;
    struct listing l = {.tasks = s->listed};
    l.instances = (struct supervisor_instance *) (l.tasks + s->task_count);
    l.places = (struct supervisor_place *) (l.instances + 2 * places);
    l.text = (char *) (l.places + places);
    for (size_t i = 0; i < s->task_count; i++)
        list_task(&l, s->tasks[i]);
    *count = s->task_count;
    return s->listed;
}

/* ---- life ---- */

static bool copy_string(const char **at)
{
    *at = strdup(*at ? *at : "");
    return *at != NULL;
}

static int copy_options(struct supervisor_options *o)
{
    bool all = copy_string(&o->state_dir);
    all &= copy_string(&o->node_runtime);
    all &= copy_string(&o->python_runtime);
    all &= copy_string(&o->grid_name);
    all &= copy_string(&o->node_name);
    all &= copy_string(&o->node_id);
    all &= copy_string(&o->api);
    all &= copy_string(&o->exec_helper);
    o->max_payload = o->max_payload ? o->max_payload : 6 * 1024 * 1024;
    o->max_instances = o->max_instances ? o->max_instances : 1;
    o->late_timeout_ms = o->late_timeout_ms ? o->late_timeout_ms : 10000;
    o->ready_timeout_ms = o->ready_timeout_ms ? o->ready_timeout_ms : 60000;
    o->stop_timeout_ms = o->stop_timeout_ms ? o->stop_timeout_ms : 1600;
    o->drain_timeout_ms = o->drain_timeout_ms ? o->drain_timeout_ms : 30000;
    return all ? 0 : GRID_ENOMEM;
}

static void supervisor_free(struct supervisor *s)
{
    const struct supervisor_options *o = &s->options;
    const char *strings[] = {o->state_dir, o->node_runtime, o->python_runtime, o->grid_name, o->node_name, o->node_id, o->api, o->exec_helper};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        free((char *) strings[i]);
    while (s->followers)
        supervisor_unfollow(s, s->followers);
    loop_defer_cancel(&s->changed);
    task_confine_destroy(s->confine);
    free(s->listed);
    free(s->tasks);
    free(s);
}

/* Processes of our tasks that left their group: every task's environment has the node's id, which is ours alone; one that cleared it
 * still has the tasks' user, when nobody else has. */
static unsigned end_escaped(const struct supervisor *s)
{
    char mark[128];
    const struct task_user *user = s->confine ? task_confine_user(s->confine) : NULL;
    if (user && user->exclusive) {
        proc_user_end(user->uid);
        return 0;
    }
    if (strlen(s->options.node_id) < NODE_ID_DIGITS)
        return 0; /* no id of a node: others might carry it too */
    snprintf(mark, sizeof mark, "GRID_NODE_ID=%s", s->options.node_id);
    return proc_marked_end(mark);
}

/* A user that was named may have run tasks from another folder. */
static bool has_leftovers(const struct supervisor *s)
{
    return !s->options.first_start || s->options.task_user;
}

static void end_leftovers(struct supervisor *s)
{
    char *path;
    if (!has_leftovers(s) || asprintf(&path, "%s/tasks.pids", s->options.state_dir) < 0)
        return;
    unsigned ended = pid_file_end_leftovers(path) + end_escaped(s);
    free(path);
    if (ended > 0)
        log_line(LOG_WARN, "task processes that an earlier daemon left running were ended", LOGF_INT("processes", ended));
}

static int open_confine(struct supervisor *s, const struct supervisor_options *o, char why[TASK_WHY_MAX])
{
    struct task_confine_options options = {.state_dir = o->state_dir, .runtimes = o->runtimes, .task_user = o->task_user, .node_id = o->node_id, .sandbox = o->sandbox};
    int err = task_confine_create(&options, &s->confine, why);
    if (err != 0 || (err = task_confine_prepare(s->confine)) == 0)
        return err;
    snprintf(why, TASK_WHY_MAX, "--state: the tasks' folders cannot be made in %.300s (%s): free space or mend its permissions", o->state_dir, grid_err_text(err));
    return err;
}

static void shut_changed(void *arg)
{
    supervisor_changed(arg);
}

/* Only root may; without memory or nft ports stay as open as their tasks make them. */
static void open_firewall(struct supervisor *s)
{
    char table[64];
    snprintf(table, sizeof table, "gridcontrol_%.16s", s->options.node_id);
    if (geteuid() == 0 && strlen(s->options.node_id) >= NODE_ID_DIGITS)
        s->firewall = firewall_create(s->loop, table, !s->options.first_start, shut_changed, s);
}

int supervisor_create(struct loop *l, const struct supervisor_options *options, struct supervisor **out, char why[TASK_WHY_MAX])
{
    struct supervisor *s = calloc(1, sizeof *s);
    snprintf(why, TASK_WHY_MAX, "out of memory");
    if (!s)
        return GRID_ENOMEM;
    s->loop = l;
    s->options = *options;
    s->chance = (uint32_t) loop_clock_ms();
    ports_init(&s->ports, options->first_port);
    int err = copy_options(&s->options);
    if (err == 0) {
        end_leftovers(s); /* before their folders are given to others */
        err = open_confine(s, options, why);
        if (err == 0 && has_leftovers(s))
            end_escaped(s); /* now that their user is known */
    }
    if (err == 0)
        err = log_writer_create(l, 0, &s->log_writer);
    if (err != 0) {
        supervisor_free(s);
        return err;
    }
    open_firewall(s);
    if (rubbish_create(l, options->state_dir, &s->rubbish) != 0)
        log_line(LOG_WARN, "what tasks have left in their temporary folders is deleted at the next start: out of memory");
    *out = s;
    return 0;
}

const struct task_user *supervisor_user(const struct supervisor *s)
{
    return task_confine_user(s->confine);
}

static void logs_written(void *arg)
{
    struct supervisor *s = arg;
    loop_fn done = s->close_done;
    void *done_arg = s->close_arg;
    supervisor_free(s);
    done(done_arg);
}

static void rubbish_rests(void *arg)
{
    struct supervisor *s = arg;
    s->rubbish = NULL;
    log_writer_close(s->log_writer, logs_written, s);
}

static void ports_open_again(void *arg)
{
    struct supervisor *s = arg;
    s->firewall = NULL;
    if (s->rubbish)
        rubbish_close(s->rubbish, rubbish_rests, s);
    else
        rubbish_rests(s);
}

static void finish_close(void *arg)
{
    struct supervisor *s = arg;
    end_escaped(s);
    write_pids(s);
    if (s->firewall)
        firewall_close(s->firewall, ports_open_again, s);
    else
        ports_open_again(s);
}

void supervisor_child_gone(struct supervisor *s)
{
    supervisor_changed(s);
    if (!s->closing || s->children)
        return;
    loop_defer_cancel(&s->changed);
    loop_defer(s->loop, &s->changed, finish_close, s);
}

void supervisor_close(struct supervisor *s, loop_fn done, void *arg)
{
    supervisor_clear(s);
    s->closing = true;
    s->close_done = done;
    s->close_arg = arg;
    if (!s->children)
        supervisor_child_gone(s);
}
