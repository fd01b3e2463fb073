"""A reader of the store and of manifests, written from docs/formats/store.md, manifest.md and chunks.md alone: what it cannot read, the documents do not say."""

import hashlib
import struct
from pathlib import Path

CHUNK, FILE, DIRECTORY = 1, 2, 3
MASK64 = (1 << 64) - 1


class Malformed(Exception):
    """What the documents do not allow."""


def expect(condition, what):
    if not condition:
        raise Malformed(what)


def crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC_TABLE = crc32c_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def lz4_length(block, at, first):
    """A length that begins with four bits and goes on in bytes while they are 255."""
    length = first
    while first == 15:
        length += block[at]
        at += 1
        if block[at - 1] != 255:
            break
    return length, at


def lz4_block(block, raw_size):
    out, at = bytearray(), 0
    while at < len(block):
        token = block[at]
        literals, at = lz4_length(block, at + 1, token >> 4)
        out += block[at:at + literals]
        at += literals
        if at == len(block):
            break
        offset = block[at] | block[at + 1] << 8
        expect(0 < offset <= len(out), "an lz4 block refers to what is before it")
        length, at = lz4_length(block, at + 2, token & 15)
        for _ in range(length + 4):
            out.append(out[-offset])
    expect(len(out) == raw_size, "an lz4 block of another size")
    return bytes(out)


# ---- the store ----

def read_record(data, at):
    """(id, type byte and content, where the next record begins)"""
    magic, header_sum, data_sum, raw_size, stored_size, codec, zero, digest = struct.unpack_from(">4sIIIIB3s32s", data, at)
    expect(magic == b"GOB1" and zero == b"\0\0\0", "a record's header")
    expect(crc32c(data[at + 8:at + 56]) == header_sum, "a header's checksum")
    stored = data[at + 56:at + 56 + stored_size]
    expect(len(stored) == stored_size and crc32c(stored) == data_sum, "a record's checksum")
    expect(codec in (0, 1) and (stored_size == raw_size if codec == 0 else stored_size < raw_size), "a record's sizes")
    raw = stored if codec == 0 else stored[:1] + lz4_block(stored[1:], raw_size - 1)
    expect(hashlib.sha256(raw).digest() == digest, "an object's hash")
    return digest, raw, at + 56 + stored_size


def read_segment(path, objects):
    data = path.read_bytes()
    magic, version, number, checksum = struct.unpack_from(">7sBII", data)
    expect((magic, version, f"{number:08x}.seg") == (b"GRIDSEG", 1, path.name) and crc32c(data[:12]) == checksum, "a segment's header")
    at = 16
    while at < len(data):
        digest, raw, at = read_record(data, at)
        objects[digest] = (raw[0], raw[1:])


def read_store(folder):
    """All objects: {id: (type, content)}. Nobody writes to the store meanwhile."""
    objects = {}
    for path in sorted(Path(folder).glob("*.seg")):
        read_segment(path, objects)
    return objects


# ---- manifests ----

def typed(objects, digest, kind):
    got, content = objects[digest]
    expect(got == kind, "an object's type")
    return content


def climb(target):
    """How many folders a link's target goes up before it goes down."""
    expect(0 < len(target) <= 4095 and not target.startswith(b"/") and b"\0" not in target, "a link's target")
    ups, named = 0, False
    for part in target.split(b"/"):
        if part == b"..":
            expect(not named, "a link that climbs late")
            ups += 1
        elif part not in (b"", b"."):
            named = True
    return ups


def read_chunks(content):
    """[(size, id)] of a file object."""
    version, count = struct.unpack_from(">BI", content)
    expect(version == 1 and count >= 2 and len(content) == 5 + 36 * count, "a file object")
    rows = [struct.unpack_from(">I32s", content, 5 + 36 * i) for i in range(count)]
    expect(all(0 < size <= 262144 for size, _ in rows), "a chunk's size")
    return rows


def read_file(objects, kind, size, digest):
    if kind == 1:
        content = typed(objects, digest, CHUNK)
    else:
        content = b"".join(checked(typed(objects, chunk, CHUNK), length) for length, chunk in read_chunks(typed(objects, digest, FILE)))
    return checked(content, size)


def checked(content, size):
    expect(len(content) == size, "a size")
    return content


def read_entry(content, at):
    """(kind, executable, name, size, id or target, where the next one begins)"""
    kind, mode, length = struct.unpack_from("BBB", content, at)
    name = content[at + 3:at + 3 + length]
    at += 3 + length
    (size,) = struct.unpack_from(">Q", content, at)
    rest = size if kind == 4 else 32
    expect(1 <= kind <= 4 and mode <= (kind < 3) and name not in (b"", b".", b"..") and b"/" not in name and b"\0" not in name, "an entry")
    return kind, mode == 1, name, size, content[at + 8:at + 8 + rest], at + 8 + rest


def read_folder(objects, digest, prefix=b"", depth=0):
    """{path: ("file", executable, content) | ("link", target) | ("folder",)} of all below."""
    content = typed(objects, digest, DIRECTORY)
    version, flags = content[0], content[1]
    expect(version == 1 and flags == (depth == 0) and depth < 64, "a folder's header")
    at = 22 if depth == 0 else 2
    (count,) = struct.unpack_from(">I", content, at)
    at, last, found = at + 4, b"", {}
    for _ in range(count):
        kind, executable, name, size, rest, at = read_entry(content, at)
        expect(name > last, "the order of names")
        last, path = name, prefix + name
        if kind == 3:
            found[path] = ("folder",)
            checked(typed(objects, rest, DIRECTORY), size)
            found.update(read_folder(objects, rest, path + b"/", depth + 1))
        elif kind == 4:
            expect(climb(rest) <= depth, "a link that leads out")
            found[path] = ("link", rest)
        else:
            found[path] = ("file", executable, read_file(objects, kind, size, rest))
    expect(at == len(content), "nothing follows the last entry")
    return found


def chunker_params(objects, root):
    return struct.unpack_from(">IIIQ", typed(objects, root, DIRECTORY), 2)


# ---- chunks ----

def gear_table(seed):
    table, state = [], seed
    for _ in range(256):
        state = (state + 0x9E3779B97F4A7C15) & MASK64
        z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & MASK64
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK64
        table.append(z ^ z >> 31)
    return table


def cut(content, params):
    """The sizes of a file's chunks."""
    smallest, average, largest, seed = params
    gear, n, sizes, start = gear_table(seed), average.bit_length() - 1, [], 0
    small, large = (((1 << bits) - 1) << (63 - bits) for bits in (n + 2, n - 2))
    while start < len(content):
        end = min(start + largest, len(content))
        at, state = start + smallest, 0
        while at < end:
            state = (state << 1) + gear[content[at]] & MASK64
            at += 1
            if not state & (small if at - start <= average else large):
                end = at
        sizes.append(end - start)
        start = end
    return sizes
