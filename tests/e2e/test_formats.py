"""The documents of formats are enough to read what a node keeps: a reader written from them alone sees the tree that the node has built."""

import os
import random
from pathlib import Path

import manifest_reader as reader
from gridtest import Grid, check, check_equal, node_rpc, once


def tree_of(root):
    """What manifest_reader gives, from the disk."""
    found, top = {}, os.fsencode(str(root))
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(folder, name)
            key = os.path.relpath(path, top)
            if os.path.islink(path):
                found[key] = ("link", os.readlink(path))
            elif os.path.isdir(path):
                found[key] = ("folder",)
            else:
                found[key] = ("file", bool(os.stat(path).st_mode & 0o100), Path(os.fsdecode(path)).read_bytes())
    return found


def fill(project):
    noise = random.Random(5)
    project.js("where", "exports.handler = () => process.env.TASK_PATH;\n").executable("tool", "#!/bin/sh\nsleep 1000\n")
    project.write("text.txt", "the same line again\n" * 3000).write("empty", "").write("deep/er/still/file", "x")
    (project.folder / "long").write_bytes(noise.randbytes(700_000))
    (project.folder / "long.txt").write_bytes(b"".join(b"%d and so on\n" % (i * i) for i in range(30_000)))
    (project.folder / "none").mkdir()
    (project.folder / "deep/link").symlink_to("../tasks/where.js")
    Path(os.fsdecode(os.fsencode(str(project.folder)) + b"/caf\xe9 \xff")).write_bytes(b"no UTF-8")


@once
def test_a_reader_of_the_documents_sees_the_tree_that_runs():
    with Grid(1) as grid:
        project = grid.project()
        fill(project)
        grid.deploy(project, wait=False)
        project.write("text.txt", "another line\n").write("deep/er/more", "more")
        grid.deploy(project, tasks=["where"])
        root = bytes.fromhex(next(r.root for r in node_rpc(grid[0]).control.ListReleases({}).releases if r.current))
        state = Path(grid[0].state)
        grid[0].stop()
        objects = reader.read_store(state / "store")
        manifest = reader.read_folder(objects, root)
        check_equal(sorted(manifest), sorted(tree_of(state / "releases" / root.hex())), "names in the manifest and on the disk")
        for path, entry in tree_of(state / "releases" / root.hex()).items():
            check(manifest[path] == entry, f"{path} is in the manifest as it is on the disk")
        check_equal(manifest[b"long"][2], (project.folder / "long").read_bytes(), "what was published and what the manifest says")
        check_the_cuts(objects, root)


def check_the_cuts(objects, root):
    """Files are cut where docs/formats/chunks.md says."""
    params = reader.chunker_params(objects, root)
    check_equal(params, (16384, 65536, 262144, 0x6772696463686E6B), "parameters in the root")
    long_files = [content for kind, content in objects.values() if kind == reader.FILE]
    check_equal(len(long_files), 2, "long files")
    for listing in long_files:
        rows = reader.read_chunks(listing)
        content = b"".join(reader.typed(objects, digest, reader.CHUNK) for _, digest in rows)
        check_equal([size for size, _ in rows], reader.cut(content, params), "sizes of the chunks")
    products = bytes((i * i * 2654435761 & 0xFFFFFFFF) >> 24 for i in range(262144))
    check_equal(reader.cut(products, params), [71080, 100148 - 71080, 188866 - 100148, 262144 - 188866], "the example in the document")
