"""The small part of HTTP/1.1 (RFC 9112) that a function server needs: one request in, one answer out, on a blocking socket."""

MAX_HEAD = 64 * 1024
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 413: "Content Too Large",
           431: "Request Header Fields Too Large", 500: "Internal Server Error", 501: "Not Implemented"}


class RequestError(Exception):
    """A request that cannot be served: `status`, a name for it, and a sentence."""

    def __init__(self, status, name, message):
        super().__init__(message)
        self.status = status
        self.name = name


class Request:
    __slots__ = ("method", "target", "headers", "keep_alive", "body")


class Connection:
    """A socket and what was read from it beyond the last request. One thread at a time."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = bytearray()

    def fileno(self):
        return self.sock.fileno()

    def close(self):
        self.sock.close()

    def _read_more(self):
        part = self.sock.recv(65536)
        if not part:
            raise ConnectionResetError("the caller closed the connection")
        self.buffer += part

    def _take(self, count):
        while len(self.buffer) < count:
            self._read_more()
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    def _take_until(self, mark, limit):
        while (end := self.buffer.find(mark)) < 0:
            if len(self.buffer) > limit:
                raise RequestError(431, "HeadersTooLarge", f"a head is larger than {limit} bytes")
            self._read_more()
        return self._take(end + len(mark))[:-len(mark)]

    def read_request(self, max_body):
        """The next request, body and all. Raises RequestError (answer it and close) or OSError (close)."""
        request = parse_head(self._take_until(b"\r\n\r\n", MAX_HEAD))
        coding = request.headers.get("transfer-encoding")
        length = request.headers.get("content-length", "0")
        if coding is not None and coding.strip().lower() != "chunked":
            raise RequestError(501, "NotImplemented", f"the transfer coding {coding} is not served")
        if not (length.isascii() and length.isdigit()) or (coding is not None and "content-length" in request.headers):
            raise RequestError(400, "InvalidRequest", "the request's length is not clear")
        if coding is None and int(length) > max_body:
            raise too_large(max_body)
        if request.headers.get("expect", "").lower() == "100-continue" and not self.buffer:
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.body = self._take(int(length)) if coding is None else self._read_chunks(max_body)
        return request

    def _read_chunks(self, max_body):
        body = bytearray()
        while size := parse_chunk_size(self._take_until(b"\r\n", MAX_HEAD)):
            if len(body) + size > max_body:
                raise too_large(max_body)
            body += self._take(size)
            if self._take(2) != b"\r\n":
                raise RequestError(400, "InvalidRequest", "a chunk does not end where it says")
        while self._take_until(b"\r\n", MAX_HEAD):
            pass
        return bytes(body)

    def send(self, status, headers, body):
        head = f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}\r\nContent-Length: {len(body)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n"
        self.sock.sendall(head.encode("latin-1") + body)


def too_large(max_body):
    return RequestError(413, "PayloadTooLarge", f"the body is larger than {max_body} bytes")


def parse_chunk_size(line):
    digits = line.split(b";", 1)[0].strip()
    if not 0 < len(digits) <= 8 or digits.strip(b"0123456789abcdefABCDEF"):
        raise RequestError(400, "InvalidRequest", "a chunk's size is not a number")
    return int(digits, 16)


def parse_head(head):
    """Request line and headers; names in lower case, the last of several values wins."""
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or parts[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise RequestError(400, "InvalidRequest", "the request line is not HTTP/1.1")
    request = Request()
    request.method, request.target = parts[0], parts[1]
    request.headers = {}
    request.body = b""
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise RequestError(400, "InvalidRequest", "a header line is malformed")
        request.headers[name.lower()] = value.strip(" \t")
    connection = request.headers.get("connection", "").lower()
    request.keep_alive = connection != "close" if parts[2] == "HTTP/1.1" else connection == "keep-alive"
    return request
