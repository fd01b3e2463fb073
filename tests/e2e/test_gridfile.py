"""The Gridfile: its TOML means what Python's tomllib reads from it, and what is wrong with one is said with line and column."""

import json
import random
import struct
import subprocess
import tempfile
import tomllib
from pathlib import Path

from gridtest import BIN, ROOT, check, check_equal, check_in, clean_environment, mint_gridfile, once

# ---- the oracle ------------------------------------------------------------------------------------------------------------------


def ours(texts):
    """What base/toml.h makes of each text (bytes)."""
    framed = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    done = subprocess.run([BIN / "toml_dump"], input=framed, capture_output=True, timeout=110, env=clean_environment(tempfile.gettempdir()))
    check_equal(done.returncode, 0, f"exit of toml_dump: {done.stderr.decode(errors='replace')[-2000:]}")
    answers = [json.loads(line) for line in done.stdout.decode().splitlines()]
    check_equal(len(answers), len(texts), "answers")
    return answers


def flatten(table, path=()):
    """[path, key, value] of each setting; paths as tuples of keys."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from flatten(value, path + (key,))
        else:
            yield path, key, value


def split_path(text):
    """Our canonical spelling of a table's path, back to its parts."""
    parts, rest = [], text
    while rest:
        if rest[0] == '"':
            value, end = json.JSONDecoder().raw_decode(rest)
        else:
            end = rest.find(".") if "." in rest else len(rest)
            value = rest[:end]
        parts.append(value)
        rest = rest[end + 1:]
    return tuple(parts)


def theirs(text):
    """tomllib's reading, or None when it refuses."""
    try:
        return tomllib.loads(text.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError):
        return None


def same(a, b):
    """Equal in type too: true is not 1."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def inside_subset(value):
    """True when a value that tomllib read is of a kind that the subset has."""
    if isinstance(value, list):
        return all(inside_subset(item) for item in value)
    if isinstance(value, dict):
        return False
    if isinstance(value, int) and not isinstance(value, bool):
        return -2**63 <= value < 2**63
    return isinstance(value, (str, bool))


def compare(text, answer):
    """Raises when the two readers disagree where they must not. True when both took it."""
    other = theirs(text)
    if isinstance(answer, list):
        check(other is not None, f"we take what tomllib refuses: {text!r}")
        got = sorted(((split_path(table), key, value) for table, key, value in answer), key=lambda row: row[:2])
        want = sorted(flatten(other), key=lambda row: row[:2])
        check([row[:2] for row in got] == [row[:2] for row in want] and all(same(g[2], w[2]) for g, w in zip(got, want)),
              f"we read {got} where tomllib reads {want}: {text!r}")
        return True
    code, line, column, message = answer["error"]
    check(1 <= line <= text.count(b"\n") + 1 and column >= 1 and (message.startswith("expected ") or "given a second time" in message),
          f"an error that says nothing: {answer} of {text!r}")
    if other is not None and code != "ELIMIT":
        allowed = b"{" in text or b"[[" in text or not all(inside_subset(value) for _, _, value in flatten(other))
        check(allowed, f"we refuse what tomllib takes as {other}: {text!r}: {answer}")
    return False


KEYS = ["a", "b", "c-d", "_e", "1", "\"q k\"", "'l.k'", "\"\\u00fc\"", "a.b", "a . c", "b.\"x y\".c", "ü", "", "a.", "true"]
WORDS = ["1", "-0", "+7", "0", "00", "1_000", "1__0", "_1", "0x1F", "0xg", "0o17", "0b101", "-0x1", "9223372036854775807", "9223372036854775808",
         "-9223372036854775808", "true", "false", "True", "1.5", "1e3", "inf", "nan", "1979-05-27", "07:32:00", "{a = 1}", "bare", "+", "-"]
TEXTS = ['""', "''", '"a"', "'a'", '"\\n\\t\\"\\\\"', '"\\u00e9\\U0001F600"', '"\\ud800"', '"\\q"', "'\\q'", '"""\na\n"b""c"\n"""', "'''\r\na\r\nb'''", '"""a\\\n   b"""',
         '"""a \\  \r\n\r\n  b"""', '"""x"""""', "'''''x'''''", '"""\\"""""', '"open', "'open", '"""open', '"tab\tin"', '"nul\0in"', '"\x7f"', '"grün"', '"a" "b"',
         '"""a\rb"""', "'a\rb'"]
BREAKS = ["\n", "\n", "\n", "\n", "\r\n", "\n\n", " # comment\n", "\t\n", "\r", "#\x01\n", ""]
HEADS = ["[t]", "[t.u]", "[ t . u ]", "[\"t\".'u']", "[a]", "[a.b]", "[]", "[t", "[[t]]", "[t]]", "[t] x", "[.t]", "[b.'x y']", "# only a comment", ""]


def random_value(dice, depth=0):
    kind = dice.random()
    if kind < 0.25 and depth < 4:
        gap = dice.choice(["", " ", "\n", "\r\n # c\n", "\t"])
        items = [random_value(dice, depth + 1) for _ in range(dice.randrange(4))]
        return "[" + gap + (gap + "," + gap).join(items) + dice.choice(["", "", ",", gap + "," + gap]) + gap + dice.choice(["]", "]", "]", "]", "", "]]"])
    return dice.choice(TEXTS if kind < 0.65 else WORDS)


def random_text(dice):
    lines = []
    for _ in range(dice.randrange(1, 6)):
        if dice.random() < 0.25:
            lines.append(dice.choice(HEADS))
        else:
            lines.append(dice.choice(["", "  "]) + dice.choice(KEYS) + dice.choice(["=", " = ", "\t=\t", " ", "\n="] if dice.random() < 0.1 else [" = "]) + random_value(dice))
        lines.append(dice.choice(BREAKS if dice.random() < 0.3 else ["\n"]))
    return "".join(lines).encode()


def mutate(dice, text):
    data = bytearray(text)
    for _ in range(dice.randrange(1, 4)):
        at = dice.randrange(len(data) + 1)
        action = dice.random()
        if action < 0.4:
            data[at:at + dice.randrange(1, 4)] = b""
        elif action < 0.8:
            data[at:at] = dice.choice([b'"', b"'", b'"""', b"'''", b"\\", b"[", b"]", b"=", b".", b",", b"#", b"\n", b"\r\n", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"1", b"_"])
        else:
            start = dice.randrange(len(data) + 1)
            data[at:at] = data[start:start + dice.randrange(1, 30)]
    return bytes(data)


def corpus():
    folders = [ROOT / "tests/unit/base/toml_corpus", ROOT / "tests/fuzz/corpus/toml", ROOT / "tests/fuzz/corpus/gridfile"]
    return [path.read_bytes() for folder in folders for path in sorted(folder.iterdir()) if path.is_file() and path.suffix not in (".py", ".expected")]


@once
def test_toml_is_read_as_pythons_reader_reads_it():
    seed = random.SystemRandom().randrange(2**32)
    dice = random.Random(seed)
    print(f"seed {seed}")
    texts = corpus()
    whole = [text for text in texts if theirs(text) is not None]
    texts += [random_text(dice) for _ in range(4000)] + [mutate(dice, dice.choice(whole)) for _ in range(3000)]
    taken = sum(compare(text, answer) for text, answer in zip(texts, ours(texts)))
    check(taken > len(texts) // 10, f"only {taken} of {len(texts)} were taken by both: too few to say anything")


# ---- what gridd says -------------------------------------------------------------------------------------------------------------


def gridd_check(folder, *options):
    """`gridd --check` there, without a Gridfile given: (exit code, what it says)."""
    args = [BIN / "gridd", "--check", "--state", folder / "state", "--api", "127.0.0.1:0", "--api-socket", "none", "--listen", "127.0.0.1:0", *options]
    done = subprocess.run([str(a) for a in args], cwd=folder, env=clean_environment(folder), capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


def write_card(folder, data, mode=0o600):
    path = folder / "Gridfile"
    path.unlink(missing_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    path.chmod(mode)


@once
def test_gridd_says_what_is_wrong_with_a_gridfile_and_where():
    with tempfile.TemporaryDirectory(prefix="gridtest-") as name:
        folder = Path(name)
        card = mint_gridfile(folder, "demo").read_text()
        lines = card.count("\n")
        where = f"gridd: {folder}/Gridfile: Gridfile line"
        relative = "gridd: Gridfile: Gridfile line"
        rows = {
            "a missing quote": (card + 'grid_password = "secret', f'line {lines + 1}, column 24: expected a closing quote before the end of the line'),
            "a quote missing in front": (card + "grid_password = secret", f'line {lines + 1}, column 17: expected a value: "text" in quotes, a whole number, true, false or an [array]'),
            "a literal without end": (card + "ssh_key = '''\nKEY\n", f"line {lines + 3}, column 1: expected three closing quotes before the end of the file"),
            "no equals sign": (card + "grid_password 'x'", f'line {lines + 1}, column 15: expected "=" after the key'),
            "a NUL": (card.encode() + b"# a\0b\n", f"line {lines + 1}, column 4: expected no control characters in a comment"),
            "a NUL as an escape": (card + 'grid_password = "a\\u0000b"', f"line {lines + 1}, column 17: expected a text without NUL for grid_password"),
            "no UTF-8": (card.encode() + b"# \xff\n", f"line {lines + 1}, column 3: expected UTF-8 text"),
            "a byte-order mark": (b"\xef\xbb\xbf" + card.encode(), "line 1, column 1: expected no byte-order mark: save the file as UTF-8 without one"),
            "a key given twice": (card + "grid_name = 'demo'\n", f'line {lines + 1}, column 11: "grid_name" is given a second time; the first is on line 2'),
            "a number for a name": ("grid_name = 7\n", "line 1, column 13: expected a string for grid_name"),
            "a string for a list": ("servers = 'a:1'\n", "line 1, column 11: expected a list of at most 1024 strings for servers"),
            "a number in a list": ("servers = ['a:1',\n  2]\n", "line 2, column 3: expected a list of at most 1024 strings for servers"),
            "no ids": (card + "publishers = ['me']\n", f"line {lines + 1}, column 15: expected ids of 64 lowercase hexadecimal digits for publishers"),
            "an inline table": (card + "servers = {a = 1}\n", f"line {lines + 1}, column 11: expected no inline table; write a [table] of its own"),
            "an array of tables": (card + "[[servers]]\n", f"line {lines + 1}, column 3: expected [table]: arrays of tables are not used here"),
        }
        for what, (text, sentence) in rows.items():
            write_card(folder, text)
            code, said = gridd_check(folder)
            check_equal(code, 2, f"exit with {what}: {said}")
            check_in(sentence, said, f"what is said of {what}")
            check(said.startswith(where) or said.startswith(relative), f"{what}: the file is not named: {said}")
            check_equal(said.count("\n"), 1, f"lines said of {what}: {said}")


@once
def test_gridd_takes_crlf_and_unknown_keys_and_refuses_open_modes_and_huge_files():
    with tempfile.TemporaryDirectory(prefix="gridtest-") as name:
        folder = Path(name)
        card = mint_gridfile(folder, "demo").read_text()
        for what, text, warned in (("CRLF", card.replace("\n", "\r\n"), ()), ("unknown keys", card + "colour = 'red'\n[deep]\nname = 'x'\n", ("colour", "name"))):
            write_card(folder, text)
            code, said = gridd_check(folder)
            check_equal(code, 0, f"exit with {what}: {said}")
            for key in warned:
                check_in(f"key={key}", said, f"the warning about {key}")
        for mode in (0o644, 0o640, 0o604, 0o660):
            write_card(folder, card, mode)
            code, said = gridd_check(folder)
            check_equal(code, 2, f"exit with mode {mode:o}")
            check_in("holds secrets and others can read it: run chmod 600 Gridfile", said, f"the remedy for mode {mode:o}")
        write_card(folder, card[:card.index("authority_key")], 0o644)
        check_equal(gridd_check(folder), (0, ""), "what is said of a card without secrets that all can read")
        write_card(folder, card + "ssh_public_key = '" + "x" * (1 << 20) + "'\n")
        code, said = gridd_check(folder)
        check_equal(code, 2, "exit with a huge value")
        check_in("Gridfile", said, "what is said of a huge value")
        check_in("1 MiB", said, "what is said of a huge value")
