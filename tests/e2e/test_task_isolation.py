"""A task that attacks its node: by its descriptors, its environment, the files, other processes, the API and its user's rights.

As root the tasks have a user of their own; otherwise they are kept out by the view, Landlock and the API's rules alone.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from gridtest import (BIN, Grid, Node, Skip, check, check_equal, check_in, grid_command, need_isolation, need_user, once, wait_for)
from test_node import check_refusal, run_gridd

NOBODY = 65534
SECRETS = {"GRID_AUTH": "uWq7-Lmst-0Zrk-pbTe", "GRID_API_TOKEN": "t0ken", "NOTIFY_SOCKET": "", "CREDENTIALS_DIRECTORY": "/credentials", "AWS_SECRET_ACCESS_KEY": "k", "LC_ALL": "C.UTF-8"}

JS = r"""
const fs = require('fs');
const attempt = (fn) => { try { fn(); return 'done'; } catch (e) { return e.code || String(e); } };
exports.handler = (event) => ({
  uid: process.getuid(),
  env: process.env,
  fds: Object.fromEntries(fs.readdirSync('/proc/self/fd').map((fd) => { try { return [fd, fs.readlinkSync('/proc/self/fd/' + fd)]; } catch (e) { return [fd, '']; } })),
  status: fs.readFileSync('/proc/self/status', 'utf8'),
  tried: {
    key: attempt(() => fs.readFileSync(event.state + '/node.key')),
    list: attempt(() => { if (fs.readdirSync(event.state).includes('node.key')) return; const e = new Error('x'); e.code = 'HIDDEN'; throw e; }),
    environ: attempt(() => fs.readFileSync('/proc/' + event.pid + '/environ')),
    mem: attempt(() => fs.closeSync(fs.openSync('/proc/' + event.pid + '/mem', 'r'))),
    nodefds: attempt(() => fs.readlinkSync('/proc/' + event.pid + '/fd/0')),
    signal: attempt(() => process.kill(event.pid, 'SIGURG')),
    setuid: attempt(() => process.setuid(0)),
    release: attempt(() => fs.writeFileSync(__filename + '.new', 'x')),
    state: attempt(() => fs.writeFileSync(event.state + '/mine', 'x')),
    data: attempt(() => fs.writeFileSync(process.env.GRID_DATA_DIR + '/mine', 'x')),
    tmp: attempt(() => fs.writeFileSync(require('os').tmpdir() + '/mine', 'x')),
    elsewhere: attempt(() => fs.writeFileSync(event.elsewhere + '/mine', 'x')),
  },
});
"""

PY = r"""
import ctypes, errno, http.client, json, os, signal, socket, tempfile

libc = ctypes.CDLL(None, use_errno=True)

def attempt(fn):
    try:
        fn()
        return 'done'
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e))

def call(name, *args):
    ctypes.set_errno(0)
    if getattr(libc, name)(*args) < 0:
        raise OSError(ctypes.get_errno(), name)

def hidden(state):
    if 'node.key' not in os.listdir(state):
        raise OSError(errno.ENOENT, 'hidden')

def write(path):
    with open(path, 'w') as f:
        f.write('x')

def links():
    found = {}
    for fd in os.listdir('/proc/self/fd'):
        try:
            found[fd] = os.readlink('/proc/self/fd/' + fd)
        except OSError:
            pass
    return found

def handler(event, context):
    pid, state = event['pid'], event['state']
    return {
        'uid': os.getuid(), 'env': dict(os.environ), 'fds': links(), 'status': open('/proc/self/status').read(), 'leads': os.getsid(0) == os.getpid() == os.getpgrp(),
        'blocked': sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), 'core': __import__('resource').getrlimit(4),
        'tried': {
            'key': attempt(lambda: open(state + '/node.key').read()),
            'list': attempt(lambda: hidden(state)),
            'environ': attempt(lambda: open('/proc/%d/environ' % pid).read()),
            'mem': attempt(lambda: open('/proc/%d/mem' % pid).close()),
            'nodefds': attempt(lambda: os.readlink('/proc/%d/fd/0' % pid)),
            'signal': attempt(lambda: os.kill(pid, signal.SIGURG)),
            'ptrace': attempt(lambda: call('ptrace', 16, pid, None, None)),
            'setuid': attempt(lambda: os.setuid(0)),
            'setgid': attempt(lambda: os.setgid(0)),
            'release': attempt(lambda: write(__file__ + '.new')),
            'state': attempt(lambda: write(state + '/mine')),
            'data': attempt(lambda: write(os.environ['GRID_DATA_DIR'] + '/mine')),
            'tmp': attempt(lambda: write(tempfile.mkdtemp() + '/mine')),
            'elsewhere': attempt(lambda: write(event['elsewhere'] + '/mine')),
            'unmount': attempt(lambda: call('umount2', state.encode(), 2)),
            'namespace': attempt(lambda: call('unshare', 0x20000000)),
        },
    }

def escape(event, context):
    import subprocess
    return subprocess.Popen(['sleep', '1000'], env={}, start_new_session=True).pid

class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__('localhost')
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)

def ask(connection, method, path, body=None):
    connection.request(method, path, body, {'Content-Type': 'application/json'})
    return connection.getresponse().status

def control(target):
    try:
        import grpc
    except ImportError:
        return 'no grpc here'
    with grpc.insecure_channel(target) as channel:
        try:
            channel.unary_unary('/grid.v1.Control/Clear')(b'', timeout=20)
            return 'done'
        except grpc.RpcError as e:
            return e.code().name

def admin(event, context):
    api = os.environ['GRID_API']
    init = json.dumps({'base_folder': event['folder'], 'task_folder': 'tasks', 'instances': 1})
    tcp = lambda: http.client.HTTPConnection(api, timeout=20)
    unix = lambda: UnixConnection(event['socket'])
    tried = {'tcp init': ask(tcp(), 'POST', '/tasks/init', init), 'tcp clear': ask(tcp(), 'DELETE', '/tasks/clear'), 'tcp control': control(api)}
    try:
        tried['unix init'] = ask(unix(), 'POST', '/tasks/init', init)
        tried['unix clear'] = ask(unix(), 'DELETE', '/tasks/clear')
        tried['unix control'] = control('unix:' + event['socket'])
    except OSError as e:
        tried['unix'] = errno.errorcode[e.errno]
    return tried
"""

C = r"""
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <unistd.h>

extern char **environ;
static char out[65536];
static size_t used;
#define SAY(...) (used += (size_t) snprintf(out + used, sizeof out - used, __VA_ARGS__))

static const char *opened(const char *path, int flags)
{
    int fd = open(path, flags, 0600);
    const char *how = fd < 0 ? strerrorname_np(errno) : "done";
    if (fd >= 0)
        close(fd);
    return how;
}

static void report(const char *state, int pid)
{
    char path[4200], link[256];
    used = 0;
    SAY("{\"uid\": %d, \"env\": {", (int) getuid());
    for (char **v = environ; *v; v++) {
        size_t name = strcspn(*v, "=");
        SAY("%s\"%.*s\": \"%s\"", v == environ ? "" : ", ", (int) name, *v, *v + name + 1);
    }
    SAY("}, \"fds\": {");
    for (int fd = 0, some = 0; fd < 4096; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t size = readlink(path, link, sizeof link - 1);
        if (size > 0)
            SAY("%s\"%d\": \"%.*s\"", some++ ? ", " : "", fd, (int) size, link);
    }
    SAY("}, \"tried\": {");
    snprintf(path, sizeof path, "%s/node.key", state);
    SAY("\"key\": \"%s\"", opened(path, O_RDONLY));
    snprintf(path, sizeof path, "/proc/%d/environ", pid);
    SAY(", \"environ\": \"%s\"", opened(path, O_RDONLY));
    snprintf(path, sizeof path, "/proc/%d/mem", pid);
    SAY(", \"mem\": \"%s\"", opened(path, O_RDWR));
    SAY(", \"ptrace\": \"%s\"", ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0 ? strerrorname_np(errno) : "done");
    SAY(", \"signal\": \"%s\"", kill(pid, SIGURG) < 0 ? strerrorname_np(errno) : "done");
    SAY(", \"setuid\": \"%s\"", setresuid(0, 0, 0) < 0 ? strerrorname_np(errno) : "done");
    snprintf(path, sizeof path, "%s/data", getenv("GRID_DATA_DIR"));
    SAY(", \"data\": \"%s\"", opened(path, O_WRONLY | O_CREAT));
    SAY("}}");
}

int main(void)
{
    char request[8192], state[4096] = "", *body, *at;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short) atoi(getenv("TASK_PORT"))), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *) &address, sizeof address) != 0 || listen(listener, 16) != 0)
        return 1;
    for (;;) {
        int conn = accept(listener, NULL, NULL), pid = 0;
        size_t size = 0;
        while (size < sizeof request - 1) {
            ssize_t got = read(conn, request + size, sizeof request - 1 - size);
            if (got <= 0)
                break;
            size += (size_t) got;
            request[size] = 0;
            body = strstr(request, "\r\n\r\n");
            if (body && (at = strstr(body, "\"pid\": ")) && strchr(body, '}') && sscanf(at, "\"pid\": %d", &pid) == 1)
                break;
        }
        request[size] = 0;
        if (pid && (at = strstr(request, "\"state\": \"")) && sscanf(at, "\"state\": \"%4095[^\"]", state) == 1)
            report(state, pid);
        dprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", used, out);
        close(conn);
    }
}
"""


class Attack:
    """One node with the attacking tasks on it, in a folder that is not below /tmp, so that tasks have a /tmp of their own."""

    def __init__(self, *options, user=None, env=None):
        if user is not None:
            need_user(user)
        self.base = Path(tempfile.mkdtemp(prefix="gridtest-", dir="/var/tmp"))
        self.base.chmod(0o777)
        self.elsewhere = Path(tempfile.mkdtemp(prefix="gridtest-", dir="/var/tmp"))
        self.elsewhere.chmod(0o777)
        self.grid = Grid(1, start=False)
        node = self.grid.add(start=False, options=("--grid", "isolation", *options), env={**SECRETS, **(env or {})})
        node.gridfile = None
        node.state = self.base / "state"
        node.user = user
        if user is not None:
            for path in (node.folder, node.folder / "run"):
                os.chown(path, user, user)
        node.start()
        self.node = node

    def deploy(self, wait=True):
        project = self.grid.project()
        project.js("js", JS).py("py", PY).program("native", self.source(), ("-D_GNU_SOURCE",))
        self.folder = project.folder
        answer = self.node.init(project)
        check_equal(answer.status, 200, f"status of /tasks/init ({answer.text})")
        for task in ("js", "py", "native") if wait else ():
            self.wait_online(task)
        return self

    def source(self):
        path = self.base / "attack.c"
        path.write_text(C)
        return path

    def wait_online(self, task):
        wait_for(lambda: any(p["task"] == task and p["status"] == "online" for p in self.processes()), f"{task} is ready")

    def processes(self):
        return json.loads(self.node.grid("ps", "--json", check_code=0).out)

    def report(self, task):
        event = {"state": str(self.node.state), "elsewhere": str(self.elsewhere), "pid": self.node.process.pid}
        return self.node.invoke(task, json.dumps(event)).json

    def admin(self):
        return self.node.invoke("py.admin", json.dumps({"folder": str(self.folder), "socket": str(self.node.socket)})).json

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        try:
            self.grid.__exit__(kind, error, trace)
        finally:
            for folder in (self.base, self.elsewhere):
                shutil.rmtree(folder, ignore_errors=True)


def living(uid):
    """Pids of this user that are no zombies."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if f"\nUid:\t{uid}\t" in Path(f"/proc/{pid}/status").read_text() and Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX":
                found.append(int(pid))
    return found


def need_root():
    if os.geteuid() != 0:
        raise Skip("only root can run tasks, or a node, as another user")
    need_isolation()


def check_environment(report, what):
    for name, value in SECRETS.items():
        if name != "LC_ALL":
            check(name not in report["env"], f"{what} has {name}")
        check(name == "LC_ALL" or not value or value not in report["env"].values(), f"{what} has the value of {name}")
    check_equal(report["env"].get("LC_ALL"), "C.UTF-8", f"LC_ALL of {what}")
    check_in("TASK_PORT", report["env"], f"the environment of {what}")


def check_descriptors(attack, report, what):
    """Nothing but the ends of its own pipes is open in the node too."""
    folder = f"/proc/{attack.node.process.pid}/fd"
    nodes = set()
    for fd in os.listdir(folder):
        with contextlib.suppress(OSError):
            nodes.add(os.readlink(f"{folder}/{fd}"))
    for fd, link in report["fds"].items():
        if int(fd) > 2 and not link.startswith(("anon_inode:", "/dev/")):
            check(link not in nodes, f"descriptor {fd} of {what} is the node's {link}")
        check(str(attack.node.state) not in link or "/releases/" in link or "/data/" in link or "/tmp/" in link, f"descriptor {fd} of {what} is {link}")


def check_refused(report, what, *names):
    for name in names:
        if name in report["tried"]:
            check(report["tried"][name] != "done", f"{what} could: {name}")


def check_status(report, what):
    check_in("NoNewPrivs:\t1", report["status"], f"status of {what}")
    check(re.search(r"^SigBlk:\t0+$", report["status"], re.M), f"signals are blocked for {what}")


def check_contained(attack, expected_uid=None):
    """What holds for every task of every kind."""
    for task in ("js", "py", "native"):
        report = attack.report(task)
        check_environment(report, task)
        check_descriptors(attack, report, task)
        check_refused(report, task, "key", "list", "environ", "mem", "nodefds", "signal", "ptrace", "setuid", "setgid", "release", "state", "unmount")
        check_equal(report["tried"]["data"], "done", f"{task} writes to GRID_DATA_DIR")
        check_equal(report["tried"].get("tmp", "done"), "done", f"{task} writes to its temporary folder")
        if "status" in report:
            check_status(report, task)
        if expected_uid is not None:
            check_equal(report["uid"], expected_uid, f"uid of {task}")
    report = attack.report("py")
    check(report["leads"], "a task does not lead its session and group")
    check_equal(report["blocked"], [], "blocked signals")
    check_equal(report["core"], [0, 0], "core limit")


def check_invokes_only(attack):
    tried = attack.admin()
    for what, status in tried.items():
        check(status not in (200, "done"), f"a task could {what}")
    check_equal(len(attack.node.get("/tasks/list").json), 3, "tasks that are left")
    return tried


@once
def test_as_root_tasks_have_a_user_of_their_own_that_reads_and_writes_nothing_of_the_node():
    need_root()
    with Attack() as attack:
        attack.deploy()
        uid = attack.report("py")["uid"]
        check(uid >= 61184, f"the tasks' user is {uid}")
        check_contained(attack, uid)
        report = attack.report("js")
        check_refused(report, "js", "elsewhere")
        check_equal(report["env"]["HOME"], report["env"]["GRID_DATA_DIR"], "HOME")
        check_invokes_only(attack)
        mode = (attack.node.state / "data" / "js").stat()
        check_equal((mode.st_uid, mode.st_mode & 0o777), (uid, 0o700), "owner and mode of a task's data")
        check_equal((attack.node.state / "data" / "js" / "mine").read_text(), "x", "what the task wrote is kept outside the release")
        attack.node.invoke("py.escape", "{}")
        check_equal(attack.node.stop(), [], "the node's end")
        wait_for(lambda: not living(uid), "what left its session and cleared its environment has ended too")


COMET = r"""
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LIVES_S = 120, TELLS_AFTER = 100 };

/* One process at a time, which forks and exits: nobody who looks at a list of processes finds it alive. Until its folder is gone, or for two minutes. */
static void fly(const char *held, int fd)
{
    time_t end = time(NULL) + LIVES_S;
    setsid();
    signal(SIGCHLD, SIG_IGN);
    for (int generation = 0; time(NULL) < end && access(held, F_OK) == 0; generation++) {
        if (generation == TELLS_AFTER)
            write(fd, "x", 1);
        if (fork() != 0)
            break;
    }
    _exit(0);
}

int main(void)
{
    char held[4200];
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short) atoi(getenv("TASK_PORT"))), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    snprintf(held, sizeof held, "%s/held", getenv("GRID_DATA_DIR"));
    mkfifo(held, 0600);
    int fd = open(held, O_RDWR);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(listener, (struct sockaddr *) &address, sizeof address) != 0 || listen(listener, 16) != 0)
        return 1;
    if (fork() == 0) {
        clearenv();
        for (int i = 0; i < 64; i++)
            if (i != fd)
                close(i);
        fly(held, fd);
    }
    for (;;)
        close(accept(listener, NULL, NULL));
}
"""


def read_some(fd):
    """What there is; b"" once nobody holds the other end, None while somebody does and says nothing."""
    try:
        return os.read(fd, 100)
    except BlockingIOError:
        return None


@once
def test_what_forks_and_exits_over_and_over_ends_with_its_node():
    need_root()
    with Attack() as attack, contextlib.ExitStack() as stack:
        source = attack.base / "comet.c"
        source.write_text(COMET)
        answer = attack.node.init(attack.grid.project().program("comet", source, ("-D_GNU_SOURCE",)))
        check_equal(answer.status, 200, f"status of /tasks/init ({answer.text})")
        attack.wait_online("comet")
        held = os.open(attack.node.state / "data" / "comet" / "held", os.O_RDONLY | os.O_NONBLOCK)
        stack.callback(os.close, held)
        wait_for(lambda: read_some(held) == b"x", "it is under way")
        check_equal(attack.node.stop(), [], "the node's end")
        wait_for(lambda: read_some(held) == b"", "none of it is left")


@once
def test_a_named_task_user_is_taken_and_may_not_administrate_either():
    need_root()
    with Attack("--task-user", "nobody") as attack:
        attack.deploy()
        check_contained(attack, NOBODY)
        check_invokes_only(attack)


@once
def test_data_stays_when_the_tasks_user_changes():
    need_root()
    with Attack("--task-user", "root", "--task-sandbox", "off") as attack:
        attack.deploy()
        check_equal(attack.report("js")["uid"], 0, "uid with --task-user root")
        attack.node.stop()
        attack.node.terminated = False
        attack.node.options = ["--grid", "isolation", "--task-user", "nobody"]
        (attack.node.folder / "ready").unlink()
        attack.node.start()
        for task in ("js", "py", "native"):
            attack.wait_online(task)
        check_contained(attack, NOBODY)


@once
def test_strict_tasks_of_every_kind_work_and_see_the_system_alone():
    need_root()
    with Attack("--task-sandbox", "strict") as attack:
        attack.deploy()
        check_contained(attack)
        check_refused(attack.report("js"), "js", "elsewhere")
        report = attack.report("py")
        check_refused(report, "py", "elsewhere", "namespace")
        check_in("Seccomp:\t2", report["status"], "status")
        check_invokes_only(attack)


@once
def test_without_root_tasks_cannot_reach_the_nodes_key_or_processes():
    need_root()
    if subprocess.run(["unshare", "-Urm", "true"], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True).returncode != 0:
        raise Skip("this system gives ordinary users no user namespaces")
    for options in ((), ("--task-sandbox", "strict")):
        with Attack(*options, user=NOBODY) as attack:
            attack.deploy()
            check("no view of the file system" not in attack.node.text(), "the node says that tasks have no view of their own")
            check_contained(attack, NOBODY)
            check_invokes_only(attack)
            # A process of the same user that is no task may.
            done = subprocess.run(["curl", "-s", "-X", "DELETE", f"http://{attack.node.api_text}/tasks/clear"], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True, cwd="/")
            check_in('"success":true', done.stdout, "what the node's own user may do")


@once
def test_an_unknown_task_user_is_refused_with_a_sentence():
    with Grid(1, start=False) as grid:
        check_refusal(run_gridd(grid.folder, "--state", grid.folder / "s", "--api", "127.0.0.1:0", "--task-user", "no such user"), "--task-user", "no such user", "useradd")
        check_refusal(run_gridd(grid.folder, "--state", grid.folder / "s", "--api", "127.0.0.1:0", "--task-sandbox", "mostly"), "--task-sandbox", "mostly")


# Python's launcher of a program for which Landlock does not exist: system call 444 answers ENOSYS.
WITHOUT_LANDLOCK = """
import ctypes, os, struct, sys
code = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7fff0000)]
text = b''.join(struct.pack('HBBI', *i) for i in code)
room = ctypes.create_string_buffer(text)
program = ctypes.create_string_buffer(struct.pack('HxxxxxxP', len(code), ctypes.addressof(room)))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program):
    sys.exit('no filter')
os.execv(sys.argv[1], sys.argv[1:])
"""


@once
def test_strict_says_what_a_kernel_without_landlock_lacks():
    with Grid(1, start=False) as grid:
        done = subprocess.run(["python3", "-c", WITHOUT_LANDLOCK, BIN / "gridd", "--state", grid.folder / "s", "--api", "127.0.0.1:0", "--api-socket", "none", "--task-sandbox", "strict"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
        check_refusal(done, "--task-sandbox", "strict", "Landlock")


# ---- servers on all interfaces ------------------------------------------------------------------------------------------------

# As the original's documentation has it.
WIDE = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(200); self.send_header('Content-Length', '2'); self.end_headers(); self.wfile.write(b'ok')
http.server.HTTPServer(('', int(os.environ['TASK_PORT'])), Handler).serve_forever()
"""


class Namespaces:
    """Two network namespaces with a cable between them: the node's machine, and another one."""

    def __init__(self):
        need_root()
        if not shutil.which("ip") or not shutil.which("nft"):
            raise Skip("no ip or no nft here")
        self.here, self.there = f"gth{os.getpid()}", f"gtt{os.getpid()}"
        for name in (self.here, self.there):
            subprocess.run(["ip", "netns", "add", name], check=True)
        self.ip(self.here, "link", "add", "v0", "type", "veth", "peer", "name", "v0", "netns", self.there)
        for name, address in ((self.here, "10.99.0.1/24"), (self.there, "10.99.0.2/24")):
            self.ip(name, "addr", "add", address, "dev", "v0")
            self.ip(name, "link", "set", "v0", "up")
            self.ip(name, "link", "set", "lo", "up")

    def ip(self, name, *args):
        subprocess.run(["ip", "-n", name, *args], check=True)

    def run(self, name, *args):
        return subprocess.run(["ip", "netns", "exec", name, *map(str, args)], capture_output=True, text=True)

    def reaches(self, port):
        code = f"import socket; socket.create_connection(('10.99.0.1', {port}), 0.5)"
        return self.run(self.there, "python3", "-c", code).returncode == 0

    def close(self):
        for name in (self.here, self.there):
            subprocess.run(["ip", "netns", "del", name])


class NodeThere(Node):
    """A node in a network namespace; its Unix socket is asked."""

    def arguments(self):
        return ["ip", "netns", "exec", self.namespace, *super().arguments()]

    def grid(self, *args, **options):
        return super().grid(*args, env={"GRID_API": str(self.socket)}, **options)


def doctor(node, code):
    return json.loads(node.grid("doctor", "--json", check_code=code).out)


@once
def test_a_server_on_all_interfaces_is_told_of_and_shut_off_from_other_machines():
    net = Namespaces()
    try:
        with Grid(1, start=False) as grid:
            node = NodeThere(grid.folder / "node1", "node1")
            node.namespace = net.here
            grid.nodes.append(node)
            node.start()
            project = grid.project().py("wide", WIDE).js("narrow", "exports.handler = () => 1;\n")
            node.grid("deploy", project, check_code=0)
            ps = lambda: {p["task"]: p for p in json.loads(node.grid("ps", "--json", check_code=0).out)}
            wait_for(lambda: ps()["wide"]["exposed"] == "shut" and ps()["narrow"]["status"] == "online", "the port is shut")
            check_equal(ps()["narrow"]["exposed"], "", "exposed, of a task on loopback")
            check_in("shut", node.grid("ps", check_code=0).out, "grid ps")
            check_equal(node.text().count("a task listens on all interfaces"), 1, "how often the log says so")
            found = [f for f in doctor(node, 0) if f["about"] == "ports"]
            check_equal([(f["level"], "wide" in f["text"]) for f in found], [("warning", True)], "what the doctor finds")
            port = ps()["wide"]["port"]
            check(not net.reaches(port), "another machine reaches the task's port")
            check_equal(net.run(net.here, "curl", "-s", "-d", "{}", f"http://127.0.0.1:{port}/").stdout, "ok", "the task on loopback")
            check_in("gridcontrol_", net.run(net.here, "nft", "list", "tables").stdout, "tables")
            net.run(net.here, "nft", "add", "table", "inet", "others")
            net.run(net.here, "nft", "delete", "table", "inet", f"gridcontrol_{node.info['id'][:16]}")
            check(net.reaches(port), "the port is not reached without the table: this test shows nothing")
            check_equal(node.stop(), [], "the node's end")
            check_equal(net.run(net.here, "nft", "list", "tables").stdout.split(), ["table", "inet", "others"], "tables that are left")
    finally:
        net.close()


@once
def test_without_root_a_server_on_all_interfaces_is_told_of():
    with Attack(user=NOBODY if os.geteuid() == 0 else None) as attack:
        project = attack.grid.project().py("wide", WIDE)
        check_equal(attack.node.init(project).status, 200, "status of /tasks/init")
        attack.wait_online("wide")
        check_equal(attack.processes()[0]["exposed"], "open", "exposed")
        check(any(f["about"] == "ports" and "past the grid" in f["text"] for f in doctor(attack.node, 0)), "the doctor does not say it")


@once
def test_the_doctor_names_a_task_that_cannot_start_and_a_node_that_is_not_there():
    with Grid(1, start=False) as grid:
        node = grid.add(start=False)
        check_equal(grid_command("doctor", "--api", "127.0.0.1:1", cwd=grid.folder).returncode, 3, "exit code without a node")
        node.start()
        check_equal([f["level"] for f in doctor(node, 0) if f["about"] in ("node", "peers", "tasks", "ports")], ["ok"] * 4, "a node without tasks")
        node.init(grid.project().executable("broken", "#!/bin/sh\necho no such luck >&2\nexit 3\n"))
        fault = wait_for(lambda: [f for f in json.loads(node.grid("doctor", "--json").out) if f["level"] == "fault"], "the doctor finds a fault")
        check_in("no such luck", fault[0]["text"], "what it says")
        check_equal(node.grid("doctor").returncode, 1, "exit code with a fault")


def faults(node, about):
    return [f["text"] for f in json.loads(node.grid("doctor", "--json").out) if f["level"] == "fault" and f["about"] == about]


@once
def test_the_doctor_names_a_task_that_only_another_node_cannot_start_and_a_node_that_died():
    with Grid(2) as grid:
        one, two = grid
        grid.deploy(grid.project().js("picky", "exports.handler = () => 1;\n"))
        check_equal(doctor(one, 0) and faults(one, "tasks"), [], "faults of a grid that is well")
        project = grid.project().js("picky", "if (process.env.GRID_NODE === 'node2') throw new Error('not on this machine');\nexports.handler = () => 2;\n")
        one.grid("deploy", str(project), check_code=4)
        for node, sentence in ((one, "picky cannot be started on node2"), (two, "picky cannot be started in its newest version here, and the one before answers")):
            found = wait_for(lambda: faults(node, "tasks"), "the doctor finds it")
            check(sentence in found[0] and "not on this machine" in found[0] and "grid logs picky" in found[0], f"what it says: {found}")
        two.kill()
        wait_for(lambda: [f for f in faults(one, "peers") if "node2 is dead" in f and "grid evict node2" in f], "a dead node is a fault, with what to do")


# ---- systems that give less ---------------------------------------------------------------------------------------------------


class NodeWithout(Node):
    """A node of root that lost the right to mount, as in most containers."""

    def arguments(self):
        return ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", *super().arguments()]


def without_mounting(grid, folder):
    need_root()
    if not shutil.which("setpriv"):
        raise Skip("no setpriv here")
    node = NodeWithout(grid.folder / "node1", "node1")
    node.state = folder / "state"
    grid.nodes.append(node)
    return node


@once
def test_where_nothing_can_be_mounted_permissions_and_landlock_keep_tasks_out():
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name, Grid(1, start=False) as grid:
        os.chmod(name, 0o755)
        node = without_mounting(grid, Path(name)).start()
        project = grid.project().js("js", JS).py("py", PY)
        check_equal(node.init(project).status, 200, "status of /tasks/init")
        event = json.dumps({"state": str(node.state), "elsewhere": "/var/tmp", "pid": node.process.pid})
        for task in ("js", "py"):
            report = wait_for(lambda: node.invoke(task, event).json, f"{task} answers")
            check(report["uid"] != 0, f"{task} runs as root")
            check_refused(report, task, "key", "list", "environ", "mem", "nodefds", "signal", "ptrace", "setuid", "setgid", "release", "state", "elsewhere")
            check_equal(report["tried"]["data"], "done", f"{task} writes to GRID_DATA_DIR")


@once
def test_where_nothing_can_be_mounted_a_closed_folder_above_the_state_is_named():
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name, Grid(0) as grid:
        node = without_mounting(grid, Path(name))
        grid.nodes.remove(node)
        done = subprocess.run(node.arguments(), stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=node.folder, timeout=30)
        check_refusal(done, "--task-user", name, "chmod o+x")
        node.ports.close()


def dig(folder, depth):
    """Folders in one another, deeper than a path can say."""
    folder.mkdir(parents=True, exist_ok=True)
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


@once
def test_what_tasks_leave_in_their_temporary_folders_slows_no_start_and_is_deleted():
    with Grid(1) as grid:
        node = grid[0]
        rubbish = lambda: list(node.state.glob(".old-*"))  # noqa: E731
        took = []
        for depth in (1, 3000):
            check_equal(node.stop(), [], "the end")
            dig(node.state / "tmp" / "t", depth)
            began = time.monotonic()
            node.start()
            took.append(time.monotonic() - began)
        check(rubbish() or took[1] < took[0] + 0.5, f"it was ready after {took[1]:.1f} s, and {took[0]:.1f} s without what a task has left")
        check_equal(list((node.state / "tmp").iterdir()), [], "what is in the temporary folder")
        check_equal(node.stop(), [], "the end in the middle of it")
        node.start()
        wait_for(lambda: not rubbish(), "what was left is deleted in the end")


# Writes compiled code for a source where Python would look for it, with the mark that tells that it is of that source.
POISONER = """\
import importlib.util, marshal, os, struct

def handler(event, context):
    wrote = []
    for source in event:
        st, cache = os.stat(source), importlib.util.cache_from_source(source)
        code = compile(open(source).read() + "\\n__import__('os').environ['POISONED'] = 'yes'\\n", source, 'exec')
        try:
            os.makedirs(os.path.dirname(cache), exist_ok=True)
            with open(cache, 'wb') as out:
                out.write(importlib.util.MAGIC_NUMBER + struct.pack('<III', 0, int(st.st_mtime) & 0xffffffff, st.st_size) + marshal.dumps(code))
            wrote.append(cache)
        except OSError:
            pass
    return wrote
"""
VICTIM = """\
import os, sys
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import helper, wave

def handler(event, context):
    return {'poisoned': os.environ.get('POISONED'), 'pid': os.getpid(), 'sources': [helper.__file__, wave.__file__], 'compiled': helper.__cached__}
"""


@once
def test_no_task_runs_code_that_another_has_left_for_its_python():
    need_isolation()
    if os.geteuid() != 0:
        raise Skip("an ordinary user's tasks are that user: what they may write elsewhere, its Python may find")
    with Grid(1) as grid:
        node = grid[0]
        grid.deploy(grid.project().write("helper.py", "VALUE = 1\n").py("poisoner", POISONER).py("victim", VICTIM))
        before = node.invoke("victim", b"{}").json
        own = Path(os.path.realpath(node.state)) / "tmp" / "victim"
        check(Path(before["compiled"]).is_relative_to(own) and Path(before["compiled"]).exists(), f"{before['compiled']} is a file below {own}")
        check_equal(list((own.parents[1] / "releases").rglob("__pycache__")), [], "compiled files in releases")
        wrote = node.invoke("poisoner", json.dumps(before["sources"]).encode()).json
        os.kill(before["pid"], 9)
        after = wait_for(lambda: (a := node.invoke("victim", b"{}")).status == 200 and a.json["pid"] != before["pid"] and a.json, "it runs again")
        check_equal(after["poisoned"], None, f"what it runs, when another has written {wrote}")
