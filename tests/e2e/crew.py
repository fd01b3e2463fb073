"""Threads that keep a grid busy while a test looks at it."""

import threading
import time


class Crew:
    """Begins `run(*each)` in a thread for each of `jobs` where its with block begins, and waits for them where it ends: they go on until `over` is set. `lock` is for what they count."""

    def __init__(self, run, jobs):
        self.over, self.lock, self.seconds = threading.Event(), threading.Lock(), None
        self.threads = [threading.Thread(target=run, args=each, daemon=True) for each in jobs]

    def passed(self):
        """Seconds since the beginning, as long as it goes on."""
        return time.monotonic() - self.began

    def __enter__(self):
        self.began = time.monotonic()
        [t.start() for t in self.threads]
        return self

    def __exit__(self, *_):
        self.over.set()
        [t.join() for t in self.threads]
        self.seconds = self.passed()
