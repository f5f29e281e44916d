"""A running `pantala run` between two buses, for the tests that look at it from outside, and their TAP."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

LIMIT_S = 240  # a sanitized program beside others on few cores takes a minute for what else takes one second

CONFIG = """[engine]
lcores = "floating"

[[port]]
name = "west"
device = "bus:{dir}/west.bus,flow=lossless"
mac = "02:00:00:00:00:01"

[[port]]
name = "east"
device = "bus:{dir}/east.bus,flow=lossless"

[[link]]
name = "east.7"
port = "east"
vlan = 7

[[vrf]]
name = "red"
table = 100

[[link]]
name = "east.100"
port = "east"
vlan = 100

[[iface]]
dev = "east.100"
vrf = "red"

[[addr]]
address = "10.2.0.1/24"
dev = "east.100"
dad = "off"

[[route]]
to = "20.0.0.0/8"
via = "10.2.0.9"
vrf = "red"

[[addr]]
address = "10.1.0.1/24"
dev = "west"

[[addr]]
address = "10.2.0.1/24"
dev = "east"

[[addr]]
address = "2001:db8:2::1/64"
dev = "east"

[[neigh]]
address = "10.2.0.2"
lladdr = "02:70:00:00:00:00"
dev = "east"

[[route]]
to = "20.0.0.0/8"
via = "10.2.0.2"
"""


class Router:
    """A running pantala, and the commands that speak to it."""

    def __init__(self, program, directory, config=None):
        self.program, self.directory = program, directory
        self.socket = directory + "/control.sock"
        self.config = config or directory + "/router.toml"
        if not config:
            with open(self.config, "w", encoding="ascii") as file:
                file.write(CONFIG.format(dir=directory))
        self.process = self.start()
        line = self.process.stdout.readline()
        assert line, "the router says nothing and ends"
        self.ready = json.loads(line)

    def start(self):
        return subprocess.Popen(
            [self.program, "--json", "--socket", self.socket, "run", "-c", self.config],
            stdout=subprocess.PIPE, text=True)

    def command(self, *words, text=None):
        """Status, stdout and stderr of a command."""
        done = subprocess.run([self.program, "--socket", self.socket, *words], input=text, text=True,
                              capture_output=True, timeout=LIMIT_S, check=False)
        return done.returncode, done.stdout, done.stderr

    def ask(self, *words):
        status, out, err = self.command("--json", *words)
        assert status == 0, f"{words}: {err}"
        return json.loads(out)

    def refuses(self, *words, because, text=None):
        status, _, err = self.command(*words, text=text)
        assert status == 1 and because in err, f"{words}: status {status}, {err!r}"

    def misused(self, *words, because):
        """The command line itself is wrong: nobody is asked, and the status says so."""
        status, _, err = self.command(*words)
        assert status == 2 and because in err, f"{words}: status {status}, {err!r}"

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT_S)


def tap(tests, subject, around=lambda test: None):
    """Calls the tests with the subject and says of each in TAP how it ended; the number of those that failed.

    `around` is called before each."""
    print(f"1..{len(tests)}", flush=True)
    bad = 0
    for number, test in enumerate(tests, 1):
        name = test.__name__.replace("_", " ")
        try:
            around(test)
            test(subject)
            print(f"ok {number} - {name}", flush=True)
        except (AssertionError, KeyError, ValueError, subprocess.TimeoutExpired) as failure:
            bad += 1
            print(f"not ok {number} - {name}\n# {failure!r}", flush=True)
    return bad


def run_with_router(tests):
    """Calls the tests with one router of the program that the command line names; the status to end with."""
    directory = tempfile.mkdtemp(prefix="pantala.")
    try:
        router = Router(os.path.abspath(sys.argv[1]), directory)
        try:
            return tap(tests, router) != 0
        finally:
            router.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
