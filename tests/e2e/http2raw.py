"""HTTP/2 frames by hand, right and wrong. Header blocks are literals without indexing, so that no compression state is needed."""

import contextlib
import socket
import struct
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
REQUEST = [(":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", "/ping")]
POST = [(":method", "POST"), (":scheme", "http"), (":authority", "localhost"), (":path", "/invoke/cecho")]


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    """A frame; `length` may lie."""
    return struct.pack(">I", len(payload) if length is None else length)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def integer(value, bits):
    """HPACK's integer with a prefix of so many bits (RFC 7541, 5.1)."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([value])
    out, value = [limit], value - limit
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes(out + [value])


def block(fields):
    out = b""
    for name, value in fields:
        name, value = (x.encode("latin-1") if isinstance(x, str) else x for x in (name, value))
        out += b"\0" + integer(len(name), 7) + name + integer(len(value), 7) + value
    return out


def headers(stream, fields, flags=END_STREAM | END_HEADERS):
    return frame(HEADERS, flags, stream, block(fields))


class Connection:
    """A connection whose frames are kept as they come. Ends quietly when the server closes it."""

    def __init__(self, address, settings=b"", start=True):
        self.sock = socket.create_connection(address, timeout=10)
        self.buffer, self.frames, self.closed = b"", [], False
        if start:
            self.send(PREFACE + frame(SETTINGS, 0, 0, settings))

    def send(self, data):
        """False once the server does not take it any more."""
        try:
            self.sock.sendall(data)
            return True
        except OSError:
            self.closed = True
            return False

    def read(self, deadline_s=0.0):
        """Takes in what comes until the deadline; what is there already when it is 0."""
        end = time.monotonic() + deadline_s
        while not self.closed:
            self.sock.settimeout(max(0.001, end - time.monotonic()))
            try:
                data = self.sock.recv(262144)
            except TimeoutError:
                return
            except OSError:
                self.closed = True
                return
            if not data:
                self.closed = True
            self.buffer += data
            self._split()
            if time.monotonic() > end:
                return

    def _split(self):
        while len(self.buffer) >= 9:
            length = int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < 9 + length:
                return
            kind, flags, stream = self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9], "big") & 0x7FFFFFFF
            self.frames.append((kind, flags, stream, self.buffer[9:9 + length]))
            self.buffer = self.buffer[9 + length:]

    def until(self, condition, deadline_s=10.0):
        """Reads until the condition holds of this connection or the server has closed; whether it held."""
        end = time.monotonic() + deadline_s
        while not condition(self) and not self.closed and time.monotonic() < end:
            self.read(min(0.2, deadline_s))
        return bool(condition(self))

    def ended(self, stream):
        return any(f[2] == stream and (f[0] == RST_STREAM or (f[0] in (DATA, HEADERS) and f[1] & END_STREAM)) for f in self.frames)

    def reset(self, stream):
        return any(f[2] == stream and f[0] == RST_STREAM for f in self.frames)

    def goaway(self):
        """The code of a GOAWAY that came, or None."""
        return next((int.from_bytes(f[3][4:8], "big") for f in self.frames if f[0] == GOAWAY), None)

    def body(self, stream):
        return b"".join(f[3] for f in self.frames if f[0] == DATA and f[2] == stream)

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
