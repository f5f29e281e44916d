"""Two hosts of the Linux kernel, each in a network namespace of its own, with a router between."""
import os
import shutil
import subprocess
import tempfile
import time

LEFT, RIGHT = ("10.71.0.1", "10.71.0.2"), ("10.72.0.1", "10.72.0.2")  # router's, host's
RIGHT_MTU = 1400
LIMIT_S = 30  # what only a failure reaches

CONFIG = """[engine]
workers = {workers}

[control]
socket = "{socket}"

[[port]]
name = "left"
device = "{left}"

[[port]]
name = "right"
device = "{right}"
mtu = {right_mtu}

[[addr]]
address = "{left_ip}/24"
dev = "left"

[[addr]]
address = "{right_ip}/24"
dev = "right"
"""


class Failure(Exception):
    """What was expected did not happen."""


def run(*command, check=True):
    """A command's output; a failure says what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S * 4, check=False)
    output = done.stdout + done.stderr
    if check and done.returncode:
        raise Failure(f"{' '.join(command)}: status {done.returncode}: {output.strip()}")
    return output


def lacks():
    """Why this machine cannot run the tests, or None."""
    for tool in ("ip", "ping", "traceroute", "tracepath", "ethtool"):
        if not shutil.which(tool):
            return f"no {tool} on this machine"
    if os.geteuid():
        return "needs root to make network namespaces"
    name = f"pt{os.getpid()}"
    try:
        run("ip", "netns", "add", name)
        run("ip", "netns", "del", name)
    except (Failure, OSError) as failure:
        return f"cannot make network namespaces here ({failure})"
    return None


def await_true(what, condition):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {LIMIT_S} s")
        time.sleep(0.05)


class Network:
    """`with Network(pantala, "veth" or "tap", workers)`: the left host, the router, the right host."""

    def __init__(self, pantala, wire, workers=1):
        self.pantala, self.wire, self.workers = pantala, wire, workers
        self.names = {part: f"pt{os.getpid()}{part}" for part in ("left", "router", "right")}
        self.directory = tempfile.mkdtemp(prefix="pantala.")
        self.socket = os.path.join(self.directory, "control")
        self.router = None

    def __enter__(self):
        try:
            for name in self.names.values():
                run("ip", "netns", "add", name)
                self.quiet(name, "all", "default")
                run("ip", "-n", name, "link", "set", "lo", "up")
            if self.wire == "veth":
                self.make_veth()
            self.start()
            if self.wire == "tap":
                self.take_taps()
            for side, (router, host), mtu in (("left", LEFT, 1500), ("right", RIGHT, RIGHT_MTU)):
                name = self.names[side]
                run("ip", "-n", name, "link", "set", "wire", "mtu", str(mtu), "up")
                run("ip", "-n", name, "addr", "add", f"{host}/24", "dev", "wire")
                run("ip", "-n", name, "route", "add", "default", "via", router)
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        if self.router and self.router.poll() is None:
            self.router.kill()
            self.router.wait()
        for name in self.names.values():
            run("ip", "netns", "del", name, check=False)
        shutil.rmtree(self.directory, ignore_errors=True)

    @staticmethod
    def quiet(name, *interfaces):
        """No IPv6 chatter: what crosses the wire is what the tests send."""
        for interface in interfaces:
            run("ip", "netns", "exec", name, "sh", "-c",
                f"echo 1 >/proc/sys/net/ipv6/conf/{interface}/disable_ipv6", check=False)

    def make_veth(self):
        router = self.names["router"]
        for side in ("left", "right"):
            run("ip", "-n", router, "link", "add", side, "type", "veth",
                "peer", "name", "wire", "netns", self.names[side])
            run("ip", "-n", router, "link", "set", side, "up")
            # The kernel would leave checksums to a NIC that is not there.
            run("ip", "netns", "exec", self.names[side], "ethtool", "-K", "wire", "tx", "off")

    def take_taps(self):
        for side in ("left", "right"):
            run("ip", "-n", self.names["router"], "link", "set", f"tap_{side}", "netns", self.names[side],
                "name", "wire")

    def start(self):
        device = {"veth": "net_af_packet{0},iface={1}", "tap": "net_tap{0},iface=tap_{1}"}[self.wire]
        path = os.path.join(self.directory, "router.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(
                workers=self.workers, socket=self.socket, left=device.format(0, "left"),
                right=device.format(1, "right"), right_mtu=RIGHT_MTU, left_ip=LEFT[0], right_ip=RIGHT[0]))
        with open(os.path.join(self.directory, "log"), "w", encoding="utf-8") as log:
            self.router = subprocess.Popen(
                ["ip", "netns", "exec", self.names["router"], self.pantala, "run", "-c", path],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

        def answers():
            if self.router.poll() is not None:
                raise Failure(f"the router ended: {self.log()}")
            return subprocess.run([self.pantala, "--socket", self.socket, "link", "show"],
                                  capture_output=True, check=False).returncode == 0
        await_true("the router answers on its control socket", answers)

    def log(self):
        with open(os.path.join(self.directory, "log"), encoding="utf-8", errors="replace") as log:
            return log.read().strip()[-2000:]

    def on(self, side, *command, check=True):
        return run("ip", "netns", "exec", self.names[side], *command, check=check)

    def ask(self, *command):
        return run(self.pantala, "--socket", self.socket, *command)

    def stop(self):
        """SIGTERM; the router's exit status."""
        self.router.terminate()
        return self.router.wait(LIMIT_S)
