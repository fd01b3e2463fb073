"""What a member that lies can do to the others over its own, valid control link: nothing but speak for itself."""

import contextlib
import hashlib
import json
import queue
import random
import re
import socket
import ssl
import subprocess
import threading
import time
from concurrent import futures

import grpc
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from certs import Authority, Leaf, Proxy, tls_client
from gridtest import BIN, Grid, Service, check, check_equal, check_in, clean_environment, message_class, node_rpc, once, wait_for
from test_evict import CERTIFICATE, LEDGER, kept
from test_join import authority_of, said

NEVER_HAD = 2**53 - 2  # one more, and an incarnation can be raised no further


def message(kind, /, **fields):
    return message_class(f"grid.v1.{kind}")(**fields)


def identity(leaf):
    return hashlib.sha256(leaf.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def sealed(record, certificate, key, newer=b""):
    """A record as docs/formats/member-record.md says, signed by whatever key; with fields of a newer version."""
    packed = record.SerializeToString() + newer
    signed = b"grid member record 1\n" + len(certificate).to_bytes(4, "big") + certificate + packed
    return message("SealedMember", record=packed, certificate=certificate, signature=key.sign(signed, ec.ECDSA(hashes.SHA256()))).SerializeToString() + newer


ALIVE, DEAD, LEFT = 1, 3, 4


def entry(packed, state=ALIVE):
    return message("MemberEntry", sealed=packed, state=state)


class Bytes:
    """What no message is."""

    def __init__(self, packed):
        self.packed = packed

    def SerializeToString(self):
        return self.packed


class Liar:
    """A member by its certificate, whose program is this one, with a port where nobody answers. `heard` are the frames that came on the link that
    it has at a time; `over` is how that ended, None as long as it stands."""

    def __init__(self, grid, node, name, compression=None):
        self.leaf = Leaf(Authority.of_gridfile(grid.gridfile), roles=("node",), name=name)
        self.der = self.leaf.certificate.public_bytes(Encoding.DER)
        self.context = tls_client(*self.leaf.save(grid.folder / name), ("grid-control/1",))
        self.node, self.name, self.compression, self.sequence = node, name, compression, 0

    def __enter__(self):
        self.said, self.heard, self.over = queue.Queue(), [], None
        self.stack = contextlib.ExitStack()
        self.port = self.stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        proxy = self.stack.enter_context(Proxy(self.node.listen, self.context))
        channel = self.stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{proxy.port}", [("grpc.use_local_subchannel_pool", 1)]))
        self.stack.callback(self.said.put, None)
        self.link_anew = Service(channel, "grid.v1.PeerGossip").Link  # on the same connection
        self.call = self.link_anew(iter(self.said.get, None), timeout=60, compression=self.compression)
        threading.Thread(target=self.listen, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def listen(self):
        try:
            for frame in self.call:
                self.heard.append(frame)
                if frame.WhichOneof("body") == "ping":
                    self.say(ack=message("Ack", sequence=frame.ping.sequence, sent_at_ms=frame.ping.sent_at_ms))
            self.over = "in order"
        except grpc.RpcError as error:
            self.over = error

    def say(self, **body):
        self.said.put(message("GossipFrame", **body))

    def say_bytes(self, packed):
        self.said.put(Bytes(packed))

    def is_read(self):
        """All that was said has been read: True, or False when the link ended over it."""
        self.sequence += 1
        mine = 10**6 + self.sequence
        self.say(ping=message("Ping", sequence=mine))
        answered = lambda: any(f.WhichOneof("body") == "ack" and f.ack.sequence == mine for f in self.heard)  # noqa: E731
        wait_for(lambda: answered() or self.over, "an answer, or the end of the link")
        return answered()

    def record(self, **fields):
        now = int(time.time() * 1000)
        return message("Member", **{"id": identity(self.leaf), "incarnation": now, "name": self.name, "addresses": [f"127.0.0.1:{self.port}"], "started_at_ms": now, **fields})

    def record_of(self, ghost, **fields):
        """The entry of a node that is not there, whose key this program has too."""
        made = self.record(**{"id": identity(ghost), "name": ghost.name, "started_at_ms": 1000, **fields})
        return entry(sealed(made, ghost.certificate.public_bytes(Encoding.DER), ghost.key))

    def greeting(self, packed=None, protocol=2):
        greeting = next(f.hello for f in self.wait("hello"))
        packed = packed or sealed(self.record(), self.der, self.leaf.key)
        made = message("Hello", authority=greeting.authority, grid=greeting.grid, protocol=protocol)
        getattr(made, "self").CopyFrom(entry(packed))
        return made

    def hello(self, packed=None, protocol=2):
        self.say(hello=self.greeting(packed, protocol))

    def wait(self, kind, what=lambda body: True):
        found = lambda: [f for f in self.heard if f.WhichOneof("body") == kind and what(getattr(f, kind))]  # noqa: E731
        wait_for(found, f"a frame {kind} for {self.name} among {[f.WhichOneof('body') for f in self.heard]}")
        return found()

    def records(self):
        """What it was told: name -> (SealedMember, Member), as packed."""
        told = {}
        for frame in self.heard:
            for each in frame.members.members if frame.WhichOneof("body") == "members" else [getattr(frame.hello, "self")] if frame.WhichOneof("body") == "hello" else []:
                seal = message_class("grid.v1.SealedMember").FromString(each.sealed)
                member = message_class("grid.v1.Member").FromString(seal.record)
                told[member.name] = (each.sealed, seal, member)
        return told


def refused_records(node):
    return int(re.search(r"^grid_gossip_records_refused_total (\d+)$", node.get("/metrics").text, re.M)[1])


def states(node):
    return {h["name"]: (h["public_ip"], h["api_port"]) for h in node.hosts()}


@once
def test_one_member_that_refuses_another_takes_it_out_for_a_moment_at_most():
    with Grid(2) as grid:
        grid.deploy(grid.project().js("t", "exports.handler = () => 1;\n"))
        with Liar(grid, grid[0], "mallory") as liar:
            liar.hello()
            wait_for(lambda: "mallory" in states(grid[0]), "it is a member")
            liar.say(refusal=message("Refusal", code=3, reason="the name is taken, by nobody at all"))
            wait_for(lambda: liar.over is not None, "its word is heard")
        wait_for(lambda: grid[0].get("/readyz").status == 200, "the node is ready as before", 10)
        check_equal(grid[0].invoke("t").status, 200, "a call")


@once
def test_a_member_can_say_nothing_in_anothers_name():
    with Grid(3) as grid:
        grid.deploy(grid.project().js("t", "exports.handler = () => 1;\n"))
        before = [states(n) for n in grid.nodes]
        with Liar(grid, grid[0], "mallory") as liar:
            liar.hello()
            liar.say(view=message("ViewDigest", hash=1, members=1))  # a newcomer is told everything
            wait_for(lambda: {"node1", "node2", "node3"} <= set(liar.records()), "it is told of all")
            wait_for(lambda: all("mallory" in states(n) for n in grid.nodes), "it is a member, by its own signed word")
            whole, seal, victim = liar.records()["node2"]
            own = liar.records()["node1"][2]

            moved = message_class("grid.v1.Member").FromString(seal.record)
            moved.addresses[:] = ["127.0.0.1:1"]
            moved.revision += 1000
            mine, foreign = liar.leaf.key, Leaf(Authority("testgrid"), roles=("node",), name="ghost")
            raised = message_class("grid.v1.Member").FromString(liar.records()["node1"][1].record)
            raised.incarnation = NEVER_HAD
            ghost = liar.record(id=identity(foreign), name="ghost")
            flipped = bytearray(whole)
            flipped[whole.index(seal.record) + seal.record.index(b"127.0.0.1") + 4] ^= 1
            forged = [
                sealed(moved, liar.der, mine),  # by the liar's key and certificate
                sealed(moved, seal.certificate, mine),  # with the victim's certificate
                sealed(raised, liar.records()["node1"][1].certificate, mine),  # of the receiver's own
                sealed(ghost, foreign.certificate.public_bytes(Encoding.DER), foreign.key),  # of another authority
            ]
            seen = refused_records(grid[0])
            liar.say(members=message("MemberTable", members=[entry(packed) for packed in forged]))
            wait_for(lambda: refused_records(grid[0]) == seen + len(forged), "each of them is refused")
            # What is not newer is not looked at; what is said of a state, the accused refutes.
            liar.say(members=message("MemberTable", members=[entry(bytes(flipped)), entry(whole, LEFT), entry(whole, DEAD)]))
            liar.say(news=message("News", kind=3, target=own.id, incarnation=NEVER_HAD))
            liar.say(news=message("News", kind=3, target=victim.id, incarnation=NEVER_HAD))
            liar.say(ping=message("Ping", sequence=77))
            liar.wait("ack", lambda a: a.sequence == 77)  # all of it was read
            for node, was in zip(grid.nodes, before):
                now = states(node)
                check_equal({name: now.get(name) for name in was}, was, f"what {node.name} knows of the others")
                check("ghost" not in now, f"{node.name} has learnt of nobody that does not exist")
                check_equal(node.invoke("t", headers={"Grid-Node": "node2"}).status, 200, "a call to node2")
            refused = [line for line in grid[0].text().splitlines() if "a member's record was refused" in line]
            check_equal(len(refused), len(forged), f"lines in the log: {refused}")
            check(all(liar.records()[n][2].incarnation < victim.incarnation + 86400000 for n in ("node1", "node2")), "no incarnation was driven up")


@once
def test_greetings_that_do_not_hold_are_refused_with_a_sentence():
    with Grid(1) as grid:
        unsigned = lambda liar: message("SealedMember", record=liar.record().SerializeToString(), certificate=liar.der).SerializeToString()  # noqa: E731
        stranger = Leaf(Authority("testgrid"), roles=("node",), name="stranger")
        cases = {
            "old": (lambda liar: liar.hello(protocol=1), 2, "protocol version 1 does not go with 2"),
            "unsigned": (lambda liar: liar.hello(unsigned(liar)), 4, "is not signed by its node's key"),
            "signed-by-another": (lambda liar: liar.hello(sealed(liar.record(), liar.der, stranger.key)), 4, "is not signed by its node's key"),
            "other-id": (lambda liar: liar.hello(sealed(liar.record(id=identity(stranger)), liar.der, liar.leaf.key)), 4, "but the greeting of"),
            "node1": (lambda liar: liar.hello(), 3, 'the name "node1" is taken'),
        }
        for name, (greet, code, sentence) in cases.items():
            with Liar(grid, grid[0], name) as liar:
                greet(liar)
                refusal = liar.wait("refusal")[0].refusal
                check_equal(refusal.code, code, f"code for {name}")
                check_in(sentence, refusal.reason, f"sentence for {name}")
        with Liar(grid, grid[0], "garbler") as liar:
            liar.hello()
            liar.say(members=message("MemberTable", members=[entry(b"\xff\xff\xff")]))
            wait_for(lambda: "a gossip frame is malformed" in grid[0].text(), "what cannot be read ends the link")
        check_equal([h["name"] for h in grid[0].hosts() if h["name"] not in ("node1", "garbler")], [], "others that were let in")


def whole(grid, before):
    """Nothing that was said has changed what the nodes know of each other, and they serve."""
    for node, was in zip(grid.nodes, before):
        now = states(node)
        check_equal({name: now.get(name) for name in was}, was, f"what {node.name} knows of the others")
        check_equal(node.invoke("t", headers={"Grid-Node": "node2"}).status, 200, "a call to node2")


def two_with_a_task():
    grid = Grid(2)
    grid.deploy(grid.project().js("t", "exports.handler = () => 1;\n"))
    return grid


@once
def test_frames_that_are_cut_or_flipped_cost_no_more_than_their_link():
    with two_with_a_task() as grid:
        before, chance, links = [states(n) for n in grid.nodes], random.Random(4), 0
        liar = Liar(grid, grid[0], "garbler")
        with liar:
            liar.hello()
            liar.say(view=message("ViewDigest", hash=1, members=1))
            wait_for(lambda: "node2" in liar.records(), "it is told of node2")
            told = [f.SerializeToString() for f in liar.heard]
            own = message("GossipFrame", members=message("MemberTable", members=[entry(sealed(liar.record(), liar.der, liar.leaf.key))])).SerializeToString()
        bad = []
        for frame in [own, *[t for t in told if len(t) > 100]]:
            bad += [frame[:chance.randrange(1, len(frame))] for _ in range(2)]
            for _ in range(10):
                flipped = bytearray(frame)
                flipped[chance.randrange(len(frame))] ^= 1 << chance.randrange(8)
                bad.append(bytes(flipped))
        while bad:
            links += 1
            with liar:
                liar.hello()
                while bad and not liar.over:
                    liar.say_bytes(bad.pop())
                    liar.is_read()
        check(links > 5, f"some of it ended a link: {links} links")
        whole(grid, before)


@once
def test_what_is_too_large_or_inflates_is_not_taken():
    with two_with_a_task() as grid:
        before = [states(n) for n in grid.nodes]
        resident = lambda: int(re.search(r"^process_resident_memory_bytes (\d+)$", grid[0].get("/metrics").text, re.M)[1])  # noqa: E731
        ghosts = lambda liar, count: [entry(liar.record(id=f"{i:064x}", name=f"ghost{i}").SerializeToString()) for i in range(count)]  # noqa: E731
        memory = resident()
        cases = {
            "a frame above a MiB": (None, lambda liar: liar.say(release=b"x" * (1 << 20))),
            "more members than a grid may have": (None, lambda liar: liar.say(members=message("MemberTable", members=ghosts(liar, 1025)))),
            "what is small until it is inflated": (grpc.Compression.Gzip, lambda liar: liar.say_bytes(bytes(64 << 20))),
        }
        for what, (compression, say) in cases.items():
            with Liar(grid, grid[0], f"bloater{len(what)}", compression) as liar:
                liar.hello()
                check(liar.is_read(), "its Hello was taken")
                say(liar)
                check(not liar.is_read(), f"{what} ends the link")
        check(resident() - memory < 32 << 20, f"the node has grown by {(resident() - memory) >> 10} KiB")
        with Liar(grid, grid[0], "comparer") as liar:
            liar.hello()
            strangers = [message("MemberVersion", id=i.to_bytes(32, "big"), incarnation=7, state=ALIVE) for i in range(2048)]
            began = time.monotonic()
            for _ in range(100):
                liar.say(summary=message("ViewSummary", members=strangers))
            check(liar.is_read(), "a comparison is answered")
            answers = [f for f in liar.heard if f.WhichOneof("body") == "summary"]
            at_most = 2 + (time.monotonic() - began) / 0.25  # one within 250 ms
            check(len(answers) <= at_most and all(len(f.summary.members) <= 6 for f in answers), f"what 100 comparisons of 2,048 strangers brought about: {len(answers)} answers")
        whole(grid, before)


@once
def test_words_of_an_earlier_life_played_again_change_nothing():
    with two_with_a_task() as grid, Liar(grid, grid[0], "replayer") as liar:
        liar.hello()
        liar.say(view=message("ViewDigest", hash=1, members=1))
        wait_for(lambda: "node2" in liar.records(), "it is told of node2")
        alive = liar.records()["node2"][0]
        check_equal(grid[1].stop(), [], "the end of node2")
        wait_for(lambda: liar.records()["node2"][2].leaving, "it is told that node2 has left, in its own words")
        left = liar.records()["node2"][0]
        grid[1].start()
        wait_for(lambda: all({"node1", "node2", "replayer"} <= set(states(n)) for n in grid.nodes), "it is back")
        before = [states(n) for n in grid.nodes]
        for state in (ALIVE, DEAD, LEFT):
            liar.say(members=message("MemberTable", members=[entry(alive, state), entry(left, state)]))
        check(liar.is_read(), "all of it was read")
        whole(grid, before)


@once
def test_what_a_newer_version_adds_is_passed_on_as_it_is():
    newer = b"\xfa\x3f\x0dnewer version"  # field 1,023 of any message
    with Grid(2) as grid, Liar(grid, grid[0], "newer") as liar:
        made = sealed(liar.record(), liar.der, liar.leaf.key, newer)
        liar.hello(made)
        liar.say_bytes(newer)  # a frame of a kind that nobody knows
        liar.say_bytes(message("GossipFrame", ping=message("Ping", sequence=5)).SerializeToString() + newer)
        check(liar.is_read(), "the link stands")
        liar.wait("ack", lambda a: a.sequence == 5)
        with Liar(grid, grid[1], "listener") as listener:
            listener.hello()
            listener.say(view=message("ViewDigest", hash=1, members=1))
            wait_for(lambda: "newer" in listener.records(), "the other node tells of it")
            check_equal(listener.records()["newer"][0], made, "the record, as it was signed")
            check_in(b"newer version", made, "what was added")


class FalseIssuer(Liar):
    """A member that says it is an issuer, and answers all it is asked, over TLS as members speak it, as `answers` says, else with an empty message; `asked` are the
    methods and what came with them."""

    def __init__(self, grid, node, name, answers=None):
        super().__init__(grid, node, name)
        self.asked, self.answers = [], answers or (lambda request: b"")
        self.server = grpc.server(futures.ThreadPoolExecutor(2))
        self.server.add_generic_rpc_handlers((self,))
        self.plain = self.server.add_insecure_port("127.0.0.1:0")
        key, crt = self.leaf.save(grid.folder / name)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(crt, key)
        self.tls.load_verify_locations(cadata=Authority.of_gridfile(grid.gridfile).certificate.public_bytes(Encoding.PEM).decode())
        self.tls.set_alpn_protocols(["grid-control/1"])
        self.dialled, self.open = threading.Event(), threading.Event()  # somebody has dialled; his handshake goes on
        self.open.set()

    def service(self, details):
        def answer(request, context):
            self.asked.append((details.method, request))
            return self.answers(request)

        return grpc.unary_unary_rpc_method_handler(answer)

    def __enter__(self):
        super().__enter__()
        self.stack.callback(self.server.stop, None)
        self.server.start()
        self.listener = self.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near = self.listener.accept()[0]
                threading.Thread(target=self.carry, args=(near,), daemon=True).start()

    def carry(self, near):
        self.dialled.set()
        self.open.wait(60)
        with contextlib.suppress(OSError):
            near = self.tls.wrap_socket(near, server_side=True)
            far = socket.create_connection(("127.0.0.1", self.plain), 10)
            threading.Thread(target=pump, args=(far, near), daemon=True).start()
            pump(near, far)


def pump(source, sink):
    with contextlib.suppress(OSError, ValueError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def keyless_node(grid):
    """A member without the authority's key, which must ask others to decide."""
    whole, node = grid.gridfile, grid.add(start=False)
    node.gridfile = grid.folder / "keyless"
    node.gridfile.write_text(whole.read_text()[:whole.read_text().index("authority_key")])
    node.gridfile.chmod(0o600)
    node.state.mkdir(parents=True)
    key, crt = Leaf(Authority.of_gridfile(whole), ("node",), name=node.name).save(grid.folder / "own")
    for kind, path in (("key", key), ("crt", crt)):
        (node.state / f"node.{kind}").write_bytes(path.read_bytes())
        (node.state / f"node.{kind}").chmod(0o600)
    return node.start()


def say_issuer(liar):
    """Its record says that it holds the authority's key."""
    liar.hello(sealed(liar.record(capabilities=["trust=0.0.0.0", "issuer=99.99"]), liar.der, liar.leaf.key))
    wait_for(lambda: liar.name in states(liar.node), "it is a member")


@once
def test_an_issuer_that_answers_with_nothing_harms_nobody_who_asks_it():
    with Grid(0, start=False) as grid:
        node = keyless_node(grid)
        check_in("no issuer can be reached", node.grid("evict", "nobody").err, "what it is told while there is none")
        with FalseIssuer(grid, node, "mallory") as liar:
            say_issuer(liar)
            for words in (("evict", "nobody"), ("rotate",)):
                answer = node.grid(*words)
                check_equal(answer.returncode, 1, f"exit code of {words}: {answer.err}")
                check_in("gave an empty answer", answer.err, f"what {words} is told")
            check_equal({method for method, _ in liar.asked}, {"/grid.v1.PeerTrust/Decide"}, "what it was asked")
            check(node.alive(), "who has asked is still there")


@once
def test_a_member_can_put_no_line_of_a_log_into_anothers_mouth():
    with Grid(1) as grid:
        node = grid[0]
        line = message("LogLine", time_ms=1, task="t", stream="stdout", text="all is well", node="node1")
        with FalseIssuer(grid, node, "mallory", lambda request: line.SerializeToString()) as liar:
            liar.tls.set_alpn_protocols(["h2"])
            say_issuer(liar)
            got = json.loads(node.grid("logs", "--node", "mallory", "--json", check_code=0).out)
            check_equal((got["node"], got["text"]), ("mallory", "all is well"), "whose line it is, and what it says")
            foreign = list(node_rpc(node).control.Logs({"node": "mallory", "lines": 10}))
            check_equal([(each.node, each.text) for each in foreign], [("mallory", "all is well")], "the same to another client")


def says_done(request):
    """Whatever it was asked to decide, it says yes."""
    asked = message_class("grid.v1.DecideRequest").FromString(request)
    kind = {"open_door": "set_password"}.get(asked.WhichOneof("what"), asked.WhichOneof("what"))
    answer = message("DecideResponse")
    getattr(answer, kind).SetInParent()
    if kind == "rotate":
        answer.rotate.phase = "install"
    else:
        getattr(answer, kind).message = "it is done"
    return answer.SerializeToString()


@once
def test_an_issuer_that_says_it_is_done_is_not_believed_and_hears_no_password():
    with Grid(0, start=False) as grid:
        node, secret = keyless_node(grid), grid.folder / "secret"
        secret.write_text("marble-orchard-77-kites\n")
        secret.chmod(0o600)
        with FalseIssuer(grid, node, "mallory", says_done) as liar, Liar(grid, node, "bob") as bob:
            say_issuer(liar)
            bob.hello()
            wait_for(lambda: "bob" in states(node), "both are members")
            for words in (("evict", "bob"), ("rotate", "--wait", "1s"), ("password", "--password-file", secret)):
                answer = node.grid(*words)
                check_equal(answer.returncode, 1, f"exit code of {words}: {answer.err}")
                check_in("mallory says that it is done", answer.err, f"what {words} is told")
            check("bob" in states(node), "he is no member any more")
            check_equal(len(liar.asked), 3, "how often it was asked")
            check(not any(b"marble" in request for _, request in liar.asked), "the password was told as it is")
            answer = node.grid("evict", "mallory")
            check_equal((answer.returncode, len(liar.asked)), (1, 3), f"whether the one that is meant was asked: {answer.err}")


@once
def test_who_says_that_it_is_an_issuer_and_lacks_the_key_is_not_handed_it():
    with Grid(3) as grid:
        others = grid.nodes[1:]

        def set_password(words):
            secret = grid.folder / "secret"
            secret.write_text(words)
            secret.chmod(0o600)
            grid[0].grid("password", "--password-file", secret, check_code=0)

        def wait_given(times):
            given = "this node is an issuer of the grid now, or has its newest key and password"
            wait_for(lambda: all(n.text().count(given) >= times for n in others), f"what they lack is given to them, {times}")

        set_password("marble-orchard-77-kites")
        wait_given(1)  # as issuers that have shown that they are
        with FalseIssuer(grid, grid[0], "mallory") as liar:
            liar.hello(sealed(liar.record(capabilities=["trust=0.1.2.1", "issuer=0.0"]), liar.der, liar.leaf.key))
            wait_for(lambda: "mallory" in states(grid[0]), "it is a member")
            check_in("done: authority", grid[0].grid("rotate", "--overlap", "2s", check_code=0).err, "how the rotation ended")
            wait_given(2)
            set_password("velvet-harbour-31-plums")
            wait_given(3)
            check_equal([method for method, _ in liar.asked if "Hand" in method], [], "what it was handed")


@once
def test_a_member_that_takes_no_part_holds_up_no_rotation():
    with Grid(1) as grid:
        late = keyless_node(grid)
        with FalseIssuer(grid, grid[0], "mallory") as liar:
            liar.hello(sealed(liar.record(capabilities=["issuer=99.99"]), liar.der, liar.leaf.key))  # it says nothing of what it knows, and is asked in vain for certificates
            wait_for(lambda: "mallory" in states(grid[0]) and "mallory" in states(late), "it is a member")
            check_in("mallory", grid[0].grid("rotate", "--overlap", "2s", "--wait", "1ms").err, "who is waited for")
            wait_for(lambda: "done: authority" in grid[0].grid("rotate", "--status").err, "the rotation ends with its overlap", 15, 0.2)
            wait_for(lambda: said(late, "this node's certificate was made anew"), "whoever has lost the time that was his follows by the certificate of before")


def listed(node, name):
    return {m["id"] for m in json.loads(node.grid("list", "--json", check_code=0).out) if m["name"] == name}


@once
def test_a_name_stays_its_incumbents_whatever_another_says_of_its_age():
    with Grid(3) as grid:
        grid.deploy(grid.project().js("t", "exports.handler = () => 1;\n"))
        real = grid[1].info["id"]

        def unmoved(what):
            for node in grid.nodes:
                check_equal(listed(node, "node2"), {real}, f"who is node2 to {node.name}, {what}")
                answer = node.invoke("t", headers={"Grid-Node": "node2"})
                check_equal((answer.status, answer.headers["grid-node"]), (200, "node2"), f"a call to node2 by {node.name}, {what}")
            check_equal(grid[1].get("/readyz").status, 200, f"node2, {what}")

        for asked in (grid[1], grid[0]):  # the incumbent itself, and another
            with Liar(grid, asked, "node2") as liar:
                liar.hello(sealed(liar.record(started_at_ms=1000), liar.der, liar.leaf.key))
                check_in('the name "node2" is taken by node ' + real[:8], liar.wait("refusal")[0].refusal.reason, f"what {asked.name} says")
        unmoved("after one who says he has run since 1970")
        with Liar(grid, grid[0], "mallory") as liar:
            liar.hello()
            other = next(o for o in (Leaf(Authority.of_gridfile(grid.gridfile), roles=("node",), name="node2") for _ in range(500)) if identity(o) < real)
            theirs = sealed(liar.record(id=identity(other), name="node2", started_at_ms=1000), other.certificate.public_bytes(Encoding.DER), other.key)
            own = sealed(liar.record(name="node2", started_at_ms=1000), liar.der, liar.leaf.key)
            liar.say(members=message("MemberTable", members=[entry(theirs), entry(own)]))
            check(liar.is_read(), "all of it was read")
            liar.say(refusal=message("Refusal", code=3, reason="your name is taken"))
            unmoved("after records that were passed on")
        late = grid.add()  # who comes now learns it so too
        check_equal(listed(late, "node2"), {real}, "who is node2 to a newcomer")
        grid[0].grid("evict", "node2", check_code=0)
        gone = {m["id"] for m in json.loads(grid[0].grid("list", "--all", "--json", check_code=0).out) if m["state"] == "evicted"}
        check_equal(gone, {real}, "who is evicted by that name")


@once
def test_who_fills_the_table_with_nodes_that_are_not_there_keeps_no_newcomer_out():
    with Grid(2) as grid, Liar(grid, grid[0], "mallory") as liar:
        authority, count = Authority.of_gridfile(grid.gridfile), 1040
        ghosts = [Leaf(authority, roles=("node",), name=f"ghost{i}") for i in range(count)]
        liar.hello()

        records = [liar.record_of(g) for g in ghosts]

        def tell():
            for at in range(0, count, 100):
                liar.say(members=message("MemberTable", members=records[at : at + 100]))
            return time.monotonic()

        told = tell()
        check(liar.is_read(), "all of it was read")
        check_equal(len(grid[0].hosts()), 1024, "the table is full")
        newcomer = grid.add(start=False)
        newcomer.launch().wait_ready()
        three = {"node1", "node2", newcomer.name}

        def are_all_known():
            nonlocal told
            if time.monotonic() > told + 4:
                told = tell()  # so none of them is found to be dead
            return all(three <= {h["name"] for h in n.hosts()} for n in grid.nodes)

        wait_for(are_all_known, "the newcomer is known to both, and both to it")


@once
def test_who_was_evicted_is_told_so_whomever_it_holds_for_alive():
    with Grid(2) as grid:
        out, authority = grid[1], Authority.of_gridfile(grid.gridfile)
        others = [Leaf(authority, roles=("node",), name=f"other{i}") for i in range(100)]
        is_told = lambda: "the grid has evicted this node" in out.grid("doctor").out  # noqa: E731
        is_alive = lambda: "alive" in {m["state"] for m in json.loads(out.grid("list", "--all", "--json", check_code=0).out) if m["name"].startswith("other")}  # noqa: E731
        grid[0].grid("evict", out.name, check_code=0)
        wait_for(is_told, "it is told")
        with Liar(grid, out, "mallory") as liar:
            liar.hello()
            wait_for(lambda: not is_told(), "one takes it for a member still")
            place = f"127.0.0.1:{grid[0].listen[1]}"  # where it is told that it was evicted
            liar.say(members=message("MemberTable", members=[liar.record_of(o, addresses=[place]) for o in others]))
            check(liar.is_read(), "all of it was read")
        wait_for(lambda: is_told() and is_alive(), "it is told again, while it has not yet found that it reaches none of them")


@once
def test_forged_statements_without_end_cost_a_few_lines_of_the_log():
    kinds = {"ledger": "ledger cannot be taken in", "record": "record was refused", "release": "a release entry from a peer was dropped"}
    with Grid(1) as grid, Liar(grid, grid[0], "mallory") as liar:
        liar.hello()
        wait_for(lambda: "mallory" in states(grid[0]), "it is a member")
        before, began = len(grid[0].text().splitlines()), time.monotonic()
        for turn in range(300):
            forged = sealed(liar.record(incarnation=10**13 + turn, name="other"), liar.der, ec.generate_private_key(ec.SECP256R1())) if turn < 50 else forged
            liar.say(ledger=message("Ledger", digest=bytes(32), packed=b"GRIDLDG1" + turn.to_bytes(40, "big"), last=True))
            liar.say(release=b"\xff" + turn.to_bytes(8, "big"))
            liar.say(members=message("MemberTable", members=[entry(forged)]))
        check(liar.is_read(), "all of it was read")
        lines = grid[0].text().splitlines()[before:]
        counts = {kind: sum(text in line for line in lines) for kind, text in kinds.items()}
        most = 10 + 1 + (time.monotonic() - began)  # a burst, then one a second
        check(all(0 < count <= most for count in counts.values()), f"lines of each kind: {counts}, at most {most:.0f}")
        check(len(lines) <= 3 * most + 10, f"{len(lines)} lines in all")


@once
def test_words_without_end_that_end_a_link_cost_a_few_lines_of_the_log():
    refused = message("GossipFrame", refusal=message("Refusal", code=1, reason="for no reason at all"))
    kinds = {"a gossip frame is malformed": Bytes(b"\x0a\xff"), "a node refused this one": refused}
    with Grid(1) as grid, Liar(grid, grid[0], "mallory") as liar:
        liar.hello()
        wait_for(lambda: "mallory" in states(grid[0]), "it is a member")
        for text, frame in kinds.items():
            began = time.monotonic()
            for _ in range(60):
                check_equal([f.WhichOneof("body") for f in liar.link_anew(iter([frame]), timeout=60)][1:], [], "what is said after the Hello")
            most = 10 + 1 + (time.monotonic() - began)  # a burst, then one a second
            count = sum(text in line for line in grid[0].text().splitlines())
            check(0 < count <= most, f"{count} lines that {text}, at most {most:.0f}")


@once
def test_a_member_that_says_it_has_started_again_and_again_costs_some_lines_of_the_log():
    """By its own signed word, which holds."""
    with Grid(1) as grid, Liar(grid, grid[0], "mallory") as liar:
        liar.hello()
        wait_for(lambda: "mallory" in states(grid[0]), "it is a member")
        began, now = time.monotonic(), int(time.time() * 1000)
        lives = [entry(sealed(liar.record(incarnation=now + i, started_at_ms=now + i), liar.der, liar.leaf.key)) for i in range(1, 501)]
        liar.say(members=message("MemberTable", members=lives))
        check(liar.is_read(), "all of it was read")
        started = [h["started_at_ms"] for h in json.loads(grid[0].grid("list", "--json", check_code=0).out) if h["name"] == "mallory"]
        check_equal(started, [now + 500], "when it says it has started last")
        most = 200 + 1 + 2 * (time.monotonic() - began)  # a burst, then two a second
        count = sum('"event":"restarted"' in line for line in grid[0].text().splitlines())
        check(0 < count <= most, f"{count} lines, at most {most:.0f}")


@once
def test_links_without_end_of_one_member_keep_no_node_from_dialling_others():
    """A node that has as many links as it needs dials nobody: they must not all be one member's."""
    with Grid(1) as grid, Liar(grid, grid[0], "mallory") as liar:
        liar.hello()
        greets, asks = message("GossipFrame", hello=liar.greeting()), message("GossipFrame", ping=message("Ping", sequence=1))
        ended, enough = [], threading.Event()

        def hold(said, call):
            """A link that says something all the time: it is not given up for its silence."""
            with contextlib.suppress(grpc.RpcError):
                for frame in call:
                    if frame.WhichOneof("body") in ("hello", "ack") and not enough.is_set():
                        said.put(asks)
            ended.append(call)

        for _ in range(100):
            said = queue.Queue()
            said.put(greets)
            threading.Thread(target=hold, args=(said, liar.link_anew(iter(said.get, None), timeout=60)), daemon=True).start()
            liar.stack.callback(said.put, None)
        wait_for(lambda: len(ended) >= 90, "most of them end")
        enough.set()
        with FalseIssuer(grid, grid[0], "friend") as friend:
            friend.hello()
            wait_for(lambda: "friend" in states(grid[0]), "it is a member")
            friend.said.put(None)  # its own link ends
            check(friend.dialled.wait(60), "it is not dialled")


@once
def test_records_without_end_cost_a_bounded_number_of_signature_checks():
    with Grid(1) as grid, Liar(grid, grid[0], "mallory") as liar:
        checks = lambda: int(re.search(r"^grid_gossip_signature_checks_total (\d+)$", grid[0].get("/metrics").text, re.M)[1])  # noqa: E731
        liar.hello()
        wait_for(lambda: "mallory" in states(grid[0]), "it is a member")
        false, seal = liar.record(), message("SealedMember", certificate=liar.der, signature=liar.leaf.key.sign(b"another record", ec.ECDSA(hashes.SHA256())))

        def forged(revision):
            false.revision = revision
            seal.record = false.SerializeToString()
            return entry(seal.SerializeToString())

        began, before, told = time.monotonic(), checks(), 5000
        for at in range(1, told, 1000):
            liar.say(members=message("MemberTable", members=[forged(at + i) for i in range(1000)]))
        check(liar.is_read(), "all of it was read")
        most = 2048 + 10 + 100 * (time.monotonic() - began)  # a burst, then a hundred a second
        wait_for(lambda: checks() >= before + 2048, "as many as it may bring are checked")  # told of once a second
        check(checks() - before <= most, f"{checks() - before} of {told} checked, at most {most:.0f}")
        with Liar(grid, grid[0], "friend") as friend:
            friend.hello()
            wait_for(lambda: "friend" in states(grid[0]), "another is heard")


TOMBSTONE, HEIR = 2, 4


def stated(authority, kind, who):
    """A statement of docs/formats/trust-ledger.md about an id, by an authority whose key is here."""
    body = bytes.fromhex(who) + int(time.time()).to_bytes(8, "big") + (b"\5ghost" if kind == TOMBSTONE else b"")
    said = bytes([kind]) + len(body).to_bytes(2, "big") + body
    signature = authority.key.sign(b"gridcontrol trust ledger 1\0" + said, ec.ECDSA(hashes.SHA256()))
    return said + bytes.fromhex(identity(authority)) + bytes([len(signature)]) + signature


def crossed(authority, who):
    """What two issuers have stated that could not hear each other: one has evicted a member, to whom the other one has handed the key."""
    return stated(authority, HEIR, who) + stated(authority, TOMBSTONE, who)


def ledger_of(authority, *statements):
    """The frame by which a member tells of these."""
    der = authority.certificate.public_bytes(Encoding.DER)
    return message("Ledger", digest=bytes(32), packed=b"GRIDLDG1" + bytes(8) + len(der).to_bytes(2, "big") + der + b"".join(statements), last=True)


@once
def test_who_is_evicted_while_it_draws_out_a_handshake_is_asked_nothing():
    """The node has dialled an issuer to pass a decision on; the grid evicts that one before its handshake is over."""
    with Grid(0, start=False) as grid:
        node = keyless_node(grid)
        with FalseIssuer(grid, node, "mallory") as liar, Liar(grid, node, "bob") as bob:
            say_issuer(liar)
            bob.hello()
            wait_for(lambda: "bob" in states(node), "both are members")
            liar.open.clear()
            asker = subprocess.Popen([BIN / "grid", "evict", "bob"], env=clean_environment(grid.folder, {"GRID_API": node.api_text, "GRID_API_SOCKET": str(node.socket)}), stderr=subprocess.DEVNULL)
            check(liar.dialled.wait(30), "it is dialled")
            bob.say(ledger=ledger_of(Authority.of_gridfile(grid.gridfile), stated(Authority.of_gridfile(grid.gridfile), TOMBSTONE, identity(liar.leaf))))
            wait_for(lambda: "mallory" not in states(node), "it is evicted")
            liar.open.set()
            check_equal(asker.wait(60), 1, "the exit code of who asked")
            check_equal(liar.asked, [], "what the evicted one was asked")


@once
def test_an_issuer_by_an_authority_that_was_replaced_is_evicted_without_another_one():
    """As when two issuers are evicted one right after the other: members that have not heard of the first new authority could not follow a second."""
    with Grid(2) as grid, Liar(grid, grid[0], "mallory") as liar:
        node, other = grid.nodes
        liar.hello(sealed(liar.record(capabilities=["trust=0.0.0.0", "issuer=0.0"]), liar.der, liar.leaf.key))
        wait_for(lambda: "mallory" in states(node), "it is a member")
        before = authority_of(node)
        check_in("it was an issuer, so the authority is replaced", node.grid("evict", other.name, check_code=0).err, "what is said of the first")
        wait_for(lambda: authority_of(node) != before, "the authority is replaced")
        fresh = authority_of(node)
        check("mallory" in states(node), "it is a member still")
        check("the authority is replaced" not in node.grid("evict", "mallory", check_code=0).err, "it is replaced for a key that is worth nothing")
        check_equal(authority_of(node), fresh, "the authority")
        wait_for(lambda: "mallory" not in states(node), "it is out")


LOST_KEY = "an evicted node was handed the authority's key by an issuer that had not heard of the eviction"


@once
def test_an_eviction_that_crosses_a_handing_over_of_the_key_ends_with_a_new_authority():
    with Grid(3) as grid, Liar(grid, grid[0], "teller") as teller:
        authority, ghost = Authority.of_gridfile(grid.gridfile), identity(Leaf(Authority()))
        before = authority_of(grid[0])
        teller.hello()
        for node in grid.nodes:
            wait_for(lambda: "teller" in states(node), f"it is a member for {node.name}")
        teller.say(ledger=ledger_of(authority, crossed(authority, ghost)))
        wait_for(lambda: len({authority_of(n) for n in grid.nodes} | {before}) == 2 and authority_of(grid[0]) != before, "all go by one new authority")
        replaced = [n.name for n in grid.nodes if said(n, "an evicted node holds the authority's key: the authority is replaced", ghost)]
        check_equal(len(replaced), 1, f"how many have replaced it: {replaced}")
        for node in grid.nodes:
            wait_for(lambda: bytes.fromhex(ghost) in kept(node)[LEDGER][0], f"{node.name} keeps the eviction, signed by the new authority")
            check(LOST_KEY not in node.grid("doctor").out, f"{node.name} says that the key is lost still")
            wait_for(lambda: {n.name for n in grid.nodes} <= set(states(node)), f"{node.name} sees the others")


@once
def test_a_key_that_an_evicted_node_holds_is_told_of_until_an_administrator_replaces_the_authority():
    """One that sees no other member may be the one that is cut off: it leaves the decision to a person."""
    with Grid(1) as grid:
        node, ghost = grid[0], identity(Leaf(Authority()))
        node.stop()
        trust = node.state / "trust"
        data, ledger, more = trust.read_bytes(), kept(node)[LEDGER][0], crossed(Authority.of_gridfile(grid.gridfile), ghost)
        at = data.index(ledger)
        trust.write_bytes(data[:at - 4] + (len(ledger) + len(more)).to_bytes(4, "big") + ledger + more + data[at + len(ledger):])
        node.start()
        before = authority_of(node)
        wait_for(lambda: said(node, LOST_KEY, ghost), "the log says so")
        told = node.grid("doctor", check_code=1).out
        check_in(f"ghost (ID {ghost}): {LOST_KEY}", told, "what the doctor says")
        check_in("run \"grid evict ID\"", told, "the remedy")
        check_equal(authority_of(node), before, "the authority while nobody has decided")
        check_in("the authority is replaced", node.grid("evict", ghost, check_code=0).err, "what is said to the remedy")
        wait_for(lambda: authority_of(node) != before, "the authority is replaced")
        check(LOST_KEY not in node.grid("doctor").out, "it is said still that the key is lost")


class Public:
    """Of a key only this half is known."""

    def __init__(self, der):
        self.public = load_der_public_key(der)

    def public_key(self):
        return self.public


def gives_false_certificates(request):
    """One for the asker's key, by an authority that calls itself like the grid's."""
    asked = message_class("grid.v1.RenewRequest").FromString(request)
    leaf = Leaf(Authority("testgrid"), roles=("node",), name="node2", key=Public(asked.public_key))
    return message("RenewResponse", certificate=leaf.certificate.public_bytes(Encoding.DER)).SerializeToString()


@once
def test_a_false_issuers_certificate_is_not_taken_for_the_own_one():
    with Grid(0, start=False) as grid:
        issuer = grid.add(options=["--advertise", "127.0.0.1:1"])  # there it cannot be asked
        node = keyless_node(grid)
        with FalseIssuer(grid, node, "mallory", gives_false_certificates) as liar:
            say_issuer(liar)
            before = kept(node)[CERTIFICATE]
            issuer.grid("evict", "a" * 64, "--replace-authority", check_code=0)
            wait_for(lambda: said(node, "has given this node a certificate that does not hold"), f"it has asked for a certificate, and refuses it: {[method for method, _ in liar.asked]}")
            check_equal(kept(node)[CERTIFICATE], before, "its certificate")
            check({n["name"]: n["state"] for n in json.loads(issuer.grid("list", "--json", check_code=0).out)}[node.name] == "alive", "it is no member any more")


class Turner(FalseIssuer):
    """A member that is dialled, has no link of its own, and asks whoever dials it for a connection on which the dialler serves; that one's handshake goes on when it is
    let. `heard_there` is the first that comes by it, b"" when it ends without a word."""

    def __init__(self, grid, node, name):
        super().__init__(grid, node, name)
        self.came, self.let, self.heard_there = threading.Event(), threading.Event(), None
        self.reverse = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.reverse.load_cert_chain(grid.folder / name / "leaf.crt", grid.folder / name / "leaf.key")
        self.reverse.set_alpn_protocols(["grid-reverse-control/1"])

    def link(self, requests, _):
        greeting = next(requests).hello
        made = message("Hello", authority=greeting.authority, grid=greeting.grid, protocol=2)
        getattr(made, "self").CopyFrom(entry(sealed(self.record(), self.der, self.leaf.key)))
        yield message("GossipFrame", hello=made)
        yield message("GossipFrame", turn=message("Turn", plane=2))
        for frame in requests:
            if frame.WhichOneof("body") == "ping":
                yield message("GossipFrame", ack=message("Ack", sequence=frame.ping.sequence, sent_at_ms=frame.ping.sent_at_ms))

    def service(self, details):
        return grpc.stream_stream_rpc_method_handler(self.link, message_class("grid.v1.GossipFrame").FromString, lambda frame: frame.SerializeToString())

    def carry(self, near):
        if b"grid-reverse" not in near.recv(4096, socket.MSG_PEEK):
            super().carry(near)
            return
        self.came.set()
        self.let.wait()
        heard = b""
        with contextlib.suppress(OSError), self.reverse.wrap_socket(near, server_side=True) as tls:
            heard = tls.recv(65536)
        self.heard_there = heard


@once
def test_who_was_evicted_while_a_handshake_was_under_way_is_served_nothing_by_it():
    with Grid(1) as grid:
        with Turner(grid, grid[0], "evil") as evil:
            dials = grid.add(options=["--join", f"127.0.0.1:{evil.port}"])
            check(evil.came.wait(20), "it is not dialled on which it asked for a connection")
            grid[0].grid("evict", identity(evil.leaf), check_code=0)
            wait_for(lambda: said(dials, "the grid has decided", '"evicted":1'), "whoever dialled it knows that it was evicted")
            evil.let.set()
            wait_for(lambda: evil.heard_there is not None, "the connection has come about")
            check_equal(evil.heard_there, b"", "what is said on it")
