"""What an attacker tries at the doors: web pages, strangers at the peers' port, tasks that reach for more, and bytes recorded on the wire."""

import contextlib
import json
import os
import re
import select
import socket
import ssl
import subprocess
import threading

from certs import Authority, Leaf, tls_client
from crew import Crew
from http2raw import DATA, END_HEADERS, END_STREAM, POST, PREFACE, SETTINGS, frame, headers
from gridtest import ROOT, Grid, Skip, check, check_equal, grid_command, node_rpc, once, raw_exchange, shared, wait_for

NOBODY = 65534
WHO = "exports.handler = () => ({pid: process.pid, uid: process.getuid()});\n"


@shared
def two():
    grid = Grid(2)
    grid.deploy(grid.project().js("who", WHO))
    return grid


def releases_of(node):
    return [(r.root, r.sequence) for r in node_rpc(node).control.ListReleases({}).releases]


# ---- web pages ---------------------------------------------------------------------------------------------------------------------------


def test_a_web_page_can_neither_deploy_nor_invoke_nor_read():
    node = two()[0]
    evil = two().project().js("evil", WHO)
    before, form = releases_of(node), {"Content-Type": "application/x-www-form-urlencoded"}
    page = {"Origin": "http://evil.example", "Referer": "http://evil.example/"}
    rebound = {"Host": f"evil.example:{node.api[1]}"}  # the attacker's name, which now leads to 127.0.0.1
    image = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    init = f"base_folder={evil}&task_folder=tasks"
    for method, path, body, headers in (
        ("POST", "/tasks/init", init, {**form, **page}),
        ("POST", "/tasks/init", init, {**form, "Origin": "null"}),
        ("POST", "/tasks/init", init, {**form, "Origin": f"http://127.0.0.1.evil.example:{node.api[1]}"}),
        ("POST", "/tasks/init", init, {**form, "Origin": "http://localhost:3000"}),
        ("POST", "/tasks/init", init, {"Content-Type": "text/plain", **page}),
        ("POST", "/tasks/init", json.dumps({"base_folder": str(evil)}), {"Content-Type": "application/json", **rebound}),
        ("POST", "/tasks/init", json.dumps({"base_folder": str(evil)}), {"Content-Type": "application/json", **rebound, "Origin": f"http://evil.example:{node.api[1]}"}),
        ("POST", "/tasks/lb_trigger_single", "task_id=who", {**form, **page}),
        ("POST", "/invoke/who", "{}", {"Content-Type": "application/json", **page}),
        ("OPTIONS", "/invoke/who", None, {**page, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}),
        ("DELETE", "/tasks/clear", None, page),
        ("GET", "/tasks/list", None, image),
        ("GET", "/conf", None, image),
        ("GET", "/hosts/list", None, rebound),
        ("GET", "/hosts/list", None, {"Host": "evil.example."}),
        ("GET", "/hosts/list", None, {"Host": "169.254.169.254"}),
        ("POST", "/grid.v1.Control/Clear", bytes(5), {"Content-Type": "application/grpc-web+proto", **page}),
    ):
        answer = node.http(method, path, body, headers)
        check_equal(answer.status, 403, f"{method} {path} with {headers}: {answer}")
        check("access-control-allow-origin" not in answer.headers, f"{method} {path}: the page may read the answer")
    # A form that no browser marks: what remains for it is a route that takes none.
    check_equal(node.http("POST", "/invoke/who", "a=1", form).status, 415, "a form at /invoke")
    check_equal(releases_of(node), before, "releases afterwards")
    check_equal(node.invoke("who").status, 200, "the task afterwards")


def routes():
    """Every path of the local API with its method, as the tables in the sources have them."""
    rows = [row for file in sorted((ROOT / "server" / "ingress").glob("http_*.c")) for row in re.findall(r'\{\.method = "([A-Z]+)",\s*\.path = "([^"]+)"', file.read_text())]
    check({("GET", "/conf"), ("POST", "/tasks/init"), ("DELETE", "/tasks/clear")} <= set(rows) and len(rows) > 15, f"the tables of routes: {rows}")
    return rows


def state_of(node):
    """What a request may have changed: releases, tasks and their processes, members, calls that were made, and the files that the node keeps, but for logs and those that it writes as time goes by."""
    files = {str(p.relative_to(node.state)): p.stat().st_size for p in node.state.rglob("*") if p.is_file() and not {"logs", "peers", "dht"} & set(p.parts)}
    tasks = [(p.task, p.pid) for p in node_rpc(node).control.ListProcesses({}).processes]
    return releases_of(node), tasks, sorted(h["name"] for h in node.hosts()), node.get("/tasks/stats").json, files


def test_what_an_images_tag_can_ask_for_changes_nothing():
    """A browser from before Sec-Fetch-Site: a GET with no mark of the page it is for. It is answered, since curl asks alike; so no GET may do anything."""
    node = two()[0]
    image = {"Accept": "image/avif,image/webp,*/*;q=0.8", "Referer": "http://evil.example/", "User-Agent": "Mozilla/4.0"}
    evil, before = two().project().js("evil", WHO), state_of(node)
    for method, path in routes():
        for asked in (path, f"{path}{'' if path.endswith('/') else '/'}who", f"{path}?base_folder={evil}&task_folder=tasks&task_id=who&data=1&method=POST&_method=DELETE"):
            answer = node.http("GET", asked, None, image)
            check(answer.status in (200, 404, 405), f"GET {asked}: {answer}")
            check(asked != path or (answer.status == 200) == (method == "GET"), f"GET {asked}: {answer}")
            check("access-control-allow-origin" not in answer.headers, f"GET {asked}: a page may read the answer")
            check_equal(node.http("HEAD", asked, None, image).status, answer.status, f"HEAD {asked}")
        rebound = node.http("GET", path, None, {**image, "Host": "evil.example"}).status
        check_equal(rebound, 200 if path in ("/healthz", "/readyz", "/metrics") else 403, f"GET {path} for Host evil.example")
    check_equal(state_of(node), before, "what the node has afterwards")


# ---- the peers' port ------------------------------------------------------------------------------------------------------------------


def test_plaintext_at_the_peers_port_gets_no_answer():
    grid = two()
    for name, data in (
        ("HTTP/1.1", b"GET /hosts/list HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
        ("a join without TLS", b"\x00\x00\x00\x10grid-join/1" + bytes(5)),
        ("zeros", bytes(4096)),
    ):
        answer = raw_exchange(grid[0].listen, data, timeout_s=8)
        check(len(answer) <= 7 and (answer == b"" or answer[0] == 0x15), f"{name} was answered with {answer[:60]!r}")
    check_equal(len(grid[0].hosts()), 2, "hosts")


def handshake_without_certificate(address, alpn):
    """Bytes that a client without a certificate gets after its handshake, and what ended it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([alpn])
    got = b""
    try:
        with socket.create_connection(address, timeout=8) as raw, context.wrap_socket(raw) as tls:
            tls.settimeout(8)
            tls.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
            while part := tls.recv(4096):
                got += part
    except (ssl.SSLError, ConnectionError, TimeoutError) as error:
        return got, error
    return got, None


def test_without_a_certificate_no_byte_of_http2_is_spoken():
    for alpn in ("h2", "http/1.1", "grid-control/1", "nonsense"):
        got, error = handshake_without_certificate(two()[0].listen, alpn)
        check_equal(got, b"", f"bytes under ALPN {alpn}")
        check(error is not None and not isinstance(error, TimeoutError), f"how it ended under ALPN {alpn}: {error!r}")


def shaken_by_openssl(grid, alpn, *options):
    """What openssl tells of a connection with a sound certificate, until the node ends it."""
    key, crt = Leaf(Authority.of_gridfile(grid.gridfile), ("node",)).save(grid.folder / "openssl")
    command = ["openssl", "s_client", "-connect", grid[0].listen_text, "-alpn", alpn, "-key", key, "-cert", crt, "-msg", "-ign_eof", *options]
    done = subprocess.run(command, input=b"nonsense\r\n\r\n", capture_output=True, timeout=20)
    return done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


@once
def test_no_connection_can_be_taken_up_again_and_no_early_data_is_taken():
    """Both take a ticket of the node's (RFC 8446, 2.2 and 2.3), and it gives none."""
    grid = two()
    kept = grid.folder / "session"
    for alpn in ("h2", "http/1.1", "grid-control/1", "grid-join/1"):
        told = shaken_by_openssl(grid, alpn, "-sess_out", kept)
        check("Finished" in told and f"ALPN protocol: {alpn}" in told, f"the handshake under {alpn}: {told[-2000:]}")
        check_equal(told.count("NewSessionTicket"), 0, f"tickets under {alpn}")
        check(not kept.exists(), f"a session was left under {alpn}")


class HalfOpen(threading.Thread):
    """Keeps this many connections open, from an address of its own, that begin a handshake and never end it; each that is closed is opened again."""

    def __init__(self, address, count):
        super().__init__(daemon=True)
        self.address, self.count, self.opened, self.ending = address, count, 0, False
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="x.example")
        with contextlib.suppress(ssl.SSLWantReadError):
            session.do_handshake()
        hello = outgoing.read()
        self.beginnings = [b"", hello[:1], hello[:5], hello[: len(hello) // 2], hello[:-1]]

    def open(self, poll, held):
        sock = socket.socket()
        sock.setblocking(False)
        sock.bind(("127.0.0.66", 0))
        sock.connect_ex(self.address)
        held[sock.fileno()] = sock
        poll.register(sock, select.EPOLLOUT | select.EPOLLIN)
        self.opened += 1

    def run(self):
        held, poll = {}, select.epoll()
        while not self.ending:
            while len(held) < self.count:
                self.open(poll, held)
            for fd, events in poll.poll(0.05):
                if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                    held.pop(fd).close()
                else:
                    poll.modify(fd, select.EPOLLIN)
                    with contextlib.suppress(OSError):
                        held[fd].send(self.beginnings[fd % len(self.beginnings)])
        for sock in held.values():
            sock.close()
        poll.close()


@once
def test_a_thousand_half_open_handshakes_keep_nobody_out():
    with Grid(2) as grid:
        grid.deploy(grid.project().js("who", WHO))
        flood = HalfOpen(grid[0].listen, 1000)
        flood.start()
        try:
            wait_for(lambda: flood.opened > 1500, "a thousand are open, and some were opened again")
            answers = [grid[i % 2].invoke("who") for i in range(200)]
            check_equal({a.status for a in answers}, {200}, "statuses of calls meanwhile")
            check_equal(len({a.headers["grid-node"] for a in answers}), 2, "nodes that answered")
            grid.add()
            grid.wait_linked()
            wait_for(lambda: len({grid[2].invoke("who").headers["grid-node"] for _ in range(9)}) == 3, "the new member is called, and calls")
            check(flood.is_alive(), "the flood went on")
        finally:
            flood.ending = True
            flood.join()
        check_equal(len(grid[0].hosts()), 3, "hosts afterwards")


class Handshakes(Crew):
    """Strangers from some hundred addresses who shake hands for joining, whole, one after the other; `done` counts those that came about."""

    def __init__(self, grid, address, threads=12):
        self.context = tls_client(*Leaf(Authority("strange")).save(grid.folder / "strangers"), ("grid-join/1",))
        self.address, self.done, self.refused, self.next = address, 0, 0, 0
        super().__init__(self.run, [()] * threads)

    def one(self, source):
        try:
            with socket.create_connection(self.address, 10, source_address=(source, 0)) as plain, self.context.wrap_socket(plain):
                return True
        except OSError:
            return False

    def run(self):
        while not self.over.is_set():
            with self.lock:
                self.next += 1
                source = f"127.0.{7 + self.next % 5}.{1 + self.next % 250}"
            done = self.one(source)
            with self.lock:
                self.done += done
                self.refused += not done


@once
def test_a_storm_of_whole_handshakes_is_bounded_and_keeps_nobody_out():
    rate = 20
    with Grid(2, workers=1, options=["--handshake-rate", str(rate)]) as grid:
        grid.deploy(grid.project().program("cecho"))
        with Handshakes(grid, grid[0].listen) as storm:
            wait_for(lambda: storm.done > 2 * rate, "what strangers may do at once is used up")
            answers = [grid[i % 2].invoke("cecho", b"1") for i in range(100)]
            grid.add()
            grid.wait_linked()
            answers += [grid[2].invoke("cecho", b"1", {"Grid-Node": "node1"}) for _ in range(4)]
            wait_for(lambda: storm.done + storm.refused > 5 * rate, "the storm goes on")
        check_equal({a.status for a in answers}, {200}, "statuses of calls meanwhile")
        check(storm.done <= 2 * rate + rate * storm.seconds + 2, f"{storm.done} handshakes of strangers within {storm.seconds:.1f} s at {rate} a second")


def open_without_end(address, context, count, first):
    """This many connections that say `first`, each left as it is. Those that the node ends stay in the list."""
    held = []
    with contextlib.suppress(OSError):
        while len(held) < count:
            sock = socket.create_connection(address, timeout=10)
            held.append(context.wrap_socket(sock) if context else sock)
            held[-1].sendall(first)
    return held


class OtherUser:
    """Another user of this machine who does the same; needs root."""

    SCRIPT = """
import socket, sys
held, first = [], bytes.fromhex(sys.argv[3])
for _ in range(int(sys.argv[2])):
    held.append(socket.create_connection(('127.0.0.1', int(sys.argv[1])), timeout=10))
    held[-1].sendall(first)
print('held', flush=True)
sys.stdin.read()
"""

    def __init__(self, address, count, first):
        self.process = subprocess.Popen(["/usr/bin/python3", "-c", self.SCRIPT, str(address[1]), str(count), first.hex()], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        user=NOBODY, group=NOBODY, extra_groups=[], cwd="/")
        check_equal(self.process.stdout.readline(), b"held\n", "what the other user says")

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=20)
        self.process.stdout.close()


def still_served(grid, node):
    """Everybody else's ways into the node, and its own ways out."""
    check_equal(node.http("GET", "/healthz").status, 200, "/healthz meanwhile")
    node.grid("list", check_code=0)
    answers = [grid[i % 2].invoke("who") for i in range(20)] + [grid[0].invoke("who", headers={"Grid-Node": node.name}) for _ in range(5)]
    check_equal({a.status for a in answers}, {200}, "calls meanwhile")
    check_equal({a.headers["grid-node"] for a in answers[:20]}, {grid[0].name, node.name}, "nodes that answered")
    check_equal(len(node.hosts()), len(grid.alive()), "hosts meanwhile")


@once
def test_connections_without_end_keep_nobody_out():
    with Grid(1) as grid:
        certs = grid.folder / "certs"
        grid_command("cert", "issue", "flood", "--role", "invoke", "--out", certs, cwd=grid.folder, check_code=0)
        few = grid.add()
        few.stop()
        few.prefix = ["prlimit", "--nofile=400:400"]
        few.start()
        grid.wait_linked()
        grid.deploy(grid.project().js("who", WHO))
        preface = PREFACE + frame(SETTINGS)
        path = [(n, "/grpc.health.v1.Health/Watch" if n == ":path" else v) for n, v in POST] + [("content-type", "application/grpc"), ("te", "trailers")]
        watches = preface + headers(1, path, END_HEADERS) + frame(DATA, END_STREAM, 1, bytes(5))
        asked = f"GET /ping HTTP/1.1\r\nHost: localhost:{few.api[1]}\r\n\r\n".encode()
        flood = tls_client(certs / "flood.key", certs / "flood.crt")
        with contextlib.ExitStack() as held:
            for idle in (open_without_end(few.api, None, 500, preface), open_without_end(few.api, None, 500, asked), open_without_end(few.listen, flood, 150, preface)):
                check(len(idle) >= 150, f"{len(idle)} idle connections")
                held.callback(lambda idle=idle: [sock.close() for sock in idle])
            still_served(grid, few)
            busy = open_without_end(few.listen, flood, 150, watches)
            held.callback(lambda: [sock.close() for sock in busy])
            if os.geteuid() == 0:
                held.callback(OtherUser(few.api, 300, watches).close)
            still_served(grid, few)
            grid.add()
            grid.wait_linked()


class Recorder(threading.Thread):
    """A relay that keeps what the dialler sent, and what it heard, on each connection."""

    def __init__(self, to):
        super().__init__(daemon=True)
        self.to, self.server, self.sent, self.heard = to, socket.create_server(("127.0.0.1", 0)), [], []
        self.address = self.server.getsockname()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                inner, _ = self.server.accept()
                self.sent.append(bytearray())
                self.heard.append(bytearray())
                threading.Thread(target=self.relay, args=(inner, socket.create_connection(self.to), self.sent[-1], self.heard[-1]), daemon=True).start()

    @staticmethod
    def relay(inner, outer, sent, heard):
        with inner, outer, contextlib.suppress(OSError):
            while True:
                for sock in select.select([inner, outer], [], [])[0]:
                    data = sock.recv(65536)
                    if not data:
                        return
                    kept = sent if sock is inner else heard
                    kept += data
                    (outer if sock is inner else inner).sendall(data)


@once
def test_a_recorded_link_played_again_moves_nobody():
    with Grid(1) as grid:
        recorder = Recorder(grid[0].listen)
        recorder.start()
        grid.add(join=f"127.0.0.1:{recorder.address[1]}")
        grid.wait_linked()
        grid.deploy(grid.project().js("who", WHO))
        wait_for(lambda: any(len(r) > 4000 for r in recorder.sent), "gossip has gone through the recorder")
        check_equal(grid[1].stop(), [], "the end of the recorded node")
        recorder.server.close()
        wait_for(lambda: len(grid[0].hosts()) == 1, "the recorded node has left")
        before = releases_of(grid[0])
        for record in recorder.sent:
            data = bytes(record)
            answer = raw_exchange(grid[0].listen, data, timeout_s=8)
            # The server's own random has changed: its first flight comes, and then an alert at the first record of the old session.
            check(b"grid" not in answer, f"{len(data)} bytes were answered with {answer[:80]!r}")
        check_equal(len(grid[0].hosts()), 1, "hosts after the replay")
        check_equal(releases_of(grid[0]), before, "releases after the replay")
        check(grid[0].alive(), "the node goes on")


# ---- tasks and other users ---------------------------------------------------------------------------------------------------------------

# A task that asks its node's API for whatever its caller says.
REACHER = """\
const http = require('http');
exports.handler = (event) => new Promise((resolve) => {
  const request = http.request({host: '127.0.0.1', port: event.port, method: event.method, path: event.path, headers: {'Content-Type': 'application/json'}}, (answer) => {
    let body = '';
    answer.on('data', (part) => { body += part; });
    answer.on('end', () => resolve({status: answer.statusCode, body, uid: process.getuid()}));
  });
  request.on('error', (error) => resolve({status: 0, body: String(error), uid: process.getuid()}));
  request.end(event.method === 'POST' ? event.body : undefined);
});
"""


@once
def test_a_task_deploys_neither_the_state_folder_nor_a_home():
    if os.geteuid() != 0:
        raise Skip("needs root: tasks of another node run as its own user")
    with Grid(1) as grid:
        node = grid[0]
        grid.deploy(grid.project().js("reacher", REACHER))

        def reach(method, path, body):
            return node.invoke("reacher", json.dumps({"port": node.api[1], "method": method, "path": path, "body": json.dumps(body)})).json

        if reach("GET", "/ping", {})["uid"] == 0:
            raise Skip("tasks run as the node's own user here")
        home = grid.folder / "home"
        (home / "tasks").mkdir(parents=True)
        (home / "tasks" / "t.js").write_text(WHO)
        home.chmod(0o700)
        (grid.folder / "link").symlink_to(node.state)
        before = releases_of(node)
        for folder in (node.state, grid.folder / "link", f"/proc/self/root{node.state}", f"/proc/self/root{home}", home):
            answer = reach("POST", "/tasks/init", {"base_folder": str(folder), "task_folder": "tasks"})
            check_equal(answer["status"], 403, f"init of {folder} by a task: {answer}")
        for method, path in (("DELETE", "/tasks/clear"), ("GET", "/conf"), ("GET", "/hosts/list"), ("GET", "/tasks/list")):
            check_equal(reach(method, path, {})["status"], 403, f"{method} {path} by a task")
        check_equal(reach("POST", "/invoke/reacher", {"port": 1})["status"], 200, "a task invokes")
        check_equal(releases_of(node), before, "releases afterwards")


@once
def test_another_user_deploys_neither_the_state_folder_nor_a_home():
    if os.geteuid() != 0:
        raise Skip("needs root, to call as another user")
    with Grid(1) as grid:
        node = grid[0]
        grid.deploy(grid.project().js("who", WHO))
        before = releases_of(node)
        for folder in (node.state, f"/proc/self/root{node.state}", "/root"):
            body = json.dumps({"base_folder": str(folder), "task_folder": "tasks"})
            done = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--", "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H",
                                   "Content-Type: application/json", "-d", body, f"http://{node.api_text}/tasks/init"], capture_output=True, text=True, cwd="/", timeout=60)
            check_equal(done.stdout, "403", f"init of {folder} by another user")
        check_equal(releases_of(node), before, "releases afterwards")
