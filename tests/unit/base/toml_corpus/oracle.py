#!/usr/bin/env python3
"""Writes FILE.expected beside every FILE.toml here: what Python's tomllib reads from it, one sorted line per setting."""
import json
import pathlib
import re
import tomllib


def part(key):
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)


def lines(table, path=()):
    for key, value in table.items():
        if isinstance(value, dict):
            yield from lines(value, path + (key,))
        else:
            yield ".".join(map(part, path)) + "|" + key + "|" + json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def main():
    for file in sorted(pathlib.Path(__file__).parent.glob("*.toml")):
        text = file.read_bytes().decode()
        expected = sorted(lines(tomllib.loads(text)), key=lambda line: line.encode())
        file.with_suffix(".expected").write_bytes("".join(line + "\n" for line in expected).encode())


if __name__ == "__main__":
    main()
