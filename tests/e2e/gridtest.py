"""Starts real nodes for the end-to-end tests, and ends them again.

Everything lives in a temporary folder and on ports the kernel chose; nothing is shared with another run on the same machine.
What a test waits for is a condition with a deadline (`wait_for`), never a moment.
"""

import contextlib
import functools
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRESET = os.environ.get("GRIDTEST_PRESET", "debug")
BIN = ROOT / "build" / PRESET / "bin"
WORKERS = int(os.environ.get("GRIDTEST_WORKERS", "1"))
# Sanitizers and a busy machine make everything slower; deadlines are long because only a failing test ever meets them.
PATIENCE = float(os.environ.get("GRIDTEST_PATIENCE", "30"))
SANITIZER_REPORT = re.compile(r"(AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehaviorSanitizer|runtime error:)")


class Failure(AssertionError):
    """A claim that does not hold."""


class Skip(Exception):
    """A test that cannot run here, and why."""


def check(condition, message):
    if not condition:
        raise Failure(message)


def check_equal(got, want, what):
    if got != want:
        raise Failure(f"{what}: got {got!r}, want {want!r}")


def check_in(part, whole, what):
    if part not in whole:
        raise Failure(f"{what}: {part!r} is not in {whole!r}")


def once(test):
    """Marks a test that does not depend on the number of workers: it runs in the first pass only."""
    test.once = True
    return test


def timeout(seconds):
    """Gives a test another time limit than the runner's."""

    def mark(test):
        test.timeout_s = seconds
        return test

    return mark


def wait_for(condition, what, deadline_s=None, poll_s=0.02):
    """Returns the first true value of condition(); fails with `what` and the last exception once the deadline has passed."""
    end = time.monotonic() + (deadline_s or PATIENCE)
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
        except (OSError, http.client.HTTPException, ValueError, KeyError, AssertionError) as error:
            last = error
        if time.monotonic() > end:
            raise Failure(f"gave up waiting until {what}" + (f" (last: {last!r})" if last else ""))
        time.sleep(poll_s)


# ---- what this machine allows ----------------------------------------------------------------------------------------------------


def user_reaches(uid, path):
    """Whether another user may run the program at `path`. Only root can ask."""
    return subprocess.run(["test", "-x", path], user=uid, group=uid, extra_groups=[], cwd="/").returncode == 0


@functools.cache
def why_no_isolation():
    """Why tasks cannot have a user of their own here, or "": it could not pass a folder above the sources (below /root, say), and gridd
    cannot give it a view in which they lie elsewhere (in a chroot, for which the kernel mounts nothing)."""
    if os.geteuid() != 0:
        return ""
    if user_reaches(65534, ROOT / "runtimes" / "python" / "run.py"):
        return ""
    if subprocess.run(["unshare", "--mount", "--propagation", "slave", "true"], capture_output=True).returncode == 0:
        return ""
    return f"only root can pass the folders above {ROOT}, and nothing may be mounted here"


def need_isolation():
    if why_no_isolation():
        raise Skip(f"tasks run as root: {why_no_isolation()}")


def need_user(uid):
    """For tests that run the programs as another user."""
    if os.geteuid() != 0:
        raise Skip("needs root, to be another user")
    if not user_reaches(uid, BIN / "gridd"):
        raise Skip(f"another user cannot reach {BIN}")


# ---- HTTP ----------------------------------------------------------------------------------------------------------------------


class Response:
    """An HTTP answer. `headers` has lower-case names; repeated fields are joined with a comma."""

    def __init__(self, status, pairs, body):
        self.status, self.pairs, self.body = status, pairs, body
        self.headers = {}
        for name, value in pairs:
            name = name.lower()
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:400]!r}>"


def http_request(address, method, path, body=None, headers=None, timeout_s=60, connection=None):
    """One request on a fresh connection, or on `connection` (an http.client one) when given."""
    own = connection is None
    connection = connection or http.client.HTTPConnection(*address, timeout=timeout_s)
    try:
        if isinstance(body, str):
            body = body.encode()
        # A server may answer, and close, before it has taken a body that is too big: the answer counts.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return Response(answer.status, answer.getheaders(), answer.read())
    finally:
        if own:
            connection.close()


def raw_exchange(address, data, timeout_s=10, half_close=False):
    """Sends bytes as they are and returns all bytes until the server closes, or the timeout has passed with an answer there."""
    with socket.create_connection(address, timeout=timeout_s) as sock:
        received = b""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
        try:
            while True:
                part = sock.recv(65536)
                if not part:
                    return received
                received += part
        except (ConnectionResetError, TimeoutError):
            return received


def raw_answers(address, data, timeout_s=10):
    """Like raw_exchange, but returns as soon as one whole HTTP/1 answer has come: (status or None, head, body)."""
    with socket.create_connection(address, timeout=timeout_s) as sock:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(data)
        try:
            answer = http.client.HTTPResponse(sock)
            answer.begin()
            return answer.status, dict((k.lower(), v) for k, v in answer.getheaders()), answer.read()
        except (ConnectionResetError, TimeoutError, http.client.HTTPException):
            return None, {}, b""


# ---- ports and processes -------------------------------------------------------------------------------------------------------


class PortBlock:
    """A hundred ports nobody else of this kind uses: whoever has bound the first one owns the block, in any process of any user."""

    SIZE = 100

    def __init__(self):
        start = 10000 + (os.getpid() * 7919) % 20000 // self.SIZE * self.SIZE
        for step in range(200):
            first = 10000 + (start - 10000 + step * self.SIZE) % 20000
            self.guard = socket.socket()
            try:
                self.guard.bind(("127.0.0.1", first))
                self.first = first + 1
                return
            except OSError:
                self.guard.close()
        raise Failure("no free block of task ports between 10000 and 30000")

    def close(self):
        self.guard.close()


def free_port():
    """A port that was free a moment ago, for tests about ports that are in use."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def processes_with_env(entry):
    """Pids of living processes whose environment holds exactly this NAME=VALUE."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            environ = Path("/proc", pid, "environ").read_bytes().split(b"\0")
            state = Path("/proc", pid, "stat").read_text().rsplit(")", 1)[1].split()[0]
        except (OSError, IndexError):
            continue
        if entry.encode() in environ and state not in "ZX":
            found.append(int(pid))
    return found


class Running:
    """A process that goes on, whose lines (stdout and stderr) are there as they come. Leaving it ends it."""

    def __init__(self, command, **more):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", **more)
        self.lines = []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def output(self):
        return "".join(self.lines)

    def count(self, text):
        return self.output.count(text)

    def wait_for(self, text):
        wait_for(lambda: text in self.output, f"{text!r} stands in {self.output!r}")

    def wait(self, deadline_s=PATIENCE):
        """Its exit code, with all its output read."""
        code = self.process.wait(deadline_s)
        self.reader.join()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE)
        self.process.kill()
        self.wait()


def describe_process(pid):
    with contextlib.suppress(OSError):
        command = Path("/proc", str(pid), "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        return f"{pid} ({command[:100]})"
    return str(pid)


def clean_environment(home, extra=None):
    """What nodes and commands run with: nothing of GRID_* leaks in from the caller."""
    env = {key: value for key, value in os.environ.items() if key in ("PATH", "LANG", "TMPDIR", "CC", "GRIDTEST_RUN")}
    env.update(HOME=str(home), XDG_STATE_HOME=f"{home}/state", XDG_RUNTIME_DIR=f"{home}/run", NO_COLOR="1")
    env["ASAN_OPTIONS"] = "detect_leaks=1:abort_on_error=0:handle_abort=1"
    env["UBSAN_OPTIONS"] = "print_stacktrace=1:halt_on_error=1"
    env["TSAN_OPTIONS"] = "halt_on_error=0:second_deadlock_stack=1"
    env["LSAN_OPTIONS"] = f"suppressions={ROOT}/tests/e2e/lsan.supp:print_suppressions=0"
    if why_no_isolation():  # as deploy/quickstart does
        env.update(GRID_TASK_USER="root", GRID_TASK_SANDBOX="off")
    env.update(extra or {})
    return env


class Node:
    """One gridd process. `api` and `listen` are (host, port) once it is ready."""

    def __init__(self, folder, name, gridfile=None, workers=None, join=None, options=(), env=None):
        self.name, self.folder, self.gridfile = name, Path(folder), gridfile
        self.state = self.folder / "state"
        self.socket = self.folder / "api.sock"
        self.workers = WORKERS if workers is None else workers
        self.join, self.options, self.env = join, list(options), env or {}
        self.ports = PortBlock()
        self.process = self.info = None
        self.terminated = False  # SIGTERM was sent; a second one would end it without a drain
        self.user = None  # uid to run as, when it is not ours
        self.prefix = []  # a command that runs another one, such as nsenter, in this process
        self.expect_exit = 0
        self.ids = set()
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "run").mkdir(mode=0o700, exist_ok=True)
        self.log = self.folder / "stderr"

    def arguments(self):
        args = [str(BIN / "gridd"), "--name", self.name, "--state", str(self.state), "--api", "127.0.0.1:0", "--api-socket", str(self.socket),
                "--listen", "127.0.0.1:0", "--discover", "none", "--task-ports", str(self.ports.first), "--workers", str(self.workers),
                "--log-format", "json", "--ready-file", str(self.folder / "ready")]
        if self.gridfile:
            args += ["--gridfile", str(self.gridfile)]
        if self.join:
            args += ["--join", self.join]
        return args + self.options

    def launch(self):
        """Starts the process without waiting for it."""
        (self.folder / "ready").unlink(missing_ok=True)
        self.expect_exit, self.terminated = 0, False
        other = {} if self.user is None else {"user": self.user, "group": self.user, "extra_groups": []}
        with open(self.log, "ab") as log, open(self.folder / "stdout", "ab") as out:
            self.process = subprocess.Popen(self.prefix + self.arguments(), stdin=subprocess.DEVNULL, stdout=out, stderr=log, cwd=self.folder,
                                            env=clean_environment(self.folder, self.env), **other)
        return self

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise SystemError(f"node {self.name} exited with {self.process.returncode} before it was ready:\n{self.tail()}")
            return (self.folder / "ready").exists()

        wait_for(ready, f"node {self.name} is ready")
        self.info = json.loads((self.folder / "ready").read_text())
        self.ids.add(self.info["id"])
        self.api = self._address("api")
        self.listen = self._address("listen")
        return self

    def start(self):
        return self.launch().wait_ready()

    def _address(self, key):
        """(host, port); None for what the node does not listen on."""
        host, _, port = self.info[key].rpartition(":")
        return (host.strip("[]"), int(port)) if port else None

    @property
    def api_text(self):
        return f"{self.api[0]}:{self.api[1]}"

    @property
    def listen_text(self):
        return f"{self.listen[0]}:{self.listen[1]}"

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def task_pids(self):
        return sorted({pid for node_id in self.ids for pid in processes_with_env(f"GRID_NODE_ID={node_id}")})

    def terminate(self):
        """Asks for a drain and an end, once."""
        if not self.terminated:
            self.terminated = True
            self.process.terminate()

    def kill(self):
        """A crash: nothing is said to anybody."""
        self.expect_exit = -signal.SIGKILL
        self.process.kill()
        self.process.wait()

    def stop(self, deadline_s=None):
        """SIGTERM, and SIGKILL when that is not obeyed. Returns a list of what was wrong about the end."""
        wrong = []
        if self.process is None:
            return wrong
        if self.process.poll() is None:
            self.terminate()
            try:
                self.process.wait(deadline_s or PATIENCE)
            except subprocess.TimeoutExpired:
                wrong.append(f"node {self.name} did not end on SIGTERM")
                self.process.kill()
                self.process.wait()
        if not wrong and self.process.returncode != self.expect_exit:
            wrong.append(f"node {self.name} exited with {self.process.returncode}, not {self.expect_exit}")
        return wrong

    def close(self):
        """Ends the process and whatever it left behind. Returns what was wrong."""
        wrong = self.stop()
        left = self.task_pids()
        if left and self.expect_exit >= 0:
            # Killed processes are reaped by init in their own time.
            with contextlib.suppress(Failure):
                wait_for(lambda: not self.task_pids(), "no task is left", 3)
            left = self.task_pids()
            if left:
                wrong.append(f"node {self.name} left task processes behind: " + ", ".join(map(describe_process, left)))
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.ports.close()
        if SANITIZER_REPORT.search(self.text()):
            wrong.append(f"node {self.name}: a sanitizer reported something")
        return wrong

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self, lines=40):
        text = self.text()
        found = SANITIZER_REPORT.search(text)
        if found:
            start = text.rfind("\n", 0, found.start()) + 1
            return "\n".join(text[start:].splitlines()[:120])
        return "\n".join(text.splitlines()[-lines:])

    # -- talking to it

    def http(self, method, path, body=None, headers=None, **more):
        return http_request(self.api, method, path, body, headers, **more)

    def get(self, path, **more):
        return self.http("GET", path, **more)

    def invoke(self, task, body=b"", headers=None, **more):
        return self.http("POST", f"/invoke/{task}", body, {"Content-Type": "application/json", **(headers or {})}, **more)

    def trigger(self, task, data=None, opts=None, **more):
        """The original's single trigger, as JSON. Returns the decoded answer."""
        body = {"task_id": task, "data": data, "opts": opts or {}}
        answer = self.http("POST", "/tasks/lb_trigger_single", json.dumps(body), {"Content-Type": "application/json"}, **more)
        check_equal(answer.status, 200, f"status of lb_trigger_single {task}")
        return answer.json

    def init(self, project, instances=1, env=None, **more):
        """The original's deploy."""
        body = {"base_folder": str(project), "task_folder": "tasks", "instances": instances, "env": env or {}}
        body.update(more)
        return self.http("POST", "/tasks/init", json.dumps(body), {"Content-Type": "application/json"})

    def hosts(self):
        return self.get("/hosts/list").json

    def grid(self, *args, input=None, env=None, cwd=None, check_code=None, timeout_s=90):
        """Runs the `grid` command against this node."""
        return grid_command(*args, node=self, input=input, env=env, cwd=cwd or self.folder, check_code=check_code, timeout_s=timeout_s)


def grid_command(*args, node=None, input=None, env=None, cwd=None, check_code=None, timeout_s=90):
    """Runs `grid`; stdin is empty unless given. With check_code, another exit code is a failure that shows the output."""
    home = Path(cwd or ".").resolve()
    environment = clean_environment(home)
    if node:
        environment.update(GRID_API=node.api_text, GRID_API_SOCKET=str(node.socket))
    environment.update(env or {})
    done = subprocess.run([str(BIN / "grid"), *map(str, args)], input=input if input is not None else b"", capture_output=True,
                          cwd=home, env=environment, timeout=timeout_s)
    done.out, done.err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    if check_code is not None and done.returncode != check_code:
        raise Failure(f"grid {' '.join(map(str, args))} exited with {done.returncode}, not {check_code}:\n{done.out}{done.err}")
    return done


# ---- projects ------------------------------------------------------------------------------------------------------------------

ECHO_SOURCE = ROOT / "tests" / "bench" / "task_echo.c"
_compiled = {}


def compiled(source, flags=()):
    """Path of an executable built from C text or from a .c file, built once per test process."""
    text = source.read_text() if isinstance(source, Path) else source
    if text not in _compiled:
        folder = Path(tempfile.mkdtemp(prefix="gridtest-cc-"))
        (folder / "task.c").write_text(text)
        subprocess.run([os.environ.get("CC", "cc"), "-O1", "-o", folder / "task", folder / "task.c", *flags], check=True)
        _compiled[text] = folder / "task"
    return _compiled[text]


def discard_compiled():
    """Removes what compiled() built."""
    for program in _compiled.values():
        shutil.rmtree(program.parent, ignore_errors=True)
    _compiled.clear()


class Project:
    """A folder with tasks/."""

    def __init__(self, folder):
        self.folder = Path(folder)
        (self.folder / "tasks").mkdir(parents=True, exist_ok=True)

    def write(self, path, text, mode=None):
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, bytes):
            target.write_bytes(text)
        else:
            target.write_text(text)
        if mode is not None:
            target.chmod(mode)
        return self

    def js(self, name, text):
        return self.write(f"tasks/{name}.js", text)

    def py(self, name, text):
        return self.write(f"tasks/{name}.py", text)

    def executable(self, name, text):
        return self.write(f"tasks/{name}", text, 0o755)

    def program(self, name, source=ECHO_SOURCE, flags=()):
        """A compiled task."""
        shutil.copy(compiled(source, flags), self.folder / "tasks" / name)
        return self

    def __str__(self):
        return str(self.folder)


JS_ECHO = "exports.handler = (event) => event;\n"
JS_WHO = "exports.handler = () => ({pid: process.pid, port: process.env.TASK_PORT});\n"


# ---- grids ---------------------------------------------------------------------------------------------------------------------


class Grid:
    """Nodes of one grid in one temporary folder. Use as a context manager: leaving it ends everything and checks the end."""

    def __init__(self, nodes=3, name="testgrid", workers=None, options=(), env=None, start=True):
        self.folder = Path(tempfile.mkdtemp(prefix="gridtest-"))
        self.folder.chmod(0o755)
        self.name, self.workers, self.options, self.env = name, workers, list(options), env
        self.nodes = []
        self.projects = 0
        self.gridfile = mint_gridfile(self.folder, name)
        if start:
            try:
                for _ in range(nodes):
                    self.add()
                self.wait_linked()
            except BaseException:
                self.problems = [str(p) for p in self.finish()]
                self.report()
                raise

    def add(self, start=True, options=(), **more):
        """One more node, joined to the first."""
        index = len(self.nodes) + 1
        join = self.nodes[0].listen_text if self.nodes else None
        node = Node(self.folder / f"node{index}", f"node{index}", self.gridfile, more.pop("workers", self.workers), more.pop("join", join),
                    self.options + list(options), {**(self.env or {}), **more.pop("env", {})})
        self.nodes.append(node)
        return node.start() if start else node

    def __getitem__(self, index):
        return self.nodes[index]

    def alive(self):
        return [node for node in self.nodes if node.alive()]

    def wait_linked(self):
        alive = self.alive()
        for node in alive:
            wait_for(lambda: len(node.hosts()) == len(alive), f"{node.name} sees {len(alive)} hosts")
        return self

    def project(self):
        self.projects += 1
        return Project(self.folder / f"project{self.projects}")

    def deploy(self, project, node=0, wait=True, tasks=None, instances=1, **more):
        """Deploys through the original's route, and waits until every node runs it."""
        answer = self[node].init(project, instances, **more)
        check_equal(answer.status, 200, f"status of /tasks/init ({answer.text[:300]})")
        if wait:
            self.wait_ready(tasks or list(answer.json))
        return answer.json

    def wait_ready(self, tasks, deadline_s=None):
        """Until every node knows of a ready instance of each task on every node."""
        alive = self.alive()
        for node in alive:
            def ready():
                listed = {t.name.decode() if isinstance(t.name, bytes) else t.name: t for t in node_rpc(node).control.ListTasks({}).tasks}
                missing = [t for t in tasks if t not in listed or listed[t].ready_in_grid < len(alive)]
                check(not missing, f"not ready everywhere as {node.name} sees it: {missing}")
                check(all(h["synchronized"] for h in node.hosts()), "a host is not synchronized")
                return True

            wait_for(ready, f"{node.name} sees every task ready on {len(alive)} nodes", deadline_s)
        return self

    def finish(self):
        wrong = []
        for node in self.nodes:
            if node.alive():
                node.terminate()
        for node in self.nodes:
            wrong += node.close()
        return wrong

    def report(self):
        """Shows what the nodes said."""
        for node in self.nodes:
            print(f"---- {node.name} said:\n{node.tail()}")

    def close(self, failed=False):
        wrong = self.finish()
        if wrong or failed:
            self.report()
        if not os.environ.get("GRIDTEST_KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            print(f"kept: {self.folder}")
        if wrong and not failed:
            raise Failure("; ".join(wrong))
        for problem in wrong:
            print(problem)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        for channel in [_rpc.pop(key) for key in list(_rpc) if key[1] in {id(n) for n in self.nodes}]:
            channel.close()
        self.close(failed=kind is not None and not issubclass(kind, Skip))


def mint_gridfile(folder, name):
    """`grid new NAME` in `folder`; the path of the Gridfile."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    grid_command("new", name, cwd=folder, check_code=0)
    check((folder / "Gridfile").exists(), "`grid new` wrote no Gridfile")
    return folder / "Gridfile"


class Shared:
    """A grid that the tests of one file share: made at the first use, made anew when a node of it has died."""

    def __init__(self, build):
        self.build, self.grid = build, None

    def __call__(self):
        if self.grid and len(self.grid.alive()) < len(self.grid.nodes):
            self.close(failed=True)
        if not self.grid:
            self.grid = self.build()
        return self.grid

    def close(self, failed=False):
        grid, self.grid = self.grid, None
        if grid:
            grid.__exit__(Failure if failed else None, None, None)


def shared(build):
    """Decorates a function that makes a grid; the runner closes it after the file's last test and counts how that went."""
    return Shared(build)


# ---- gRPC ----------------------------------------------------------------------------------------------------------------------

_rpc = {}
_pool = None


def api_pool():
    """Descriptors of the project's protos and the standard health and reflection ones, without generated modules."""
    global _pool
    if _pool is None:
        from google.protobuf import descriptor_pb2, descriptor_pool

        with tempfile.NamedTemporaryFile() as out:
            protos = sorted((ROOT / "api/proto/grid/v1").glob("*.proto"))
            standard = ["grpc/health/v1/health.proto", "grpc/reflection/v1/reflection.proto", "grpc/reflection/v1alpha/reflection.proto"]
            subprocess.run(["protoc", "-I", ROOT / "api/proto", "-I", "/usr/share/grpc-proto", "--include_imports",
                            f"--descriptor_set_out={out.name}", *protos, *standard], check=True)
            files = descriptor_pb2.FileDescriptorSet.FromString(Path(out.name).read_bytes())
        _pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            _pool.AddSerializedFile(file.SerializeToString())
    return _pool


def message_class(name):
    from google.protobuf import message_factory

    return message_factory.MessageFactory(api_pool()).GetPrototype(api_pool().FindMessageTypeByName(name))


class Service:
    """Methods of one gRPC service as attributes. A request may be a message, or a dict of its fields."""

    def __init__(self, channel, full_name):
        for method in api_pool().FindServiceByName(full_name).methods:
            setattr(self, method.name, self._method(channel, full_name, method))

    @staticmethod
    def _method(channel, full_name, method):
        request, response = message_class(method.input_type.full_name), message_class(method.output_type.full_name)
        kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
        call = getattr(channel, kind)(f"/{full_name}/{method.name}", request_serializer=lambda m: m.SerializeToString(),
                                      response_deserializer=response.FromString)

        def invoke(message, **options):
            options.setdefault("timeout", 60)
            return call(request(**message) if isinstance(message, dict) else message, **options)

        invoke.raw = call
        invoke.future = lambda message, **o: call.future(request(**message) if isinstance(message, dict) else message, **o)
        return invoke


class Rpc:
    """The local API of a node over gRPC, on a channel of its own."""

    def __init__(self, target, options=()):
        import grpc

        # A subchannel of its own, so that no other test's backoff or connection is shared.
        self.channel = grpc.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1),
                                                      ("grpc.max_send_message_length", -1), ("grpc.enable_http_proxy", 0), *options])
        self.invoke = Service(self.channel, "grid.v1.Invoke")
        self.control = Service(self.channel, "grid.v1.Control")
        self.health = Service(self.channel, "grpc.health.v1.Health")

    def close(self):
        self.channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def node_rpc(node):
    """The channel the harness keeps for a node."""
    key = (node.api, id(node))
    if key not in _rpc:
        _rpc[key] = Rpc(node.api_text)
    return _rpc[key]


def rpc_code(call):
    """Runs call() and returns (status code name, details): ("OK", answer) when it succeeds."""
    import grpc

    try:
        return "OK", call()
    except grpc.RpcError as error:
        return error.code().name, error.details()
