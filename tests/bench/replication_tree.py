"""Cases of tests/bench/run replication: from the store to a tree on the disk, anew and by patching an older one."""

import json
import shutil
import statistics
import subprocess

from replication import Case, alternate, change_a_line, run, seconds_text, timed

COPIES = 8  # of the corpus, for a tree of some 40,000 files


def publish(tool, state, tree):
    return json.loads(run(tool, "publish", state, tree, capture_output=True, text=True).stdout)["root"]


def make_tree(tool, state, root, trees, previous="-", spare="-", how="-"):
    return json.loads(run(tool, "tree", state, root, trees, previous, spare, how, capture_output=True, text=True).stdout)


def case_materialize(bench, table):
    """Process against process, all from the page cache into a folder that is new every time."""
    tool, corpus, folder = bench.tool(), bench.corpus(), bench.folder / "materialize"
    folder.mkdir()
    root = publish(tool, folder, corpus)
    run("casync", "make", f"--store={folder}/casync.castr", folder / "corpus.caidx", corpus, stdout=subprocess.DEVNULL)

    def fresh(name, number):
        target = folder / f"{name}-{number}"
        target.mkdir()
        return target

    def ours(how):
        return lambda number: timed(tool, "tree", folder, root, fresh(f"trees{how}", number), "-", "-", how)

    taken = alternate(bench.rounds, gridd=ours("-"), synced=ours("s"),
                      casync=lambda n: timed("casync", "extract", f"--store={folder}/casync.castr", folder / "corpus.caidx", fresh("casync", n) / "tree"),
                      cp=lambda n: timed("cp", "-r", corpus, fresh("cp", n) / "tree"))
    table.compare(taken["gridd"], taken["casync"], 0.5, "none of them synced to the disk")
    middle = statistics.median(taken["gridd"]) / statistics.median(taken["cp"])
    table.add(seconds_text(taken["gridd"]), seconds_text(taken["cp"]), f"{middle:.2f}, best {min(taken['gridd']) / min(taken['cp']):.2f}", middle <= 1.2, "beside cp -r: at most 1.2")
    table.add(seconds_text(taken["synced"]), note="and synced to the disk, as gridd does it")
    shutil.rmtree(folder)


def large_tree(bench):
    tree = bench.folder / "patch-tree"
    tree.mkdir()
    for number in range(COPIES):
        run("cp", "-a", bench.corpus(), tree / f"part{number}")
    return tree


def publish_versions(tool, state, tree, count):
    """Roots of a tree in which a line is changed, and another one."""
    roots = [publish(tool, state, tree)]
    for number in range(count):
        change_a_line(tree / "part3", number)
        roots.append(publish(tool, state, tree))
    return roots


def patch_and_build(tool, state, roots, folder, how):
    """Seconds of each root out of the one before it, and beside it, as it is done where there is no spare tree."""
    patched, built = folder / f"patched{how}", folder / f"built{how}"
    seconds = ([], [])
    for trees in (patched, built):
        trees.mkdir()
        make_tree(tool, state, roots[0], trees)
    for before, root in zip(roots, roots[1:]):
        done = make_tree(tool, state, root, patched, spare=before, how=how)
        assert done["patched"] and done["files"] - done["kept"] == 1, done
        seconds[0].append(done["seconds"])
        seconds[1].append(make_tree(tool, state, root, built, previous=before, how=how)["seconds"])
        shutil.rmtree(built / before)
    for trees in (patched, built):
        shutil.rmtree(trees)
    return seconds


def case_patch(bench, table):
    """A tree of 40,000 files that a line is changed in, again and again: out of a spare tree, beside a new tree that takes its files from the one that runs."""
    tool, folder = bench.tool(), bench.folder / "patch"
    folder.mkdir()
    roots = publish_versions(tool, folder, large_tree(bench), bench.rounds)
    for how, title in (("g", "guarded"), ("-", "not guarded"), ("gs", "guarded and synced"), ("s", "not guarded, synced")):
        table.compare(*patch_and_build(tool, folder, roots, folder, how), 0.5, title)


CASES = [
    Case("materialize", "materialize", "casync extract", "at most half", case_materialize),
    Case("patch", "one line changed in 40,000 files", "a new tree", "at most half", case_patch),
]
