"""Compiled modules: each release has a folder of them beside the others' (PYTHONPYCACHEPREFIX), in the task's temporary folder."""
import os

KEPT = 2  # beside the present one: what still runs, and what a rollback goes back to


def newest_first(folder):
    with os.scandir(folder) as entries:
        return [e.path for e in sorted(entries, key=lambda e: e.stat(follow_symlinks=False).st_mtime_ns, reverse=True)]


def forget_older(own):
    """Takes away what older releases left, and makes the folder of this one, so that its age is known. A lack of room or rights is no reason not to run."""
    if not own:
        return
    try:
        os.makedirs(own, exist_ok=True)
        os.utime(own)
        others = [path for path in newest_first(os.path.dirname(own)) if os.path.basename(path) != os.path.basename(own)]
    except OSError:
        return
    if len(others) > KEPT:
        import shutil  # takes a while, and is rarely needed
        for path in others[KEPT:]:
            shutil.rmtree(path, ignore_errors=True)
