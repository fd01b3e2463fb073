"""HTTP/1 as bytes: what a strict server takes, and what it must refuse so that nothing can be smuggled through it."""

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor

from gridtest import Grid, check, check_equal, check_in, once, raw_answers, raw_exchange, shared

H = b"Host: localhost\r\n"
POST = b"POST /tasks/lb_trigger_single HTTP/1.1\r\n" + H + b"Content-Type: application/json\r\n"
# Behind a request that must be refused stands a second one: it must never be answered.
NEXT = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"

REFUSED = {
    "bare LF after the request line": b"GET /ping HTTP/1.1\n" + H + b"\r\n",
    "bare LF in headers": b"GET /ping HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
    "only LFs": b"GET /ping HTTP/1.1\nHost: localhost\n\n",
    "bare CR in a value": b"GET /ping HTTP/1.1\r\n" + H + b"X: a\rb\r\n\r\n",
    "folded header": b"GET /ping HTTP/1.1\r\n" + H + b"X: a\r\n b\r\n\r\n",
    "space before the colon": b"GET /ping HTTP/1.1\r\n" + H + b"X : a\r\n\r\n",
    "space in a name": b"GET /ping HTTP/1.1\r\n" + H + b"X Y: a\r\n\r\n",
    "header line without colon": b"GET /ping HTTP/1.1\r\n" + H + b"nonsense\r\n\r\n",
    "empty header name": b"GET /ping HTTP/1.1\r\n" + H + b": a\r\n\r\n",
    "NUL in a value": b"GET /ping HTTP/1.1\r\n" + H + b"X: a\0b\r\n\r\n",
    "NUL in the target": b"GET /pi\0ng HTTP/1.1\r\n" + H + b"\r\n",
    "space at the first header": b"GET /ping HTTP/1.1\r\n Host: localhost\r\n\r\n",
    "no Host": b"GET /ping HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /ping HTTP/1.1\r\n" + H + H + b"\r\n",
    "two spaces in the request line": b"GET  /ping HTTP/1.1\r\n" + H + b"\r\n",
    "trailing space in the request line": b"GET /ping HTTP/1.1 \r\n" + H + b"\r\n",
    "no version": b"GET /ping\r\n" + H + b"\r\n",
    "HTTP/0.9": b"GET /ping\r\n",
    "version 1.2": b"GET /ping HTTP/1.2\r\n" + H + b"\r\n",
    "version 3.0": b"GET /ping HTTP/3.0\r\n" + H + b"\r\n",
    "lower-case version": b"GET /ping http/1.1\r\n" + H + b"\r\n",
    "two different lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "two equal lengths": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "list of lengths": POST + b"Content-Length: 2, 2\r\n\r\n{}",
    "negative length": POST + b"Content-Length: -2\r\n\r\n{}",
    "signed length": POST + b"Content-Length: +2\r\n\r\n{}",
    "hexadecimal length": POST + b"Content-Length: 0x2\r\n\r\n{}",
    "empty length": POST + b"Content-Length: \r\n\r\n{}",
    "length of 2^64": POST + b"Content-Length: 18446744073709551616\r\n\r\n{}",
    "length and chunks": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "two Transfer-Encodings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked not last": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "unknown Transfer-Encoding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding with a vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /tasks/lb_trigger_single HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk size that is none": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "chunk size with sign": POST + b"Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n",
    "chunk size with 0x": POST + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "chunk size of 2^64": POST + b"Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\n{}\r\n0\r\n\r\n",
    "chunk longer than said": POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx\r\n0\r\n\r\n",
    "bare LF after a chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n",
    "bare LF in a chunk extension": POST + b"Transfer-Encoding: chunked\r\n\r\n2;a\n{}\r\n0\r\n\r\n",
    "length in a trailer": POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n",
    "method with a bracket": b"G{T /ping HTTP/1.1\r\n" + H + b"\r\n",
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n",
    "HTTP/2 preface, last byte wrong": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX",
    "HTTP/2 preface, other body": b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    "HTTP/2 preface without its end": b"PRI * HTTP/2.0\r\n\r\n",
    "HTTP/2 preface with a header": b"PRI * HTTP/2.0\r\nHost: localhost\r\n\r\n",
    "PRI as HTTP/1.1": b"PRI * HTTP/1.1\r\n" + H + b"\r\n",
}


@shared
def one():
    grid = Grid(1)
    grid.deploy(grid.project().program("cecho"))
    return grid


def test_malformed_requests_are_refused_and_nothing_after_them_is_heard():
    wrong = []
    for what, request in REFUSED.items():
        got = raw_exchange(one()[0].api, request + NEXT, timeout_s=8, half_close=True)
        status = got[9:12] if got.startswith(b"HTTP/1.1 ") else got[:20]
        h2_goaway = what.startswith("HTTP/2 preface") and not got.startswith(b"HTTP/1")
        if not (got == b"" or h2_goaway or status[:1] in (b"4", b"5")) or b" 200 " in got or b"pong" in got:
            wrong.append(f"{what}: {got[:200]!r}")
    check(not wrong, "\n".join(wrong))
    check_equal(one()[0].get("/ping").text.strip(), "pong", "afterwards")


def test_headers_over_the_limit_are_431():
    node = one()[0]
    for request in (b"GET /ping HTTP/1.1\r\n" + H + b"X: " + b"a" * 40000 + b"\r\n\r\n", b"GET /ping HTTP/1.1\r\n" + H + b"X: a\r\n" * 5000 + b"\r\n",
                    b"GET /ping?" + b"q" * 40000 + b" HTTP/1.1\r\n" + H + b"\r\n"):
        status, _, _ = raw_answers(node.api, request)
        check_in(status, (400, 414, 431, None), f"status for {len(request)} bytes of head")
    check_equal(node.http("GET", "/ping", None, {"X": "a" * 8000}).status, 200, "8,000 bytes of header")


def test_wellformed_requests_of_every_kind_are_taken():
    node = one()[0]
    for what, request, want in (
        ("plain", b"GET /ping HTTP/1.1\r\n" + H + b"\r\n", 200),
        ("HTTP/1.0", b"GET /ping HTTP/1.0\r\n" + H + b"\r\n", 200),
        ("lower-case header", b"GET /ping HTTP/1.1\r\nhost:localhost\r\n\r\n", 200),
        ("padded value", b"GET /ping HTTP/1.1\r\nHost: \t localhost \t\r\n\r\n", 200),
        ("query", b"GET /ping?a=b HTTP/1.1\r\n" + H + b"\r\n", 200),
        ("chunks with an extension", b"POST /invoke/cecho HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n0\r\nX-T: 1\r\n\r\n", 200),
        ("Chunked spelt so", b"POST /invoke/cecho HTTP/1.1\r\n" + H + b"Transfer-Encoding: Chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", 200),
        ("a leading empty line", b"\r\nGET /ping HTTP/1.1\r\n" + H + b"\r\n", 200),
    ):
        status, _, body = raw_answers(node.api, request)
        check_equal(status, want, f"{what} ({body[:100]})")


def test_pipelined_requests_are_answered_in_order():
    node = one()[0]
    requests = b"".join(b"POST /invoke/cecho HTTP/1.1\r\n" + H + b"Content-Length: 1\r\n\r\n%d" % i for i in range(9))
    got = raw_exchange(node.api, requests + b"GET /ping HTTP/1.1\r\nConnection: close\r\n" + H + b"\r\n")
    bodies = [part.partition(b"\r\n\r\n")[2].removeprefix(b"1\r\n")[:1] for part in got.split(b"HTTP/1.1 200")[1:]]
    check_equal(bodies[:9], [b"%d" % i for i in range(9)], f"answers ({got[:300]})")
    check_equal(got.count(b"HTTP/1.1 200"), 10, "answers")


def test_expect_continue_is_answered_before_the_body():
    with socket.create_connection(one()[0].api, timeout=10) as sock:
        sock.sendall(b"POST /invoke/cecho HTTP/1.1\r\n" + H + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        check(sock.recv(100).startswith(b"HTTP/1.1 100"), "no 100 Continue came")
        sock.sendall(b"abc")
        got = sock.recv(65536)
        check(got.startswith(b"HTTP/1.1 200"), f"answer: {got[:200]!r}")


def test_head_has_no_body():
    got = raw_exchange(one()[0].api, b"HEAD /healthz HTTP/1.1\r\nConnection: close\r\n" + H + b"\r\n")
    head, _, body = got.partition(b"\r\n\r\n")
    check_equal(body, b"", f"body of a HEAD ({head})")


def test_connection_close_is_obeyed():
    started = time.monotonic()
    got = raw_exchange(one()[0].api, b"GET /ping HTTP/1.1\r\nConnection: close\r\n" + H + b"\r\n")
    check(got.endswith(b"pong") or got.endswith(b"pong\n"), got)
    check(time.monotonic() - started < 5, "the connection stayed open")


@once
def test_slow_headers_end_the_connection():
    api = one()[0].api

    def open_for(first):
        """How long a connection stays that sends this and no more."""
        with socket.create_connection(api, timeout=20) as sock:
            sock.sendall(first)
            begun = time.monotonic()
            with contextlib.suppress(ConnectionResetError):
                while sock.recv(4096):
                    pass
            return time.monotonic() - begun

    beginnings = (b"GET /pi", b"", b"PRI * HT", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    with ThreadPoolExecutor(len(beginnings)) as at_once:
        for first, stayed in zip(beginnings, at_once.map(open_for, beginnings)):
            check(3 < stayed < 12, f"{first!r}: the connection stayed open for {stayed:.1f} s")


def test_clients_that_vanish_mid_request_harm_nobody():
    for size in (1, 20, 60, 100):
        with socket.create_connection(one()[0].api) as sock:
            sock.sendall((b"POST /invoke/cecho HTTP/1.1\r\n" + H + b"Content-Length: 100\r\n\r\nabcdef" * 3)[:size])
    check_equal(one()[0].get("/ping").status, 200, "afterwards")
