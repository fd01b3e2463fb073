"""Who may do what through the local API: real processes of several users, over TCP and the Unix socket, against the table of CONTRACT's words."""

import json
import os
import re
import subprocess

from gridtest import BIN, Grid, Node, Skip, check, check_equal, check_in, need_user, node_rpc, once, wait_for

GROUP, MEMBER, LISTED, OTHER, OWNER = 50100, 50001, 50002, 50003, 50004
JSON = ["-H", "Content-Type: application/json"]
GRPC = ["--http2-prior-knowledge", "-H", "Content-Type: application/grpc", "-H", "TE: trailers", "--data-binary", "@-"]
EMPTY_MESSAGE = bytes(5)  # gRPC framing: no compression, no bytes


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root, to call as other users")


class Caller:
    """A user of this machine: curl with its ids, and nothing of ours."""

    def __init__(self, uid, groups=(), tcp=True):
        self.uid, self.groups = uid, groups
        self.tcp = tcp

    def command(self, command):
        groups = ["--groups", ",".join(map(str, self.groups))] if self.groups else ["--clear-groups"]
        return ["setpriv", "--reuid", str(self.uid), "--regid", str(self.uid), *groups, "--", *command]

    def curl(self, node, path, *args, input=b"", unix=False, base=None):
        """(status, head and body). A gRPC status, where there is one, stands for the HTTP status."""
        where = ["--unix-socket", str(node.socket)] if unix else []
        url = base or (f"http://localhost{path}" if unix else f"http://{node.api_text}{path}")
        done = subprocess.run(self.command(["curl", "-sS", "-i", "--max-time", "30", *where, *args, url]), input=input, capture_output=True, cwd="/")
        text = done.stdout.decode(errors="replace")
        grpc = re.search(r"(?i)grpc-status: *(\d+)", text)
        http = re.search(r"HTTP/[0-9.]+ (\d+)", text)
        if not http:
            return f"curl {done.returncode}", done.stderr.decode(errors="replace")
        return f"grpc {grpc[1]}" if grpc else int(http[1]), text


class NodeWithGroup(Node):
    """A node that sees a user database of its own, with the group gridcontrol in it: nothing of the machine's is changed."""

    def write_database(self):
        mounts = " && ".join(f"mount --bind {self.folder}/{name} /etc/{name}" for name in ("passwd", "group"))
        self.prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c", f'{mounts} && exec "$@"', "sh"]
        with open("/etc/passwd") as passwd, open("/etc/group") as group:
            users = "".join(f"u{uid}:x:{uid}:{uid}::/nonexistent:/usr/sbin/nologin\n" for uid in (MEMBER, LISTED, OTHER))
            (self.folder / "passwd").write_text(passwd.read() + users)
            others = "".join(line for line in group if not line.startswith("gridcontrol:"))
            (self.folder / "group").write_text(others + f"gridcontrol:x:{GROUP}:u{LISTED}\n")


def node_with_group(grid):
    need_root()
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        raise Skip("mount namespaces cannot be made here")
    node = NodeWithGroup(grid.folder / "node1", "node1", grid.gridfile)
    node.write_database()
    grid.nodes.append(node)
    return node.start()


def task_uid(node):
    return node.invoke("who").json["uid"]


def project_for(grid, uid, mode=0o700):
    """A project that its owner alone may read."""
    project = grid.project().js("who", "exports.handler = () => ({uid: process.getuid()});\n")
    for place, _, names in os.walk(project.folder):
        for path in [place] + [os.path.join(place, name) for name in names]:
            os.chown(path, uid, uid)
    project.folder.chmod(mode)
    return project


# What is asked, and how it ends for: who may write, whoever else, a task. Deploys come last, since what was cleared runs again then.
INVOKES = [
    ("/invoke/who", [*JSON, "-d", "{}"], b"", 200, 200, 200),
    ("/tasks/lb_trigger_single", ["-d", "task_id=who"], b"", 200, 200, 200),
    ("/tasks/lb_trigger_all", ["-d", "task_id=who"], b"", 200, 200, 200),
    ("/2015-03-31/functions/who/invocations", [*JSON, "-d", "{}"], b"", 200, 200, 200),
    ("/grid.v1.Invoke/Call", GRPC, b"\0\0\0\0\5\n\3who", "grpc 0", "grpc 0", "grpc 0"),
    ("/grpc.health.v1.Health/Check", GRPC, EMPTY_MESSAGE, "grpc 0", "grpc 0", "grpc 0"),
    ("/ping", [], b"", 200, 200, 200),
    ("/healthz", [], b"", 200, 200, 200),
]
READS = [
    ("/tasks/list", [], b"", 200, 200, 403),
    ("/tasks/stats", [], b"", 200, 200, 403),
    ("/tasks/processing", [], b"", 200, 200, 403),
    ("/hosts/list", [], b"", 200, 200, 403),
    ("/conf", [], b"", 200, 200, 403),
    ("/metrics", [], b"", 200, 200, 403),
    ("/2015-03-31/functions", [], b"", 200, 200, 403),
    ("/grid.v1.Control/GetNode", GRPC, EMPTY_MESSAGE, "grpc 0", "grpc 0", "grpc 7"),
    ("/grid.v1.Control/ListProcesses", GRPC, EMPTY_MESSAGE, "grpc 0", "grpc 0", "grpc 7"),
    ("/grid.v1.Control/ListReleases", GRPC, EMPTY_MESSAGE, "grpc 0", "grpc 0", "grpc 7"),
]
WRITES = [
    ("/grid.v1.Control/Deploy", GRPC, EMPTY_MESSAGE, "grpc 3", "grpc 7", "grpc 7"),  # no folder is named
    ("/grid.v1.Control/Rollback", GRPC, b"\0\0\0\0\5\n\3abc", "grpc 3", "grpc 7", "grpc 7"),
    ("/grid.v1.Control/Clear", GRPC, EMPTY_MESSAGE, "grpc 0", "grpc 7", "grpc 7"),
    ("/grid.v1.Control/Logs", GRPC, EMPTY_MESSAGE, "grpc 0", "grpc 7", "grpc 7"),
    ("/grid.v1.Control/Evict", GRPC, b"\0\0\0\0\6\n\4none", "grpc 5", "grpc 7", "grpc 7"),
    ("/grid.v1.Control/Rotate", GRPC, EMPTY_MESSAGE, "grpc 0", "grpc 7", "grpc 7"),  # only asks how far it is
    ("/grid.v1.Control/SetPassword", GRPC, EMPTY_MESSAGE, "grpc 3", "grpc 7", "grpc 7"),
    ("/grid.v1.Control/Adopt", GRPC, EMPTY_MESSAGE, "grpc 0", "grpc 7", "grpc 7"),
    ("/tasks/clear", ["-X", "DELETE"], b"", 200, 403, 403),
]


def run_table(node, caller, column, unix, project):
    """column: 0 who may write, 1 anybody, 2 a task."""
    transport = "the Unix socket" if unix else "TCP"
    body = json.dumps({"base_folder": str(project), "task_folder": "tasks"})
    init = ("/tasks/init", [*JSON, "-d", body], b"", 200, 403, 403)
    for path, args, input, *want in INVOKES + READS + WRITES + [init]:
        status, text = caller.curl(node, path, *args, input=input, unix=unix)
        check_equal(status, want[column], f"{path} by uid {caller.uid} {caller.groups} over {transport}: {text[-400:]}")


@once
def test_the_table_of_callers_holds_on_a_root_node():
    need_root()
    with Grid(0, start=False) as grid:
        node = node_with_group(grid)
        grid.deploy(project_for(grid, 0))
        run_table(node, Caller(0), 0, False, project_for(grid, 0))
        run_table(node, Caller(0), 0, True, project_for(grid, 0))
        # At the socket the process's own groups count, on TCP the user's in the database.
        run_table(node, Caller(MEMBER, [GROUP]), 0, True, project_for(grid, MEMBER))
        run_table(node, Caller(LISTED), 0, False, project_for(grid, LISTED))
        run_table(node, Caller(OTHER), 1, False, project_for(grid, OTHER))
        status, text = Caller(OTHER).curl(node, "/ping", unix=True)
        check_equal(status, "curl 7", f"a stranger at the socket: {text}")
        check_equal((os.stat(node.socket).st_mode & 0o777, os.stat(node.socket).st_gid), (0o660, GROUP), "the socket's mode and group")


@once
def test_a_task_invokes_and_nothing_else():
    need_root()
    with Grid(1) as grid:
        grid.deploy(project_for(grid, 0))
        uid = task_uid(grid[0])
        if uid == 0:
            raise Skip("tasks run as the node's own user here")
        run_table(grid[0], Caller(uid), 2, False, project_for(grid, uid))
        check_equal(grid[0].invoke("who").json["uid"], uid, "what runs afterwards")


@once
def test_a_node_that_is_not_root_serves_its_own_user():
    need_root()
    with Grid(1, start=False) as grid:
        node = grid.add(start=False)
        node.user = OWNER
        need_user(OWNER)
        for place, _, names in os.walk(grid.folder):
            for path in [place] + [os.path.join(place, name) for name in names]:
                os.lchown(path, OWNER, OWNER)
        node.start()
        grid.deploy(project_for(grid, OWNER, 0o755))
        if b"__asan_init" not in (BIN / "gridd").read_bytes():  # whose leak check traces the process
            check_equal(os.stat(f"/proc/{node.process.pid}/mem").st_uid, 0, "who may read its memory, and take a core of it")
        run_table(node, Caller(OWNER), 0, False, project_for(grid, OWNER))
        run_table(node, Caller(OWNER), 0, True, project_for(grid, OWNER))
        run_table(node, Caller(OTHER), 1, False, project_for(grid, OTHER, 0o755))
        check_equal(Caller(OTHER).curl(node, "/ping", unix=True)[0], "curl 7", "a stranger at the socket")


@once
def test_the_token_opens_what_the_user_does_not():
    need_root()
    token = "s3cret-token-s3cret"
    with Grid(1, start=False) as grid:
        (grid.folder / "token").write_text(token + "\n")
        (grid.folder / "token").chmod(0o600)
        node = grid.add(start=False, options=["--api", "0.0.0.0:0", "--api-host", "grid.example", "--api-token-file", str(grid.folder / "token")])
        node.start()
        node.api = ("127.0.0.1", node.api[1])
        host, good, bad = ["-H", "Host: grid.example"], ["-H", f"Authorization: Bearer {token}"], ["-H", "Authorization: Bearer s3cret-token-s3creT"]
        stranger = Caller(OTHER)
        for path, args, status in (
            ("/ping", host, 401), ("/ping", host + bad, 401), ("/ping", host + ["-H", "Authorization: Basic " + token], 401), ("/ping", host + good, 200),
            ("/hosts/list", host, 401), ("/hosts/list", host + good, 200), ("/healthz", [], 200), ("/metrics", [], 401), ("/metrics", good, 200),
            ("/tasks/clear", host + ["-X", "DELETE"], 401), ("/tasks/clear", host + good + ["-X", "DELETE"], 200),
            ("/ping", ["-H", "Host: evil.example"] + good, 403), ("/ping", host + good + ["-H", "Origin: http://evil.example"], 403),
            ("/grid.v1.Control/Clear", [*GRPC, *host, *good], "grpc 0"), ("/grid.v1.Control/Clear", [*GRPC, *host], 401),
        ):
            got, text = stranger.curl(node, path, *args, input=EMPTY_MESSAGE)
            check_equal(got, status, f"{path} with {args}: {text[-300:]}")


# ---- folders are read with their caller's rights -------------------------------------------------------------------------------------------


def init_by(node, caller, folder, unix=False):
    status, text = caller.curl(node, "/tasks/init", *JSON, "-d", json.dumps({"base_folder": str(folder), "task_folder": "tasks"}), unix=unix)
    return status, text


@once
def test_a_member_of_the_group_deploys_what_it_can_read_and_nothing_else():
    need_root()
    with Grid(0, start=False) as grid:
        node = node_with_group(grid)
        socket_member, listed = Caller(MEMBER, [GROUP]), Caller(LISTED)
        check_equal(init_by(node, socket_member, project_for(grid, MEMBER), unix=True)[0], 200, "an own folder")
        check_equal(init_by(node, listed, project_for(grid, LISTED))[0], 200, "an own folder, over TCP")
        victim = project_for(grid, OTHER)
        before = {r.root for r in node_rpc(node).control.ListReleases({}).releases}
        for caller, unix in ((socket_member, True), (listed, False)):
            status, text = init_by(node, caller, victim, unix)
            check_equal(status, 500, f"another user's folder: {text}")
            check_in("Permission denied", text, "what it says")
        mixed = project_for(grid, MEMBER, 0o755)
        mixed.write("tasks/secret.js", "exports.handler = () => 'root only';\n", 0o600)
        status, text = init_by(node, socket_member, mixed, unix=True)
        check_equal(status, 500, f"a folder with a file of root: {text}")
        check_in("tasks/secret.js", text, "what it says")
        check_equal({r.root for r in node_rpc(node).control.ListReleases({}).releases}, before, "releases afterwards")


@once
def test_no_path_leads_into_the_state_folder():
    need_root()
    with Grid(1) as grid:
        node = grid[0]
        grid.deploy(project_for(grid, 0))
        tree = next(p for p in (node.state / "releases").iterdir() if p.is_dir() and not p.is_symlink())
        check((tree / "tasks").is_dir(), "the tree of a release has a folder tasks")
        (grid.folder / "link").symlink_to(tree)
        bound = grid.folder / "bound"
        bound.mkdir()
        folders = [node.state, tree, grid.folder / "link", f"{grid.folder}/project1/../node1/state", f"/proc/self/root{tree}", f"/proc/self/root{node.state}",
                   f"/proc/{node.process.pid}/root{tree}", f"/proc/{node.process.pid}/cwd/state"]
        # In a chroot whose root is no mount nobody can tell where a mount in it leads.
        told = any(line.split()[4] == "/" for line in open("/proc/self/mountinfo"))
        mounted = told and subprocess.run(["mount", "--bind", tree, bound], capture_output=True).returncode == 0
        try:
            for folder in folders + ([bound] if mounted else []):
                status, text = init_by(node, Caller(0), folder)
                check_equal(status, 500, f"init of {folder}: {text}")
                check("state folder" in text or "/proc" in text, f"what init of {folder} says: {text}")
            around = grid.project().js("who", "exports.handler = () => ({uid: process.getuid()});\n")
            if mounted:
                (around.folder / "inner").mkdir()
                check_equal(subprocess.run(["mount", "--bind", node.state, around.folder / "inner"]).returncode, 0, "mount")
                try:
                    grid.deploy(around)
                finally:
                    subprocess.run(["umount", "-l", around.folder / "inner"], check=True)
                check_equal([p for p in (node.state / "releases").rglob("VERSION")], [], "what of the state folder is in the release")
        finally:
            if mounted:
                subprocess.run(["umount", "-l", bound], check=True)
