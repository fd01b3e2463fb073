"""HTTP/2 as frames: what must end a stream, what must end a connection, and floods that must do neither to anybody else."""

import struct
from pathlib import Path

from gridtest import Grid, check, check_equal, check_in, once, shared
from http2raw import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, POST, PREFACE, PRIORITY, PUSH_PROMISE, REQUEST, RST_STREAM, SETTINGS,
                      WINDOW_UPDATE, Connection, block, frame, headers)


@shared
def one():
    grid = Grid(1)
    grid.deploy(grid.project().program("cecho"))
    return grid


def connect(**more):
    return Connection(one()[0].api, **more)


def still_serves():
    with connect() as c:
        c.send(headers(1, REQUEST))
        check(c.until(lambda c: c.ended(1)), f"no answer: {c.frames}")
        check_in(b"pong", c.body(1), "the answer")


def resident_mib():
    status = Path(f"/proc/{one()[0].process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def test_a_plain_request_is_answered():
    still_serves()


def test_wrong_frames_end_the_connection():
    cases = {
        "DATA on stream 0": frame(DATA, 0, 0, b"x"),
        "HEADERS on stream 0": headers(0, REQUEST),
        "HEADERS on an even stream": headers(2, REQUEST),
        "DATA on an idle stream": frame(DATA, 0, 9, b"x"),
        "a frame over 16 KiB": frame(DATA, 0, 1, bytes(20000)),
        "PING of 7 bytes": frame(PING, 0, 0, b"1234567"),
        "PING on a stream": frame(PING, 0, 1, b"12345678"),
        "SETTINGS of 5 bytes": frame(SETTINGS, 0, 0, b"12345"),
        "SETTINGS on a stream": frame(SETTINGS, 0, 1),
        "an ACK with content": frame(SETTINGS, ACK, 0, b"123456"),
        "a window over 2^31": frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0x80000000)),
        "WINDOW_UPDATE by 0": frame(WINDOW_UPDATE, 0, 0, bytes(4)),
        "a window that overflows": frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7FFFFFFF)) * 2,
        "RST_STREAM of an idle stream": frame(RST_STREAM, 0, 5, bytes(4)),
        "CONTINUATION without HEADERS": frame(CONTINUATION, END_HEADERS, 1, block(REQUEST)),
        "PING amid a header block": frame(HEADERS, END_STREAM, 1, block(REQUEST)) + frame(PING, 0, 0, bytes(8)),
        "PUSH_PROMISE from a client": headers(1, REQUEST) + frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack(">I", 2) + block(REQUEST)),
        "a header block that is none": frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff\xff"),
        "an index that does not exist": frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\xfe"),
        "padding longer than the frame": frame(HEADERS, END_STREAM | END_HEADERS | 0x8, 1, b"\xff" + block(REQUEST)),
    }
    wrong = []
    for what, data in cases.items():
        with connect() as c:
            c.send(data)
            if not c.until(lambda c: c.closed or c.goaway() not in (None, 0), 8):
                wrong.append(f"{what}: {[f[:3] for f in c.frames]}")
    check(not wrong, "the connection went on after: " + "; ".join(wrong))
    still_serves()


def test_no_settings_first_ends_the_connection():
    with connect(start=False) as c:
        c.send(PREFACE + headers(1, REQUEST))
        check(c.until(lambda c: c.closed or c.goaway()), "the connection went on")


def test_malformed_requests_end_their_stream_alone():
    cases = {
        "an upper-case name": REQUEST + [("X-Upper", "1")],
        "Connection": REQUEST + [("connection", "close")],
        "Transfer-Encoding": REQUEST + [("transfer-encoding", "chunked")],
        "te other than trailers": REQUEST + [("te", "gzip")],
        "no :path": [f for f in REQUEST if f[0] != ":path"],
        "an empty :path": [f for f in REQUEST if f[0] != ":path"] + [(":path", "")],
        "two :path": REQUEST + [(":path", "/x")],
        "no :method": REQUEST[1:],
        "a pseudo field behind a field": REQUEST[:3] + [("a", "b")] + REQUEST[3:],
        "an unknown pseudo field": REQUEST + [(":unknown", "1")],
        "a pseudo field of answers": REQUEST + [(":status", "200")],
        "a line end in a value": REQUEST + [("a", "b\r\nx: y")],
        "NUL in a value": REQUEST + [("a", "b\0c")],
        "an empty name": REQUEST + [("", "x")],
        "content-length and no body": POST + [("content-length", "5")],
        "two content-lengths": POST + [("content-length", "0"), ("content-length", "1")],
        "host unlike :authority": REQUEST + [("host", "evil.example")],
    }
    wrong = []
    with connect() as c:
        stream = 1
        for what, fields in cases.items():
            c.send(headers(stream, fields))
            number = stream
            if not c.until(lambda c: c.ended(number), 8):
                wrong.append(f"{what}: no end of the stream")
            elif b"pong" in c.body(number):
                wrong.append(f"{what}: it was answered")
            stream += 2
        check(not wrong and not c.closed, "; ".join(wrong) or "the connection was closed")
        c.send(headers(stream, REQUEST))
        check(c.until(lambda c: c.ended(stream)) and b"pong" in c.body(stream), "the connection serves no more")


def test_a_body_longer_than_its_length_ends_the_stream():
    with connect() as c:
        c.send(headers(1, POST + [("content-length", "2")], END_HEADERS) + frame(DATA, END_STREAM, 1, b"abcdef"))
        check(c.until(lambda c: c.reset(1) or c.closed), f"the stream went on: {c.frames}")


def test_headers_over_the_limit_are_refused():
    with connect() as c:
        big = block(REQUEST + [(f"x-{i}", "v" * 1000) for i in range(64)])
        parts = [big[i:i + 16000] for i in range(0, len(big), 16000)]
        c.send(frame(HEADERS, END_STREAM, 1, parts[0]) + b"".join(frame(CONTINUATION, END_HEADERS if p is parts[-1] else 0, 1, p) for p in parts[1:]))
        check(c.until(lambda c: c.ended(1) or c.closed or c.goaway() is not None), "64 KiB of headers got no answer")
        check(b"pong" not in c.body(1), "64 KiB of headers were taken")
    still_serves()


def test_a_stop_at_too_many_streams():
    with connect() as c:
        for stream in range(1, 2 * 150, 2):
            c.send(headers(stream, POST, END_HEADERS))
        check(c.until(lambda c: any(f[0] == RST_STREAM for f in c.frames) or c.closed or c.goaway()), "150 open streams were taken, where 100 are announced")
    still_serves()


FLOODS = {
    "PING": frame(PING, 0, 0, bytes(8)),
    "SETTINGS": frame(SETTINGS),
    "PRIORITY": frame(PRIORITY, 0, 1, b"\0\0\0\0\x10"),
    "unknown frames": frame(0x77, 0, 0, b"x"),
    "WINDOW_UPDATE": frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\x01"),
    "empty SETTINGS ACKs": frame(SETTINGS, ACK),
}


@once
def test_floods_end_the_connection_and_cost_no_memory():
    before, wrong = resident_mib(), []
    for what, one_frame in FLOODS.items():
        with connect() as c:
            sent = 0
            while sent < 200000 and not c.closed and c.goaway() is None:
                if not c.send(one_frame * 1000):
                    break
                sent += 1000
                c.read()
            if not c.until(lambda c: c.closed or c.goaway() is not None, 5):
                wrong.append(f"{what}: {sent} were taken")
    check(not wrong, "; ".join(wrong))
    check(resident_mib() - before < 48, f"the node grew from {before:.0f} to {resident_mib():.0f} MiB")
    still_serves()


@once
def test_empty_data_floods_end_the_connection():
    with connect() as c:
        c.send(headers(1, POST, END_HEADERS))
        sent = 0
        while sent < 200000 and c.send(frame(DATA, 0, 1) * 1000) and not c.closed and c.goaway() is None:
            sent += 1000
            c.read()
        check(c.until(lambda c: c.closed or c.goaway() is not None or c.reset(1), 5), f"{sent} empty DATA frames were taken")
    still_serves()


@once
def test_rapid_resets_end_the_connection():
    for what, fields in (("of GET", REQUEST), ("of a call", POST)):
        with connect() as c:
            stream = 1
            while stream < 40000 and not c.closed and c.goaway() is None:
                if not c.send(b"".join(headers(s, fields, END_HEADERS) + frame(RST_STREAM, 0, s, struct.pack(">I", 8)) for s in range(stream, stream + 200, 2))):
                    break
                stream += 200
                c.read()
            check(c.until(lambda c: c.closed or c.goaway() is not None, 5), f"{stream // 2} resets {what} were taken")
    still_serves()


@once
def test_streams_we_are_made_to_reset_end_the_connection():
    """MadeYouReset: each stream is well begun, and then given a frame that makes the server reset it."""
    with connect() as c:
        stream = 1
        while stream < 40000 and not c.closed and c.goaway() is None:
            if not c.send(b"".join(headers(s, POST, END_HEADERS) + frame(WINDOW_UPDATE, 0, s, bytes(4)) for s in range(stream, stream + 100, 2))):
                break
            stream += 100
            c.read()
        check(c.until(lambda c: c.closed or c.goaway() is not None, 5), f"{stream // 2} streams were reset and more taken")
    still_serves()


@once
def test_streams_reset_for_their_trailers_end_the_connection():
    trailers = block([("x", "y" * 16300)])
    with connect() as c:
        stream = 1
        while stream < 2000 and not c.closed and c.goaway() is None:
            if not c.send(headers(stream, POST, END_HEADERS) + frame(HEADERS, END_STREAM | END_HEADERS, stream, trailers)):
                break
            stream += 2
            c.read()
        check(c.until(lambda c: c.closed or c.goaway() is not None, 5), f"{stream // 2} streams were reset and more taken")
    still_serves()


@once
def test_continuation_floods_end_the_connection():
    with connect() as c:
        c.send(frame(HEADERS, END_STREAM, 1, block(REQUEST)))
        sent = 0
        while sent < 100000 and c.send(frame(CONTINUATION, 0, 1, b"") * 500 + frame(CONTINUATION, 0, 1, block([("x", "y" * 100)])) * 20):
            sent += 520
            c.read()
            if c.closed or c.goaway() is not None:
                break
        check(c.until(lambda c: c.closed or c.goaway() is not None, 5), f"{sent} CONTINUATION frames were taken")
    still_serves()


@once
def test_unread_answers_cost_little_memory():
    """A client that never gives window makes the server hold answers: not without bound."""
    before = resident_mib()
    connections = []
    try:
        for _ in range(8):
            c = connect(settings=struct.pack(">HI", 4, 0))
            connections.append(c)
            for stream in range(1, 60, 2):
                c.send(headers(stream, POST, END_HEADERS) + frame(DATA, 0, stream, bytes(16000)) + frame(DATA, END_STREAM, stream, bytes(16000)))
                c.read()
        still_serves()
        grown = resident_mib() - before
        check(grown < 160, f"the node grew by {grown:.0f} MiB")
    finally:
        [c.close() for c in connections]
    still_serves()


def test_answers_wait_for_window():
    with connect(settings=struct.pack(">HI", 4, 10)) as c:
        c.send(headers(1, POST, END_HEADERS) + frame(DATA, END_STREAM, 1, b"x" * 100))
        check(c.until(lambda c: any(f[0] == HEADERS for f in c.frames)), "no head came")
        c.until(lambda c: len(c.body(1)) >= 10, 1)
        check(len(c.body(1)) <= 10, f"{len(c.body(1))} bytes came within a window of 10")
        c.send(frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 90)))
        check(c.until(lambda c: c.ended(1)), "the rest did not come")
        check_equal(c.body(1), b"x" * 100, "the body")


def test_a_stream_that_is_reset_is_forgotten():
    with connect() as c:
        for stream in range(1, 41, 2):
            c.send(headers(stream, POST, END_HEADERS) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8)))
        c.send(headers(41, REQUEST))
        check(c.until(lambda c: c.ended(41)), "20 resets ended the connection")
