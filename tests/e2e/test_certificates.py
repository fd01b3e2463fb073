"""Certificates: `grid cert issue`, what clients everywhere do with its files, who may call what, and who is refused with which reason."""

import json
import os
import re
import socket
import ssl
import stat
import subprocess
import urllib.request

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes

import certs
from certs import CLIENT, DAY, HOUR, SERVER, Authority, Leaf, greet, key_usage, refusal, say_raw, tls_client
from gridtest import ROOT, Failure, Grid, Node, api_pool, check, check_equal, check_in, clean_environment, grid_command, message_class, once, rpc_code, shared, wait_for
from test_evict import place

ROLES = ("node", "admin", "invoke")


@shared
def one():
    """One node with a task, and the files of a client of each role in certs/."""
    grid = Grid(1)
    grid.deploy(grid.project().program("echo"))
    for role in ROLES:
        grid_command("cert", "issue", role, "--role", role, "--out", "certs", cwd=grid.folder, check_code=0)
    return grid


def files(name):
    """Paths of (ca, certificate, key)."""
    folder = one().folder / "certs"
    return folder / "ca.crt", folder / f"{name}.crt", folder / f"{name}.key"


# ---- grid cert issue -------------------------------------------------------------------------------------------------------------


def openssl(*args, cwd, input=None):
    return subprocess.run(["openssl", *map(str, args)], cwd=cwd, capture_output=True, text=True, check=True, input=input).stdout


@once
def test_cert_issue_writes_a_key_a_certificate_and_the_authority():
    folder = one().folder
    done = grid_command("cert", "issue", "ci", "--days", "9", "--out", "made", cwd=folder, check_code=0)
    check_equal(done.out.split(), ["made/ci.key", "made/ci.crt", "made/ca.crt"], "what is printed")
    check_equal(stat.S_IMODE((folder / "made/ci.key").stat().st_mode), 0o600, "mode of the key")
    check_equal(openssl("verify", "-CAfile", "made/ca.crt", "-purpose", "sslclient", "made/ci.crt", cwd=folder), "made/ci.crt: OK\n", "openssl's opinion")
    for name in ("ci.crt", "ca.crt"):
        check(list(x509.load_pem_x509_certificate((folder / "made" / name).read_bytes()).extensions), f"{name} is not strict DER")
    text = openssl("x509", "-in", "made/ci.crt", "-noout", "-text", cwd=folder)
    check_in("URI:gridcontrol://role/invoke\n", text, "the role when none is said")
    days = openssl("x509", "-in", "made/ci.crt", "-noout", "-checkend", 9 * DAY - HOUR, cwd=folder)
    check_in("will not expire", days, "nine days")
    check_in(re.search(r"id ([0-9a-f]{64})", done.err).group(1)[:32], "".join(done.err), "the id")
    example = re.search(r"example: (curl .*)", done.err).group(1)
    command = example.replace("NODE:7900", one()[0].listen_text.replace("127.0.0.1", "localhost")).replace("TASK", "echo")
    answer = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True)
    check_equal(answer.stdout, "{}", f"what the printed example answers ({answer.stderr})")


@once
def test_a_nodes_certificate_is_for_every_name_that_it_is_reached_by():
    with Grid(0) as grid:
        node = grid.add(options=["--advertise", "first.example:7900"])
        shown = subprocess.run(["openssl", "s_client", "-connect", node.listen_text, "-alpn", "h2"], input=b"", capture_output=True).stdout
        text = openssl("x509", "-noout", "-ext", "subjectAltName", cwd=grid.folder, input=shown[:shown.index(b"-----END") + 40].decode())
        node_id = node.info["id"]
        for name in ("DNS:node1", "DNS:localhost", "DNS:first.example", f"DNS:{socket.gethostname()}", "IP Address:127.0.0.1",
                     f"DNS:{node_id[:32]}.{node_id[32:]}.node.grid", "URI:gridcontrol://role/node"):
            check_in(name, text, "names of the node")


@once
def test_cert_issue_leaves_files_alone_that_are_there():
    folder = one().folder
    grid_command("cert", "issue", "twice", "--out", "again", cwd=folder, check_code=0)
    before = [(folder / "again" / name).read_bytes() for name in ("twice.key", "twice.crt", "ca.crt")]
    done = grid_command("cert", "issue", "twice", "--out", "again", cwd=folder, check_code=1)
    check_in("again/twice.crt exists already and is left alone", done.err, "the sentence")
    check_equal([(folder / "again" / name).read_bytes() for name in ("twice.key", "twice.crt", "ca.crt")], before, "the files")
    grid_command("cert", "issue", "twice", "--out", "again", "--force", cwd=folder, check_code=0)
    check((folder / "again/twice.key").read_bytes() != before[0], "--force did not replace the key")
    check_equal((folder / "again/ca.crt").read_bytes(), before[2], "the authority")
    (folder / "again/ca.crt").write_text("another grid's")
    done = grid_command("cert", "issue", "third", "--out", "again", cwd=folder, check_code=1)
    check_in("again/ca.crt is another grid's and is left alone", done.err, "the sentence about ca.crt")
    check(not (folder / "again/third.key").exists(), "a key was left behind")


@once
def test_cert_issue_refuses_what_makes_no_sense():
    folder = one().folder
    bare = folder / "bare"
    bare.mkdir(exist_ok=True)
    card = (folder / "Gridfile").read_text()
    (bare / "Gridfile").write_text(card[:card.index("authority_key")])
    rows = [
        (("issue", "a/b"), folder, 2, 'without "/"'),
        (("issue", "ca"), folder, 2, "the authority's own file"),
        (("issue", "x" * 64), folder, 2, "1 to 63 characters"),
        (("issue", "x", "--role", "root"), folder, 2, 'give for example --role invoke'),
        (("issue", "x", "--days", "0"), folder, 2, "from 1 to 3650"),
        (("issue", "x", "--days", "3651"), folder, 2, "from 1 to 3650"),
        (("revoke", "x"), folder, 2, "for example grid cert issue ci"),
        (("issue", "x"), folder / "made-not", 1, "there is no Gridfile"),
        (("issue", "x"), bare, 1, "has no authority_key"),
        (("issue", "x", "--out", "no/such"), folder, 1, "the folder no/such cannot be made"),
    ]
    (folder / "made-not").mkdir(exist_ok=True)
    for args, where, code, part in rows:
        done = grid_command("cert", *args, cwd=where)
        check_equal(done.returncode, code, f"exit of cert {args}: {done.err}")
        check_in(part, done.err, f"sentence of cert {args}")


@once
def test_cert_issue_takes_the_authority_of_a_grid_that_has_no_gridfile():
    grid = Grid(0, start=False)
    try:
        secret = grid.folder / "password"
        secret.write_text("tangled-otter-8-lamps\n")
        secret.chmod(0o600)
        grid.gridfile, grid.options = None, ["--grid", "demo", "--password-file", str(secret)]
        node = grid.add()
        done = grid_command("cert", "issue", "ci", "--state", node.state, "--out", "certs", cwd=grid.folder, check_code=0)
        check_in("provisional until the first join or deploy", done.err, "the warning")
        context = ssl.create_default_context(cafile=grid.folder / "certs/ca.crt")
        context.load_cert_chain(grid.folder / "certs/ci.crt", grid.folder / "certs/ci.key")
        with urllib.request.urlopen(f"https://localhost:{node.listen[1]}/healthz", timeout=20, context=context) as answer:
            check_equal(answer.status, 200, "status over TLS")
        done = grid_command("cert", "issue", "ci", "--state", grid.folder, "--out", "certs", cwd=grid.folder, check_code=1)
        check_in("is not the state folder of a member of a grid", done.err, "the sentence for another folder")
    finally:
        grid.close()


# ---- clients ---------------------------------------------------------------------------------------------------------------------


def curl(*args, role="invoke"):
    ca, crt, key = files(role)
    command = ["curl", "-sS", "--max-time", "20", "--cacert", ca, "--cert", crt, "--key", key, "-w", "\n%{http_code} %{http_version}", *args]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    check_equal(done.returncode, 0, f"exit of curl {args}: {done.stderr}")
    body, _, last = done.stdout.rpartition("\n")
    return body, last


def test_curl_invokes_over_tls_with_http_2_and_1_1():
    port, body = one()[0].listen[1], ("-H", "Content-Type: application/json", "-d", '{"a":1}')
    for host in ("localhost", "127.0.0.1"):
        check_equal(curl(*body, f"https://{host}:{port}/invoke/echo"), ('{"a":1}', "200 2"), f"HTTP/2 at {host}")
        check_equal(curl("--http1.1", *body, f"https://{host}:{port}/invoke/echo"), ('{"a":1}', "200 1.1"), f"HTTP/1.1 at {host}")
    path = "2015-03-31/functions/echo/invocations"
    check_equal(curl(*body, f"https://localhost:{port}/{path}"), ('{"a":1}', "200 2"), "Lambda")
    check_equal(curl(f"https://localhost:{port}/healthz")[1], "200 2", "/healthz")
    check_equal(curl(f"https://localhost:{port}/tasks/list", role="admin")[1], "404 2", "a route of the original")
    check_equal(curl("-H", "Origin: https://evil.example", *body, f"https://localhost:{port}/invoke/echo")[1], "403 2", "a foreign Origin")


def test_curl_finds_the_node_by_the_name_of_its_id():
    node = one()[0]
    name = f"{node.info['id'][:32]}.{node.info['id'][32:]}.node.grid"
    answer = curl("--connect-to", f"{name}:443:127.0.0.1:{node.listen[1]}", "-d", "1", "-H", "Content-Type: application/json", f"https://{name}/invoke/echo")
    check_equal(answer, ("1", "200 2"), "the answer")


def credentials(role):
    ca, crt, key = (path.read_bytes() for path in files(role))
    return grpc.ssl_channel_credentials(ca, key, crt)


def channel(role, host="localhost", override=None):
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    if override:
        options.append(("grpc.ssl_target_name_override", override))
    return grpc.secure_channel(f"{host}:{one()[0].listen[1]}", credentials(role), options)


def raw_call(connection, path, message=b"", timeout=20):
    """Any method as bytes: ("OK", answers) or (status, details)."""
    def run():
        return list(connection.stream_stream(path)(iter([message]), timeout=timeout))

    return rpc_code(run)


def test_grpcio_verifies_the_node_by_every_name_it_has():
    node_id = one()[0].info["id"]
    for host, override in (("127.0.0.1", None), ("localhost", None), ("127.0.0.1", f"{node_id[:32]}.{node_id[32:]}.node.grid")):
        with channel("invoke", host, override) as connection:
            check_equal(raw_call(connection, "/grpc.health.v1.Health/Check")[0], "OK", f"Check at {host} {override}")
    with channel("invoke", "127.0.0.1", "another.example") as connection:
        check_equal(raw_call(connection, "/grpc.health.v1.Health/Check", timeout=5)[0], "UNAVAILABLE", "a name that is not the node's")


# ---- who may call what -----------------------------------------------------------------------------------------------------------

ANYBODY = {"node", "admin", "invoke"}
MAY_CALL = {
    "grid.v1.Invoke": {"Call": ANYBODY, "CallStream": ANYBODY, "Broadcast": ANYBODY},
    "grid.v1.Control": {
        "GetNode": ANYBODY, "ListNodes": ANYBODY, "WatchNodes": ANYBODY, "ListTasks": ANYBODY, "ListProcesses": ANYBODY, "ListProcessing": ANYBODY,
        "ListReleases": ANYBODY, "Logs": {"node", "admin"}, "Deploy": {"admin"}, "Rollback": {"admin"}, "Clear": {"admin"},
        "Evict": {"admin"}, "Rotate": {"admin"}, "SetPassword": {"admin"}, "Adopt": {"admin"},
    },
    "grid.v1.PeerGossip": {"Link": {"node"}},
    "grid.v1.SyncChunk": {"Fetch": {"node"}, "Have": {"node"}, "History": {"node"}},
    "grid.v1.PeerReach": {"Look": {"node"}, "Tunnel": {"node"}},
    "grid.v1.PeerTrust": {"Renew": {"node"}, "Hand": {"node"}, "Decide": {"node"}},
    "grpc.health.v1.Health": {"Check": ANYBODY, "Watch": ANYBODY},
    "grpc.reflection.v1.ServerReflection": {"ServerReflectionInfo": ANYBODY},
    "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": ANYBODY},
}


def all_methods():
    """(service, method) of every service of the protos."""
    pool = api_pool()
    protos = [f"grid/v1/{path.name}" for path in (ROOT / "api/proto/grid/v1").glob("*.proto")]
    services = [service for proto in protos for service in pool.FindFileByName(proto).services_by_name.values()]
    services += [pool.FindServiceByName(name) for name in MAY_CALL if not name.startswith("grid.")]
    return [(s.full_name, m.name) for s in services for m in s.methods]


@once
def test_every_method_is_open_to_exactly_its_roles():
    """Broken messages, so that nothing is done; what counts is who is refused for the role."""
    table = {(service, method): roles for service, rows in MAY_CALL.items() for method, roles in rows.items()}
    check_equal(sorted(all_methods()), sorted(table), "the methods there are")
    for role in ROLES:
        with channel(role) as connection:
            for (service, method), roles in table.items():
                status, details = raw_call(connection, f"/{service}/{method}", b"\xff\xff", timeout=2)
                refused = status == "PERMISSION_DENIED" and "needs a certificate with the role" in str(details)
                check_equal(refused, role not in roles, f"refused: {role} calling {service}/{method} ({status} {details})")


def trailers_of_a_hop(connection, method, task):
    """Of a call that says that a node sent it."""
    request = message_class("grid.v1.CallRequest")(task=task, payload=b"1")
    call = connection.unary_stream(f"/grid.v1.Invoke/{method}", request_serializer=lambda m: m.SerializeToString())(request, metadata=[("grid-hops", "1")], timeout=20)
    try:
        list(call)
    except grpc.RpcError:
        pass
    return dict(call.trailing_metadata())


@once
def test_only_a_node_is_told_how_busy_this_one_is():
    told = {}
    for role in ROLES:
        with channel(role) as connection:
            told[role] = [trailers_of_a_hop(connection, method, "echo").get("grid-load", "") for method in ("Call", "CallStream")]
            check("grid-load" not in trailers_of_a_hop(connection, "Call", "nosuchtask"), "there is no load of what there is not")
    with grpc.insecure_channel(one()[0].api_text) as connection:
        told["local"] = [trailers_of_a_hop(connection, "Call", "echo").get("grid-load", "")]
    for each in told.pop("node"):
        in_flight, queued, cpu, ready, room = map(int, each.split())
        check_equal((in_flight, queued, ready, room, cpu % 5), (0, 0, 1, 96, 0), f"load of an idle node, its room rounded down: {each}")
    check_equal({name: set(values) for name, values in told.items()}, {"admin": {""}, "invoke": {""}, "local": {""}}, "what others are told")


# ---- who is refused at the handshake, and what the node says of it ----------------------------------------------------------------

NO_TLS = "it does not speak TLS"
NO_ALPN = "it offers no protocol that is spoken here (ALPN)"
SELF_SIGNED = "it is self-signed: only certificates of the grid's authority count"


def authority():
    return Authority.of_gridfile(one().gridfile)


def certificate_rows():
    """name: (certificate, why) of every kind of certificate that must not get in."""
    grid, stranger = authority(), Authority("testgrid")
    member = Leaf(grid, ("node",), name="n1")
    selfish = Leaf(grid, ("node",), name="n1")
    return {
        "self-signed": (Leaf(grid, ("node",), name="n1", issuer_name="n1", key=selfish.key, signer=selfish.key), SELF_SIGNED),
        "another grid's authority of the same name": (Leaf(stranger, ("admin",)), 'another grid\'s authority issued it (it calls itself "testgrid")'),
        "the same, with its authority sent along": (Leaf(stranger, ("admin",), chain=(stranger.certificate,)),
                                                    'another grid\'s authority issued it (it calls itself "testgrid")'),
        "issued by a member": (Leaf(member, ("admin",), chain=(member.certificate,)), 'another grid\'s authority issued it (it calls itself "n1")'),
        "the authority's name, a member's signature": (Leaf(grid, ("admin",), signer=member.key, chain=(member.certificate, grid.certificate)),
                                                       'another grid\'s authority issued it (it calls itself "testgrid")'),
        "expired": (Leaf(grid, start=-30 * DAY, end=-12 * DAY - 60), "it expired 12 days ago"),
        "just expired": (Leaf(grid, start=-DAY, end=-HOUR // 6), None),
        "not yet valid": (Leaf(grid, start=3 * HOUR + 60, end=DAY), "it is only valid in 3 hours: is a clock wrong?"),
        "a node's, expired": (Leaf(grid, ("node",), start=-30 * DAY, end=-3 * DAY - 60), "it expired 3 days ago"),
        "a node's, not yet valid": (Leaf(grid, ("node",), start=2 * DAY + 60, end=9 * DAY), "it is only valid in 2 days: is a clock wrong?"),
        "a client's by its role, a node's patience": (Leaf(grid, start=-30 * DAY, end=-20 * HOUR - 60), "it expired 20 hours ago"),
        "for TLS servers only": (Leaf(grid, eku=(SERVER,)), "it is not meant for TLS clients"),
        "for any extended use": (Leaf(grid, eku=None), "it is not meant for TLS clients"),
        "a node's for clients only": (Leaf(grid, ("node",), eku=(CLIENT,)), "it is a node's, but not meant for TLS servers"),
        "a key that may not sign": (Leaf(grid, usage=key_usage("key_agreement")), "its key is not meant for signatures"),
        "an authority of its own": (Leaf(grid, ca=True, usage=key_usage("key_cert_sign", "digital_signature")),
                                    "it is an authority's certificate, not a node's or a client's"),
        "the authority itself": (as_leaf(grid), "it is an authority's certificate, not a node's or a client's"),
        "no role": (Leaf(grid, ()), "it gives its holder no role of node, admin or invoke"),
        "a role that there is not": (Leaf(grid, ("king", "nod", "node2")), "it gives its holder no role of node, admin or invoke"),
        "an RSA key": (Leaf(grid, kind="RSA"), "its key is not ECDSA on P-256"),
        "a key on another curve": (Leaf(grid, kind="P-384"), "its key is not ECDSA on P-256"),
        "an Ed25519 key": (Leaf(grid, kind="Ed25519"), "its key is not ECDSA on P-256"),
        "another digest": (Leaf(grid, digest=hashes.SHA384()), "it is not signed with ECDSA and SHA-256"),
        "an unknown critical extension": (Leaf(grid, extension="1.3.6.1.4.1.55555.1"), "it has a critical extension that is not known here"),
        "a chain without end": (Leaf(grid, chain=(grid.certificate,) * 9), "the certificate chain is empty or too long"),
    }


def as_leaf(a):
    leaf = Leaf(a, key=a.key)
    leaf.certificate = a.certificate
    return leaf


@once
def test_no_certificate_of_a_wrong_kind_gets_in():
    node, folder = one()[0], one().folder / "odd"
    for index, (name, (leaf, why)) in enumerate(certificate_rows().items()):
        own, answer = greet(node.listen, tls_client(*leaf.save(folder, f"odd{index}")))
        check_equal(answer, b"", f"HTTP/2 bytes for {name}")
        said = refusal(node, own)
        check(said == why if why else said, f"why {name} is refused: {said!r}, not {why!r}")


@once
def test_the_refused_are_told_by_an_alert_and_get_no_byte_of_http():
    """What the other side sees: a fatal alert in place of SETTINGS, also when it says nothing itself."""
    leaf = Leaf(Authority("testgrid"), ("admin",))
    context = tls_client(*leaf.save(one().folder / "odd", "stranger"))
    with socket.create_connection(one()[0].listen, timeout=10) as sock, context.wrap_socket(sock, server_hostname="localhost") as tls:
        try:
            got = tls.recv(100)
        except ssl.SSLError as error:
            check_in("ALERT", str(error.reason), "what the client is told")
        else:
            raise Failure(f"the node answered {got!r}")


@once
def test_who_speaks_no_mutual_tls_1_3_is_refused():
    node, ci = one()[0], files("invoke")
    with_certificate = dict(crt=ci[1], key=ci[2])
    raw = {
        "HTTP/1.1 in the clear": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", NO_TLS),
        "HTTP/2 in the clear": (certs.H2_START, NO_TLS),
        "garbage": (b"\x80" + certs.garbage(700), NO_TLS),
        "an SSH banner": (b"SSH-2.0-OpenSSH_9.2\r\n" * 40, NO_TLS),
        "a record of garbage": (b"\x16\x03\x01\x02\x00\x0e" + certs.garbage(511), None),
    }
    for name, (data, why) in raw.items():
        own, answer = say_raw(node.listen, data)
        check(len(answer) <= 7 and answer[:1] in (b"", b"\x15"), f"{name} was answered with {answer!r}, which is no alert")
        said = refusal(node, own)
        check(said == why if why else said.startswith("the TLS handshake or a record of it is malformed"), f"why {name} is refused: {said}")
    contexts = {
        "TLS 1.2": (tls_client(**with_certificate, newest=ssl.TLSVersion.TLSv1_2), "it does not speak TLS 1.3"),
        "no certificate": (tls_client(), "it gave no certificate"),
        "another protocol": (tls_client(**with_certificate, alpn=("spdy/1", "h3")), NO_ALPN),
    }
    for name, (context, why) in contexts.items():
        own, answer = greet(node.listen, context)
        check_equal(answer, b"", f"HTTP/2 bytes for {name}")
        check_equal(refusal(node, own), why, f"why {name} is refused")


@once
def test_a_client_that_names_no_protocol_speaks_http_1_1():
    _, crt, key = files("invoke")
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    check_equal(greet(one()[0].listen, tls_client(key, crt, alpn=()), request)[1][:15], b"HTTP/1.1 200 OK", "its answer")
    check(not greet(one()[0].listen, tls_client(key, crt, alpn=()))[1].startswith(b"\0\0"), "HTTP/2 without having agreed on it was taken")
    check_equal(greet(one()[0].listen, tls_client(alpn=()), request)[1], b"", "what it is answered without a certificate")


@once
def test_a_storm_of_strangers_does_not_fill_the_log():
    with Grid(1, workers=1, options=["--handshake-rate", "0"]) as grid:
        for i in range(400):
            with socket.create_connection(grid[0].listen, timeout=10, source_address=(f"127.0.1.{i % 20 + 1}", 0)) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
                sock.recv(10)
        named = lambda: grid[0].text().count("a TLS connection was refused or broken")  # noqa: E731
        check(100 <= named() < 200, f"{named()} of 400 are named")

        def are_counted():
            say_raw(grid[0].listen, b"GET / HTTP/1.1\r\n\r\n")
            counts = re.findall(r'more TLS connections were refused or broken than are named here.*"left_out":(\d+)', grid[0].text())
            return sum(map(int, counts)) >= 200

        wait_for(are_counted, "the others are counted", poll_s=0.2)


def settings_come(leaf, name):
    """True when the node answers this certificate's HTTP/2."""
    return greet(one()[0].listen, tls_client(*leaf.save(one().folder / "odd", name)))[1][3:4] == b"\4"


@once
def test_clocks_may_be_off_by_a_day_for_nodes_and_by_minutes_for_clients():
    grid = authority()
    sound = {
        "a node of tomorrow": Leaf(grid, ("node",), start=23 * HOUR),
        "a node of yesterday": Leaf(grid, ("node",), start=-9 * DAY, end=-23 * HOUR),
        "a client four minutes ahead": Leaf(grid, start=240, end=DAY),
        "a client that has just expired": Leaf(grid, start=-DAY, end=-240),
        "several roles": Leaf(grid, ("invoke", "admin")),
        "its authority sent along": Leaf(grid, chain=(grid.certificate,)),
    }
    for name, leaf in sound.items():
        check(settings_come(leaf, "sound"), f"{name} was refused")


# ---- nodes with certificates that were issued elsewhere ------------------------------------------------------------------------------


def keyless_gridfile(folder):
    card = one().gridfile.read_text()
    path = folder / "Gridfile"
    path.write_text(card[:card.index("authority_key")])
    return path


@once
def test_nodes_without_the_authority_join_with_issued_certificates_even_with_clocks_a_day_apart():
    """Certificates that begin or ended 23 hours from now are what nodes see of each other whose clocks are that far apart."""
    folder = one().folder / "issued"
    folder.mkdir(exist_ok=True)
    card = keyless_gridfile(folder)
    grid_command("cert", "issue", "plain", "--role", "node", "--out", folder, "--address", "127.0.0.1", cwd=one().folder, check_code=0)
    identities = [(folder / "plain.key", folder / "plain.crt"), Leaf(authority(), ("node",), name="ahead", start=23 * HOUR, end=DAY * 99).save(folder, "ahead"),
                  Leaf(authority(), ("node",), name="behind", start=-DAY * 9, end=-23 * HOUR).save(folder, "behind")]
    nodes = []
    try:
        for (key, crt), name in zip(identities, ("plain", "ahead", "behind")):
            node = Node(folder / name, name, card, join=nodes[0].listen_text if nodes else None)
            place((key, crt), node)
            nodes.append(node)
            node.start()
        for node in nodes:
            wait_for(lambda: len(node.hosts()) == 3, f"{node.name} sees the others")
    finally:
        wrong = [fault for node in nodes for fault in node.close()]
    check_equal(wrong, [], "ends")


def refused_start(name, key, crt):
    """The sentence with which gridd refuses to start with this identity."""
    folder = one().folder / "issued"
    folder.mkdir(exist_ok=True)
    node = Node(folder / name, name, keyless_gridfile(folder))
    try:
        place((key, crt), node)
        done = subprocess.run(node.arguments(), cwd=node.folder, env=clean_environment(node.folder), capture_output=True, text=True, timeout=60)
    finally:
        node.ports.close()
    check_equal(done.returncode, 2, f"exit of gridd: {done.stderr}")
    return done.stderr


@once
def test_a_members_certificate_is_of_no_use_to_another_key():
    folder = one().folder / "issued"
    mine, other = (Leaf(authority(), ("node",), name=name).save(folder, name) for name in ("mine", "other"))
    check_in("node.crt is not for this node's key", refused_start("thief", mine[0], other[1]), "the sentence")
