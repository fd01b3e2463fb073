"""Evicting a node: its key, its connections, the password it knew, and the authority it could issue with."""

import contextlib
import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time

import grpc
from certs import H2_START, Authority, Leaf, Proxy, greet, pem, refusal, tls_client
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from gridtest import BIN, Grid, Node, Service, Skip, check, check_equal, check_in, clean_environment, free_port, message_class, node_rpc, once, rpc_code, wait_for
from http2raw import DATA, END_HEADERS, END_STREAM, HEADERS, Connection, frame, headers
from test_cli import on_a_terminal
from test_join import PASSWORD as JOIN_PASSWORD
from test_join import Holder, authority_of, password_grid, said, secret_file, settled_by_password

CERTIFICATE, LEDGER, KEY, PASSWORD, PINS = 1, 2, 3, 6, 7
CUT_LATER_S = 2  # WORKER_CUT_MS of server/worker.h


def kept(node):
    """The records of its STATE/trust by tag (docs/formats/trust-standing.md)."""
    data, at, found = (node.state / "trust").read_bytes(), 8, {}
    while at < len(data):
        size = int.from_bytes(data[at + 1:at + 5], "big")
        found.setdefault(data[at], []).append(data[at + 5:at + 5 + size])
        at += 5 + size
    return found


def root_of(node):
    """Number and certificate of the authority that its ledger stands on."""
    ledger = kept(node)[LEDGER][0]
    return ledger[8:18 + int.from_bytes(ledger[16:18], "big")]


def can_issue(node):
    """Whether it holds an authority's key."""
    return KEY in kept(node)


def issuers(made):
    return {n.name for n in made.nodes if can_issue(n)}


def states(node):
    return {n["name"]: n["state"] for n in json.loads(node.grid("list", "--all", "--json", check_code=0).stdout)}


def is_out(victim, others):
    """Shown as evicted by every other."""
    return all(states(n).get(victim.name) == "evicted" for n in others)


def settle(made):
    """Of four nodes that have joined by password the first and two heirs can issue, one cannot."""
    made.wait_linked()
    wait_for(lambda: len(issuers(made)) == 3, "two further members are issuers")
    made.issuer = next(n for n in made.nodes if can_issue(n))
    made.plain = next(n for n in made.nodes if not can_issue(n))


def as_member(node, alpn):
    """A TLS client that has the node's own key and certificate, as who has stolen its state folder."""
    folder = node.folder / "stolen"
    folder.mkdir(exist_ok=True)
    (folder / "crt").write_bytes(pem(x509.load_der_x509_certificate(kept(node)[CERTIFICATE][0])))
    return tls_client(node.state / "node.key", folder / "crt", (alpn,))


def tlv(tag, *parts):
    body = b"".join(parts)
    return bytes([tag]) + (bytes([len(body)]) if len(body) < 128 else bytes([0x81, len(body)])) + body


def forged_key(node):
    """PKCS#8 of the private key 1, which says that its public key is the authority's."""
    ledger = kept(node)[LEDGER][0]
    authority = x509.load_der_x509_certificate(ledger[18:18 + int.from_bytes(ledger[16:18], "big")])
    point = authority.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    key = tlv(0x30, tlv(2, b"\1"), tlv(4, bytes(31) + b"\1"), tlv(0xA1, tlv(3, b"\0" + point)))
    kind = tlv(0x30, bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06082a8648ce3d030107"))
    return tlv(0x30, tlv(2, b"\0"), kind, tlv(4, key))


def ask_trust(to, context, method, **fields):
    """A method of PeerTrust as who has the context's certificate: (code, answer or details)."""
    with Proxy(to.listen, context) as proxy, grpc.insecure_channel(f"127.0.0.1:{proxy.port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        return rpc_code(lambda: getattr(Service(channel, "grid.v1.PeerTrust"), method)(message_class(f"grid.v1.{method}Request")(**fields)))


def hand(to, context, keys, epoch):
    return ask_trust(to, context, "Hand", keys=keys, password=b"E" * 32, password_epoch=epoch)


def names_renewed(to, member, context, addresses):
    """The DNS names and addresses of the certificate that an issuer gives the member who asks for these."""
    own = x509.load_der_x509_certificate(kept(member)[CERTIFICATE][0]).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    code, answer = ask_trust(to, context, "Renew", public_key=own, name=member.name.encode(), addresses=[a.encode() for a in addresses])
    check_equal(code, "OK", f"what is said to a renewal: {answer}")
    names = x509.load_der_x509_certificate(answer.certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(n.value) for n in names}


def shut_out_a_plain_member(made):
    victim, asked = made.plain, made.issuer
    others = [n for n in made.nodes if n is not victim]
    began = time.monotonic()
    answer = asked.grid("evict", victim.name, check_code=0)
    check_in("is evicted", answer.stderr.decode(), "what is said")
    wait_for(lambda: is_out(victim, others), "the victim is out", 5)
    check(time.monotonic() - began < 5, "it took longer than 5 s")
    for node in others:
        check_equal(sorted(h["name"] for h in node.hosts()), sorted(n.name for n in others), f"hosts of {node.name}")
    wait_for(lambda: all(said(n, "evicted from the grid") for n in others), "each member has refused it with a reason in its log")
    ready = wait_for(lambda: (r := victim.get("/readyz")).status == 503 and r, "the evicted node is told so, and is not ready")
    check_in("the grid has evicted this node: stop it", ready.text, "why it is not ready")
    told = victim.grid("doctor", check_code=1).out
    check_in("the grid has evicted this node, and no member speaks with it", told, "what the doctor says on the evicted node")
    return victim


def place(leaf, node):
    """Gives a node its identity: paths of key and certificate."""
    node.state.mkdir(parents=True, exist_ok=True)
    for path, name in zip(leaf, ("node.key", "node.crt")):
        (node.state / name).write_bytes(path.read_bytes())
        (node.state / name).chmod(0o600)


class Knocker:
    """An evicted node that dials an address again and again by its old certificate; `answered` counts how often HTTP/2 was spoken with it."""

    def __init__(self, victim):
        self.context, self.port, self.tries, self.answered, self.over = as_member(victim, "h2"), free_port(), 0, 0, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.over.is_set():
            with contextlib.suppress(OSError):
                self.answered += bool(greet(("127.0.0.1", self.port), self.context)[1])
                self.tries += 1
            time.sleep(0.002)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def old_password_opens_nothing(made, victim):
    fresh = made.add()
    wait_for(lambda: said(fresh, "this node cannot join", "joining by password is closed there"), "the newcomer is told that the door is closed")
    check_equal([h["name"] for h in fresh.hosts()], [fresh.name], "whom a new identity sees by the old password")
    fresh.stop()
    secret = secret_file(made, "ninety-mellow-harbours", "new-password")
    secret.chmod(0o644)
    check_in("chmod 600", made.issuer.grid("password", "--password-file", str(secret), check_code=2).err, "a file that others may read")
    secret.chmod(0o600)
    made.issuer.grid("password", "--password-file", str(secret), check_code=0)
    fresh.options = [str(secret) if o == str(made.folder / "password") else o for o in fresh.options]
    with Knocker(victim) as knocker:
        fresh.options += ["--listen", f"127.0.0.1:{knocker.port}"]
        fresh.start()
        wait_for(lambda: len(fresh.hosts()) == 4, "it joins by the new password")
        tries = knocker.tries
        wait_for(lambda: knocker.tries > tries + 3, "the evicted node knocks")
    check_equal(knocker.answered, 0, f"how often the newcomer spoke with the evicted node, of {knocker.tries}")


@once
def test_who_has_proven_the_old_password_is_not_let_in_once_a_new_one_is_set():
    with settled_by_password() as grid:
        holder = Holder(grid[0].listen)
        grid.add(join=holder.address, start=False).launch()
        check(holder.held.wait(20), "it has proven that it knows the password")
        grid[0].grid("evict", "ab" * 32, check_code=0)
        grid[0].grid("password", "--password-file", str(secret_file(grid, "ninety-mellow-harbours", "new-password")), check_code=0)
        holder.let.set()
        wait_for(lambda: said(grid[0], "a node tried to join and failed") or said(grid[0], "a node has joined by password"), "how it ended")
        check(not said(grid[0], "a node has joined by password"), "it was let in by the password of before")
        holder.listener.close()


def restart_without(node, left_out):
    """Without records of this tag in its STATE/trust."""
    node.stop()
    records = [bytes([tag]) + len(r).to_bytes(4, "big") + r for tag, all_of_it in kept(node).items() if tag != left_out for r in all_of_it]
    (node.state / "trust").write_bytes((node.state / "trust").read_bytes()[:8] + b"".join(records))
    node.start()


def replace_the_authority(made):
    victim = next(n for n in made.nodes if n.name in issuers(made) and n is not made.issuer and n is not made[-1])
    others = [n for n in made.nodes if n is not victim and n is not made.plain]
    before = authority_of(made.issuer)
    restart_without(victim, KEY)  # it shows nobody that it was given the authority's key
    wait_for(lambda: states(made.issuer).get(victim.name) == "alive", "it is back")
    answer = made.issuer.grid("evict", victim.name, check_code=0)
    check_in("authority is replaced", answer.stderr.decode(), "what is said")
    wait_for(lambda: is_out(victim, others), "the victim is out", 5)
    wait_for(lambda: "has evicted this node" in victim.grid("doctor").out, "it is told that it was evicted, not that it is a stranger")
    wait_for(lambda: len({authority_of(n) for n in others}) == 1 and authority_of(others[-1]) != before, "every member has a certificate of the new authority")
    for node in others:
        wait_for(lambda: len(node.hosts()) == len(others), f"{node.name} sees all that remain")


def test_the_evicted_stay_out_with_certificate_and_password():
    with password_grid(4) as made:
        settle(made)
        check_in("does not evict itself", made.plain.grid("evict", made.plain.name).err, "what one that is no issuer is told of itself")
        victim = shut_out_a_plain_member(made)
        for words, sentence in {("evict", "nobody"): "no member is called", ("evict", made.issuer.name): "does not evict itself"}.items():
            check_in(sentence, made.issuer.grid(*words).stderr.decode(), f"what {words} says")
        old_password_opens_nothing(made, victim)
        replace_the_authority(made)


@once
def test_a_member_cannot_take_the_authority_away_from_issuers():
    with password_grid(2) as made:
        made.wait_linked()
        made.deploy(made.project().program("cecho"))  # settles the grid
        wait_for(lambda: len(issuers(made)) == 2, "the second is an issuer too")
        issuer, other = made.nodes
        before = kept(issuer)
        member = as_member(other, "grid-control/1")
        for keys in ([], [b"garbage"], [forged_key(other)]):
            code, why = hand(issuer, member, keys, 5)
            check_equal(code, "PERMISSION_DENIED", f"what is said to a false key: {why}")
            check_in("only an issuer hands on", why, "the reason")
        check_equal(hand(issuer, member, before[KEY], 5)[0], "OK", "what is said to the authority's key")
        victim = issuer.info["id"]
        asked = [f"{victim[:32]}.{victim[32:]}.node.grid", "bank.example.com", "bank.example.com\0", "203.0.113.9", "localhost"]
        given = names_renewed(issuer, other, member, asked)
        check_equal({"203.0.113.9", "localhost"} - given, set(), f"names that a member may have, of {given}")
        check_equal({n for n in given if "bank" in n or victim[:32] in n}, set(), "names of others that a member got")
        check_equal({tag: kept(issuer).get(tag) for tag in (KEY, PASSWORD)}, {tag: before.get(tag) for tag in (KEY, PASSWORD)}, "what the issuer keeps")
        made.add()
        made.wait_linked()


@once
def test_a_server_whose_gridfile_has_no_key_is_given_none():
    with Grid(0, start=False, name="demo") as grid:
        card = grid.gridfile.read_text()
        grid.gridfile.write_text(f'grid_password = "{JOIN_PASSWORD}"\n' + card)
        issuer, keyless = grid.add(), grid.add(start=False)
        keyless.gridfile = grid.folder / "keyless"
        keyless.gridfile.write_text(card[:card.index("authority_key")])
        place(Leaf(Authority.of_gridfile(grid.gridfile), roles=("node",), name=keyless.name).save(grid.folder, "issued"), keyless)
        keyless.start()
        grid.wait_linked()
        grid.gridfile = None
        heir = grid.add(options=["--grid", "demo", "--password-file", str(secret_file(grid))])
        wait_for(lambda: can_issue(heir), "who came by password later is handed it")
        check(not can_issue(keyless), "the server without a key was given it")
        code, why = hand(keyless, as_member(issuer, "grid-control/1"), kept(issuer)[KEY], 0)
        check_equal(code, "PERMISSION_DENIED", f"what it says to the key: {why}")
        check(not can_issue(keyless), "it took the key")


@once
def test_who_evicts_at_a_terminal_is_asked_and_the_evicted_comes_back_as_a_new_node():
    """As docs/operations.md says, in a grid made with a Gridfile that has its key on every server, so that the authority is replaced."""
    with Grid(3) as grid:
        first, by_certificate, by_password = grid.nodes
        code, _, shown = on_a_terminal(first, "evict", "node2", typed="n\n")
        check_equal(code, 1, f"exit code of a no ({shown})")
        for words in (f"node2 ({by_certificate.info['id'][:8]}, alive) is shut out for ever", "Go on? [y/N]", "nothing was changed"):
            check_in(words, shown, "what the terminal showed")
        check_equal(set(states(first).values()), {"alive"}, "states after a no")
        check_equal(on_a_terminal(first, "evict", by_certificate.info["id"][:12], typed="y\n")[0], 0, "exit code of a yes")
        code, _, shown = on_a_terminal(first, "evict", "node3", "--yes", typed="n\n")
        check_equal((code, "Go on?" in shown), (0, False), f"with --yes: {shown}")
        check_in("comes back with a new state folder", shown, "what is said at the end")
        wait_for(lambda: [states(first).get(n.name) for n in (by_certificate, by_password)] == ["evicted"] * 2, "both are out")

        for victim in (by_certificate, by_password):
            victim.stop()
            shutil.rmtree(victim.state)
        made = first.folder / "issued"
        first.grid("cert", "issue", "node2", "--role", "node", "--state", first.state, "--out", made, check_code=0)
        place((made / "node2.key", made / "node2.crt"), by_certificate)
        by_certificate.gridfile = made / "Gridfile"
        by_certificate.gridfile.write_text(f'grid_name = "{grid.name}"\nauthority_certificate = \'\'\'\n{(made / "ca.crt").read_text()}\'\'\'\n')
        first.grid("password", "--password-file", secret_file(grid), check_code=0)
        by_password.gridfile = None
        by_password.options += ["--grid", grid.name, "--password-file", str(grid.folder / "password")]
        for back in (by_certificate, by_password):
            back.start()
        grid.wait_linked()
        first.stop()
        first.join = by_password.listen_text  # it comes back on another port
        first.start()
        grid.wait_linked()
        check(said(first, "the Gridfile is from before the grid's authority was replaced"), "what the others' Gridfiles are worth is said")
        check(not any(said(n, "statements that do not hold") for n in grid.nodes), "what made the authority does not hold for who came by its certificate")
        before = root_of(first)
        by_password.grid("rotate", "--overlap", "1s", check_code=0)
        wait_for(lambda: root_of(first) != before and len({root_of(n) for n in grid.nodes}) == 1, "all of them follow the next rotation")
        grid.wait_linked()


@once
def test_the_start_of_an_id_that_another_has_as_its_name_is_refused():
    with Grid(2) as grid:
        start = grid[1].info["id"][:10]
        namesake = Node(grid.folder / "namesake", start, grid.gridfile, join=grid[0].listen_text)
        grid.nodes.append(namesake)
        namesake.start()
        grid.wait_linked()
        answer = grid[0].grid("evict", start)
        check_equal(answer.returncode, 1, "exit code")
        check_in("several members are meant", answer.err, "what is said")
        check_equal(set(states(grid[0]).values()), {"alive"}, "states")
        grid[0].grid("evict", grid[1].info["id"], check_code=0)
        wait_for(lambda: states(grid[0])[grid[1].name] == "evicted", "the whole id says whom")
        check_equal(states(grid[0])[start], "alive", "the namesake")


@once
def test_who_was_away_when_the_authority_was_replaced_comes_back_to_one_that_was_restarted():
    with Grid(3) as grid:
        member, victim, away = grid.nodes
        before = authority_of(member)
        away.kill()
        wait_for(lambda: states(member)[away.name] == "dead", "it is seen to be gone")
        member.grid("evict", victim.name, check_code=0)
        wait_for(lambda: authority_of(member) != before, "the authority is replaced at once")
        member.stop()
        member.start()
        away.join = member.listen_text
        away.start()
        wait_for(lambda: len(member.hosts()) == len(away.hosts()) == 2, "it is back by its old certificate")
        wait_for(lambda: authority_of(away) == authority_of(member), "with a certificate of the new one")


@once
def test_a_release_whose_publisher_is_away_is_signed_again_for_those_who_join():
    """Its publisher may come back with his certificate of before, which one who joins does not know."""
    with settled_by_password() as grid:
        first, secret = grid[0], grid.folder / "new"

        def join(name):
            node = Node(grid.folder / name, name, join=first.listen_text, options=grid.options)
            grid.nodes.append(node)
            node.start()
            wait_for(lambda: said(node, "this node is a member now"), f"{name} is let in")
            return node

        publisher = join("publisher")
        answer = publisher.init(grid.project().program("echo"))
        check_equal(answer.status, 200, f"status of /tasks/init ({answer.text})")
        wait_for(lambda: first.get("/tasks/list").json, "the release has come to the others")
        publisher.kill()
        wait_for(lambda: states(first).get("publisher") == "dead", "it is away")
        first.grid("evict", "a" * 64, "--replace-authority", check_code=0)
        secret.write_text("velvet-harbour-31-plums\n")
        secret.chmod(0o600)
        first.grid("password", "--password-file", secret, check_code=0)
        grid.options = ["--grid", "demo", "--password-file", str(secret)]
        newcomer = join("newcomer")
        wait_for(lambda: newcomer.get("/tasks/list").json, "one who joins has the release")


@once
def test_an_eviction_that_crosses_a_new_authority_is_not_lost():
    """One issuer, cut off, evicts a member while another replaces the authority: when they meet both hold."""
    with Grid(4) as grid:
        asked, cut_off, issuer, member = grid.nodes
        before = authority_of(asked)
        cut_off.kill()
        wait_for(lambda: states(asked)[cut_off.name] == "dead", "it is cut off")
        asked.grid("evict", issuer.name, check_code=0)
        wait_for(lambda: authority_of(asked) == authority_of(member) != before, "the authority is replaced")
        cut_off.join = None
        cut_off.start()
        check_in("is evicted", cut_off.grid("evict", member.info["id"], check_code=0).err, "what is said of a whole id")
        cut_off.stop()
        cut_off.join = asked.listen_text
        cut_off.start()
        wait_for(lambda: states(asked).get(member.name) == "evicted", "the other issuer has it too")
        wait_for(lambda: [h["name"] for h in asked.hosts()] != [] and {h["name"] for h in cut_off.hosts()} == {asked.name, cut_off.name}, "who is left")
        check(any(said(n, "that crossed with a new authority") for n in (asked, cut_off)) or said(asked, "a node is evicted", member.info["id"]), "nobody has signed it again")


class NoDisk:
    """Nothing can be written into a node's state folder: of a folder made immutable, which holds for root too; else by its mode."""

    def __init__(self, node):
        self.state = node.state

    def __enter__(self):
        self.state.chmod(0o500)
        if os.getuid() == 0 and subprocess.run(["chattr", "+i", self.state], capture_output=True).returncode != 0:
            self.__exit__()
            raise Skip("as root a folder can be shut by chattr alone, which this file system does not have")
        return self

    def __exit__(self, *_):
        if os.getuid() == 0:
            subprocess.run(["chattr", "-i", self.state], capture_output=True)
        self.state.chmod(0o700)


@once
def test_an_eviction_is_in_force_where_the_disk_is_full_and_is_decided_only_where_it_is_not():
    with Grid(3) as grid:
        issuer, full, victim = grid.nodes
        with NoDisk(issuer):
            answer = issuer.grid("evict", victim.name)
            check_equal(answer.returncode, 1, "exit code where it cannot be kept")
            check_in("nothing was decided", answer.err, "what is said")
            check_equal(states(full)[victim.name], "alive", "the one that was not evicted")
        with NoDisk(full):
            issuer.grid("evict", victim.name, check_code=0)
            wait_for(lambda: states(full)[victim.name] == "evicted", "a member with a full disk refuses it too", 5)
            check(said(full, "in force here, but not kept on disk"), "nothing is said of the disk")
        wait_for(lambda: said(full, "is kept on disk now"), "it is kept as soon as there is room")
        full.stop()
        full.start()
        wait_for(lambda: states(full).get(issuer.name) == "alive" and states(full).get(victim.name) in (None, "evicted"), "it is known after a restart")


@once
def test_a_stop_while_a_password_is_being_set_ends_cleanly():
    with Grid(1) as grid:
        for password in (b"hunter2", b"password123", b""):
            check_equal(rpc_code(lambda: node_rpc(grid[0]).control.SetPassword({"password": password}))[0], "INVALID_ARGUMENT", f"what is answered to {password}")
        asked = [subprocess.Popen([BIN / "grid", "password", "--password-file", secret_file(grid, f"mellow-harbour-{i}-lamps", f"new{i}")], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, env=clean_environment(grid.folder, {"GRID_API": grid[0].api_text, "GRID_API_SOCKET": str(grid[0].socket)}))
                 for i in range(3)]
        wait_for(lambda: any(a.poll() is not None for a in asked), "the second is told that one is being set")
        check_equal(grid[0].stop(), [], "the end")
        said_to = [a.communicate(timeout=60)[1].decode() for a in asked]
        check(any("another password is being set" in s for s in said_to), f"what those who asked at once are told: {said_to}")


def sockets_of(node):
    """(inode, local port, remote port) of its established connections."""
    held = set()
    for fd in os.listdir(f"/proc/{node.process.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
            held.add(os.readlink(f"/proc/{node.process.pid}/fd/{fd}"))
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    return {(r[9], int(r[1][9:], 16), int(r[2][9:], 16)) for r in rows if r[3] == "01" and f"socket:[{r[9]}]" in held}


def links_between(node, others):
    """Its connections with other nodes, either way."""
    ports = {n.listen[1] for n in others}
    return {row for row in sockets_of(node) if row[2] in ports or row[1] == node.listen[1]}


def is_cut(tls):
    """Whether the other side has closed the connection."""
    tls.settimeout(0.01)
    try:
        while tls.recv(65536):
            pass
        return True
    except TimeoutError:
        return False
    except OSError:
        return True


class HalfShaken:
    """A TLS client that has heard the server's part of the handshake and holds back the end of its own."""

    def __init__(self, address, context):
        self.plain, self.heard, self.say = socket.create_connection(address, 10), ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.heard, self.say, server_hostname="localhost")
        while self.step(self.tls.do_handshake) is None:
            self.plain.sendall(self.say.read())
            self.heard.write(self.plain.recv(65536))

    def step(self, what):
        try:
            return what() or True
        except ssl.SSLWantReadError:
            return None

    def end(self, first):
        """What it hears after the end of its handshake and these first bytes."""
        self.tls.write(first)
        try:
            self.plain.sendall(self.say.read())
            while data := self.plain.recv(65536):
                self.heard.write(data)
                if got := self.step(lambda: self.tls.read(100)):
                    return got
        except OSError:
            pass
        return b""


@once
def test_every_connection_of_the_evicted_is_cut_within_five_seconds():
    """Links that carry gossip and calls both ways, and connections of each kind by the stolen certificate; who was away keeps its place."""
    with Grid(4, workers=2) as grid:
        grid.deploy(grid.project().program("cecho"))
        victim, away, others = grid[2], grid[3], grid.nodes[:2]
        wait_for(lambda: all(n.invoke("cecho", b"1", {"Grid-Node": victim.name}).status == 200 for n in others for _ in range(4)), "calls go to it")
        wait_for(lambda: all(victim.invoke("cecho", b"1", {"Grid-Node": n.name}).status == 200 for n in others for _ in range(4)), "calls come from it")
        standing = []
        for alpn, node in ((alpn, node) for alpn in ("h2", "grid-control/1", "http/1.1") for node in others):
            tls = as_member(victim, alpn).wrap_socket(socket.create_connection(node.listen, 10))
            tls.sendall(H2_START if alpn != "http/1.1" else b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            check(tls.recv(100), f"{alpn} is spoken with it")
            standing.append((tls, alpn, node))
        away.kill()
        before = links_between(others[0], [victim])
        reads = subprocess.Popen([BIN / "grid", "logs", "--node", victim.name, "-f"], stderr=subprocess.DEVNULL, env=clean_environment(grid.folder, {"GRID_API": others[0].api_text}))
        wait_for(lambda: links_between(others[0], [victim]) - before, "its lines are followed")
        links = links_between(victim, others)
        check(len(links) >= 4, f"links of the victim: {links}")
        shaken, sound = (HalfShaken(others[0].listen, as_member(victim, "h2")) for _ in range(2))
        check(len(sound.end(H2_START)) > 0, "a handshake that is ended before the eviction is not heard")
        began = time.monotonic()
        others[0].grid("evict", victim.name, check_code=0)
        own = [tls for tls, alpn, node in standing if node is others[0] and alpn != "grid-control/1"]
        wait_for(lambda: all(map(is_cut, own)), "those of the node that decided are cut at once, before what is left is looked for", CUT_LATER_S / 2, 0.01)
        check_equal(shaken.end(H2_START), b"", "what is heard by who ends his handshake after he was evicted")
        wait_for(lambda: not links & sockets_of(victim), "each link of before is gone", 5)
        wait_for(lambda: all(is_cut(tls) for tls, _, _ in standing), "each connection by its certificate is gone", max(0.1, began + 5 - time.monotonic()))
        check(time.monotonic() - began < 5, "it took longer than 5 s")
        check_equal(reads.wait(10), 1, "exit code of who follows its lines")
        for node in others:
            own, answer = greet(node.listen, as_member(victim, "h2"))
            check_equal(answer, b"", "what a new connection hears")
            check("evicted" in refusal(node, own) or "another grid" in refusal(node, own), f"the reason: {refusal(node, own)}")
            check_equal(node.invoke("cecho", b"1").status, 200, "a call meanwhile")
        away.start()
        wait_for(lambda: {n["name"] for n in away.hosts()} == {n.name for n in (*others, away)}, "who was away when the authority was replaced is back")
        wait_for(lambda: authority_of(away) == authority_of(others[0]), "with a certificate of the new one")


def half_answered(stack, node, context, path, message):
    """A call whose caller gives no room for the answer's bytes: it has begun, and is under way until somebody ends the connection."""
    proxy = stack.enter_context(Proxy(node.listen, context))
    connection = stack.enter_context(Connection(("127.0.0.1", proxy.port), struct.pack(">HI", 4, 0)))
    fields = [(":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", path), ("content-type", "application/grpc"), ("te", "trailers")]
    connection.send(headers(1, fields, END_HEADERS) + frame(DATA, END_STREAM, 1, b"\0" + len(message).to_bytes(4, "big") + message))
    check(connection.until(lambda c: any(f[0] == HEADERS and f[2] == 1 for f in c.frames)), f"{path} is answered: {connection.frames}")
    check(not connection.ended(1) and not connection.closed, f"{path} is under way")
    return connection


SLOW = "console.log('up');\nexports.handler = () => new Promise((resolve) => setTimeout(() => resolve('late'), 60000));\n"


class Waiting(threading.Thread):
    """A call that would take a minute."""

    def __init__(self, caller, callee):
        super().__init__(daemon=True)
        self.caller, self.callee, self.answer = caller, callee, None
        self.start()

    def run(self):
        self.answer = self.caller.invoke("slow", b"1", {"Grid-Node": self.callee.name})


@once
def test_work_under_way_with_the_evicted_ends_within_five_seconds():
    """Chunks and answers of Control on their way to it, and calls that it runs or has asked for."""
    with Grid(3) as grid, contextlib.ExitStack() as stack:
        grid.deploy(grid.project().js("slow", SLOW))
        wait_for(lambda: all("up" in n.grid("logs", "slow").out for n in grid.nodes), "there is something to read")
        asked, other, victim = grid.nodes
        root = bytes.fromhex(node_rpc(asked).control.ListReleases({}).releases[0].root)
        fetch = message_class("grid.v1.FetchRequest")(ids=[root]).SerializeToString()
        streams = [half_answered(stack, node, as_member(victim, alpn), path, message) for node in (asked, other)
                   for alpn, path, message in (("grid-control/1", "/grid.v1.SyncChunk/Fetch", fetch), ("h2", "/grid.v1.Control/WatchNodes", b""),
                                               ("h2", "/grid.v1.Control/Logs", b"\x10\x0a\x18\x01"))]
        calls = [Waiting(other, victim), Waiting(victim, other)]
        wait_for(lambda: all(len(n.get("/tasks/processing").json) >= 1 for n in (other, victim)), "the calls are under way")
        began = time.monotonic()
        asked.grid("evict", victim.name, check_code=0)
        for stream in streams:
            check(stream.until(lambda c: c.closed, max(0.1, began + 5 - time.monotonic())), "an answer on its way to the evicted is still under way")
        for call in calls:
            call.join(max(0.1, began + 5 - time.monotonic()))
            check(not call.is_alive(), f"the call from {call.caller.name} to {call.callee.name} is still under way")
            check(call.answer.status >= 500, f"how it ended: {call.answer}")


@once
def test_copies_of_keys_that_a_crash_left_are_removed_at_the_next_start():
    with password_grid(1) as grid:
        node = grid[0]
        node.stop()
        left = [node.state / name for name in ("trust.new-a1B2c3", "node.key.new-4711", "node.key.new-4711.new-x0Y1z2", "VERSION.new-aaaaaa")]
        for path in left:
            path.write_bytes((node.state / "node.key").read_bytes())
        key = (node.state / "node.key").read_bytes()
        node.start()
        check_equal([p.name for p in left if p.exists()], [], "copies that are still there")
        check_equal((node.state / "node.key").read_bytes(), key, "the key itself")
        check(can_issue(node), "the authority's key is gone too")


class Refuser:
    """Answers the first bytes of whoever dials with TLS's alert "certificate revoked", before it has shown who it is."""

    def __init__(self):
        self.listener, self.count = socket.create_server(("127.0.0.1", 0)), 0
        self.place = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self.listener.accept()[0]
                with connection, contextlib.suppress(OSError):
                    connection.recv(4096)
                    connection.sendall(b"\x15\x03\x03\x00\x02\x02\x2c")
                    self.count += 1
                    connection.recv(4096)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def test_a_stranger_that_calls_a_node_evicted_is_not_believed():
    with Grid(1) as grid, contextlib.closing(Refuser()) as stranger:
        places = grid.folder / "places"
        places.write_text(f"{stranger.place}\n")
        node = grid.add(join=f"file:{places}")
        wait_for(lambda: stranger.count >= 2, "the stranger is dialled")
        check("evicted" not in node.get("/readyz").text and not said(node, "has been evicted"), "a stranger's word counts")
        places.write_text(f"{stranger.place}\n{grid[0].listen_text}\n")
        grid.wait_linked()
        wait_for(lambda: node.get("/readyz").status == 200, "it is ready")
