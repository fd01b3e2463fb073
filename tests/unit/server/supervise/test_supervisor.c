/* The supervisor over real processes: what becomes ready, what fails and why, what is replaced without a gap, and that nothing is left. */
// cost: 18
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "net/addr.h"
#include "net/port.h"
#include "server/supervise/proc.h"
#include "server/supervise/supervisor.h"

enum { DEADLINE_MS = 30000, SEEN_MAX = 64 };

static const char SERVES[] = "import os, socket\n"
                             "s = socket.create_server(('127.0.0.1', int(os.environ['TASK_PORT'])))\n"
                             "while True:\n    s.accept()[0].close()\n";

struct fixture {
    char folder[64], root[96], state[96];
    struct loop *loop;
    struct loop_timer tick;
    struct supervisor *supervisor;
    struct supervisor_options options;
    char why[TASK_WHY_MAX];
    const char *release; /* of the next apply; NULL: "cafe" */
    unsigned changes;
    bool closed;
    int seen[SEEN_MAX]; /* pids that were ever listed */
    size_t seen_count;
};

/* ---- the fixture ---- */

static void on_change(void *ctx)
{
    struct fixture *f = ctx;
    f->changes++;
    size_t count;
    const struct supervisor_task *tasks = supervisor_list(f->supervisor, &count);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < tasks[i].instance_count && f->seen_count < SEEN_MAX; k++)
            f->seen[f->seen_count++] = tasks[i].instances[k].pid;
    }
}

static void tick(void *arg)
{
    struct fixture *f = arg;
    loop_timer_start(f->loop, &f->tick, 5, tick, f);
}

/* Turns the loop until the condition holds. */
#define UNTIL(f, condition)                                                                                                         \
    do {                                                                                                                            \
        uint64_t end_ms_ = loop_clock_ms() + DEADLINE_MS;                                                                           \
        while (!(condition)) {                                                                                                      \
            if (loop_clock_ms() > end_ms_)                                                                                          \
                fail_msg("not within the deadline: %s", #condition);                                                                \
            uv_run(loop_uv((f)->loop), UV_RUN_ONCE);                                                                                \
        }                                                                                                                           \
    } while (0)

static uint16_t some_port(void)
{
    static uint16_t next;
    if (next == 0)
        next = (uint16_t) (20000 + getpid() % 10000);
    next = (uint16_t) (next + 20);
    while (!port_is_free(next))
        next++;
    return next;
}

/* Tests are built beside the programs' folder. */
static const char *helper_path(void)
{
    static char path[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 64);
    assert_true(size > 0);
    path[size] = '\0';
    strcpy(strrchr(path, '/'), "/../bin/grid-task-exec");
    return path;
}

static void create(struct fixture *f)
{
    f->options.state_dir = f->state;
    f->options.exec_helper = helper_path();
    f->options.task_user = geteuid() == 0 ? "root" : NULL; /* its own user is tried end to end */
    f->options.sandbox = TASK_SANDBOX_STANDARD;
    f->options.runtimes = "runtimes";
    f->options.node_runtime = realpath("runtimes/node/run.js", NULL);
    f->options.python_runtime = realpath("runtimes/python/run.py", NULL);
    f->options.grid_name = "test";
    f->options.node_name = "fluffy-donkey";
    f->options.node_id = "abc123";
    f->options.api = "127.0.0.1:1";
    f->options.first_port = some_port();
    f->options.max_instances = 3;
    f->options.stop_timeout_ms = 300;
    f->options.on_change = on_change;
    f->options.ctx = f;
    assert_int_equal(supervisor_create(f->loop, &f->options, &f->supervisor, f->why), 0);
}

static void make_folder(char *out, size_t size, const char *in, const char *name)
{
    snprintf(out, size, "%s/%s", in, name);
    assert_int_equal(mkdir(out, 0700), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    char tasks[128];
    strcpy(f->folder, "/tmp/grid-supervisor-XXXXXX");
    if (!f || !mkdtemp(f->folder))
        return -1;
    make_folder(f->root, sizeof f->root, f->folder, "release");
    make_folder(f->state, sizeof f->state, f->folder, "state");
    make_folder(tasks, sizeof tasks, f->root, "tasks");
    assert_int_equal(loop_create(&f->loop), 0);
    tick(f);
    create(f);
    *state = f;
    return 0;
}

static void on_closed(void *arg)
{
    ((struct fixture *) arg)->closed = true;
}

static bool is_alive(int pid)
{
    struct proc_stat s;
    return proc_stat_read(pid, &s) == 0 && s.state != 'Z';
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];
    supervisor_close(f->supervisor, on_closed, f);
    UNTIL(f, f->closed);
    for (size_t i = 0; i < f->seen_count; i++)
        assert_false(is_alive(f->seen[i]));
    loop_timer_stop(&f->tick);
    loop_destroy(f->loop);
    snprintf(command, sizeof command, "rm -r %s", f->folder);
    assert_int_equal(system(command), 0);
    free((char *) f->options.node_runtime);
    free((char *) f->options.python_runtime);
    free(f);
    return 0;
}

/* ---- a project ---- */

static void write_task(struct fixture *f, const char *file, mode_t mode, const char *content)
{
    char path[192];
    snprintf(path, sizeof path, "%s/tasks/%s", f->root, file);
    unlink(path);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(content, out);
    fclose(out);
    assert_int_equal(chmod(path, mode), 0);
}

/* Every task's digest is `version`. */
static void apply(struct fixture *f, uint8_t version, uint32_t instances)
{
    struct task_set set;
    char error[TASK_ERROR_MAX];
    const char *env[] = {"MINE=yes", NULL};
    assert_int_equal(task_set_read(f->root, "tasks", "linux-x64", &set, error), 0);
    for (size_t i = 0; i < set.count; i++)
        set.tasks[i].digest[0] = version;
    struct release_env release = {f->root, "tasks", "cafe", env, instances};
    release.release = f->release ? f->release : "cafe";
    assert_int_equal(supervisor_apply(f->supervisor, &set, &release), 0);
    task_set_dispose(&set);
}

static struct supervisor_task task_of(struct fixture *f, const char *name)
{
    size_t count;
    const struct supervisor_task *tasks = supervisor_list(f->supervisor, &count);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(tasks[i].name, name) == 0)
            return tasks[i];
    }
    return (struct supervisor_task){.reason = "there is no such task"};
}

static bool has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

static void add_line(void *ctx, const struct task_line *line)
{
    struct buf *out = ctx;
    buf_printf(out, "%s %s %.*s\n", line->task, task_stream_name(line->stream), SLICE_FMT(line->text));
}

static bool logged(struct fixture *f, const char *task, const char *part)
{
    struct buf out;
    buf_init(&out, 0);
    supervisor_logs(f->supervisor, task, 1000, add_line, &out);
    bool found = has(buf_cstr(&out), part);
    buf_dispose(&out);
    return found;
}

/* ---- readiness and surroundings ---- */

static void test_supervisor__runs_every_kind_of_task(void **state)
{
    struct fixture *f = *state;
    write_task(f, "js.js", 0600, "exports.h = (d, cb) => cb(null, 1);");
    write_task(f, "py.py", 0600, "def handler(event, context): return 1\n");
    write_task(f, "native", 0700, "#!/usr/bin/env python3\nimport os, socket\n"
                                  "s = socket.create_server(('', int(os.environ['PORT'])))\nwhile True: s.accept()\n");
    apply(f, 1, 0);
    UNTIL(f, task_of(f, "js").ready == 1 && task_of(f, "py").ready == 1 && task_of(f, "native").ready == 1);
    struct supervisor_task t = task_of(f, "js");
    assert_int_equal(t.status, SUPERVISOR_ONLINE);
    assert_string_equal(t.reason, "");
    assert_string_equal(t.path, "tasks/js.js");
    assert_int_equal(t.port, t.instances[0].instance->port);
    assert_true(t.port >= f->options.first_port);
    assert_true(f->changes > 0);
}

static void test_supervisor__gives_a_task_its_environment_and_no_secret(void **state)
{
    struct fixture *f = *state;
    write_task(f, "env.py", 0600, "import os\nfor k, v in os.environ.items(): print(k + '=' + v)\nprint('cwd=' + os.getcwd())\n"
                                  "print('session=%s' % (os.getsid(0) == os.getpid()))\ndef h(e): pass\n");
    setenv("GRID_AUTH", "secret", 1);
    setenv("GRID_PASSWORD_FILE", "/secret", 1);
    apply(f, 1, 0);
    UNTIL(f, task_of(f, "env").ready == 1);
    UNTIL(f, logged(f, "env", "session="));
    static const char *const expected[] = {"TASK_NAME=env\n", "/release/tasks/env.py\n", "GRID_NAME=test\n", "GRID_NODE=fluffy-donkey\n",
                                           "GRID_NODE_ID=abc123\n", "GRID_RELEASE=cafe\n", "GRID_API=127.0.0.1:1\n", "MINE=yes\n",
                                           "GRID_MAX_PAYLOAD=6291456\n", "/state/data/env\n", "/state/tmp/env/pycache/cafe\n", "session=True\n"};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        if (!logged(f, "env", expected[i]))
            fail_msg("the environment lacks %s", expected[i]);
    }
    assert_false(logged(f, "env", "GRID_AUTH"));
    assert_false(logged(f, "env", "secret"));
}

static void on_connection(uv_stream_t *stream, int status)
{
    (void) stream, (void) status;
}

/* Listens on the task's port right after its start; the task is to come up on another one, and it is no failure of its own. */
static void take_its_port(struct fixture *f, const char *address)
{
    static uv_tcp_t foreign; /* closed by the loop's end */
    struct addr a;
    apply(f, 1, 0);
    uint16_t port = task_of(f, "t").port;
    assert_int_equal(addr_parse(slice_of_str(address), &a), 0);
    addr_set_port(&a, port);
    uv_tcp_init(loop_uv(f->loop), &foreign);
    uv_tcp_bind(&foreign, &a.u.any, 0);
    assert_int_equal(uv_listen((uv_stream_t *) &foreign, 8, on_connection), 0);
    UNTIL(f, task_of(f, "t").ready == 1);
    assert_int_not_equal(task_of(f, "t").port, port);
    assert_int_equal(task_of(f, "t").restarts, 0);
    uv_close((uv_handle_t *) &foreign, NULL);
}

static void test_supervisor__does_not_take_a_foreign_listener_for_the_task(void **state)
{
    write_task(*state, "t.py", 0600, SERVES);
    take_its_port(*state, "127.0.0.1:1");
}

static void test_supervisor__gives_another_port_to_a_task_that_died_of_its_port(void **state)
{
    write_task(*state, "t.py", 0600, "import os, socket\n"
                                     "s = socket.create_server(('', int(os.environ['TASK_PORT'])))\n"
                                     "while True: s.accept()\n");
    take_its_port(*state, "127.0.0.2:1");
}

/* ---- failures and their sentences ---- */

static void test_supervisor__says_why_a_task_is_not_ready(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *file;
        mode_t mode;
        const char *content, *begins, *holds;
    } cases[] = {
        {"throws.py", 0600, "raise ValueError('at load')\n", "it exited with status 1 before it listened on TASK_PORT (", ": ValueError: at load"},
        {"throws.js", 0600, "throw new Error('at load')", "it exited with status 1 before it listened on TASK_PORT (", ": Error: at load"},
        {"lacks.js", 0600, "require('no-such-module')", "it exited with status 1", ": Error: Cannot find module 'no-such-module'"},
        {"lacks.py", 0600, "import no_such_module", "it exited with status 1", ": ModuleNotFoundError: No module named 'no_such_module'"},
        {"syntax.js", 0600, "exports.h = (;", "it exited with status 1", ": SyntaxError: "},
        {"syntax.py", 0600, "def h(:", "it exited with status 1", ": SyntaxError: "},
        {"ends", 0700, "#!/bin/sh\nexit 0\n", "it exited with status 0 before it listened on TASK_PORT (", "): a task is a server that keeps running"},
        {"killed", 0700, "#!/bin/sh\nkill -SEGV $$\n", "it was ended by signal 11 (SIGSEGV) before it listened", ""},
        {"interpreter", 0700, "#!/nonexistent/interpreter\n", "tasks/interpreter cannot be run: it, or the interpreter behind its #!", ""},
        {"garbage", 0700, "\x7f\x45LF garbage\n", "it exited with status", ""},
        {"empty.py", 0600, "print('nothing')\n", "it exited with status 1", "empty.py neither listens on TASK_PORT nor defines a function"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[32];
        snprintf(name, sizeof name, "%.*s", (int) strcspn(cases[i].file, "."), cases[i].file);
        write_task(f, cases[i].file, cases[i].mode, cases[i].content);
        apply(f, (uint8_t) i, 0);
        UNTIL(f, task_of(f, name).reason[0]);
        struct supervisor_task t = task_of(f, name);
        assert_ptr_equal(strstr(t.reason, cases[i].begins), t.reason);
        assert_true(has(t.reason, cases[i].holds));
        assert_int_equal(t.status, SUPERVISOR_ERRORED);
        UNTIL(f, task_of(f, name).restarts >= (i == 0 ? 2 : 1));
        char path[192];
        snprintf(path, sizeof path, "%s/tasks/%s", f->root, cases[i].file);
        unlink(path);
    }
    write_task(f, "last", 0700, "#!/bin/sh\nexit 0\n");
}

static void test_supervisor__says_errored_from_a_failed_start_to_one_that_succeeds(void **state)
{
    struct fixture *f = *state;
    write_task(f, "t.py", 0600, "raise ValueError('at load')\n");
    apply(f, 1, 0);
    assert_int_equal(task_of(f, "t").status, SUPERVISOR_STARTING);
    assert_int_equal(task_of(f, "t").next_start_at_ms, 0);
    UNTIL(f, task_of(f, "t").restarts == 1);
    UNTIL(f, (assert_int_equal(task_of(f, "t").status, SUPERVISOR_ERRORED), task_of(f, "t").restarts == 4));
    struct supervisor_task t = task_of(f, "t");
    assert_in_range(t.next_start_at_ms - loop_wall_ms(), 0, 1000);
    assert_int_equal(t.place_count, 1);
    assert_int_equal(t.places[0].next_start_at_ms, t.next_start_at_ms);
    assert_true(t.places[0].errored && !t.hopeless);
    write_task(f, "t.py", 0600, SERVES);
    UNTIL(f, task_of(f, "t").ready == 1);
    assert_int_equal(task_of(f, "t").status, SUPERVISOR_ONLINE);
    write_task(f, "t.py", 0600, "raise ValueError('at load')\n");
    apply(f, 2, 0);
    UNTIL(f, task_of(f, "t").reason[0]);
    t = task_of(f, "t");
    assert_int_equal(t.status, SUPERVISOR_ONLINE);
    assert_true(t.places[0].errored);
}

/* Another supervisor in its place, by the options as they are now. */
static void create_again(struct fixture *f)
{
    supervisor_close(f->supervisor, on_closed, f);
    UNTIL(f, f->closed);
    f->closed = false;
    assert_int_equal(supervisor_create(f->loop, &f->options, &f->supervisor, f->why), 0);
}

static void test_supervisor__ends_a_task_that_never_listens(void **state)
{
    struct fixture *f = *state;
    f->options.late_timeout_ms = 100;
    f->options.ready_timeout_ms = 1200;
    create_again(f);
    write_task(f, "t", 0700, "#!/bin/sh\necho waiting for nothing >&2\nexec sleep 1000\n");
    apply(f, 1, 0);
    UNTIL(f, task_of(f, "t").restarts > 0);
    assert_ptr_equal(strstr(task_of(f, "t").reason, "it did not listen on TASK_PORT (127.0.0.1:"), task_of(f, "t").reason);
    assert_true(has(task_of(f, "t").reason, "within 2 s: waiting for nothing"));
}

static void test_supervisor__says_of_one_that_it_is_late_and_lets_it_go_on(void **state)
{
    struct fixture *f = *state;
    char go[PATH_MAX], task[2048];
    f->options.late_timeout_ms = 100;
    create_again(f);
    snprintf(task, sizeof task, "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\n%s", SERVES);
    write_task(f, "t.py", 0600, task);
    apply(f, 1, 0);
    UNTIL(f, task_of(f, "t").status == SUPERVISOR_ERRORED);
    assert_true(has(task_of(f, "t").reason, "it did not listen on TASK_PORT"));
    assert_int_equal(task_of(f, "t").instance_count, 1);
    int pid = task_of(f, "t").instances[0].pid;
    snprintf(go, sizeof go, "%s/go", f->root);
    assert_int_equal(close(open(go, O_CREAT | O_WRONLY, 0644)), 0);
    UNTIL(f, task_of(f, "t").status == SUPERVISOR_ONLINE);
    assert_int_equal(task_of(f, "t").instances[0].pid, pid);
    assert_string_equal(task_of(f, "t").reason, "");
    assert_int_equal(task_of(f, "t").restarts, 0);
}

static void test_supervisor__starts_again_what_crashed(void **state)
{
    struct fixture *f = *state;
    write_task(f, "t.py", 0600, SERVES);
    apply(f, 1, 0);
    UNTIL(f, task_of(f, "t").ready == 1);
    int pid = task_of(f, "t").instances[0].pid;
    struct instance *first = instance_ref(task_of(f, "t").instances[0].instance);
    kill(pid, SIGKILL);
    UNTIL(f, task_of(f, "t").restarts == 1);
    assert_ptr_equal(strstr(task_of(f, "t").reason, "it was ended by signal 9 (SIGKILL) after "), task_of(f, "t").reason);
    UNTIL(f, task_of(f, "t").ready == 1);
    assert_int_not_equal(task_of(f, "t").instances[0].pid, pid);
    assert_true(task_of(f, "t").instances[0].instance->id > first->id);
    assert_int_equal(first->draining, 1);
    instance_unref(first);
}

static void test_supervisor__replaces_what_no_longer_listens(void **state)
{
    struct fixture *f = *state;
    write_task(f, "t.py", 0600, "import os, signal, socket, time\n"
                                "s = socket.create_server(('127.0.0.1', int(os.environ['TASK_PORT'])))\n"
                                "signal.signal(signal.SIGUSR1, lambda n, f: (s.close(), print('closed')))\n"
                                "print('armed')\n"
                                "while True: time.sleep(0.02)\n");
    apply(f, 1, 0);
    UNTIL(f, task_of(f, "t").ready == 1 && logged(f, "t", "armed"));
    struct supervisor_instance first = task_of(f, "t").instances[0];
    uint64_t id = first.instance->id;
    supervisor_report_refused(f->supervisor, id);
    supervisor_report_refused(f->supervisor, id + 100);
    kill(first.pid, SIGUSR1);
    UNTIL(f, logged(f, "t", "closed"));
    UNTIL(f, (supervisor_report_refused(f->supervisor, id), task_of(f, "t").restarts == 1));
    assert_true(has(task_of(f, "t").reason, "it runs but no longer listens on TASK_PORT"));
    UNTIL(f, task_of(f, "t").ready == 1);
    assert_int_not_equal(task_of(f, "t").instances[0].pid, first.pid);
}

/* ---- replacing ---- */

static void test_supervisor__keeps_what_has_not_changed_and_replaces_the_rest_without_a_gap(void **state)
{
    struct fixture *f = *state;
    write_task(f, "t.py", 0600, SERVES);
    apply(f, 1, 0);
    UNTIL(f, task_of(f, "t").ready == 1);
    int pid = task_of(f, "t").instances[0].pid;
    struct instance *old = instance_ref(task_of(f, "t").instances[0].instance);
    apply(f, 1, 0);
    assert_int_equal(task_of(f, "t").instance_count, 1);
    assert_int_equal(task_of(f, "t").instances[0].pid, pid);

    atomic_store(&old->in_flight, 1);
    apply(f, 2, 0);
    assert_int_equal(task_of(f, "t").ready, 1);
    assert_int_equal(task_of(f, "t").instance_count, 2);
    UNTIL(f, (assert_int_equal(task_of(f, "t").ready, 1), task_of(f, "t").instances[0].pid != pid));
    assert_int_equal(old->draining, 1);
    assert_int_equal(task_of(f, "t").restarts, 0);
    for (int i = 0; i < 40; i++)
        uv_run(loop_uv(f->loop), UV_RUN_ONCE);
    assert_true(is_alive(pid)); /* a call is in flight */
    atomic_store(&old->in_flight, 0);
    UNTIL(f, !is_alive(pid));
    instance_unref(old);
}

static void test_supervisor__keeps_the_old_version_when_the_new_one_fails(void **state)
{
    struct fixture *f = *state;
    write_task(f, "t.py", 0600, SERVES);
    apply(f, 1, 0);
    UNTIL(f, task_of(f, "t").ready == 1);
    int pid = task_of(f, "t").instances[0].pid;
    write_task(f, "t.py", 0600, "raise ValueError('new')\n");
    apply(f, 2, 0);
    UNTIL(f, task_of(f, "t").restarts >= 2);
    assert_int_equal(task_of(f, "t").status, SUPERVISOR_ONLINE);
    assert_int_equal(task_of(f, "t").instances[0].pid, pid);
    assert_true(has(task_of(f, "t").reason, "ValueError: new"));
    write_task(f, "t.py", 0600, SERVES);
    apply(f, 3, 0);
    UNTIL(f, task_of(f, "t").instances[0].pid != pid && task_of(f, "t").ready == 1);
    assert_string_equal(task_of(f, "t").reason, "");
    UNTIL(f, !is_alive(pid));
}

static void test_supervisor__says_which_release_a_process_answers_from(void **state)
{
    struct fixture *f = *state;
    write_task(f, "t.py", 0600, SERVES);
    f->release = "one";
    apply(f, 1, 0);
    assert_string_equal(task_of(f, "t").instances[0].release, "one");
    UNTIL(f, task_of(f, "t").ready == 1);
    int pid = task_of(f, "t").instances[0].pid;
    f->release = "two"; /* in which nothing of the task is different */
    apply(f, 1, 0);
    assert_string_equal(task_of(f, "t").instances[0].release, "two");
    write_task(f, "t.py", 0600, "raise ValueError('new')\n");
    f->release = "three";
    apply(f, 2, 0);
    UNTIL(f, task_of(f, "t").restarts >= 1);
    assert_int_equal(task_of(f, "t").instances[0].pid, pid);
    assert_string_equal(task_of(f, "t").instances[0].release, "two");
    write_task(f, "t.py", 0600, SERVES);
    f->release = "four"; /* back to what runs */
    apply(f, 1, 0);
    assert_int_equal(task_of(f, "t").instances[0].pid, pid);
    assert_string_equal(task_of(f, "t").instances[0].release, "four");
}

static void test_supervisor__stops_what_is_gone(void **state)
{
    struct fixture *f = *state;
    char path[192];
    write_task(f, "a.py", 0600, SERVES);
    write_task(f, "b.py", 0600, SERVES);
    apply(f, 1, 0);
    UNTIL(f, task_of(f, "a").ready == 1 && task_of(f, "b").ready == 1);
    int a = task_of(f, "a").instances[0].pid, b = task_of(f, "b").instances[0].pid;
    snprintf(path, sizeof path, "%s/tasks/a.py", f->root);
    unlink(path);
    apply(f, 1, 0);
    assert_string_equal(task_of(f, "a").reason, "there is no such task");
    UNTIL(f, !is_alive(a));
    assert_int_equal(task_of(f, "b").instances[0].pid, b);
    assert_true(supervisor_uses_root(f->supervisor, f->root));
    supervisor_clear(f->supervisor);
    size_t count;
    assert_null(supervisor_list(f->supervisor, &count));
    UNTIL(f, !supervisor_uses_root(f->supervisor, f->root));
    assert_false(is_alive(b));
}

static void test_supervisor__grows_on_demand_and_to_what_the_release_says(void **state)
{
    struct fixture *f = *state;
    write_task(f, "t.py", 0600, SERVES);
    apply(f, 1, 0);
    supervisor_grow(f->supervisor, "t");
    assert_int_equal(task_of(f, "t").wanted, 1); /* the first is still coming up */
    UNTIL(f, task_of(f, "t").ready == 1);
    supervisor_grow(f->supervisor, "t");
    assert_int_equal(task_of(f, "t").wanted, 2);
    UNTIL(f, task_of(f, "t").ready == 2);
    supervisor_want(f->supervisor, "t", 100);
    UNTIL(f, task_of(f, "t").ready == 3);
    assert_int_equal(task_of(f, "t").instances[2].instance->number, 2);
    apply(f, 1, 0);
    assert_int_equal(task_of(f, "t").wanted, 3);
    apply(f, 1, 2);
    assert_int_equal(task_of(f, "t").instance_count, 2);
    supervisor_want(f->supervisor, "t", 3);
    assert_int_equal(task_of(f, "t").wanted, 2);
    supervisor_want(f->supervisor, "t", 0);
    assert_int_equal(task_of(f, "t").instance_count, 1);
    supervisor_want(f->supervisor, "unknown", 2);
    supervisor_grow(f->supervisor, "unknown");
}

static void test_supervisor__ends_the_whole_group_by_force_when_it_must(void **state)
{
    struct fixture *f = *state;
    write_task(f, "t.py", 0600, "import os, signal, socket, subprocess\n"
                                "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                                "print('child=%d' % subprocess.Popen(['sleep', '1000']).pid)\n"
                                "s = socket.create_server(('127.0.0.1', int(os.environ['TASK_PORT'])))\n"
                                "while True: s.accept()\n");
    apply(f, 1, 0);
    UNTIL(f, task_of(f, "t").ready == 1 && logged(f, "t", "child="));
    struct buf out;
    buf_init(&out, 0);
    supervisor_logs(f->supervisor, "t", 1000, add_line, &out);
    int child = atoi(strstr(buf_cstr(&out), "child=") + 6), pid = task_of(f, "t").instances[0].pid;
    buf_dispose(&out);
    assert_true(is_alive(child));
    supervisor_clear(f->supervisor);
    UNTIL(f, !is_alive(pid) && !is_alive(child));
}

/* ---- logs ---- */

static bool file_has(struct fixture *f, const char *name, const char *words)
{
    char path[192], text[64] = "";
    snprintf(path, sizeof path, "%s/logs/%s", f->state, name);
    FILE *log = fopen(path, "re");
    if (!log)
        return false;
    text[fread(text, 1, sizeof text - 1, log)] = '\0';
    fclose(log);
    return has(text, words);
}

static void test_supervisor__keeps_and_follows_what_tasks_write(void **state)
{
    struct fixture *f = *state;
    struct buf followed;
    buf_init(&followed, 0);
    struct log_follower *all = supervisor_follow(f->supervisor, NULL, add_line, &followed);
    struct log_follower *other = supervisor_follow(f->supervisor, "other", add_line, &followed);
    write_task(f, "t.py", 0600, "import sys\nprint('to out')\nprint('to err', file=sys.stderr)\ndef h(e): pass\n");
    apply(f, 1, 0);
    UNTIL(f, task_of(f, "t").ready == 1 && logged(f, "t", "t stdout to out\n") && logged(f, "t", "t stderr to err\n"));
    assert_true(has(buf_cstr(&followed), "t stdout to out\n"));
    assert_true(has(buf_cstr(&followed), "t stderr to err\n"));
    supervisor_unfollow(f->supervisor, all);
    supervisor_unfollow(f->supervisor, other);
    buf_dispose(&followed);
    UNTIL(f, file_has(f, "t.0.log", "to out\n") && file_has(f, "t.0.log", "to err\n"));
}

static void test_supervisor__outlives_a_flood_of_output(void **state)
{
    struct fixture *f = *state;
    write_task(f, "t.py", 0600, "import sys, threading\n"
                                "line = ('x' * 1000 + '\\n') * 1000\n"
                                "threading.Thread(target=lambda: [sys.stdout.write(line) for _ in range(20)] and print('over'), daemon=True).start()\n"
                                "def h(e): pass\n");
    apply(f, 1, 0);
    UNTIL(f, task_of(f, "t").ready == 1);
    UNTIL(f, logged(f, "t", "stdout over\n"));
}

static void test_supervisor__keeps_the_last_words_of_what_it_stops(void **state)
{
    struct fixture *f = *state;
    write_task(f, "t.py", 0600, "import atexit\natexit.register(lambda: print('good bye'))\ndef h(e): pass\n");
    apply(f, 1, 0);
    UNTIL(f, task_of(f, "t").ready == 1);
    apply(f, 2, 0);
    UNTIL(f, logged(f, "t", "t stdout good bye\n"));
}

/* ---- a crash of the daemon ---- */

static void run_until_killed(struct fixture *f, int report)
{
    if (loop_create(&f->loop) != 0 || supervisor_create(f->loop, &f->options, &f->supervisor, f->why) != 0)
        _exit(1);
    tick(f);
    apply(f, 1, 0);
    while (task_of(f, "t").ready != 1)
        uv_run(loop_uv(f->loop), UV_RUN_ONCE);
    int pid = task_of(f, "t").instances[0].pid;
    uv_run(loop_uv(f->loop), UV_RUN_ONCE);
    if (write(report, &pid, sizeof pid) != sizeof pid)
        _exit(1);
    for (;;)
        pause();
}

static void test_supervisor__ends_what_a_crashed_daemon_left(void **state)
{
    struct fixture *f = *state;
    int ends[2], pid = 0;
    write_task(f, "t.py", 0600, SERVES);
    supervisor_close(f->supervisor, on_closed, f);
    UNTIL(f, f->closed);
    f->closed = false;
    assert_int_equal(pipe(ends), 0);
    pid_t daemon = fork();
    if (daemon == 0) {
        struct fixture copy = *f;
        copy.tick = (struct loop_timer){0};
        copy.options.on_change = NULL;
        run_until_killed(&copy, ends[1]);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &pid, sizeof pid), sizeof pid);
    close(ends[0]);
    kill(daemon, SIGKILL);
    waitpid(daemon, NULL, 0);
    assert_true(is_alive(pid));
    assert_int_equal(supervisor_create(f->loop, &f->options, &f->supervisor, f->why), 0);
    UNTIL(f, !is_alive(pid));
}

static void test_proc__ends_only_the_group_that_was_recorded(void **state)
{
    (void) state;
    struct proc_stat s;
    pid_t child = fork();
    if (child == 0) {
        setsid();
        for (;;)
            pause();
    }
    do
        assert_int_equal(proc_stat_read(child, &s), 0);
    while (s.group != child);
    assert_int_equal(proc_group_end(child, s.start_time + 1), 0);
    assert_int_equal(proc_group_end(child, s.start_time), 1);
    waitpid(child, NULL, 0);
    assert_int_equal(proc_group_end(child, s.start_time), 0);
}

int main(void)
{
    log_configure(LOG_ERROR, LOG_TEXT, NULL);
    setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1); /* the system's interpreters, not a slow wrapper of them */
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_supervisor__runs_every_kind_of_task),
        TEST(test_supervisor__gives_a_task_its_environment_and_no_secret),
        TEST(test_supervisor__does_not_take_a_foreign_listener_for_the_task),
        TEST(test_supervisor__gives_another_port_to_a_task_that_died_of_its_port),
        TEST(test_supervisor__says_why_a_task_is_not_ready),
        TEST(test_supervisor__says_errored_from_a_failed_start_to_one_that_succeeds),
        TEST(test_supervisor__ends_a_task_that_never_listens),
        TEST(test_supervisor__says_of_one_that_it_is_late_and_lets_it_go_on),
        TEST(test_supervisor__starts_again_what_crashed),
        TEST(test_supervisor__replaces_what_no_longer_listens),
        TEST(test_supervisor__keeps_what_has_not_changed_and_replaces_the_rest_without_a_gap),
        TEST(test_supervisor__keeps_the_old_version_when_the_new_one_fails),
        TEST(test_supervisor__says_which_release_a_process_answers_from),
        TEST(test_supervisor__stops_what_is_gone),
        TEST(test_supervisor__grows_on_demand_and_to_what_the_release_says),
        TEST(test_supervisor__ends_the_whole_group_by_force_when_it_must),
        TEST(test_supervisor__keeps_and_follows_what_tasks_write),
        TEST(test_supervisor__outlives_a_flood_of_output),
        TEST(test_supervisor__keeps_the_last_words_of_what_it_stops),
        TEST(test_supervisor__ends_what_a_crashed_daemon_left),
        cmocka_unit_test(test_proc__ends_only_the_group_that_was_recorded),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
