"""A router on three buses, one of which is written all over, header and records, while it works on the others.

usage: wild_bus_test.py PANTALA [ROUNDS]. Prints TAP. What travels between the two other buses must all arrive,
commands must be answered, what the wild bus spoilt must be counted, and the router must end cleanly. Every wait
is for a state; its bound is reached by a failure only. The bytes written come from a seed, the moments do not.
"""
import json
import mmap
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from router_process import CONFIG, LIMIT_S, Router, tap  # pylint: disable=wrong-import-position

WILD = """
[[port]]
name = "wild"
device = "bus:{path},size=4M"
mac = "02:00:00:00:00:66"

[[addr]]
address = "10.66.0.1/24"
dev = "wild"
dad = "off"

[[neigh]]
address = "10.66.0.2"
lladdr = "02:00:00:00:66:02"
dev = "wild"

[[route]]
to = "66.0.0.0/8"
via = "10.66.0.2"
"""
# Where a bus of this shape has what its logs say of themselves, and its first record (pmd/bus_layout.hpp).
HEADS, RECORDS = 4096 + 16 * 512, 2 << 20
WRITES = 20000


def garbage(seed, size):
    """Random bytes, among them numbers that a bus's fields may hold."""
    chosen = random.Random(seed)
    words = (chosen.choice((chosen.randbytes(8), struct.pack("<Q", chosen.randrange(1 << chosen.randrange(64)))))
             for _ in range((size + 7) // 8))
    return b"".join(words)[:size]


class Scribbler(threading.Thread):
    """Writes garbage over a bus's file: mostly where the fields are that readers follow, the rest anywhere."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.writes, self.ends = path, 0, threading.Event()

    def run(self):
        chosen, dirty = random.Random(7), garbage(1, 1 << 16)
        with open(self.path, "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            while not self.ends.is_set():
                size = chosen.choice((1, 4, 8, 64, 4096))
                at = chosen.randrange(chosen.choice((4096, 1 << 16, len(memory))) - size + 1)
                start = chosen.randrange(len(dirty) - size)
                memory[at:at + size] = dirty[start:start + size]
                self.writes += 1
                if self.writes % 16 == 0:
                    time.sleep(0)  # a CPU for those who are to suffer

    def end(self):
        self.ends.set()
        if self.is_alive():
            self.join(LIMIT_S)


def generator(router, to, out, into, *words):
    return [router.program, "gen", "--tx", f"bus:{router.directory}/{out}", "--rx",
            f"bus:{router.directory}/{into}", "--next", to, *words, "--json"]


def traffic(router, destinations, *words):
    done = subprocess.run(
        generator(router, "02:00:00:00:00:01", "west.bus,flow=lossless", "east.bus", "--from", "10.1.0.2", "--to", destinations,
                  "--size", "64,1000", "--flows", "300", "--count", "3000", "--rate", "10k", *words),
        capture_output=True, text=True, timeout=2 * LIMIT_S, check=False)
    return done.returncode, json.loads(done.stdout), done.stderr


def the_others_lose_nothing(router):
    status, report, why = traffic(router, "20.0.0.0/8", "--seconds", str(LIMIT_S), "--routed")
    assert status == 0, why
    assert report["sent"] == report["received"] == 3000 and report["corrupt"] == 0, report
    _, report, _ = traffic(router, "66.0.0.0/8", "--seconds", "1")  # into the wild: the router has to send there
    assert report["sent"] > 0 and report["received"] == 0, report


def of_the_wild_port(router, *names):
    return sum(row["value"] for row in router.ask("stats", "all")
               if row["where"] == "port wild" and row["name"] in names)


def what_was_spoilt_is_counted(router):
    """The records that a stopped router has not read yet are all overwritten; again where it had read them."""
    ends = time.monotonic() + LIMIT_S
    with open(router.directory + "/wild.bus", "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        dirt = (garbage(2, 1 << 16) * (len(memory) >> 16))[:len(memory) - RECORDS]
        while of_the_wild_port(router, "shmif_rx_garbled") == 0:
            assert time.monotonic() < ends, router.ask("stats", "all")
            router.process.send_signal(signal.SIGSTOP)
            before = memory[HEADS:RECORDS]
            while memory[HEADS:RECORDS] == before:
                pass
            router.peer.send_signal(signal.SIGSTOP)
            memory[RECORDS:] = dirt
            router.process.send_signal(signal.SIGCONT)
            router.ask("link")
            router.peer.send_signal(signal.SIGCONT)


def routes_are_whole(router):
    assert router.ask("route", "verify")["wrong"] == 0


def the_router_ends_cleanly(router):
    assert router.process.poll() is None
    assert router.stop() == 0


def main():
    program = os.path.abspath(sys.argv[1])
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    tests = [what_was_spoilt_is_counted, *[the_others_lose_nothing] * rounds, routes_are_whole, the_router_ends_cleanly]
    directory = tempfile.mkdtemp(prefix="pantala.")
    path, config = directory + "/wild.bus", directory + "/wild.toml"
    with open(config, "w", encoding="ascii") as file:
        file.write(CONFIG.format(dir=directory) + WILD.format(path=path))
    router = Router(program, directory, config)
    scribbler = Scribbler(path)
    # A live station on the wild bus, so that there are records to spoil.
    router.peer = subprocess.Popen(
        generator(router, "02:00:00:00:00:66", "wild.bus", "wild.bus", "--from", "10.66.0.2", "--to", "66.0.0.0/8", "--rate", "2k",
                  "--seconds", str(10 * LIMIT_S)),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def around(test):
        if test is the_others_lose_nothing and not scribbler.is_alive():
            scribbler.start()
        if test is routes_are_whole:
            while scribbler.writes < WRITES and scribbler.is_alive():
                time.sleep(0.01)
            assert scribbler.writes >= WRITES, f"the scribbler died after {scribbler.writes} writes"
            scribbler.end()

    try:
        while of_the_wild_port(router, "rx_packets") == 0:
            assert router.peer.poll() is None, "the station on the wild bus ended"
            time.sleep(0.01)
        return tap(tests, router, around) != 0
    finally:
        scribbler.end()
        for process in (router.peer, router.process):
            process.kill()
            process.wait(LIMIT_S)
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
