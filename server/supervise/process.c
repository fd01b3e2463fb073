/* Spawning into a session of its own, reading both pipes, and tidying up behind the leader. */
#include "server/supervise/process.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"

enum {
    PROCESS_OUTPUTS = 2,
    PROCESS_PASSED = 4, /* descriptors of the child after 0: its outputs, CONFINE_PLAN_FD, CONFINE_REPORT_FD */
    PROCESS_LAST_WORDS_MS = 250,         /* after the end: for output that somebody outside the group still holds open */
    PROCESS_FLOOD_BYTES = 1024 * 1024,   /* read of one process within */
    PROCESS_FLOOD_MS = 50,               /* this time; then it waits, so that the loop has time for others */
};

struct process_output {
    struct process *process;
    uv_pipe_t pipe;
    enum task_stream stream;
    struct line_splitter splitter;
    bool open;
};

struct process {
    struct loop *loop;
    uv_process_t uv;
    struct process_output outputs[PROCESS_OUTPUTS];
    struct process_events events;
    void *ctx;
    struct loop_timer last_words, flood;
    size_t flood_bytes;
    unsigned handles; /* not yet closed */
    bool exited;
    bool silent; /* was never started: no events */
    int report_fd; /* -1 once read */
    struct confine_report report; /* stage 0: none */
};

/* ---- closing ---- */

static void on_closed(uv_handle_t *handle)
{
    struct process *p = handle->data;
    if (--p->handles > 0)
        return;
    loop_timer_stop(&p->last_words);
    loop_timer_stop(&p->flood);
    if (!p->silent)
        p->events.on_done(p->ctx);
    free(p);
}

static void emit_line(void *ctx, struct slice text)
{
    struct process_output *o = ctx;
    o->process->events.on_line(o->process->ctx, o->stream, text);
}

static void output_close(struct process_output *o)
{
    if (!o->open)
        return;
    o->open = false;
    line_splitter_finish(&o->splitter, emit_line, o);
    uv_close((uv_handle_t *) &o->pipe, on_closed);
}

static void process_finish(void *arg)
{
    struct process *p = arg;
    for (int i = 0; i < PROCESS_OUTPUTS; i++)
        output_close(&p->outputs[i]);
}

/* The other end is closed by the program's start, or after the report. */
static void read_report(struct process *p)
{
    if (read(p->report_fd, &p->report, sizeof p->report) != (ssize_t) sizeof p->report)
        p->report = (struct confine_report){0, 0};
    close(p->report_fd);
    p->report_fd = -1;
}

static void on_exit_status(uv_process_t *handle, int64_t status, int signal)
{
    struct process *p = handle->data;
    p->exited = true;
    read_report(p);
    kill(-handle->pid, SIGKILL); /* whom it left behind in its group */
    loop_timer_start(p->loop, &p->last_words, PROCESS_LAST_WORDS_MS, process_finish, p);
    p->events.on_exit(p->ctx, status, signal);
    uv_close((uv_handle_t *) handle, on_closed);
}

/* ---- output ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void) suggested;
    struct process *p = handle->data;
    struct loop_scratch scratch = loop_scratch(p->loop);
    *buf = uv_buf_init((char *) scratch.data, (unsigned) scratch.size);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void flood_over(void *arg)
{
    struct process *p = arg;
    p->flood_bytes = 0;
    for (int i = 0; i < PROCESS_OUTPUTS; i++) {
        if (p->outputs[i].open)
            uv_read_start((uv_stream_t *) &p->outputs[i].pipe, on_alloc, on_read);
    }
}

static void flood_check(struct process *p, size_t more)
{
    if (p->flood_bytes == 0)
        loop_timer_start(p->loop, &p->flood, PROCESS_FLOOD_MS, flood_over, p);
    p->flood_bytes += more;
    if (p->flood_bytes < PROCESS_FLOOD_BYTES)
        return;
    for (int i = 0; i < PROCESS_OUTPUTS; i++) {
        if (p->outputs[i].open)
            uv_read_stop((uv_stream_t *) &p->outputs[i].pipe);
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct process *p = stream->data;
    struct process_output *o = stream == (uv_stream_t *) &p->outputs[0].pipe ? &p->outputs[0] : &p->outputs[1];
    if (n < 0) {
        output_close(o);
        return;
    }
    line_splitter_feed(&o->splitter, slice_of(buf->base, (size_t) n), emit_line, o);
    if (n > 0)
        flood_check(p, (size_t) n);
}

/* ---- starting ---- */

/* A true pipe rather than libuv's socket pair, since a program may open /dev/stdout. The child's end comes back in *child. */
static int output_open(struct process *p, int index, uv_file *child)
{
    struct process_output *o = &p->outputs[index];
    uv_file ends[2];
    int err = uv_pipe(ends, UV_NONBLOCK_PIPE, 0);
    if (err != 0)
        return err;
    *o = (struct process_output){.process = p, .stream = index == 0 ? TASK_STREAM_STDOUT : TASK_STREAM_STDERR, .open = true};
    uv_pipe_init(loop_uv(p->loop), &o->pipe, 0);
    o->pipe.data = p;
    p->handles++;
    *child = ends[1];
    err = uv_pipe_open(&o->pipe, ends[0]);
    if (err != 0) {
        close(ends[0]);
        return err;
    }
    return uv_read_start((uv_stream_t *) &o->pipe, on_alloc, on_read);
}

/* A sealed file in memory with the plan. */
static int plan_open(struct slice plan, uv_file *out)
{
    *out = memfd_create("plan", MFD_CLOEXEC);
    if (*out < 0)
        return uv_translate_sys_error(errno);
    ssize_t written = write(*out, plan.data, plan.size);
    return written == (ssize_t) plan.size ? 0 : written < 0 ? uv_translate_sys_error(errno) : UV_ENOSPC;
}

static int report_open(struct process *p, uv_file *child)
{
    uv_file ends[2];
    int err = uv_pipe(ends, UV_NONBLOCK_PIPE, 0);
    if (err == 0) {
        p->report_fd = ends[0];
        *child = ends[1];
    }
    return err;
}

/* The program itself gets an empty environment, so that a task's LD_PRELOAD does nothing to it while it has the node's rights. */
static int spawn(struct process *p, const struct process_spec *spec, const uv_file child[PROCESS_PASSED])
{
    char *args[] = {(char *) "grid-task-exec", NULL}, *env[] = {NULL};
    uv_stdio_container_t stdio[PROCESS_PASSED + 1] = {{.flags = UV_IGNORE}};
    for (int i = 0; i < PROCESS_PASSED; i++) {
        stdio[i + 1].flags = UV_INHERIT_FD;
        stdio[i + 1].data.fd = child[i];
    }
    uv_process_options_t options = {
        .exit_cb = on_exit_status,
        .file = spec->helper,
        .args = args,
        .env = env,
        .cwd = "/",
        .flags = UV_PROCESS_DETACHED,
        .stdio_count = PROCESS_PASSED + 1,
        .stdio = stdio,
    };
    p->uv.data = p;
    p->handles++;
    return uv_spawn(loop_uv(p->loop), &p->uv, &options);
}

/* Never started: closes what was opened, without events. */
static void abandon(struct process *p, bool spawned)
{
    p->silent = true;
    if (p->report_fd >= 0)
        close(p->report_fd);
    if (p->handles == 0) {
        free(p);
        return;
    }
    process_finish(p);
    if (spawned)
        uv_close((uv_handle_t *) &p->uv, on_closed);
}

int process_spawn(struct loop *l, const struct process_spec *spec, const struct process_events *events, void *ctx, struct process **out,
                  int *reason)
{
    struct process *p = calloc(1, sizeof *p);
    if (!p) {
        *reason = UV_ENOMEM;
        return GRID_ENOMEM;
    }
    p->loop = l;
    p->events = *events;
    p->ctx = ctx;
    p->report_fd = -1;
    uv_file child[PROCESS_PASSED] = {-1, -1, -1, -1};
    bool spawned = false;
    int err = output_open(p, 0, &child[0]);
    if (err == 0)
        err = output_open(p, 1, &child[1]);
    if (err == 0)
        err = plan_open(spec->plan, &child[CONFINE_PLAN_FD - 1]);
    if (err == 0)
        err = report_open(p, &child[CONFINE_REPORT_FD - 1]);
    if (err == 0) {
        spawned = true;
        err = spawn(p, spec, child);
    }
    for (int i = 0; i < PROCESS_PASSED; i++) {
        if (child[i] >= 0)
            close(child[i]);
    }
    if (err != 0) {
        abandon(p, spawned);
        *reason = err;
        return grid_err_from_errno(-err);
    }
    *out = p;
    return 0;
}

bool process_failed(const struct process *p, struct confine_report *out)
{
    *out = p->report;
    return p->report.stage != 0;
}

int process_pid(const struct process *p)
{
    return p->uv.pid;
}

void process_signal(struct process *p, int signal)
{
    if (!p->exited)
        kill(-p->uv.pid, signal);
}
