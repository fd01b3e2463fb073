"""The gRPC doors as grpcio, a client nobody here wrote, sees them."""

import json
import os
import subprocess
import tempfile
import threading
import time

import grpc
import zoo
from gridtest import (Grid, Rpc, Service, check, check_equal, check_in, message_class, node_rpc, once, rpc_code, shared, wait_for)

EXACT_JSON = ['{"a":0.1}', '{"a":1e2}', "12345678901234567890", r'"\u00e9\/\n"', ' [ 1 ] ']


@shared
def pair():
    grid = Grid(2)
    grid.deploy(zoo.everything(grid.project().folder))
    return grid


def invoke():
    return node_rpc(pair()[0]).invoke


def curl(path, body, headers, *more):
    """A request as bytes over HTTP/2; returns head and trailers as text, then the body."""
    with tempfile.NamedTemporaryFile() as data, tempfile.NamedTemporaryFile() as head:
        data.write(body)
        data.flush()
        args = ["curl", "-sS", "--http2-prior-knowledge", "--max-time", "15", "-D", head.name, "--data-binary", f"@{data.name}"]
        for header in headers:
            args += ["-H", header]
        done = subprocess.run([*args, *more, f"http://{pair()[0].api_text}{path}"], capture_output=True)
        return open(head.name, encoding="latin-1").read(), done.stdout


def test_bytes_come_back_as_bytes_with_who_ran_it():
    names = set()
    for _ in range(2):
        answer = invoke().Call({"task": "cecho", "payload": b"\0\xff", "content_type": "image/x"})
        check_equal((answer.payload, answer.content_type, answer.status), (b"\0\xff", "image/x", 200), "answer")
        check_equal((len(answer.request_id), answer.attempts, len(answer.node.id)), (36, 1, 64), "request id, attempts and node id")
        check(answer.release, "release")
        names.add(answer.node.name)
    check_equal(names, {"node1", "node2"}, "nodes")


@once
def test_headers_of_a_task_that_are_no_utf8_cost_nobody_the_answer():
    body = json.dumps({"raw": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: caf\xe9\r\n\r\nok"})
    for node in ("node1", "node2"):
        answer = invoke().Call({"task": "raw", "json": body, "node": node})
        check_equal((answer.payload, answer.content_type), (b"ok", ""), f"the answer of {node}")
    answers = list(invoke().Broadcast({"task": "raw", "json": body}))
    check_equal([answer.payload for answer in answers], [b"ok", b"ok"], "the answers of all")
    marked = json.dumps({"raw": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: caf\xe9\r\nGrid-Function-Error: caf\xe9\r\n\r\nok"})
    for node in ("node1", "node2"):
        parts = list(invoke().CallStream({"task": "raw", "json": marked, "node": node}))
        check_equal((parts[0].head.content_type, parts[0].head.function_error, parts[-1].end.error.message), ("", "Unhandled", "ok"), f"the stream of {node}")


def test_json_comes_back_as_json_byte_for_byte():
    for text in EXACT_JSON:
        for _ in range(2):
            answer = invoke().Call({"task": "cecho", "json": text})
            check_equal((answer.WhichOneof("output"), answer.json, answer.content_type), ("json", text, "application/json"), "answer")


def test_large_payloads_pass():
    blob = b"x" * (6 * 1024 * 1024)
    for _ in range(2):
        check_equal(invoke().Call({"task": "cecho", "payload": blob}).payload == blob, True, "6 MiB")


def test_a_payload_over_the_limit_is_resource_exhausted():
    code, text = rpc_code(lambda: invoke().Call({"task": "cecho", "payload": b"x" * (6 * 1024 * 1024 + 1)}))
    check_in(code, ("RESOURCE_EXHAUSTED", "INVALID_ARGUMENT"), f"6 MiB and a byte ({text})")
    code, text = rpc_code(lambda: invoke().Call({"task": "cecho", "payload": b"x" * (40 * 1024 * 1024)}))
    check_equal(code, "RESOURCE_EXHAUSTED", f"40 MiB ({text})")
    for size in (6 * 1024 * 1024 + 1, 7 * 1024 * 1024):
        _, text = rpc_code(lambda: invoke().Call({"task": "cecho", "payload": b"x" * size}))
        check("6291456 bytes" in text and "--max-payload" in text, f"what {size} bytes are answered: {text}")
    check_equal(invoke().Call({"task": "cecho", "payload": b"x"}).payload, b"x", "the next call")


def test_a_tasks_own_error_is_an_ok_call_with_an_error():
    for task, handler, kind, text in (("faults", "throws", "TypeError", "thrown on purpose"), ("pyfaults", "raises", "ValueError", "raised on purpose")):
        for _ in range(2):
            answer = invoke().Call({"task": task, "handler": handler, "json": "{}"})
            check_equal((answer.error.type, answer.error.message), (kind, text), task)
            check(answer.error.stack, "stack")


def test_faults_of_the_grid_are_statuses():
    cases = [({"task": "absent", "json": "1"}, "NOT_FOUND"), ({"task": "", "json": "1"}, "INVALID_ARGUMENT"), ({"task": "x" * 129, "json": "1"}, None),
             ({"task": "raw", "json": json.dumps({"die": True})}, "UNAVAILABLE"), ({"task": "cecho", "json": "{bad"}, "INVALID_ARGUMENT"),
             ({"task": "cecho", "json": "1", "node": "nobody"}, None), ({"task": "cecho", "strategy": 77}, "INVALID_ARGUMENT"),
             ({"task": b"cecho\0x"}, "INVALID_ARGUMENT"), ({"task": ".hidden"}, "INVALID_ARGUMENT")]
    for request, want in cases:
        code, text = rpc_code(lambda: invoke().Call(request))
        check(code == want if want else code in ("INVALID_ARGUMENT", "NOT_FOUND", "UNAVAILABLE"), f"{str(request)[:60]}: {code} {text}, want {want}")
        check(len(text) > 8, f"{str(request)[:60]}: the message says too little: {text!r}")


def test_a_deadline_is_deadline_exceeded_and_stops_waiting():
    for _ in range(2):
        started = time.monotonic()
        code, _ = rpc_code(lambda: invoke().Call({"task": "faults", "handler": "slow", "json": '{"ms":20000}'}, timeout=0.3))
        check_equal((code, time.monotonic() - started < 5), ("DEADLINE_EXCEEDED", True), "a call of 300 ms")
    wait_for(lambda: not any(n.get("/tasks/processing").json for n in pair().nodes), "nothing is processed any more", 10)


def test_a_cancelled_call_is_given_up():
    call = invoke().Call.future({"task": "faults", "handler": "slow", "json": '{"ms":30000}'})
    wait_for(lambda: any(n.get("/tasks/processing").json for n in pair().nodes), "the call is processed")
    call.cancel()
    wait_for(lambda: not any(n.get("/tasks/processing").json for n in pair().nodes), "it is processed no more", 10)


def test_metadata_reaches_the_task():
    for _ in range(2):
        answer = invoke().Call({"task": "headers", "payload": b"", "metadata": {"tenant": "acme", "n": "1"}, "idempotency_key": "k7"}, timeout=9)
        seen = json.loads(answer.payload or answer.json)["headers"]
        check_equal((seen["grid-meta-tenant"], seen["grid-meta-n"], seen["idempotency-key"]), ("acme", "1", "k7"), "headers")
        left = int(seen["grid-deadline-ms"]) - time.time() * 1000
        check(0 < left < 9100, f"the deadline lies {left:.0f} ms ahead")


def test_metadata_cannot_forge_headers():
    for metadata in ({"a\r\nX-Evil": "1"}, {"a": "b\r\nX-Evil: 1"}, {"": "x"}, {"a b": "x"}, {f"k{i}": "v" for i in range(65)}, {"k": "v" * 9000}):
        code, answer = rpc_code(lambda: invoke().Call({"task": "headers", "payload": b"", "metadata": metadata}))
        check(code == "INVALID_ARGUMENT" or (code == "OK" and "x-evil" not in answer.payload.decode().lower()), f"{str(metadata)[:50]}: {code}")
    for field in ("idempotency_key", "content_type", "handler", "key"):
        code, answer = rpc_code(lambda: invoke().Call({"task": "headers", "payload": b"", field: "a\r\nX-Evil: 1"}))
        check(code == "INVALID_ARGUMENT" or (code == "OK" and '"x-evil"' not in answer.payload.decode().lower()), f"{field}: {code}")


def test_node_and_strategy_choose():
    for name in ("node1", "node2"):
        check_equal({invoke().Call({"task": "cecho", "payload": b"", "node": name}).node.name for _ in range(4)}, {name}, "by name")
        node_id = next(h.id for h in node_rpc(pair()[0]).control.ListNodes({}).nodes if h.name == name)
        check_equal({invoke().Call({"task": "cecho", "payload": b"", "node": node_id}).node.name for _ in range(4)}, {name}, "by id")
    check_equal({invoke().Call({"task": "cecho", "payload": b"", "strategy": 2}).node.name for _ in range(4)}, {"node1"}, "STRATEGY_LOCAL")


def test_call_stream_gives_head_data_end():
    for _ in range(2):
        parts = list(invoke().CallStream({"task": "cecho", "payload": b"y" * 300000}))
        kinds = [p.WhichOneof("part") for p in parts]
        check_equal((kinds[0], kinds[-1], set(kinds[1:-1])), ("head", "end", {"data"}), "parts")
        check_equal(b"".join(p.data for p in parts), b"y" * 300000, "data")
        check(all(len(p.data) <= 65536 for p in parts), "pieces of at most 64 KiB")
    end = list(invoke().CallStream({"task": "faults", "handler": "throws", "json": "{}"}))[-1]
    check_equal(end.end.error.type, "TypeError", "error at the end")


def test_call_stream_hands_on_pieces_as_the_task_writes_them():
    raw = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
    for _ in range(2):
        stream = invoke().CallStream({"task": "raw", "json": json.dumps({"raw": raw})}, timeout=20)
        check_equal(next(stream).WhichOneof("part"), "head", "the first part")
        check_equal(next(stream).data, b"first", "the second part, while the task goes on")
        stream.cancel()


def test_broadcast_includes_this_node():
    answers = list(invoke().Broadcast({"task": "jsecho", "json": "7"}))
    check_equal(sorted((a.node.name, a.json) for a in answers), [("node1", "7"), ("node2", "7")], "answers")
    code, _ = rpc_code(lambda: list(invoke().Broadcast({"task": "absent", "json": "1"})))
    check_equal(code, "NOT_FOUND", "an unknown task")


def test_malformed_messages_are_refused():
    raw = node_rpc(pair()[0]).channel.unary_unary("/grid.v1.Invoke/Call")
    for blob in (b"\xff" * 20, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x03ab", b"\x08", b"\x0a\x02\xff\xfe\x12\x00", b"\x0a\x03a\x00b\x12\x01x"):
        code, text = rpc_code(lambda: raw(blob, timeout=10))
        check_in(code, ("INVALID_ARGUMENT", "INTERNAL", "NOT_FOUND"), f"{blob[:10]!r} ({text})")
    check_equal(invoke().Call({"task": "cecho", "payload": b"ok"}).payload, b"ok", "the next call")


def test_malformed_frames_are_refused():
    grpc_headers = ["content-type: application/grpc", "te: trailers"]
    good = message_class("grid.v1.CallRequest")(task="cecho", payload=b"x").SerializeToString()
    framed = bytes([0]) + len(good).to_bytes(4, "big") + good
    check_in("grpc-status: 0", curl("/grid.v1.Invoke/Call", framed, grpc_headers)[0].lower(), "a good frame")
    cases = {"compressed without an encoding": bytes([1]) + framed[1:], "flag 7": bytes([7]) + framed[1:], "cut short": framed[:-1], "half a prefix": b"\0\0",
             "no message": b"", "two messages": framed * 2, "length of 4 GiB": b"\0\xff\xff\xff\xff" + good}
    for what, body in cases.items():
        head = curl("/grid.v1.Invoke/Call", body, grpc_headers)[0].lower()
        check("grpc-status:" in head and "grpc-status: 0" not in head, f"{what}: {head}")
    head = curl("/grid.v1.Invoke/Call", framed, [*grpc_headers, "grpc-encoding: unheard-of"])[0].lower()
    check_in("grpc-status: 12", head, "an unknown encoding is UNIMPLEMENTED")
    check_in("grpc-accept-encoding:", head, "and says what is accepted")
    for value in ("1", "123456789S", "5X", "-1S", "S"):
        head = curl("/grid.v1.Invoke/Call", framed, [*grpc_headers, f"grpc-timeout: {value}"])[0].lower()
        check("grpc-status: 0" not in head, f"grpc-timeout: {value}: {head}")


def test_too_much_metadata_is_resource_exhausted():
    blob = "x" * 17000
    code, text = rpc_code(lambda: node_rpc(pair()[0]).channel.unary_unary("/grid.v1.Invoke/Call")(b"", timeout=10, metadata=[("blob", blob)]))
    check_equal(code, "RESOURCE_EXHAUSTED", f"17 kB of metadata ({text})")
    check_in(" 431", curl("/invoke/cecho", b"1", [f"blob: {blob}"])[0], "the same on a plain route")


def test_other_content_types_and_methods_are_refused():
    head = curl("/grid.v1.Invoke/Call", b"x", ["content-type: text/plain"])[0]
    check(head.split()[1] in ("404", "415"), f"a content type that is not gRPC's: {head.splitlines()[0]}")
    raw = node_rpc(pair()[0]).channel
    for method in ("/grid.v1.Invoke/Absent", "/grid.v1.Absent/Call", "/x/y"):
        check_equal(rpc_code(lambda: raw.unary_unary(method)(b"", timeout=10))[0], "UNIMPLEMENTED", method)


def test_services_for_nodes_are_not_for_local_callers():
    channel = node_rpc(pair()[0]).channel
    code, _ = rpc_code(lambda: list(Service(channel, "grid.v1.SyncChunk").Fetch({"ids": [bytes(32)]}, timeout=10)))
    check_equal(code, "PERMISSION_DENIED", "SyncChunk on the local API")
    code, why = rpc_code(lambda: list(channel.stream_stream("/grid.v1.PeerGossip/Link")(iter([b""]), timeout=10)))
    check_equal(code, "PERMISSION_DENIED", "PeerGossip on the local API")
    check_in("between nodes", why, "what it says")


def gzipped(body, accept="gzip"):
    """Of an answer whose task echoes `body`: whether the head and the message say gzip, the message's size on the wire, and the message itself."""
    import gzip

    request = message_class("grid.v1.CallRequest")(task=b"cecho", payload=body).SerializeToString()
    head, data = curl("/grid.v1.Invoke/Call", bytes([0]) + len(request).to_bytes(4, "big") + request,
                      ["content-type: application/grpc", "te: trailers", *([f"grpc-accept-encoding: {accept}"] if accept else [])])
    packed, size = data[0] == 1, int.from_bytes(data[1:5], "big")
    message = gzip.decompress(data[5:5 + size]) if packed else data[5:5 + size]
    return "grpc-encoding: gzip" in head.lower(), packed, size, message_class("grid.v1.CallResponse").FromString(message).payload == body


def test_large_answers_are_compressed_for_who_takes_that():
    text, noise = b"squeeze me " * 9000, os.urandom(50000)
    for _ in range(2):
        announced, packed, size, same = gzipped(text, "identity,deflate,gzip")
        check_equal((announced, packed, same, size < 5000), (True, True, True, True), f"99 kB of text, {size} bytes on the wire")
        _, _, size, same = gzipped(noise)
        check_equal((same, size < len(noise) + 500), (True, True), f"50 kB that cannot be made smaller, {size} bytes on the wire")
        check_equal(gzipped(b"x" * 100)[::3] + gzipped(b"x" * 100)[1:2], (False, True, False), "a small answer")
        for accept in (None, "identity", "deflate"):
            check_equal(gzipped(text, accept)[:2], (False, False), f"a caller that takes {accept}")


def test_compressed_messages_are_taken():
    import grpc

    with Rpc(pair()[0].api_text, [("grpc.default_compression_algorithm", 2)]) as rpc:  # gzip
        blob = b"squeeze me " * 20000
        for _ in range(2):
            check(rpc.invoke.Call({"task": "cecho", "payload": blob}, compression=grpc.Compression.Gzip).payload == blob, "a gzip call")


def test_a_compressed_bomb_is_refused():
    import gzip

    body = gzip.compress(bytes(200 * 1024 * 1024), 9)
    head = curl("/grid.v1.Invoke/Call", bytes([1]) + len(body).to_bytes(4, "big") + body, ["content-type: application/grpc", "te: trailers", "grpc-encoding: gzip"])[0]
    check_in("grpc-status: 8", head.lower(), "RESOURCE_EXHAUSTED")


def test_many_calls_run_at_once():
    calls = [invoke().Call.future({"task": "cecho", "payload": b"%d" % i}) for i in range(400)]
    check_equal([c.result().payload for c in calls], [b"%d" % i for i in range(400)], "answers")


def test_health_answers_for_the_node_and_each_service():
    health = node_rpc(pair()[0]).health
    for service in ("", "grid.v1.Invoke", "grid.v1.Control", "grid.v1.PeerGossip", "grid.v1.SyncChunk"):
        check_equal(health.Check({"service": service}).status, 1, f"SERVING of {service!r}")
    check_equal(rpc_code(lambda: health.Check({"service": "absent"}))[0], "NOT_FOUND", "an unknown service")
    watch = health.Watch({"service": "absent"}, timeout=20)
    check_equal(next(watch).status, 3, "SERVICE_UNKNOWN")
    watch.cancel()
    watch = health.Watch({"service": ""}, timeout=20)
    check_equal(next(watch).status, 1, "SERVING")
    watch.cancel()


def test_reflection_describes_every_service():
    for version in ("v1", "v1alpha"):
        reflection = Service(node_rpc(pair()[0]).channel, f"grpc.reflection.{version}.ServerReflection")
        request = message_class(f"grpc.reflection.{version}.ServerReflectionRequest")
        asked = [request(list_services=""), request(file_containing_symbol="grid.v1.Invoke"), request(file_by_filename="grid/v1/types.proto"),
                 request(file_containing_symbol="grid.v1.CallRequest"), request(file_containing_symbol="no.such.Thing")]
        got = list(reflection.ServerReflectionInfo(iter(asked), timeout=20))
        names = {s.name for s in got[0].list_services_response.service}
        for name in ("grid.v1.Invoke", "grid.v1.Control", "grid.v1.PeerGossip", "grid.v1.SyncChunk", "grpc.health.v1.Health"):
            check_in(name, names, f"services of {version}")
        check(all(len(g.file_descriptor_response.file_descriptor_proto) >= 1 for g in got[1:4]), f"files of {version}")
        check_equal(got[4].error_response.error_code, 5, "NOT_FOUND for an unknown symbol")


def test_control_lists_the_house():
    control = node_rpc(pair()[0]).control
    info = control.GetNode({})
    check_equal((info.grid, info.host.name, info.host.local), ("testgrid", "node1", True), "GetNode")
    check_equal(sorted(h.name for h in control.ListNodes({}).nodes), ["node1", "node2"], "ListNodes")
    release = control.ListReleases({}).releases[0]
    check_equal((release.current, sorted(release.nodes)), (True, ["node1", "node2"]), "ListReleases")
    watch = control.WatchNodes({}, timeout=20)
    check_equal({next(watch).kind for _ in range(2)}, {"joined"}, "WatchNodes begins with who is there")
    watch.cancel()


def refused_followers(node, count):
    """Follows the members so many times, by connections of 50 streams each: (how many were refused, the first reason)."""
    channels = [grpc.insecure_channel(node.api_text, [("grpc.use_local_subchannel_pool", 1)]) for _ in range(count // 50)]
    watches = [Service(channel, "grid.v1.Control").WatchNodes({}, timeout=60) for channel in channels for _ in range(50)]
    codes = [rpc_code(lambda: next(watch)) for watch in watches]
    [channel.close() for channel in channels]
    reasons = [text for code, text in codes if code == "RESOURCE_EXHAUSTED"]
    return len(reasons), reasons[0] if reasons else codes[-1]


@once
def test_who_asks_control_without_end_stops_nobody():
    with Grid(1, workers=1) as grid:
        raw = node_rpc(grid[0]).channel.unary_unary("/grid.v1.Control/ListNodes")
        code, text = rpc_code(lambda: raw(b"\xf8\x06\x01" * 350000, timeout=20))
        check_equal(code, "RESOURCE_EXHAUSTED", f"1 MiB of unknown fields ({text})")
        code, text = rpc_code(lambda: raw(b"\xf8\x06\x01" * 1000, timeout=20))
        check_equal(code, "OK", f"some unknown fields ({text})")
        refused, why = refused_followers(grid[0], 300)
        check_equal(refused, 300 - 256, f"followers that are refused ({why})")
        check_in("under way: try again", why, "the reason")
        wait_for(lambda: rpc_code(lambda: next(node_rpc(grid[0]).control.WatchNodes({}, timeout=20)))[0] == "OK", "there is room again")


def test_deploy_reports_its_progress():
    with Grid(2) as grid:
        project = grid.project().js("t", "exports.handler = () => 1;\n")
        progress = list(node_rpc(grid[0]).control.Deploy({"directory": str(project), "wait_ms": 20000}))
        check_equal(progress[-1].phase, "done", "the last phase")
        check_equal((progress[-1].nodes_live, progress[-1].nodes_total), (2, 2), "nodes that run it")
        check_equal(grid[1].invoke("t").json, 1, "a call on the other node")
        for folder in (f"{project}/absent", "relative/path", "/proc", str(grid[0].state)):
            code, text = rpc_code(lambda: list(node_rpc(grid[0]).control.Deploy({"directory": folder})))
            check(code not in ("OK", "UNKNOWN", "INTERNAL"), f"{folder}: {code} {text}")


def test_a_hundred_channels_may_come_and_go():
    answers = []
    pair()
    threads = [threading.Thread(target=churn, args=(answers,)) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    check_equal(answers, [b"z"] * 100, "answers")


def churn(answers):
    for _ in range(25):
        with Rpc(pair()[0].api_text) as rpc:
            answers.append(rpc.invoke.Call({"task": "cecho", "payload": b"z"}).payload)
