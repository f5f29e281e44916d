#!/usr/bin/env python3
"""Pantala as a host, with peers of the Linux kernel: web server, echo, load, scans, transfers over a bad network.

PANTALA_TRANSFER_MB says how much each transfer carries (default 4); scripts/host_soak carries a gigabyte."""
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile

import peers
from kernel_host import ADDRESSES, Host, Place, UDP_CLIENT, expect, python_on, scan, send_and_take_back
from peers import Failure, run

TRANSFER_MB = int(os.environ.get("PANTALA_TRANSFER_MB", "4"))

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
            before = host.counter("buffers", "in_use")
            send_and_take_back(host, at, TRANSFER_MB << 20, timeout=60 + 10 * TRANSFER_MB)
            # A bad network holds one packet back, each way and worker.
            host.await_rest(before + (2 * workers if reorder else 0))
            host.stop()
    return case


def answers_ncat(at):
    with Host(at, "echo") as host:
        said = host.on_peer("sh", "-c", f"seq 100000 | ncat {at.host} 7 | cksum; seq 100000 | cksum")
        came, sent = said.splitlines()
        expect(came == sent, said)
        host.stop()


def survives_a_scan(at):
    if at.wire == "tap":
        return "the same as over veth"
    if not shutil.which("nmap"):
        return "no nmap on this machine"
    with Host(at, "httpd") as host:
        before = host.counter("buffers", "in_use")
        said = scan(host, at, "75-85", "--version-light", "--max-os-tries", "1")
        expect("80/tcp open" in said, said)
        host.await_rest(before)
        host.on_peer("curl", "-sS", "--fail", f"http://{at.host_url()}/")
        host.stop()
    return None


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
    ("ncat sends, shuts down and gets it back", answers_ncat),
    ("nmap -sS -sV -O", survives_a_scan),
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
