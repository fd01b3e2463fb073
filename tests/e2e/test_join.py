"""Joining by name and password: who gets in, who does not, and what others learn of it."""

import contextlib
import os
import socket
import ssl
import struct
import subprocess
import threading
import time

from gridtest import BIN, PRESET, Failure, Grid, Node, check, check_equal, check_in, clean_environment, free_port, mint_gridfile, once, raw_exchange, wait_for
from test_attacks import Recorder

PASSWORD = "tangled-otter-8-lamps"
ALPN = "grid-join/1"
SHARE, CONFIRM, REFUSAL = 1, 2, 6
MISMATCH, TOO_MANY, BUSY = 5, 4, 3
ALL_BURST, ALL_PER_S = 120, 5  # failed attempts of all sources together
# The base point of ristretto255 (RFC 9496, A.1): an element like any other to who does not know its logarithm.
ELEMENT = bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76")


def secret_file(grid, text=PASSWORD, name="password"):
    path = grid.folder / name
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def password_grid(nodes=0, name="demo", options=()):
    """A grid whose nodes have only a name and a password."""
    grid = Grid(0, start=False)
    grid.gridfile = None
    grid.options = ["--grid", name, "--password-file", str(secret_file(grid)), *options]
    for _ in range(nodes):
        grid.add()
    return grid


def said(node, *parts):
    return any(all(part in line for part in parts) for line in node.text().splitlines())


def authority_of(node):
    """The authority whose certificate a node presents to those who dial it, told apart by its key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(node.listen, 10) as plain, context.wrap_socket(plain) as tls:
        leaf = tls.getpeercert(binary_form=True)
    shown = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-ext", "authorityKeyIdentifier"], input=leaf, capture_output=True, check=True)
    return shown.stdout.decode().split()[-1]


def run_gridd(*args, env=None):
    return subprocess.run([BIN / "gridd", *map(str, args)], capture_output=True, text=True, timeout=60, env=clean_environment("/tmp", env or {}))


def stranger(folder):
    """A key and a self-signed certificate."""
    pem = folder / "stranger.pem"
    if not pem.exists():
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x", "-days", "2", "-keyout", pem,
                        "-out", folder / "stranger.crt"], check=True, capture_output=True)
        with open(pem, "ab") as out:
            out.write((folder / "stranger.crt").read_bytes())
    return pem


def message(kind, body):
    return struct.pack(">HB", 1 + len(body), kind) + body


def receive(tls):
    """One message as (type, body); None at the end."""
    data = b""
    while len(data) < 2 or len(data) < 2 + struct.unpack(">H", data[:2])[0]:
        part = tls.recv(1 if len(data) < 2 else 2 + struct.unpack(">H", data[:2])[0] - len(data))
        if not part:
            return None
        data += part
    return data[2], data[3:]


def as_guest(grid, node, source="127.0.0.1"):
    """A connection on which joining is spoken, by who has a key that nobody knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([ALPN])
    context.load_cert_chain(stranger(grid.folder))
    return context.wrap_socket(socket.create_connection(node.listen, 10, source_address=(source, 0)))


def guess(grid, node, source="127.0.0.1"):
    """A joiner that knows no password: what the member ends with, (type, body)."""
    with as_guest(grid, node, source) as tls:
        tls.sendall(message(SHARE, ELEMENT))
        first = receive(tls)
        if first[0] != SHARE:
            return first
        check_equal(len(first[1]), 32, "size of the member's share")
        tls.sendall(message(CONFIRM, bytes(64)))
        return receive(tls)


class FakeMember:
    """Answers joiners on several ports without knowing the password, and keeps what they say."""

    def __init__(self, folder, ports, answer=None):
        self.answer = answer  # instead of a share and a tag
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(stranger(folder))
        self.context.set_alpn_protocols([ALPN])
        self.heard, self.sockets = [], []
        for _ in range(ports):
            listener = socket.create_server(("127.0.0.1", 0))
            self.sockets.append(listener)
            threading.Thread(target=self.serve, args=(listener,), daemon=True).start()

    @property
    def addresses(self):
        return ",".join(f"127.0.0.1:{s.getsockname()[1]}" for s in self.sockets)

    def serve(self, listener):
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            try:
                with self.context.wrap_socket(plain, server_side=True) as tls:
                    tls.settimeout(10)
                    first = receive(tls)
                    if self.answer:
                        tls.sendall(self.answer)
                        self.heard.append((first, receive(tls)))
                        continue
                    tls.sendall(message(SHARE, ELEMENT))
                    second = receive(tls)
                    tls.sendall(message(CONFIRM, bytes(64)))
                    self.heard.append((first, second, receive(tls)))
            except (OSError, TypeError):
                pass

    def close(self):
        for listener in self.sockets:
            listener.close()


def test_two_nodes_with_only_a_name_and_a_password_form_a_grid():
    with password_grid(2) as grid:
        grid.wait_linked()
        project = grid.project().py("pyecho", "def handler(event, context):\n    return event\n")
        grid.deploy(project.folder, tasks=["pyecho"])
        for caller in grid.nodes:
            for callee in grid.nodes:
                answer = caller.invoke("pyecho", b'{"a":1}', {"Grid-Node": callee.name})
                check_equal((answer.status, answer.headers["grid-node"], answer.json), (200, callee.name, {"a": 1}), f"a call from {caller.name} to {callee.name}")
        check(any(said(node, "a node has joined by password", other.name) for node in grid.nodes for other in grid.nodes), "the issuer says who has joined")
        check_equal(authority_of(grid[0]), authority_of(grid[1]), "the authority of both")


def test_a_wrong_password_never_joins_and_both_sides_say_so():
    with password_grid(1) as grid:
        wrong = grid.add(options=["--password-file", str(secret_file(grid, "another-heron-9-candles", "wrong"))])
        wait_for(lambda: said(wrong, "this node cannot join", "the password or the grid's name differs"), "the node says why it cannot join")
        wait_for(lambda: said(grid[0], "a node tried to join and failed", "the password or the grid's name differs"), "the member says that somebody failed")
        other = grid.add(options=["--grid", "another"])
        wait_for(lambda: said(other, "this node cannot join", "the password or the grid's name differs"), "the grid's name counts like the password")
        check_equal([len(node.hosts()) for node in grid.nodes], [1, 1, 1], "hosts that each sees")
        wait_for(lambda: "none of --join has let it in" in wrong.get("/readyz").text, "/readyz says that it is outside")
        told = [line for line in wrong.grid("doctor", check_code=1).out.splitlines() if line.startswith("fault ")]
        check(any(f"{grid[0].listen_text} does not let this node in" in line and "same name and password" in line for line in told), f"what the doctor says: {told}")
        check("has answered" not in wrong.text(), "it has been answered, and does not say otherwise")


@once
def test_guessing_is_limited_to_ten_a_minute():
    with password_grid(1) as grid:
        wait_for(lambda: guess(grid, grid[0])[1][0] == MISMATCH, "a guess is answered with a mismatch")
        answers = [guess(grid, grid[0]) for _ in range(12)]
        check_equal({kind for kind, _ in answers}, {REFUSAL}, "what a guess ends with")
        reasons = [body[0] for _, body in answers]
        check(reasons.count(MISMATCH) <= 10, f"more than ten guesses were answered: {reasons}")
        check_equal(reasons[-2:], [TOO_MANY, TOO_MANY], "the reasons at last")


def cpu_s(node):
    """Processor time that it has used."""
    fields = open(f"/proc/{node.process.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@once
def test_a_storm_of_wrong_passwords_costs_the_members_next_to_nothing():
    guesses = 100
    with password_grid(2) as grid:
        grid.wait_linked()
        grid.deploy(grid.project().program("cecho"))
        issuer = next(n for n in grid.nodes if said(n, "a node has joined by password"))
        over, took = threading.Event(), []

        def call():
            while not over.is_set():
                began = time.monotonic()
                check_equal(issuer.invoke("cecho", b"1").status, 200, "a call during the storm")
                took.append(time.monotonic() - began)
                over.wait(0.02)

        caller = threading.Thread(target=call)
        caller.start()
        idle = cpu_s(issuer)
        try:
            kinds = {guess(grid, issuer, f"127.0.{1 + i // 200}.{1 + i % 200}")[1][0] for i in range(guesses)}
        finally:
            over.set()
            caller.join()
        each = (cpu_s(issuer) - idle) / guesses
        check_equal(kinds, {MISMATCH}, "what guessers are told")
        check(each < (0.02 if PRESET == "asan" else 0.008), f"a guess, with the calls beside it, costs {1000 * each:.1f} ms of the issuer's processor time")
        check(len(took) > 10 and sorted(took)[len(took) // 2] < 0.25, f"the middle call took {1000 * sorted(took)[len(took) // 2]:.0f} ms of {len(took)}")
        check_equal(len(grid[0].hosts()), 2, "hosts")


class Guessers:
    """Strangers who guess, each time from another address; `told` counts the reasons they are given."""

    def __init__(self, grid, node, threads=4):
        stranger(grid.folder)
        self.grid, self.node, self.told, self.over, self.lock, self.next = grid, node, {}, threading.Event(), threading.Lock(), 0
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(threads)]

    def run(self):
        while not self.over.is_set():
            with self.lock:
                self.next += 1
                source = f"127.{1 + self.next // 62500}.{1 + self.next // 250 % 250}.{1 + self.next % 250}"
            with contextlib.suppress(OSError, TypeError):
                kind = guess(self.grid, self.node, source)[1][0]
                with self.lock:
                    self.told[kind] = self.told.get(kind, 0) + 1

    def __enter__(self):
        self.began = time.monotonic()
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


@once
def test_guesses_of_all_sources_together_are_bounded_and_a_joiner_gets_in_beside_them():
    with password_grid(1, options=["--handshake-rate", "0"]) as grid:
        wait_for(lambda: guess(grid, grid[0])[1][0] == MISMATCH, "strangers are heard")
        with Guessers(grid, grid[0]) as storm:
            wait_for(lambda: storm.told.get(BUSY, 0) > 30, "what all may is used up")
            grid.add()
            grid.wait_linked()
        spent = time.monotonic() - storm.began
        check(storm.told[MISMATCH] <= ALL_BURST + ALL_PER_S * spent + 1, f"guesses that were heard within {spent:.1f} s: {storm.told}")
        check_equal(set(storm.told), {MISMATCH, BUSY}, "what guessers are told")


class Silent:
    """Strangers from many addresses who shake hands for joining and say no more, some dozens a second; each is held for ten seconds."""

    def __init__(self, grid, node):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self.context.set_alpn_protocols([ALPN])
        self.context.load_cert_chain(stranger(grid.folder))
        self.node, self.held, self.over = node, [], threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.over.is_set():
            now, source = time.monotonic(), f"127.0.0.{2 + len(self.held) % 30}"
            self.held = [(since, tls) for since, tls in self.held if now - since < 10 or tls.close()]
            with contextlib.suppress(OSError):
                plain = socket.create_connection(self.node.listen, 10, source_address=(source, 0))
                self.held.append((now, self.context.wrap_socket(plain)))

    def __enter__(self):
        self.thread.start()
        wait_for(lambda: len(self.held) > 150, "strangers hold connections")
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        for _, tls in self.held:
            tls.close()


@once
def test_strangers_that_say_nothing_keep_nobody_from_joining():
    with password_grid(1) as grid:
        wait_for(lambda: guess(grid, grid[0])[1][0] == MISMATCH, "strangers are heard")
        with Silent(grid, grid[0]):
            grid.add()
            grid.wait_linked()
            check_equal(guess(grid, grid[0])[1][0], MISMATCH, "what one who guesses is told meanwhile")


@once
def test_a_stranger_gets_no_further_than_joining():
    with password_grid(1) as grid:
        wait_for(lambda: guess(grid, grid[0])[1][0] == MISMATCH, "strangers are heard")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(stranger(grid.folder))
        for offered in (["h2"], ["grid-control/1"], ["http/1.1"], ["h2", ALPN], [ALPN, "h2"]):
            context.set_alpn_protocols(offered)
            try:
                with socket.create_connection(grid[0].listen, 10) as plain, context.wrap_socket(plain) as tls:
                    tls.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
                    check_equal(tls.recv(100), b"", f"what a stranger hears who offers {offered}")
            except ssl.SSLError as refused:
                check("CERTIFICATE" in str(refused).upper(), f"the refusal of {offered}: {refused}")
        context.set_alpn_protocols([ALPN])
        with socket.create_connection(grid[0].listen, 10) as plain, context.wrap_socket(plain) as tls:
            tls.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
            try:
                heard = tls.recv(100)
            except ConnectionError:
                heard = b""
            check_equal(heard, b"", "what HTTP/2 hears under the strangers' protocol")


@once
def test_the_password_in_the_environment_is_taken_out_of_it():
    with Grid(0, start=False) as grid:
        grid.gridfile = None
        node = grid.add(options=["--grid", "demo"], env={"GRID_AUTH": PASSWORD})
        with open(f"/proc/{node.process.pid}/environ", "rb") as shown:
            check(PASSWORD.encode() not in shown.read(), "/proc shows the password")


@once
def test_a_fake_member_learns_nothing_and_gets_thirty_guesses_an_hour():
    with password_grid() as grid:
        fake = FakeMember(grid.folder, 34)
        try:
            node = grid.add(join=fake.addresses)
            wait_for(lambda: said(node, "tried to join 30 times within an hour"), "the node stops")
            wait_for(lambda: len(fake.heard) == 30, "thirty exchanges are over", 10)
            for first, second, third in fake.heard:
                check_equal((first[0], len(first[1]), second[0], len(second[1]), third), (SHARE, 32, CONFIRM, 64, None), "what a fake member is told")
            everything = b"".join(body for exchange in fake.heard for _, body in exchange[:2])
            check_equal(len(set(first[1] for first, _, _ in fake.heard)), 30, "shares that differ")
            for word in (b"demo", PASSWORD.encode(), node.name.encode()):
                check(word not in everything, f"{word} was told to a fake member")
        finally:
            fake.close()


@once
def test_an_answer_without_proof_sends_a_joiner_nowhere():
    """Whoever sits at an address of --join may say anything: that is no reason to go where he says."""
    not_issuer = 1
    with password_grid() as grid:
        elsewhere = socket.create_server(("127.0.0.1", 0))
        elsewhere.setblocking(False)
        there = b"127.0.0.1:%d" % elsewhere.getsockname()[1]
        fake = FakeMember(grid.folder, 1, message(REFUSAL, bytes([not_issuer, 1]) + struct.pack(">H", len(there)) + there))
        try:
            grid.add(join=fake.addresses)
            wait_for(lambda: len(fake.heard) > 2, "the joiner has come again and again")
            try:
                elsewhere.accept()
                raise Failure("the joiner went where a stranger sent it")
            except BlockingIOError:
                pass
        finally:
            fake.close()
            elsewhere.close()


class Waiting:
    """Takes connections, one after the other, for `meet`."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.run, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                with self.listener.accept()[0] as plain, contextlib.suppress(OSError):
                    plain.settimeout(10)
                    self.meet(plain)

    def close(self):
        self.listener.close()


class Between(Waiting):
    """Sits between a joiner and a member, ends TLS on both sides, passes their messages on and keeps them."""

    def __init__(self, grid, member):
        self.grid, self.member, self.kept = grid, member, []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(stranger(grid.folder))
        self.context.set_alpn_protocols([ALPN])
        super().__init__()

    def meet(self, plain):
        with self.context.wrap_socket(plain, server_side=True) as inner, as_guest(self.grid, self.member) as outer:
            messages, answer = [], (None, b"")
            while answer[0] != REFUSAL and (said_by_joiner := receive(inner)):
                messages.append(said_by_joiner)
                outer.sendall(message(*said_by_joiner))
                answer = receive(outer)
                inner.sendall(message(*answer))
            self.kept.append(messages)


class Replayer(Waiting):
    """Says the same bytes to everybody who comes."""

    def __init__(self, data):
        self.data, self.played = data, 0
        super().__init__()

    def meet(self, plain):
        plain.recv(65536)
        plain.sendall(self.data)
        with contextlib.suppress(OSError):
            while plain.recv(65536):
                pass
        self.played += 1


def play(grid, node, messages):
    """Says to a member what another joiner has said: what it ends with."""
    with as_guest(grid, node) as tls:
        for kind, body in messages:
            tls.sendall(message(kind, body))
            answer = receive(tls)
    return answer


def count(node, words):
    return sum(words in line for line in node.text().splitlines())


@once
def test_a_recorded_join_played_again_lets_nobody_in():
    """As bytes of the wire, to the same member, to another one, and to a joiner by who says that he is the member; and as messages, whose sender knew the password."""
    with settled_by_password() as grid:
        wait_for(lambda: guess(grid, grid[0])[1][0] == MISMATCH, "strangers are heard")
        recorder = Recorder(grid[0].listen)
        recorder.start()
        grid.add(join="127.0.0.1:%d" % recorder.address[1])
        grid.wait_linked()
        told, proof = max(((bytes(r), bytes(h)) for r, h in zip(recorder.sent, recorder.heard) if ALPN.encode() in r), key=lambda record: len(record[1]))
        check(len(told) > 1000 and len(proof) > 2000, f"a whole exchange was recorded: {len(told)} and {len(proof)} bytes")
        between, replaying = Between(grid, grid[0]), Replayer(proof)
        outsider = grid.add(join=f"{between.address},{replaying.address}")
        wait_for(lambda: replaying.played > 0 and any(len(m) == 2 for m in between.kept), "one that knows the password has come to both")
        lines, joined = [len(n.text().splitlines()) for n in grid.nodes[:2]], [count(n, "a node has joined by password") for n in grid.nodes[:2]]
        for node, times in zip(grid.nodes, (70, 10)):
            for _ in range(times):
                raw_exchange(node.listen, told, timeout_s=8)
            for messages in (m for m in between.kept if len(m) == 2):
                check_equal([kind for kind, _ in messages], [SHARE, CONFIRM], "what was recorded of a joiner")
                kind, body = play(grid, node, messages)
                check(kind == REFUSAL and body[0] in (MISMATCH, TOO_MANY), f"what is told to who plays a joiner's messages again: {kind} {body!r}")
        check_equal([count(n, "a node has joined by password") for n in grid.nodes[:2]], joined, "who has joined")
        grown = [len(n.text().splitlines()) - before for n, before in zip(grid.nodes, lines)]
        check(all(0 < g < 65 for g in grown), f"lines of the log for 70 connections, and 10: {grown}")
        check_equal([len(n.hosts()) for n in grid.nodes], [2, 2, 1], "the members that each sees")
        check(not said(outsider, "this node is a member now"), "the joiner took what was played for a member")
        for closed in (between, replaying, recorder.server):
            closed.close()


@once
def test_one_address_gets_so_many_new_nodes_in_an_hour_and_no_more():
    with settled_by_password(["--join-limit", "1"]) as grid:
        grid.add()
        grid.wait_linked()
        third = grid.add(start=False).launch()
        wait_for(lambda: said(third, "it has let in as many new nodes from this address", "--join-limit"), "the third is told why it is not let in")
        wait_for(lambda: said(grid[0], "nodes that know the password are sent away", '"limit":1'), "the member says so too")
        check_equal({h["name"] for h in grid[0].hosts()}, {"node1", "node2"}, "the members")
        third.wait_ready()


@once
def test_the_second_of_a_young_grid_can_issue_before_the_grid_is_settled():
    with password_grid(2) as grid:
        wait_for(lambda: any(said(n, "this node is an issuer of the grid now") for n in grid.nodes), "the key is handed on")
        check(not any(said(n, "the grid's authority is settled") for n in grid.nodes), "it was handed on only when the grid was settled")
        heir = next(n for n in grid.nodes if said(n, "this node is an issuer of the grid now"))
        first = next(n for n in grid.nodes if n is not heir)
        first.kill()
        third = grid.add(join=heir.listen_text)
        grid.wait_linked()
        check_equal(authority_of(third), authority_of(heir), "the authority of those that are left")


def host_names(node):
    """The DNS names that the node's certificate is good for, but for that of its id."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(node.listen, 10) as plain, context.wrap_socket(plain) as tls:
        leaf = tls.getpeercert(binary_form=True)
    shown = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-ext", "subjectAltName"], input=leaf, capture_output=True, check=True).stdout.decode()
    return {part.strip()[4:] for part in shown.split(",") if "DNS:" in part and not part.endswith(".node.grid")}


def settled_by_password(options=()):
    """A grid of one whose authority its Gridfile has, so that it is the others that join."""
    grid = Grid(0, start=False, name="demo")
    grid.gridfile.write_text(f'grid_password = "{PASSWORD}"\n' + grid.gridfile.read_text())
    grid.add(options=options)
    grid.gridfile = None
    grid.options = ["--grid", "demo", "--password-file", str(secret_file(grid))]
    return grid


@once
def test_a_joiners_name_is_nobody_elses_host_name():
    with settled_by_password() as grid:
        for name, host in {"plain-donkey": {"plain-donkey"}, "203.0.113.9": set(), socket.gethostname().upper(): set()}.items():
            joined = Node(grid.folder / f"j{len(grid.nodes)}", name, join=grid[0].listen_text, options=grid.options)
            grid.nodes.append(joined)
            joined.start()
            wait_for(lambda: said(joined, "this node is a member now"), f"{name} is let in")
            wait_for(lambda: host_names(joined) == {"localhost"} | host, f"host names of {name}, not {host_names(joined)}")
            check(said(grid[0], "a node has joined by password", name), "it is called what it calls itself")


@once
def test_a_joiners_name_is_not_by_what_another_is_dialled():
    with settled_by_password() as grid:
        for name, hosts, options in (("first", {"first"}, ["--advertise", "Kettle:7900"]), ("kettle", set(), []), ("ket", {"ket"}, [])):
            joined = Node(grid.folder / f"j{len(grid.nodes)}", name, join=grid[0].listen_text, options=[*grid.options, *options])
            grid.nodes.append(joined)
            joined.start()
            wait_for(lambda: said(joined, "this node is a member now"), f"{name} is let in")
            wait_for(lambda: hosts <= host_names(joined) and "localhost" in host_names(joined), f"{name} shows its certificate")
            check_equal(host_names(joined), {"localhost"} | hosts, f"host names of {name}")
            wait_for(lambda: name in {host["name"] for host in grid[0].hosts()}, f"{name} is known")


@once
def test_what_is_weak_or_unsound_is_refused_with_its_remedy():
    with Grid(0, start=False) as grid:
        state = ["--state", grid.folder / "s", "--api", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--discover", "none"]
        weak, good = secret_file(grid, "hunter2", "weak"), secret_file(grid)
        lines, empty = secret_file(grid, "tangled-otter\n8-lamps", "lines"), secret_file(grid, "", "empty")
        shown = secret_file(grid, PASSWORD, "shown")
        shown.chmod(0o644)
        cases = [
            (["--grid", "demo", "--password-file", weak], {}, ("it has 7 characters, and 10 are asked for", "--weak-password")),
            (["--grid", "demo"], {"GRID_AUTH": "my-demo-grid"}, ("GRID_AUTH", "tried first")),
            (["--grid", "demo", "--password-file", empty], {}, ("is empty",)),
            (["--grid", "demo", "--password-file", lines], {}, ("more than one line",)),
            (["--grid", "demo", "--password-file", shown], {}, ("chmod 600",)),
            (["--grid", "demo", "--password-file", "/no/such/file"], {}, ("/no/such/file", "cannot be read")),
            (["--password-file", good], {}, ("needs the grid's name", "--grid NAME")),
            (["--open"], {}, ("needs the grid's name", "--grid NAME")),
            (["--grid", "demo", "--open", "--password-file", good], {}, ("--open", "leave one of the two out")),
            (["--grid", "demo"], {}, ("--password-file", "grid new")),
        ]
        for args, env, words in cases:
            for more in (["--check"], []):
                done = run_gridd(*args, *state, *more, env=env)
                check_equal(done.returncode, 2, f"exit code of {args} ({done.stderr})")
                for word in words:
                    check_in(word, done.stderr, f"the sentence for {args}")
        check_equal(run_gridd("--grid", "demo", "--password-file", weak, "--weak-password", "--check", *state).returncode, 0, "a weak one that is asked for")
        check_equal(run_gridd("--grid", "demo", "--check", *state, env={"GRID_AUTH": PASSWORD}).returncode, 0, "a password in GRID_AUTH")
        card = grid.folder / "card"
        card.write_text(f'grid_name = "demo"\ngrid_password = "{PASSWORD}"\n')
        card.chmod(0o600)
        check_equal(run_gridd("--gridfile", card, "--check", *state).returncode, 0, "a Gridfile of name and password")


def test_an_open_grid_is_joined_by_name_and_says_so_loudly():
    with Grid(0, start=False) as grid:
        grid.gridfile = None
        grid.options = ["--grid", "demo", "--open"]
        for _ in range(2):
            grid.add()
        grid.wait_linked()
        for node in grid.nodes:
            check(said(node, "THIS GRID IS OPEN"), f"{node.name} says that the grid is open")
        closed = grid.add(options=["--grid", "elsewhere"])
        wait_for(lambda: said(closed, "this node cannot join", "name differs"), "another name does not join")


def test_a_node_keeps_its_certificate_over_a_restart():
    with password_grid(2) as grid:
        grid.wait_linked()
        before = [authority_of(node) for node in grid.nodes]
        joined = grid[1]
        check_equal((joined.state / "trust").stat().st_mode & 0o777, 0o600, "mode of what is kept")
        joined.stop()
        lines = len(joined.text().splitlines())
        joined.start()
        grid.wait_linked()
        again = "\n".join(joined.text().splitlines()[lines:])
        check("this node is a member now" not in again, "it joined a second time")
        issuer = grid[0]
        issuer.options += ["--listen", issuer.listen_text]
        issuer.stop()
        issuer.start()
        grid.wait_linked()
        check_equal([authority_of(node) for node in grid.nodes], before, "authorities after the restarts")
        check_equal(before[0], before[1], "the authority of both")


def settle(grid):
    """A deploy settles the grid at once; it would do so by itself after five seconds of peace."""
    grid.deploy(grid.project().py("pyecho", "def handler(event, context):\n    return event\n"), tasks=["pyecho"])
    for node in grid.nodes:
        wait_for(lambda: said(node, "the grid's authority is settled"), f"{node.name} takes its grid as settled")


def start_at_once(grid, neighbours):
    """Nodes that start at the same moment; `neighbours` says for each whom it is told of."""
    ports = [free_port() for _ in neighbours]
    for own, told in enumerate(neighbours):
        join = ",".join(f"127.0.0.1:{ports[other]}" for other in told)
        grid.nodes.append(Node(grid.folder / f"n{own}", f"n{own}", join=join or None, options=[*grid.options, "--listen", f"127.0.0.1:{ports[own]}"]))
    for node in grid.nodes:
        node.launch()
    for node in grid.nodes:
        node.wait_ready()
    grid.wait_linked()
    check_equal(len({authority_of(node) for node in grid.nodes}), 1, "authorities")


@once
def test_pairs_that_found_each_other_first_end_in_one_grid():
    with password_grid() as grid:
        start_at_once(grid, [[1], [2], [3], [0]])


def test_three_nodes_that_start_at_once_end_in_one_grid():
    with password_grid() as grid:
        start_at_once(grid, [[1, 2], [0, 2], [0, 1]])


def test_a_deploy_settles_a_grid_of_one():
    with password_grid(1) as grid:
        kept = (grid[0].state / "trust").read_bytes()
        check(not said(grid[0], "the grid's authority is settled"), "it was settled before anybody joined or deployed")
        settle(grid)
        check((grid[0].state / "trust").read_bytes() != kept, "that is kept")
        grid.add()
        grid.wait_linked()


class Relay:
    """Passes one node's port on, and keeps every byte that goes either way."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.target, self.seen = None, bytearray()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(self.target, 10)
            except OSError:
                return
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self.pump, args=pair, daemon=True).start()

    def pump(self, source, sink):
        try:
            while data := source.recv(65536):
                self.seen += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Holder(Relay):
    """Passes a joiner's words on until it has proven that it knows the password; what follows that, when it is let."""

    PROOF = 2 + 1 + 64 + 1 + 16  # bytes of the record of TLS that has it

    def __init__(self, target):
        self.held, self.let = threading.Event(), threading.Event()
        super().__init__()
        self.target = target

    def pump(self, source, sink):
        if source.getsockname() != self.listener.getsockname():
            super().pump(source, sink)
            return
        proven = False
        with contextlib.suppress(OSError), source.makefile("rb") as records:
            while len(head := records.read(5)) == 5:
                body = records.read(int.from_bytes(head[3:], "big"))
                if proven:
                    self.held.set()
                    self.let.wait()
                sink.sendall(head + body)
                proven |= len(body) == self.PROOF


@once
def test_who_has_proven_the_password_and_does_not_go_on_is_ended():
    with settled_by_password() as grid:
        holder = Holder(grid[0].listen)
        grid.add(join=holder.address, start=False).launch()
        check(holder.held.wait(60), "it has proven that it knows the password")
        wait_for(lambda: said(grid[0], "a node tried to join and failed", "did not go on"), "it is ended before its time is over")
        holder.let.set()
        holder.listener.close()


@once
def test_the_wire_shows_neither_name_nor_password_nor_payload():
    relay = Relay()
    name, payload = "orchid-harbour", "lighthouse-keeper-" * 20
    with password_grid(name=name) as grid:
        listen = free_port()
        relay.target = ("127.0.0.1", listen)
        grid.add(options=["--listen", f"127.0.0.1:{listen}", "--advertise", relay.address])
        grid.add(join=relay.address)
        grid.wait_linked()
        grid.deploy(grid.project().py("pyecho", "def handler(event, context):\n    return event\n"), tasks=["pyecho"])
        answer = grid[1].invoke("pyecho", f'"{payload}"'.encode(), {"Grid-Node": "node1"})
        check_equal((answer.status, answer.json), (200, payload), "a call over the relay")
        check(len(relay.seen) > 10000, f"the relay has seen {len(relay.seen)} bytes")
        for word in (name, PASSWORD, payload[:18], "pyecho"):
            check(word.encode() not in relay.seen, f"{word} was seen on the wire")
    relay.listener.close()


def test_a_node_that_cannot_issue_sends_joiners_to_one_that_can():
    with password_grid(4) as grid:
        grid.wait_linked()
        # The first issuer hands its key to two others and to no more, so that one of four is left that never can.
        heirs = lambda: [node for node in grid.nodes if said(node, "this node is an issuer of the grid now")]
        wait_for(lambda: len(heirs()) == 2, "two further issuers")
        others = [node for node in grid.nodes if node not in heirs() and said(node, "this node is a member now")]
        check_equal(len(others), 1, "nodes that cannot issue")
        grid.add(join=others[0].listen_text)
        grid.wait_linked()
        check(not said(others[0], "a node has joined by password", "node5"), "it let the joiner in itself")
        check(any(said(node, "a node has joined by password", "node5") for node in grid.nodes), "an issuer let it in")


def test_two_settled_grids_of_one_name_refuse_each_other_and_name_the_way_out():
    with password_grid(2) as grid:
        grid.wait_linked()
        settle(grid)
        card = mint_gridfile(grid.folder / "other", "demo")
        lone = grid.add(join=grid[0].listen_text, options=["--gridfile", str(card)])
        wait_for(lambda: said(lone, "this node cannot join", "grid adopt"), "the comer names grid adopt")
        wait_for(lambda: said(grid[0], "grid adopt") or said(grid[1], "grid adopt"), "the member names it")
        check_equal([len(node.hosts()) for node in grid.nodes], [2, 2, 1], "hosts that each sees")
        check_in('both are settled: run "grid adopt"', lone.grid("doctor", check_code=1).out, "what the doctor says")


def test_a_gridfile_with_a_password_lets_in_by_either():
    with Grid(0, start=False, name="demo") as grid:
        card = grid.gridfile.read_text()
        grid.gridfile.write_text(f'grid_password = "{PASSWORD}"\n' + card)
        grid.add()
        grid.add()
        grid.gridfile = None
        grid.add(options=["--grid", "demo", "--password-file", str(secret_file(grid))])
        grid.wait_linked()
        check(said(grid[0], "a node has joined by password", "node3"), "the third joined by password")
