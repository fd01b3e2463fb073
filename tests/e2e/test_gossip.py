"""What a member that lies can do to the others over its own, valid control link: nothing but speak for itself."""

import contextlib
import hashlib
import queue
import re
import socket
import threading
import time

import grpc
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certs import Authority, Leaf, Proxy, tls_client
from gridtest import Grid, Service, check, check_equal, check_in, message_class, once, wait_for

NEVER_HAD = 2**53 - 2  # one more, and an incarnation can be raised no further


def message(kind, /, **fields):
    return message_class(f"grid.v1.{kind}")(**fields)


def identity(leaf):
    return hashlib.sha256(leaf.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def sealed(record, certificate, key):
    """A record as docs/formats/member-record.md says, signed by whatever key."""
    packed = record.SerializeToString()
    signed = b"grid member record 1\n" + len(certificate).to_bytes(4, "big") + certificate + packed
    return message("SealedMember", record=packed, certificate=certificate, signature=key.sign(signed, ec.ECDSA(hashes.SHA256()))).SerializeToString()


ALIVE, DEAD, LEFT = 1, 3, 4


def entry(packed, state=ALIVE):
    return message("MemberEntry", sealed=packed, state=state)


class Liar:
    """A member by its certificate, whose program is this one, with a port where nobody answers. `heard` are the frames that came."""

    def __init__(self, grid, node, name):
        self.leaf = Leaf(Authority.of_gridfile(grid.gridfile), roles=("node",), name=name)
        self.der = self.leaf.certificate.public_bytes(Encoding.DER)
        self.context = tls_client(*self.leaf.save(grid.folder / name), ("grid-control/1",))
        self.node, self.name, self.said, self.heard, self.over = node, name, queue.Queue(), [], None

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        self.port = self.stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        proxy = self.stack.enter_context(Proxy(self.node.listen, self.context))
        channel = self.stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{proxy.port}", [("grpc.use_local_subchannel_pool", 1)]))
        self.stack.callback(self.said.put, None)
        self.call = Service(channel, "grid.v1.PeerGossip").Link(iter(self.said.get, None), timeout=60)
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
        except grpc.RpcError as error:
            self.over = error

    def say(self, **body):
        self.said.put(message("GossipFrame", **body))

    def record(self, **fields):
        now = int(time.time() * 1000)
        return message("Member", **{"id": identity(self.leaf), "incarnation": now, "name": self.name, "addresses": [f"127.0.0.1:{self.port}"], "started_at_ms": now, **fields})

    def hello(self, packed=None, protocol=2):
        greeting = next(f.hello for f in self.wait("hello"))
        packed = packed or sealed(self.record(), self.der, self.leaf.key)
        made = message("Hello", authority=greeting.authority, grid=greeting.grid, protocol=protocol)
        getattr(made, "self").CopyFrom(entry(packed))
        self.say(hello=made)

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
