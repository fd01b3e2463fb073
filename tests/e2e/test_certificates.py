"""Certificates: `grid cert issue`, what clients everywhere do with its files, who may call what, and who is refused with which reason."""

import json
import os
import re
import ssl
import stat
import subprocess

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes

import certs
from certs import CLIENT, DAY, HOUR, SERVER, Authority, Leaf, greet, key_usage, refusal, say_raw, tls_client
from gridtest import BIN, Grid, Node, api_pool, check, check_equal, check_in, clean_environment, grid_command, once, rpc_code, shared, wait_for

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


def openssl(*args, cwd):
    return subprocess.run(["openssl", *map(str, args)], cwd=cwd, capture_output=True, text=True, check=True).stdout


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
    },
    "grid.v1.PeerGossip": {"Link": {"node"}},
    "grid.v1.SyncChunk": {"Fetch": {"node"}},
    "grpc.health.v1.Health": {"Check": ANYBODY, "Watch": ANYBODY},
    "grpc.reflection.v1.ServerReflection": {"ServerReflectionInfo": ANYBODY},
    "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": ANYBODY},
}


def all_methods():
    """(service, method) of every service of the protos."""
    pool = api_pool()
    import_names = [f"grid/v1/{name}.proto" for name in ("invoke", "control", "peer", "sync")]
    services = [name for proto in import_names for name in pool.FindFileByName(proto).services_by_name.values()]
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
