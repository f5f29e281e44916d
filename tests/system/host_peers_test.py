#!/usr/bin/env python3
"""Pantala as a host, with peers of the Linux kernel: web server, echo, load, transfers over a bad network.

PANTALA_TRANSFER_MB says how much each transfer carries (default 4)."""
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile

import peers
from peers import Failure, run

# Of Pantala, of the kernel.
ADDRESSES = {"IPv4": ("10.73.0.1", "10.73.0.2"), "IPv6": ("2001:db8:73::1", "2001:db8:73::2")}
TRANSFER_MB = int(os.environ.get("PANTALA_TRANSFER_MB", "4"))

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

# What a client of the kernel does: sends a file and takes it back, SHA-256 of both.
ECHO_CLIENT = """
import hashlib, socket, sys, threading
count, chunk = int(sys.argv[2]), 1 << 16
conn = socket.create_connection((sys.argv[1], 7), 20)
conn.settimeout(120)
sent, back = hashlib.sha256(), hashlib.sha256()
def send():
    import random
    rng = random.Random(1)
    for _ in range(count >> 16):
        data = rng.randbytes(chunk)
        sent.update(data)
        conn.sendall(data)
    conn.shutdown(socket.SHUT_WR)
writer = threading.Thread(target=send)
writer.start()
got = 0
while True:
    data = conn.recv(1 << 20)
    if not data:
        break
    got += len(data)
    back.update(data)
writer.join()
print(got, sent.hexdigest() == back.hexdigest())
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

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(peers.LIMIT_S)
        expect(status == 0, f"status {status}: {self.log()}")


def expect(condition, text):
    if not condition:
        raise Failure(text)


def python_on(host, program, *arguments):
    done = subprocess.run(
        ["ip", "netns", "exec", host.names["peer"], sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True, text=True, timeout=60 + 10 * TRANSFER_MB, check=False)
    expect(done.returncode == 0, done.stderr[-1000:])
    return done.stdout


# -- the web server

def serves_files(at):
    with tempfile.TemporaryDirectory() as root:
        content = os.urandom(3_000_001)
        with open(os.path.join(root, "data.bin"), "wb") as file:
            file.write(content)
        os.chmod(root, 0o755)
        with Host(at, "httpd", "--root", root) as host:
            out = os.path.join(host.directory, "out")
            said = host.on_peer("curl", "-sS", "-o", out, "-w", "%{http_code} %{num_connects}\\n",
                                f"http://{at.host_url()}/data.bin")
            expect(said.strip() == "200 1", said)
            with open(out, "rb") as file:
                expect(file.read() == content, "another content came")
            said = host.on_peer("curl", "-sS", "-o", "/dev/null", "-o", "/dev/null", "-o", "/dev/null",
                                "-w", "%{http_code} %{num_connects}\\n", f"http://{at.host_url()}/data.bin",
                                f"http://{at.host_url()}/nothing", f"http://{at.host_url()}/data.bin")
            expect(said.split("\n")[:3] == ["200 1", "404 0", "200 0"], f"one connection for all: {said}")
            rows = host.ask("--json", "ss")
            expect('"LISTEN"' in rows, rows)
            host.stop()


def stands_load(at):
    if not shutil.which("wrk"):
        return "no wrk on this machine"
    with Host(at, "httpd") as host:
        said = host.on_peer("wrk", "-t1", "-c50", "-d2", f"http://{at.host_url()}/")
        expect("Requests/sec" in said and "Socket errors" not in said and "Non-2xx" not in said, said)
        host.stop()


# -- echo

def refuses_closed_ports(at):
    with Host(at, "echo") as host:
        said = python_on(host, "import socket, sys\n"
                         "try: socket.create_connection((sys.argv[1], 81), 10)\n"
                         "except ConnectionRefusedError: print('refused')\n", at.host)
        expect(said.strip() == "refused", said)
        said = python_on(host, UDP_CLIENT, at.host, 81, 1)
        expect(said.strip() == "1 refused", said)
        host.stop()


def echoes_datagrams(at):
    with Host(at, "echo") as host:
        sizes = [0, 1, 1452, 1453, 1472, 1473]
        # DPDK's AF_PACKET driver has the kernel put IPv4 fragments together, and gets what one buffer holds.
        if (at.wire, at.family) != ("veth", "IPv4"):
            sizes.append(20000)
        said = python_on(host, UDP_CLIENT, at.host, 7, *sizes)
        expect(said.split() == [word for size in sizes for word in (str(size), "True")], said)
        host.stop()


def echoes_over(lose, duplicate, reorder, workers=1):
    def case(at):
        with Host(at, "echo", workers=workers, lose=lose, duplicate=duplicate,
                  reorder=reorder) as host:
            count = TRANSFER_MB << 20
            said = python_on(host, ECHO_CLIENT, at.host, count)
            expect(said.split() == [str(count), "True"], said)
            left = subprocess.run([host.pantala, "--socket", host.socket, "--json", "ss"],
                                  capture_output=True, text=True, check=True).stdout
            expect('"ESTAB"' not in left, left)
            host.stop()
    return case


def loads_a_kernel_server(at):
    if at.wire == "tap":
        return "the tap goes with the program that made it"
    server = ("import asyncio\n"
              "async def echo(r, w):\n"
              "    while data := await r.read(65536): w.write(data); await w.drain()\n"
              "    w.close()\n"
              "async def main():\n"
              f"    s = await asyncio.start_server(echo, '{at.peer}', 7)\n"
              "    print('listening', flush=True)\n"
              "    await s.serve_forever()\n"
              "asyncio.run(main())\n")
    with Host(at, "echo") as host, contextlib.ExitStack() as stack:
        kernel = subprocess.Popen(["ip", "netns", "exec", host.names["peer"], sys.executable, "-c", server],
                                  stdout=subprocess.PIPE, text=True)
        stack.callback(kernel.wait)
        stack.callback(kernel.kill)
        expect(kernel.stdout.readline() == "listening\n", "the server does not start")
        host.stop()
        target = f"[{at.peer}]:7" if ":" in at.peer else f"{at.peer}:7"
        said = run("ip", "netns", "exec", host.names["host"], at.pantala, "tcpload", "-c", host.configuration(),
                   "--json", "--echo", "100", "--connections", "10", "--requests", "50", "--warmup", "0.2",
                   "--seconds", "1", target)
        expect('"bad_answers":0' in said and '"failed_connections":0' in said, said)
    return None


CASES = [
    ("curl gets files, over one connection", serves_files),
    ("wrk", stands_load),
    ("closed ports", refuses_closed_ports),
    ("UDP echo", echoes_datagrams),
    (f"{TRANSFER_MB} MiB there and back", echoes_over(0, 0, 0)),
    (f"{TRANSFER_MB} MiB, two workers", echoes_over(0, 0, 0, workers=2)),
    (f"{TRANSFER_MB} MiB, 1 % lost", echoes_over(10_000, 0, 0)),
    (f"{TRANSFER_MB} MiB, 5 % lost, 1 % doubled, 2 % overtaken", echoes_over(50_000, 10_000, 20_000)),
    ("tcpload against a kernel server", loads_a_kernel_server),
]


def main():
    why = peers.lacks() or (None if shutil.which("curl") else "no curl on this machine")
    if why:
        print(f"1..0 # SKIP {why}")
        return 0
    wires = sys.argv[2:] or ["veth", "tap"]
    places = [Place(sys.argv[1], wire, family) for wire in wires for family in ADDRESSES]
    print(f"1..{len(CASES) * len(places)}", flush=True)
    number, failed = 0, 0
    for at in places:
        for name, case in CASES:
            number += 1
            title = f"{at.wire}, {at.family}: {name}"
            try:
                skipped = case(at)
                print(f"ok {number} - {title}" + (f" # SKIP {skipped}" if skipped else ""), flush=True)
            except (Failure, OSError, subprocess.SubprocessError) as failure:
                failed += 1
                text = str(failure).replace("\n", "\n# ")
                print(f"not ok {number} - {title}\n# {text}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
