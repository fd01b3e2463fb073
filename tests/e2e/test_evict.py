"""Evicting a node: its key, its connections, the password it knew, and the authority it could issue with."""

import json
import time

from gridtest import check, check_equal, check_in, wait_for
from test_join import authority_of, password_grid, said, secret_file


def can_issue(node):
    """Whether its STATE/trust holds an authority's key (docs/formats/trust-standing.md: a record of tag 3)."""
    data, at, tags = (node.state / "trust").read_bytes(), 8, set()
    while at < len(data):
        tags.add(data[at])
        at += 5 + int.from_bytes(data[at + 1:at + 5], "big")
    return 3 in tags


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


def old_password_opens_nothing(made):
    fresh = made.add()
    wait_for(lambda: any(said(n, "closed") for n in [fresh, *made.nodes]), "the refusal is said")
    check_equal([h["name"] for h in fresh.hosts()], [fresh.name], "whom a new identity sees by the old password")
    fresh.stop()
    secret = secret_file(made, "ninety-mellow-harbours", "new-password")
    made.issuer.grid("password", "--password-file", str(secret), check_code=0)
    fresh.options = [str(secret) if o == str(made.folder / "password") else o for o in fresh.options]
    fresh.start()
    wait_for(lambda: len(fresh.hosts()) == 4, "it joins by the new password")


def replace_the_authority(made):
    victim = next(n for n in made.nodes if n.name in issuers(made) and n is not made.issuer)
    others = [n for n in made.nodes if n is not victim and n is not made.plain]
    before = authority_of(made.issuer)
    answer = made.issuer.grid("evict", victim.name, check_code=0)
    check_in("authority is replaced", answer.stderr.decode(), "what is said")
    wait_for(lambda: is_out(victim, others), "the victim is out", 5)
    wait_for(lambda: len({authority_of(n) for n in others}) == 1 and authority_of(others[-1]) != before, "every member has a certificate of the new authority")
    for node in others:
        wait_for(lambda: len(node.hosts()) == len(others), f"{node.name} sees all that remain")


def test_the_evicted_stay_out_with_certificate_and_password():
    with password_grid(4) as made:
        settle(made)
        shut_out_a_plain_member(made)
        for words, sentence in {("evict", "nobody"): "no member is called", ("evict", made.issuer.name): "does not evict itself"}.items():
            check_in(sentence, made.issuer.grid(*words).stderr.decode(), f"what {words} says")
        old_password_opens_nothing(made)
        replace_the_authority(made)
