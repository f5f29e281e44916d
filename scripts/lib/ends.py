"""How a script ends when it is told to."""
import signal
import sys


def end_on_signals():
    """SIGTERM and SIGHUP end this process as SIGINT does: what `finally` tidies up (programs that run on, files)
    does not stay behind."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
