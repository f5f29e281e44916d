"""Unmodified dpdk-testpmd processes on buses, as an ordinary user without hugepages, told what to do
at their prompt. For the tests of this directory.
"""
import os
import pty
import re
import select
import shutil
import subprocess
import tempfile
import time

TESTPMD = shutil.which("dpdk-testpmd")
NOBODY = 65534
PROMPT = "testpmd> "
WAIT_SECONDS = 40  # a busy machine starts programs slowly


class Failure(Exception):
    """What a test expected and did not get."""


def wait_for(true, what, seconds=WAIT_SECONDS):
    """Waits until `true()` holds; its value."""
    until = time.monotonic() + seconds
    while True:
        value = true()
        if value:
            return value
        if time.monotonic() > until:
            raise Failure("waited %d s in vain: %s" % (seconds, what))
        time.sleep(0.05)


def as_nobody():
    """Popen's arguments that make root's children ordinary users."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


class Home:
    """A directory in memory that user nobody may write to; gone at the end."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="pantala-testpmd-", dir="/dev/shm")
        if os.geteuid() == 0:
            os.chown(self.path, NOBODY, NOBODY)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def bus(self, name="bus"):
        return os.path.join(self.path, name)


class Plugin:
    """The plugin where user nobody may read it; EAL takes none below a world-writable directory."""

    def __init__(self, path):
        self.path = os.path.abspath(path)
        self.directory = None

    def __enter__(self):
        if os.geteuid() == 0:
            self.directory = tempfile.mkdtemp(prefix="pantala-plugin-", dir="/run")
            os.chmod(self.directory, 0o755)
            return shutil.copy(self.path, self.directory)
        return self.path

    def __exit__(self, *_):
        if self.directory is not None:
            shutil.rmtree(self.directory)


class Testpmd:
    """One dpdk-testpmd at its prompt, port 0 on a bus."""

    count = 0

    def __init__(self, plugin, home, arguments="", options=(), bus="bus", eal=(), user=None, memory=("--no-huge", "--no-shconf", "-m", "256")):
        Testpmd.count += 1
        cpus = "0-%d" % (os.cpu_count() - 1)
        device = "net_shmif0,bus=%s%s" % (home.bus(bus), "," + arguments if arguments else "")
        words = [TESTPMD, "-d", plugin, *memory, "--no-pci", "--no-telemetry", "--lcores", "0@%s,1@%s" % (cpus, cpus),
                 "--file-prefix", "pantala%d-%d" % (os.getpid(), Testpmd.count), "--vdev", device, *eal, "--", "-i",
                 "--total-num-mbufs=4096", "--no-mlockall", *options]
        self.prefix = words[words.index("--file-prefix") + 1]
        self.text = ""
        # On a terminal, or it would keep back what it prints.
        self.terminal, inside = pty.openpty()
        self.process = subprocess.Popen(
            words, stdin=inside, stdout=inside, stderr=inside, cwd=home.path,
            env=dict(os.environ, HOME=home.path, XDG_RUNTIME_DIR=home.path), **(as_nobody() if user is None else user))
        os.close(inside)

    def __enter__(self):
        self.until_prompt()
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.process.kill()
            for line in self.text.splitlines()[-25:]:
                print("#", line)
        self.process.wait(timeout=WAIT_SECONDS)
        os.close(self.terminal)

    def read(self, seconds):
        """What it prints within that time, as soon as there is something; None at its end."""
        if not select.select([self.terminal], [], [], seconds)[0]:
            raise Failure("testpmd says nothing for %d s" % seconds)
        try:
            got = os.read(self.terminal, 65536).decode(errors="replace").replace("\r", "")
        except OSError:  # a terminal whose other side is closed
            return None
        self.text += got
        return got

    def until_prompt(self):
        """What it printed until it asks for a command."""
        start = len(self.text)
        while not self.text[start:].endswith(PROMPT):
            if self.read(WAIT_SECONDS) is None:
                raise Failure("testpmd ended with status %s" % self.process.wait(WAIT_SECONDS))
        return self.text[start:]

    def tell(self, command):
        """Gives a command; what it printed."""
        os.write(self.terminal, (command + "\n").encode())
        return self.until_prompt()

    def stats(self):
        """The port's statistics by their names in testpmd."""
        text = self.tell("show port stats 0")
        return {name: int(value) for name, value in re.findall(r"([RT]X-[a-z]+): +(\d+)", text)}

    def xstats(self):
        text = self.tell("show port xstats 0")
        return {name: int(value) for name, value in re.findall(r"^(\w+): (\d+)\s*$", text, re.M)}

    def forward(self, mode, *settings):
        self.tell("stop")
        for setting in settings:
            self.tell(setting)
        self.tell("set fwd " + mode)
        self.tell("start")

    def quit(self):
        """Ends it; it must end well."""
        os.write(self.terminal, b"stop\nquit\n")
        while self.read(WAIT_SECONDS) is not None:
            pass
        if self.process.wait(timeout=WAIT_SECONDS) != 0:
            raise Failure("testpmd ended with status %d" % self.process.returncode)


def settled(port):
    """The statistics once nothing comes in any more."""
    last = port.stats()
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        time.sleep(0.3)
        now = port.stats()
        if now == last:
            return now
        last = now
    raise Failure("traffic does not stop")


def expect(condition, what):
    if not condition:
        raise Failure(what)


def run_tests(tests, skip):
    """Runs (name, function) pairs, prints TAP; the exit status. `skip` is a reason or None."""
    print("1..%d" % len(tests))
    failed = 0
    for number, (name, test) in enumerate(tests, 1):
        if skip is not None:
            print("ok %d - %s # skip %s" % (number, name, skip))
            continue
        try:
            reason = test()
            print("ok %d - %s%s" % (number, name, " # skip " + reason if reason else ""), flush=True)
        except (Failure, subprocess.TimeoutExpired, OSError) as failure:
            failed += 1
            print("# %s" % failure)
            print("not ok %d - %s" % (number, name), flush=True)
    return 1 if failed else 0
