"""Pantala as a host in a network namespace, a host of the Linux kernel in another, a wire between them; and what
the kernel's side runs. host_peers_test.py and scripts/host_soak use it."""
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import peers
from peers import Failure, run

# Of Pantala, of the kernel.
ADDRESSES = {"IPv4": ("10.73.0.1", "10.73.0.2"), "IPv6": ("2001:db8:73::1", "2001:db8:73::2")}

CONFIG = """[engine]
workers = {workers}

[control]
socket = "{socket}"

[[port]]
name = "wire"
device = "{device}"
lose_ppm = {lose}
duplicate_ppm = {duplicate}
reorder_ppm = {reorder}

[[addr]]
address = "{host4}/24"
dev = "wire"

[[addr]]
address = "{host6}/64"
dev = "wire"
"""

# What a client of the kernel does: sends so many bytes and takes them back; SHA-256 of both, seconds.
ECHO_CLIENT = """
import hashlib, json, random, socket, sys, threading, time
count, chunk = int(sys.argv[2]), 1 << 16
conn = socket.create_connection((sys.argv[1], 7), 20)
conn.settimeout(120)
sent, back = hashlib.sha256(), hashlib.sha256()
began = time.monotonic()
def send():
    rng = random.Random(1)
    for begin in range(0, count, chunk):
        data = rng.randbytes(min(chunk, count - begin))
        sent.update(data)
        conn.sendall(data)
    conn.shutdown(socket.SHUT_WR)
writer = threading.Thread(target=send, daemon=True)
writer.start()
got = 0
while True:
    data = conn.recv(1 << 20)
    if not data:
        break
    got += len(data)
    back.update(data)
writer.join(120)
print(json.dumps({"bytes": got, "equal": sent.hexdigest() == back.hexdigest(),
                  "seconds": time.monotonic() - began}))
"""

UDP_CLIENT = """
import socket, sys
conn = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
conn.settimeout(10)
conn.connect((sys.argv[1], int(sys.argv[2])))
for size in map(int, sys.argv[3:]):
    data = bytes(i % 251 for i in range(size))
    conn.send(data)
    try:
        print(size, conn.recv(65536) == data)
    except ConnectionRefusedError:
        print(size, "refused")
"""


class Place:
    """Where a case runs: the program, the kind of wire, the family and its addresses."""

    def __init__(self, pantala, wire, family):
        self.pantala, self.wire, self.family = pantala, wire, family
        self.host, self.peer = ADDRESSES[family]

    def host_url(self):
        return f"[{self.host}]" if ":" in self.host else self.host


class Host:
    """`with Host(at, "httpd", options...)`: one Pantala host, one kernel host, a wire between."""

    def __init__(self, at, program, *options, workers=1, lose=0, duplicate=0, reorder=0):
        self.pantala, self.wire, self.program, self.options = at.pantala, at.wire, program, options
        self.values = {"workers": workers, "lose": lose, "duplicate": duplicate, "reorder": reorder}
        self.names = {part: f"ph{os.getpid()}{part}" for part in ("peer", "host")}
        self.directory = tempfile.mkdtemp(prefix="pantala.")
        self.socket = os.path.join(self.directory, "control")
        self.process = None

    def __enter__(self):
        try:
            for name in self.names.values():
                run("ip", "netns", "add", name)
                peers.Network.quiet(name, "all", "default")
                run("ip", "-n", name, "link", "set", "lo", "up")
            if self.wire == "veth":
                run("ip", "-n", self.names["host"], "link", "add", "port", "type", "veth",
                    "peer", "name", "wire", "netns", self.names["peer"])
                run("ip", "-n", self.names["host"], "link", "set", "port", "up")
                self.on_peer("ethtool", "-K", "wire", "tx", "off", "gso", "off", "tso", "off", "gro", "off")
            self.start()
            if self.wire == "tap":
                run("ip", "-n", self.names["host"], "link", "set", "port", "netns", self.names["peer"],
                    "name", "wire")
            run("ip", "-n", self.names["peer"], "link", "set", "wire", "up")
            run("ip", "-n", self.names["peer"], "addr", "add", f"{ADDRESSES['IPv4'][1]}/24", "dev", "wire")
            self.on_peer("sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/wire/disable_ipv6")
            run("ip", "-n", self.names["peer"], "-6", "addr", "add", f"{ADDRESSES['IPv6'][1]}/64",
                "dev", "wire", "nodad")
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for name in self.names.values():
            run("ip", "netns", "del", name, check=False)
        shutil.rmtree(self.directory, ignore_errors=True)

    def configuration(self):
        device = {"veth": "net_af_packet0,iface=port", "tap": "net_tap0,iface=port"}[self.wire]
        path = os.path.join(self.directory, "host.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(device=device, socket=self.socket, host4=ADDRESSES["IPv4"][0],
                                     host6=ADDRESSES["IPv6"][0], **self.values))
        return path

    def start(self):
        with open(os.path.join(self.directory, "log"), "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self.names["host"], self.pantala, self.program, "-c",
                 self.configuration(), *self.options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

        def answers():
            if self.process.poll() is not None:
                raise Failure(f"the host ended: {self.log()}")
            return subprocess.run([self.pantala, "--socket", self.socket, "link", "show"],
                                  capture_output=True, check=False).returncode == 0
        peers.await_true("the host answers on its control socket", answers)

    def log(self):
        with open(os.path.join(self.directory, "log"), encoding="utf-8", errors="replace") as log:
            return log.read().strip()[-2000:]

    def on_peer(self, *command, check=True):
        return run("ip", "netns", "exec", self.names["peer"], *command, check=check)

    def ask(self, *command):
        return run(self.pantala, "--socket", self.socket, *command)

    def counter(self, where, name):
        """One of `pantala stats`, TCP's included; 0 where it is not told."""
        words = ("stats", "tcp") if where == "tcp" else ("stats",)
        rows = json.loads(self.ask("--json", *words))
        return sum(row["value"] for row in rows if row["name"] == name and where in ("tcp", row["where"]))

    def is_at_rest(self, buffers):
        """No connection is left, and not more buffers are in use than `buffers`."""
        rows = json.loads(self.ask("--json", "ss"))
        return (all(row["state"] in ("LISTEN", "UNCONN", "TIME-WAIT") for row in rows)
                and self.counter("buffers", "in_use") <= buffers)

    def await_rest(self, buffers):
        peers.await_true(f"connections end and no more than {buffers} buffers are in use",
                         lambda: self.is_at_rest(buffers))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(peers.LIMIT_S)
        expect(status == 0, f"status {status}: {self.log()}")


def expect(condition, text):
    if not condition:
        raise Failure(text)


def python_on(host, program, *arguments, timeout=100):
    done = subprocess.run(
        ["ip", "netns", "exec", host.names["peer"], sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True, text=True, timeout=timeout, check=False)
    expect(done.returncode == 0, done.stderr[-1000:])
    return done.stdout


def send_and_take_back(host, at, count, timeout=100):
    """Through `pantala echo`, both ways at once; how many seconds. What came back is what was sent."""
    said = json.loads(python_on(host, ECHO_CLIENT, at.host, count, timeout=timeout))
    expect(said["bytes"] == count and said["equal"], f"not what was sent came back: {said}")
    return said["seconds"]


def fetch(host, at, name, sha256, timeout=100):
    """A file of `pantala httpd` by curl; how many seconds. Its SHA-256 is this one."""
    began = time.monotonic()
    done = subprocess.run(
        ["ip", "netns", "exec", host.names["peer"], "sh", "-c",
         f"curl -sS --fail 'http://{at.host_url()}/{name}' | sha256sum"],
        capture_output=True, text=True, timeout=timeout, check=False)
    seconds = time.monotonic() - began
    expect(done.stdout.split()[:1] == [sha256], f"another file came: {done.stdout} {done.stderr}")
    return seconds


def random_file(path, count):
    """Writes `count` bytes that nobody can compress; their SHA-256."""
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for begin in range(0, count, 1 << 20):
            data = os.urandom(min(1 << 20, count - begin))
            digest.update(data)
            file.write(data)
    return digest.hexdigest()


def scan(host, at, ports, *options, timeout=300):
    """nmap's SYN scan, version probes and guess at the system; what it printed."""
    family = ["-6"] if at.family == "IPv6" else []
    done = subprocess.run(
        ["ip", "netns", "exec", host.names["peer"], "nmap", *family, "-Pn", "-n", "-sS", "-sV", "-O", "-p", ports,
         *options, at.host], capture_output=True, text=True, timeout=timeout, check=False)
    expect(done.returncode == 0, done.stdout + done.stderr)
    return done.stdout
