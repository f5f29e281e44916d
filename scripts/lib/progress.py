"""How long something has been going on, on stderr: what progress.sh is for scripts in Python."""
import sys
import time


class Progress:
    """Nothing in the first second; on a terminal one line that is written over, else a line every ten seconds."""

    def __init__(self, what):
        self.what, self.began, self.shown = what, time.monotonic(), 0
        self.every = 1 if sys.stderr.isatty() else 10

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.shown and self.every == 1:
            print("\033[K", end="", file=sys.stderr, flush=True)

    def show(self, more=""):
        passed = int(time.monotonic() - self.began)
        if passed // self.every > self.shown:
            self.shown = passed // self.every
            line = f"{self.what}: {passed} s{', ' if more else ''}{more}"
            print(line, end="\033[K\r" if self.every == 1 else "\n", file=sys.stderr, flush=True)
