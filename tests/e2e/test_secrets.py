"""What stands in a node's memory, and for how long."""

import contextlib
import hashlib
import os
import socket
from pathlib import Path

from certs import Authority, Leaf, tls_client
from cryptography.hazmat.primitives import serialization
from gridtest import PRESET, Grid, Skip, check, check_equal, message_class, once, wait_for
from http2raw import DATA, END_HEADERS, END_STREAM, PREFACE, SETTINGS, frame, headers
from test_evict import KEY, can_issue, kept, root_of, settle, states
from test_evict import PASSWORD as PASSWORD_KEPT
from test_join import PASSWORD, password_grid, said, secret_file
from test_newcomer import evicted

SSH_KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\n" + "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAE\n" * 3 + "-----END OPENSSH PRIVATE KEY-----\n"


def stretched(password, name):
    """As docs/formats/join.md says."""
    return hashlib.scrypt(password.encode(), salt=b"gridcontrol/join/1/password/" + name.encode(), n=2**17, r=8, p=1, maxmem=160 << 20, dklen=64)


TEXTS = {"password": PASSWORD.encode(), "ssh key": SSH_KEY[:100].encode(), "stretched": stretched(PASSWORD, "demo"), "moniker": b"plain-moniker"}


def remembers(node, texts=TEXTS):
    """Those of the texts that stand somewhere in its memory. Only root may look."""
    found = set()
    with open(f"/proc/{node.process.pid}/maps") as maps, open(f"/proc/{node.process.pid}/mem", "rb", 0) as memory:
        for line in maps:
            first, last = (int(part, 16) for part in line.split()[0].split("-"))
            if "rw" not in line or last - first > 1 << 28:  # a sanitizer's shadow
                continue
            with contextlib.suppress(OSError, ValueError, OverflowError):
                memory.seek(first)
                held = memory.read(last - first)
                found |= {name for name, text in texts.items() if text in held}
    return found


@once
def test_a_node_keeps_neither_its_access_cards_secrets_nor_a_password_that_opens_nothing():
    if os.geteuid() != 0:
        raise Skip("nobody but root may look into a node's memory")
    with Grid(0, start=False, name="demo") as grid:
        plain = grid.gridfile.read_text()
        grid.gridfile.write_text(f"grid_password = '{PASSWORD}'\nssh_key = \'\'\'\n{SSH_KEY}\'\'\'\n{plain}")
        card = grid.add(start=False)
        card.name = "plain-moniker"
        card.start()
        wait_for(lambda: remembers(card) == {"stretched", "moniker"}, f"the access card is forgotten, and not {remembers(card)}")
        evicted(grid, "evil")
        wait_for(lambda: remembers(card) == {"moniker"}, f"what opens nothing any more is forgotten, and not {remembers(card)}", 5)
        card.stop()
        card.start()
        check_equal(remembers(card), {"moniker"}, "what it remembers after a restart")


@once
def test_a_node_keeps_no_password_that_it_was_given():
    if os.geteuid() != 0:
        raise Skip("nobody but root may look into a node's memory")
    with Grid(0, start=False, name="demo") as grid:
        grid.gridfile = None
        for more in ({"options": ["--grid", "demo", "--password-file", str(secret_file(grid))]}, {"options": ["--grid", "demo"], "env": {"GRID_AUTH": PASSWORD}}):
            grid.add(**more)
        wait_for(lambda: any(said(n, "a node has joined by password") for n in grid.nodes), "they have found each other")
        for node in grid.nodes[:1] if PRESET in ("asan", "tsan") else grid.nodes:  # a sanitizer keeps a copy of the environment for itself
            check_equal(remembers(node), {"stretched"}, f"what stands in the memory of {node.name}")


def scalar(key_der):
    """The private number of a P-256 key, as DER has it and as OpenSSL computes with it."""
    number = serialization.load_der_private_key(key_der, None).private_numbers().private_value
    return {"key": number.to_bytes(32, "big"), "key in use": number.to_bytes(32, "little")}


@once
def test_no_node_keeps_what_a_new_password_and_handed_keys_came_by():
    """A password that is set on a member that must pass it on; then an authority that is replaced: all had its key, and none needs it any more."""
    if os.geteuid() != 0:
        raise Skip("nobody but root may look into a node's memory")
    other = "narrow-walnut-3-kettles"
    with password_grid(4) as grid:
        settle(grid)
        old = scalar(kept(grid.issuer)[KEY][0])
        check_equal(remembers(grid.issuer, old), {"key", "key in use"}, "what stands in an issuer's memory, if it is looked for well")
        grid.plain.grid("password", "--password-file", secret_file(grid, other, "other"), check_code=0)
        new = {"password": other.encode(), "stretched": stretched(other, "demo")}
        wait_for(lambda: len({str(kept(n).get(PASSWORD_KEPT)) for n in grid.nodes if can_issue(n)}) == 1, "all issuers have it")
        wait_for(lambda: [remembers(n, new) for n in grid.nodes] == [{"stretched"} if can_issue(n) else set() for n in grid.nodes], "issuers know it as it was stretched, others not at all", 10)
        grid.issuer.grid("evict", grid.plain.name, "--replace-authority", check_code=0)
        left = [n for n in grid.nodes if n is not grid.plain]
        wait_for(lambda: states(grid.issuer).get(grid.plain.name) == "evicted" and len({str(root_of(n)) for n in left}) == 1, "the authority is another one")
        wait_for(lambda: [remembers(n, old) for n in left] == [set()] * 3, "the old key is forgotten", 10)


def is_read(connection):
    """Whether the process at the other end of a loopback connection has read all that was sent to it."""
    ends = [f"{int.from_bytes(socket.inet_aton(host), 'little'):08X}:{port:04X}" for host, port in (connection.getpeername(), connection.getsockname())]
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [row[4].split(":")[1] for row in rows if row[1:3] == ends] == ["0" * 8]


def tell(connection, password, first):
    """Sets a password as a gRPC client that says all in one go, but for so many bytes before; ends when it is done."""
    body = message_class("grid.v1.SetPasswordRequest")(password=password.encode()).SerializeToString()
    head = [(":method", "POST"), (":scheme", "http"), (":authority", "localhost"), (":path", "/grid.v1.Control/SetPassword"), ("content-type", "application/grpc"), ("te", "trailers")]
    said = PREFACE + frame(SETTINGS) + headers(1, head, END_HEADERS) + frame(DATA, END_STREAM, 1, b"\0" + len(body).to_bytes(4, "big") + body)
    for part in filter(None, (said[:first], said[first:])):
        connection.sendall(part)
        wait_for(lambda: is_read(connection), "it is read")
    answer = b""
    while b"the new password alone" not in answer:
        part = connection.recv(65536)
        check(part, f"it ended after {answer}")
        answer += part


@once
def test_a_connection_that_stays_open_keeps_no_password_that_came_by_it():
    if os.geteuid() != 0:
        raise Skip("nobody but root may look into a node's memory")
    with Grid(1, name="demo") as grid:
        node, authority = grid[0], Authority.of_gridfile(grid.gridfile)
        context = tls_client(*Leaf(authority, roles=("admin",)).save(grid.folder, "admin"))
        remote = lambda: context.wrap_socket(socket.create_connection(node.listen, timeout=30), server_hostname="localhost")  # noqa: E731
        local = lambda: socket.create_connection(node.api, timeout=30)  # noqa: E731
        for connect, password, first in ((remote, "eleven-copper-lanterns", 0), (local, "seven-hollow-anchors-9", 10)):
            with connect() as connection:  # not before it is used: a node waits for a first request no longer than some seconds
                tell(connection, password, first)
                check_equal(remembers(node, {password: password.encode()}), set(), "what stands in its memory while the connection is open")
