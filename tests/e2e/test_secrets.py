"""What stands in a node's memory, and for how long."""

import contextlib
import hashlib
import os

from gridtest import PRESET, Grid, Skip, check_equal, once, wait_for
from test_join import PASSWORD, said, secret_file
from test_newcomer import evicted

SSH_KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\n" + "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAE\n" * 3 + "-----END OPENSSH PRIVATE KEY-----\n"


def stretched(password, name):
    """As docs/formats/join.md says."""
    return hashlib.scrypt(password.encode(), salt=b"gridcontrol/join/1/password/" + name.encode(), n=2**17, r=8, p=1, maxmem=160 << 20, dklen=64)


TEXTS = {"password": PASSWORD.encode(), "ssh key": SSH_KEY[:100].encode(), "stretched": stretched(PASSWORD, "demo"), "moniker": b"plain-moniker"}


def remembers(node):
    """Those of TEXTS that stand somewhere in its memory. Only root may look."""
    found = set()
    with open(f"/proc/{node.process.pid}/maps") as maps, open(f"/proc/{node.process.pid}/mem", "rb", 0) as memory:
        for line in maps:
            first, last = (int(part, 16) for part in line.split()[0].split("-"))
            if "rw" not in line or last - first > 1 << 28:  # a sanitizer's shadow
                continue
            with contextlib.suppress(OSError, ValueError, OverflowError):
                memory.seek(first)
                held = memory.read(last - first)
                found |= {name for name, text in TEXTS.items() if text in held}
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
