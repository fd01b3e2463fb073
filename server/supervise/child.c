/* The life of one process of a task, from its port to its end. See the state machine in supervisor.h. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "net/port.h"
#include "server/supervise/proc.h"
#include "server/supervise/supervisor_internal.h"
#include "server/supervise/task_plan.h"

enum {
    DRAIN_LOOK_MS = 10,
    DRAIN_IDLE_LOOKS = 5,
    PORT_LOST_RETRY_MS = 20,
    PORTS_LOST_MAX = 8, /* in a row; then it counts as a failure */
    ARGS_MAX = 5,
    OWN_ENV_MAX = 20,
};

static void child_stop(struct sup_child *c);

/* ---- reasons ---- */

static void explain_exit(const struct sup_child *c, char out[REASON_MAX])
{
    char how[96];
    bool ended_well = c->state == CHILD_STARTING && c->exit_signal == 0 && c->exit_status == 0;
    const char *telling = c->telling[0] ? c->telling : ended_well ? "a task is a server that keeps running" : "";
    const char *colon = telling[0] ? ": " : "";
    if (c->exit_signal != 0)
        snprintf(how, sizeof how, "it was ended by signal %d (SIG%s)", c->exit_signal, sigabbrev_np(c->exit_signal));
    else
        snprintf(how, sizeof how, "it exited with status %lld", (long long) c->exit_status);
    if (c->state == CHILD_STARTING)
        snprintf(out, REASON_MAX, "%s before it listened on TASK_PORT (%u)%s%s", how, c->instance->port, colon, telling);
    else
        snprintf(out, REASON_MAX, "%s after %llu s%s%s", how,
                 (unsigned long long) (loop_now_ms(c->supervisor->loop) - c->began_ms) / 1000, colon, telling);
}

static void explain_spawn(const struct sup_child *c, const struct confine_report *failed, char out[REASON_MAX])
{
    static const char *const programs[] = {[TASK_NODE] = "Node.js (node)", [TASK_PYTHON] = "Python (python3)"};
    const struct sup_task *t = c->slot->task;
    bool absent = failed->stage == CONFINE_STAGE_PROGRAM && failed->error == ENOENT;
    bool closed = failed->stage == CONFINE_STAGE_PROGRAM && failed->error == EACCES;
    char program[REASON_MAX / 2];
    snprintf(program, sizeof program, "%.64s/%.150s", t->release->tasks_folder, t->spec.path);
    if (t->spec.kind != TASK_EXECUTABLE && absent)
        snprintf(out, REASON_MAX, "it needs %s, which is not in PATH: install it", programs[t->spec.kind]);
    else if (t->spec.kind != TASK_EXECUTABLE && closed)
        snprintf(out, REASON_MAX, "it needs %s, and the one in PATH may not be run by the tasks' user: install it for all users", programs[t->spec.kind]);
    else if (absent)
        snprintf(out, REASON_MAX, "%s cannot be run: it, or the interpreter behind its #!, does not exist", program);
    else
        task_plan_explain(failed, program, out, REASON_MAX);
}

static void explain_end(const struct sup_child *c, char out[REASON_MAX])
{
    struct confine_report failed;
    if (process_failed(c->process, &failed))
        explain_spawn(c, &failed, out);
    else
        explain_exit(c, out);
}

/* The program that a task of its kind runs under, NULL for one that runs as it is. */
static const char *runtime_of(const struct sup_task *t)
{
    const struct supervisor_options *o = &t->supervisor->options;
    return t->spec.kind == TASK_NODE ? o->node_runtime : t->spec.kind == TASK_PYTHON ? o->python_runtime : NULL;
}

/* Whether the daemon was installed without what this task runs under. */
static bool lacks_runtime(const struct sup_task *t, char why[REASON_MAX])
{
    const char *runtime = runtime_of(t);
    if (!runtime || access(runtime, R_OK) == 0)
        return false;
    snprintf(why, REASON_MAX, "this installation of gridd is incomplete, %.250s cannot be read (%s): install GridControl whole, or name the folder with --runtimes",
             runtime, strerror(errno));
    return true;
}

static void set_reason(struct sup_task *t, const char *reason)
{
    snprintf(t->reason, sizeof t->reason, "%s", reason);
    supervisor_changed(t->supervisor);
}

/* ---- memory ---- */

static struct sup_child *child_create(struct sup_slot *slot, uint16_t port)
{
    struct supervisor *s = slot->task->supervisor;
    struct sup_child *c = calloc(1, sizeof *c);
    struct instance *instance = c ? instance_create(++s->next_instance, slot->task->spec.name, slot->number, port) : NULL;
    if (!instance) {
        free(c);
        return NULL;
    }
    *c = (struct sup_child){.supervisor = s, .slot = slot, .instance = instance};
    c->release = sup_release_ref(slot->task->release);
    c->confirmed = sup_release_ref(slot->task->release);
    memcpy(c->digest, slot->task->spec.digest, sizeof c->digest);
    c->began_ms = loop_now_ms(s->loop);
    c->started_at_ms = loop_wall_ms();
    c->next = s->children;
    c->link = &s->children;
    if (c->next)
        c->next->link = &c->next;
    s->children = c;
    return c;
}

static void child_destroy(struct sup_child *c)
{
    struct supervisor *s = c->supervisor;
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    loop_timer_stop(&c->timer);
    probe_stop(c->probe);
    ports_release(&s->ports, c->instance->port);
    instance_unref(c->instance);
    sup_release_unref(c->confirmed);
    sup_release_unref(c->release);
    free(c);
    supervisor_child_gone(s);
}

/* ---- restarts ---- */

static void restart_due(void *arg)
{
    slot_reconcile(arg);
}

/* A child of the slot has failed: tries again when the backoff says so. */
static void slot_failed(struct sup_slot *slot, uint64_t served_ms, const char *reason)
{
    struct supervisor *s = slot->task->supervisor;
    s->chance = s->chance * 1664525u + 1013904223u;
    uint64_t wait_ms = backoff_ended(&slot->backoff, served_ms, s->chance >> 8);
    slot->restart_at_ms = loop_wall_ms() + (int64_t) wait_ms;
    slot->task->restarts++;
    set_reason(slot->task, reason);
    log_line(LOG_WARN, "a task failed and will be started again", LOGF_STR("task", slot->task->spec.name),
             LOGF_INT("instance", slot->number), LOGF_STR("reason", reason), LOGF_INT("in_ms", wait_ms));
    supervisor_log(slot, TASK_STREAM_GRID, slice_of_str(reason));
    loop_timer_start(s->loop, &slot->restart, wait_ms, restart_due, slot);
}

/* The slot lets go of the child, which goes on to its end by itself. */
static void detach(struct sup_child *c)
{
    struct sup_slot *slot = c->slot;
    if (!slot)
        return;
    if (slot->serving == c)
        slot->serving = NULL;
    if (slot->starting == c)
        slot->starting = NULL;
    c->slot = NULL;
    atomic_store(&c->instance->draining, 1);
    supervisor_changed(c->supervisor);
}

static uint64_t uptime_ms(const struct sup_child *c)
{
    return loop_now_ms(c->supervisor->loop) - c->began_ms;
}

static uint64_t served_ms(const struct sup_child *c)
{
    return c->ready_ms ? loop_now_ms(c->supervisor->loop) - c->ready_ms : 0;
}

/* It runs but is of no use: stopped, and another one tried. */
static void child_give_up(struct sup_child *c, const char *reason)
{
    struct sup_slot *slot = c->slot;
    detach(c);
    slot_failed(slot, served_ms(c), reason);
    child_stop(c);
}

/* Somebody else was quicker on its port: no fault of the task's, another port is tried at once. */
static void port_lost(struct sup_child *c)
{
    struct supervisor *s = c->supervisor;
    struct sup_slot *slot = c->slot;
    log_line(LOG_INFO, "a task's port was taken by another process, another one is tried", LOGF_STR("task", slot->task->spec.name),
             LOGF_INT("port", c->instance->port));
    ports_avoid(&s->ports, c->instance->port, loop_now_ms(s->loop));
    detach(c);
    if (++slot->ports_lost >= PORTS_LOST_MAX) {
        slot_failed(slot, 0, "other processes took each port that it was given");
        return;
    }
    slot->restart_at_ms = loop_wall_ms() + PORT_LOST_RETRY_MS;
    loop_timer_start(s->loop, &slot->restart, PORT_LOST_RETRY_MS, restart_due, slot);
}

/* ---- stopping ---- */

static void stop_overdue(void *arg)
{
    struct sup_child *c = arg;
    process_signal(c->process, SIGKILL);
}

static void child_stop(struct sup_child *c)
{
    probe_stop(c->probe);
    c->probe = NULL;
    c->state = CHILD_STOPPING;
    if (c->exited)
        return;
    process_signal(c->process, SIGTERM);
    loop_timer_start(c->supervisor->loop, &c->timer, c->supervisor->options.stop_timeout_ms, stop_overdue, c);
}

/* Idle for several looks: a worker that picked it just before it was draining has counted itself in by then. */
static void drain_look(void *arg)
{
    struct sup_child *c = arg;
    c->idle_looks = atomic_load(&c->instance->in_flight) == 0 ? c->idle_looks + 1 : 0;
    if (c->idle_looks >= DRAIN_IDLE_LOOKS || loop_now_ms(c->supervisor->loop) >= c->drain_until_ms) {
        child_stop(c);
        return;
    }
    loop_timer_start(c->supervisor->loop, &c->timer, DRAIN_LOOK_MS, drain_look, c);
}

static void child_drain(struct sup_child *c)
{
    probe_stop(c->probe);
    c->probe = NULL;
    c->state = CHILD_DRAINING;
    c->drain_until_ms = loop_now_ms(c->supervisor->loop) + c->supervisor->options.drain_timeout_ms;
    drain_look(c);
}

static void child_retire(struct sup_child *c)
{
    if (!c)
        return;
    bool was_ready = c->state == CHILD_READY;
    detach(c);
    if (was_ready && !c->exited)
        child_drain(c);
    else
        child_stop(c);
}

void slot_retire(struct sup_slot *slot)
{
    loop_timer_stop(&slot->restart);
    child_retire(slot->serving);
    child_retire(slot->starting);
}

/* ---- readiness ---- */

static void child_ready(struct sup_child *c)
{
    struct sup_slot *slot = c->slot;
    struct sup_child *before = slot->serving;
    loop_timer_stop(&c->timer);
    c->state = CHILD_READY;
    c->ready_ms = loop_now_ms(c->supervisor->loop);
    slot->starting = NULL;
    slot->serving = c;
    slot->ports_lost = 0;
    slot->task->reason[0] = '\0';
    supervisor_changed(c->supervisor);
    log_line(LOG_INFO, "a task is ready", LOGF_STR("task", slot->task->spec.name), LOGF_INT("instance", slot->number),
             LOGF_INT("port", c->instance->port), LOGF_INT("pid", process_pid(c->process)), LOGF_INT("took_ms", uptime_ms(c)));
    child_retire(before);
}

/* Once for a task, and again for its next version. */
static void tell_wide(const struct sup_child *c)
{
    struct sup_task *t = c->slot->task;
    if (!c->wide || t->told_wide)
        return;
    t->told_wide = true;
    log_line(LOG_WARN, "a task listens on all interfaces: whoever reaches this machine may call it past the grid; let it listen on 127.0.0.1", LOGF_STR("task", t->spec.name),
             LOGF_INT("port", c->instance->port), LOGF_STR("shut_off", c->supervisor->firewall ? "from other machines, by nftables" : "no: gridd is not root"));
}

static void on_probed(void *ctx, enum probe_result result)
{
    struct sup_child *c = ctx;
    c->probe = NULL;
    if (!c->slot || c->exited)
        return;
    if (result == PROBE_ACCEPTED || result == PROBE_ACCEPTED_WIDE) {
        c->wide = result == PROBE_ACCEPTED_WIDE;
        child_ready(c);
        tell_wide(c);
        return;
    }
    port_lost(c);
    child_stop(c);
}

static void explain_silence(const struct sup_child *c, uint64_t within_ms, char out[REASON_MAX])
{
    snprintf(out, REASON_MAX, "it did not listen on TASK_PORT (127.0.0.1:%u) within %llu s%s%s", c->instance->port, (unsigned long long) (within_ms + 999) / 1000,
             c->telling[0] ? ": " : "", c->telling);
}

static void not_ready_in_time(void *arg)
{
    struct sup_child *c = arg;
    char reason[REASON_MAX];
    explain_silence(c, c->supervisor->options.ready_timeout_ms, reason);
    child_give_up(c, reason);
}

/* Said to whoever waits; a server that takes long to start, or a machine that is busy, is let go on. */
static void child_is_late(void *arg)
{
    struct sup_child *c = arg;
    const struct supervisor_options *o = &c->supervisor->options;
    char reason[REASON_MAX];
    explain_silence(c, o->late_timeout_ms, reason);
    c->late = true;
    set_reason(c->slot->task, reason);
    log_line(LOG_WARN, "a task is late", LOGF_STR("task", c->instance->task), LOGF_INT("instance", c->instance->number), LOGF_STR("reason", reason));
    supervisor_log(c->slot, TASK_STREAM_GRID, slice_of_str(reason));
    loop_timer_start(c->supervisor->loop, &c->timer, o->ready_timeout_ms - o->late_timeout_ms, not_ready_in_time, c);
}

static void child_await(struct sup_child *c)
{
    const struct supervisor_options *o = &c->supervisor->options;
    if (o->late_timeout_ms < o->ready_timeout_ms)
        loop_timer_start(c->supervisor->loop, &c->timer, o->late_timeout_ms, child_is_late, c);
    else
        loop_timer_start(c->supervisor->loop, &c->timer, o->ready_timeout_ms, not_ready_in_time, c);
}

static void on_checked(void *ctx, enum probe_result result)
{
    struct sup_child *c = ctx;
    c->probe = NULL;
    if (!c->slot || c->exited || result == PROBE_ACCEPTED || result == PROBE_ACCEPTED_WIDE)
        return;
    char reason[REASON_MAX];
    snprintf(reason, sizeof reason, "it runs but no longer listens on TASK_PORT (127.0.0.1:%u)", c->instance->port);
    child_give_up(c, reason);
}

void child_check(struct sup_child *c)
{
    if (c->state == CHILD_READY && c->slot && !c->exited && !c->probe)
        c->probe = probe_start(c->supervisor->loop, c->instance->port, process_pid(c->process), true, on_checked, c);
}

/* ---- events of the process ---- */

static void on_line(void *ctx, enum task_stream stream, struct slice text)
{
    struct sup_child *c = ctx;
    if (stream == TASK_STREAM_STDERR && task_line_tells(text))
        task_line_copy(text, c->telling, sizeof c->telling);
    /* What one that is drained or stopped has to say stands with its task's lines, as long as there is the task. */
    struct sup_slot *slot = c->slot ? c->slot : supervisor_slot(c->supervisor, c->instance->task, c->instance->number);
    if (slot)
        supervisor_log(slot, stream, text);
}

static void on_exit_child(void *ctx, int64_t status, int signal)
{
    struct sup_child *c = ctx;
    c->exited = true;
    c->exit_status = status;
    c->exit_signal = signal;
    loop_timer_stop(&c->timer);
    probe_stop(c->probe);
    c->probe = NULL;
    atomic_store(&c->instance->draining, 1);
    c->port_lost = c->slot && c->state == CHILD_STARTING && !port_is_free(c->instance->port);
    supervisor_changed(c->supervisor);
}

/* All its output is here: now the reason can be told. */
static void on_done(void *ctx)
{
    struct sup_child *c = ctx;
    struct sup_slot *slot = c->slot;
    if (slot && c->port_lost) {
        port_lost(c);
    } else if (slot) {
        char reason[REASON_MAX];
        explain_end(c, reason);
        bool replaced = slot->serving == c && slot->starting;
        detach(c);
        if (replaced)
            slot->task->restarts++;
        else
            slot_failed(slot, served_ms(c), reason);
    }
    child_destroy(c);
}

/* ---- starting ---- */

static bool port_is_free_fn(void *ctx, uint16_t port)
{
    (void) ctx;
    return port_is_free(port);
}

static void fill_args(const struct sup_task *t, const char *path, char *args[ARGS_MAX])
{
    size_t n = 0;
    if (t->spec.kind == TASK_NODE) {
        args[n++] = (char *) "node";
    } else if (t->spec.kind == TASK_PYTHON) {
        args[n++] = (char *) "python3";
        args[n++] = (char *) "-u";
    }
    if (runtime_of(t))
        args[n++] = (char *) runtime_of(t);
    args[n++] = (char *) path;
    args[n] = NULL;
}

struct own_env {
    char *variables[OWN_ENV_MAX];
    size_t count;
    bool failed;
};

__attribute__((format(printf, 2, 3))) static void own_add(struct own_env *e, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (vasprintf(&e->variables[e->count], format, args) < 0) {
        e->variables[e->count] = NULL;
        e->failed = true;
    } else {
        e->count++;
    }
    va_end(args);
}

/* What one task compiles is run by no other, nor in another release; the wrapper for Python takes away what older releases left. */
static void add_python(struct own_env *own, const char *state, const struct sup_task *t, const char *release)
{
    if (t->spec.kind == TASK_PYTHON)
        own_add(own, "PYTHONPYCACHEPREFIX=%s/tmp/%s/pycache/%.16s", state, t->spec.name, release);
    else
        own_add(own, "PYTHONDONTWRITEBYTECODE=1");
}

/* Where it may write, and, when it has a user of its own, who that is. */
static void add_places(struct own_env *own, const struct supervisor *s, const char *task)
{
    const char *state = task_confine_state(s->confine);
    const struct task_user *user = task_confine_user(s->confine);
    own_add(own, "GRID_DATA_DIR=%s/data/%s", state, task);
    own_add(own, "TMPDIR=%s/tmp/%s", state, task);
    if (!user->own)
        return;
    own_add(own, "HOME=%s/data/%s", state, task);
    own_add(own, "USER=%s", user->name[0] ? user->name : "gridtask");
    own_add(own, "LOGNAME=%s", user->name[0] ? user->name : "gridtask");
}

static char **child_env(const struct sup_child *c, const struct sup_task *t, const char *path)
{
    const struct supervisor *s = c->supervisor;
    const struct supervisor_options *o = &s->options;
    struct own_env own = {.count = 0};
    own_add(&own, "TASK_PORT=%u", c->instance->port);
    own_add(&own, "PORT=%u", c->instance->port);
    own_add(&own, "TASK_NAME=%s", t->spec.name);
    own_add(&own, "TASK_PATH=%s", path);
    own_add(&own, "GRID_NAME=%s", o->grid_name);
    own_add(&own, "GRID_NODE=%s", o->node_name);
    own_add(&own, "GRID_NODE_ID=%s", o->node_id);
    own_add(&own, "GRID_RELEASE=%s", c->release->release);
    own_add(&own, "GRID_API=%s", o->api);
    own_add(&own, "GRID_MAX_PAYLOAD=%llu", (unsigned long long) o->max_payload);
    add_places(&own, s, t->spec.name);
    add_python(&own, task_confine_state(s->confine), t, c->release->release);
    char **env = own.failed ? NULL : task_env_build(environ, &s->options.task_env, c->release->env, own.variables);
    for (size_t i = 0; i < own.count; i++)
        free(own.variables[i]);
    return env;
}

/* 0, or GRID_E* when the process could not even be begun; what the program's start meets comes with its end. */
static int child_launch(struct sup_child *c, const struct sup_task *t, char *path, char **env)
{
    static const struct process_events events = {on_line, on_exit_child, on_done};
    const struct supervisor *s = c->supervisor;
    char *args[ARGS_MAX];
    struct buf plan;
    int reason;
    fill_args(t, path, args);
    buf_init(&plan, CONFINE_PLAN_MAX);
    struct task_confine_request request = {t->spec.name, c->release->root, c->instance->port, args, env};
    int err = task_confine_plan(s->confine, &request, &plan);
    if (err == 0) {
        struct process_spec spec = {s->options.exec_helper, buf_slice(&plan)};
        err = process_spawn(s->loop, &spec, &events, c, &c->process, &reason);
    }
    buf_dispose(&plan);
    return err;
}

static int child_spawn(struct sup_child *c, const struct sup_task *t)
{
    char *path;
    if (asprintf(&path, "%s/%s/%s", c->release->root, c->release->tasks_folder, t->spec.path) < 0)
        return GRID_ENOMEM;
    int err = task_confine_folders(c->supervisor->confine, t->spec.name);
    char **env = err == 0 ? child_env(c, t, path) : NULL;
    if (err == 0)
        err = env ? child_launch(c, t, path, env) : GRID_ENOMEM;
    free(env);
    free(path);
    return err;
}

static void child_begin(struct sup_child *c)
{
    struct supervisor *s = c->supervisor;
    struct proc_stat stat;
    if (proc_stat_read(process_pid(c->process), &stat) == 0)
        c->start_time = stat.start_time;
    c->slot->starting = c;
    c->probe = probe_start(s->loop, c->instance->port, process_pid(c->process), false, on_probed, c);
    child_await(c);
    supervisor_changed(s);
}

static void slot_start(struct sup_slot *slot)
{
    struct supervisor *s = slot->task->supervisor;
    char reason[REASON_MAX];
    if (lacks_runtime(slot->task, reason)) {
        slot_failed(slot, 0, reason);
        return;
    }
    uint16_t port = ports_take(&s->ports, loop_now_ms(s->loop), port_is_free_fn, NULL);
    if (port == 0) {
        slot_failed(slot, 0, "no port is free from --task-ports upward");
        return;
    }
    struct sup_child *c = child_create(slot, port);
    if (!c) {
        ports_release(&s->ports, port);
        slot_failed(slot, 0, "out of memory");
        return;
    }
    int err = child_spawn(c, slot->task);
    if (err == 0) {
        child_begin(c);
        return;
    }
    snprintf(reason, sizeof reason, "its process cannot be started: %s", grid_err_text(err));
    child_destroy(c);
    slot_failed(slot, 0, reason);
}

static bool is_current(const struct sup_child *c)
{
    return memcmp(c->digest, c->slot->task->spec.digest, TASK_DIGEST_BYTES) == 0;
}

static void confirm(struct sup_child *c)
{
    if (!c || !is_current(c))
        return;
    struct sup_release *before = c->confirmed;
    c->confirmed = sup_release_ref(c->slot->task->release);
    sup_release_unref(before);
}

void slot_reconcile(struct sup_slot *slot)
{
    confirm(slot->serving);
    confirm(slot->starting);
    if (slot->starting && !is_current(slot->starting))
        child_retire(slot->starting);
    if (slot->starting || loop_timer_running(&slot->restart))
        return;
    if (!slot->serving || slot->serving->exited || !is_current(slot->serving))
        slot_start(slot);
}
