"""A node that has just started knows nothing of what was decided without it: whom it heeds until it has heard."""

import contextlib
import hashlib
import json
import os
import signal
import threading
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from gridtest import Grid, check, check_equal, check_in, node_rpc, once, wait_for
from test_evict import LEDGER, PINS, ask_trust, kept, restart_without, states
from test_gossip import Liar, identity, message, sealed
from test_join import Relay, said, secret_file

SEQUENCE = 1000  # more than anybody has published


class ShutRelay(Relay):
    """Passes on to another node, but only from when it is opened: whoever comes before waits."""

    def __init__(self, target):
        self.opened = threading.Event()
        super().__init__()
        self.target = target

    def accept(self):
        self.opened.wait()
        super().accept()


def signed_entry(liar):
    """A release of his own, as docs/formats/release-entry.md says."""
    sized = lambda data: len(data).to_bytes(4, "big") + data  # noqa: E731
    root, config, now = bytes(range(32)), b"", int(time.time() * 1000)
    config_hash, publisher = hashlib.sha256(config).digest(), identity(liar.leaf)
    text = b"grid release entry 1\n" + sized(b"default") + sized(publisher.encode())
    text += b"".join(number.to_bytes(8, "big") for number in (SEQUENCE, now, 0, 0)) + root + config_hash + b"\0"
    return message("ReleaseEntry", app=b"default", sequence=SEQUENCE, root=root, config_hash=config_hash, publisher=publisher.encode(), published_at_ms=now, config=config,
                   signature=liar.leaf.key.sign(text, ec.ECDSA(hashes.SHA256())), certificate=liar.der).SerializeToString()


def evicted(grid, name):
    """A member that the grid has put out, and whose certificate is good to whoever does not know."""
    with Liar(grid, grid[0], name) as liar:
        liar.hello()
        wait_for(lambda: name in states(grid[0]), "it is a member")
        grid[0].grid("evict", identity(liar.leaf), check_code=0)
    return liar


def sequences(node):
    return [r.sequence for r in node_rpc(node).control.ListReleases({}).releases]


def heirs_in(node, liars):
    """To whom of these the ledger says that the authority's key was given."""
    ledger = kept(node)[LEDGER][0]
    return [liar.name for liar in liars if bytes.fromhex(identity(liar.leaf)) in ledger]


@once
def test_who_says_that_he_has_run_longest_is_not_handed_the_key_for_it():
    with Grid(0, start=False) as grid:
        issuer = grid.add(join=ShutRelay(("127.0.0.1", 1)).address)  # so that it hands on nothing until both are there
        with Liar(grid, issuer, "first") as first, Liar(grid, issuer, "late") as late:
            for liar, began in ((first, int(time.time() * 1000)), (late, 10**12)):
                record = liar.record(capabilities=["trust=0.0.0.0"], started_at_ms=began)
                liar.hello(sealed(record, liar.der, liar.leaf.key))
                wait_for(lambda: liar.name in states(issuer), f"{liar.name} is a member")
            wait_for(lambda: heirs_in(issuer, (first, late)), "somebody is to have the key")
            check_equal(heirs_in(issuer, (first, late)), ["first"], "who")


def visit(liar, newcomer):
    """What the evicted can do there: it asks for a certificate, tells of a release, and waits to be handed the key. (code, reason) of the first."""
    liar.node = newcomer
    liar.heard = []
    key = liar.leaf.key.public_key()
    with liar:
        liar.hello()
        wait_for(lambda: liar.name in states(newcomer), "it is taken for a member")
        liar.say(release=signed_entry(liar))
        public = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        answer = ask_trust(newcomer, liar.context, "Renew", public_key=public, name=b"x", addresses=[])
        check_equal(sequences(newcomer), [], "releases of the newcomer while it has not heard")
        return answer


@once
def test_a_newcomer_heeds_nobody_before_it_has_heard_whom_the_grid_evicted():
    with Grid(1) as grid:
        liar = evicted(grid, "evil")
        relay = ShutRelay(grid[0].listen)
        newcomer = grid.add(join=relay.address)
        code, why = visit(liar, newcomer)
        check_equal(code, "FAILED_PRECONDITION", f"what is said to one that asks for a certificate: {why}")
        check_in("has not heard yet whom the grid has evicted", why, "the reason")
        began = time.monotonic()
        relay.opened.set()
        wait_for(lambda: states(newcomer).get("evil") == "evicted", "it knows who was evicted", 5)
        check(time.monotonic() - began < 5, "it took longer than 5 s")
        wait_for(lambda: said(newcomer, "a release entry from a peer was dropped"), "what was held back is judged, and dropped")
        check_equal(sequences(newcomer), [], "releases of the newcomer")
        grid.wait_linked()
        relay.listener.close()


@contextlib.contextmanager
def stopped(node):
    os.kill(node.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(node.process.pid, signal.SIGCONT)


@once
def test_whom_a_node_remembers_does_not_tell_it_whom_the_grid_has_evicted():
    with Grid(3) as grid:
        first, restarted, other = grid.nodes
        with Liar(grid, first, "evil") as liar:
            liar.hello()
            wait_for(lambda: "evil" in states(first), "it is a member")
        wait_for(lambda: (restarted.state / "peers").exists(), "members are remembered", 60)
        check_equal(restarted.stop(), [], "how the node ends")
        with stopped(other):
            first.grid("evict", identity(liar.leaf), check_code=0)
            first.grid("evict", other.info["id"], check_code=0)
        with stopped(first):
            restarted.start()
            wait_for(lambda: states(restarted).get(other.name) == "alive", "it has gone to the one that it remembers")
            public = liar.leaf.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            code, why = ask_trust(restarted, liar.context, "Renew", public_key=public, name=b"x", addresses=[])
            check_equal(code, "FAILED_PRECONDITION", f"what is said to one that asks for a certificate: {why}")
        wait_for(lambda: (s := states(restarted)).get(first.name) == "alive" and s[other.name] == "evicted", "the grid takes it back, and tells it whom it has evicted")


@once
def test_who_was_away_for_too_long_while_the_authority_was_replaced_is_told_what_to_do():
    with Grid(2) as grid:
        stays, away = grid.nodes
        check_equal(away.stop(), [], "how the node ends")
        stays.grid("evict", "a" * 64, "--replace-authority", check_code=0)
        restart_without(stays, PINS)  # as after a day
        away.join = stays.listen_text
        away.start()
        sentence = "the grid has replaced its authority while this node was away: stop it, run \"grid adopt --state DIR\", and start it with today's Gridfile or password"
        ready = wait_for(lambda: (r := away.get("/readyz")).json["error"]["message"] == sentence and r, "it is not ready, and says why")
        check_equal(ready.status, 503, "status of /readyz")
        check(said(away, json.dumps(sentence)), "its log does not say so")
        check_in(sentence, away.grid("doctor", check_code=1).out, "what the doctor says there")
        secret = secret_file(grid)
        stays.grid("password", "--password-file", str(secret), check_code=0)
        check_equal(away.stop(), [], "how the node ends")
        away.grid("adopt", "--yes", "--state", str(away.state), check_code=0)
        away.gridfile, away.options = None, ["--grid", grid.name, "--password-file", str(secret)]
        away.start()
        grid.wait_linked()
