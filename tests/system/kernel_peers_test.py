#!/usr/bin/env python3
"""The router between two hosts of the Linux kernel: ping, traceroute, path MTU, fragments, TCP.

usage: kernel_peers_test.py PANTALA        TAP on stdout; skipped where there is no root
"""
import hashlib
import os
import re
import subprocess
import sys

import peers

PINGS = 20
BYTES = 4 << 20

SERVER = """
import hashlib, socket, sys
listener = socket.create_server((sys.argv[1], 7000))
print("listening", flush=True)
peer, _ = listener.accept()
total = hashlib.sha256()
while data := peer.recv(65536):
    total.update(data)
peer.sendall(total.digest())
"""
CLIENT = """
import socket, sys
server = socket.create_connection((sys.argv[1], 7000), timeout=60)
server.sendall(sys.stdin.buffer.read())
server.shutdown(socket.SHUT_WR)
sys.stdout.write(server.recv(32, socket.MSG_WAITALL).hex())
"""


def ping(net, side, target, *options, count=PINGS):
    """How many of `count` echo requests were answered, and what ping printed."""
    # One by one: ping gives the last of a series only two round trips' time.
    command = " ".join(["ping", "-n", "-c", "1", "-W", "20", *options, target])
    output = net.on(side, "sh", "-c", f"for i in $(seq {count}); do {command}; done", check=False)
    return len(re.findall(r" 1 received", output)), output


def expect(condition, output):
    if not condition:
        raise peers.Failure(" | ".join(output.strip().splitlines()[-6:]))


def pings_router(net):
    for side, (router, _) in (("left", peers.LEFT), ("right", peers.RIGHT)):
        answered, output = ping(net, side, router)
        expect(answered == PINGS, output)


def pings_through(net):
    for side, (_, host) in (("left", peers.RIGHT), ("right", peers.LEFT)):
        answered, output = ping(net, side, host)
        expect(answered == PINGS, output)
        expect("ttl=63" in output, output)


def knows_neighbours(net):
    output = net.on("left", "ip", "neigh", "show", peers.LEFT[0])
    expect("lladdr" in output, output)
    output = net.ask("neigh", "show")
    expect(peers.LEFT[1] in output and peers.RIGHT[1] in output, output)


def traceroute(net):
    for probes in ("-U", "-I"):
        output = net.on("left", "traceroute", "-n", probes, "-q", "1", "-N", "1", "-w", "5", "-m", "4",
                        peers.RIGHT[1])
        hops = re.findall(r"^\s*(\d+)\s+([\d.]+)\s", output, re.M)
        expect(hops == [("1", peers.LEFT[0]), ("2", peers.RIGHT[1])], output)


def path_mtu(net):
    output = net.on("left", "tracepath", "-n", "-m", "4", peers.RIGHT[1])
    expect(f"pmtu {peers.RIGHT_MTU}" in output and "reached" in output, output)
    net.on("left", "ip", "route", "flush", "cache")
    _, output = ping(net, "left", peers.RIGHT[1], "-M", "do", "-s", str(peers.RIGHT_MTU - 27), count=2)
    expect(f"mtu = {peers.RIGHT_MTU}" in output or f"mtu={peers.RIGHT_MTU}" in output, output)
    answered, output = ping(net, "left", peers.RIGHT[1], "-M", "do", "-s", str(peers.RIGHT_MTU - 28))
    expect(answered == PINGS, output)


def fragments(net):
    net.on("left", "ip", "route", "flush", "cache")
    # DF off, and the whole packet fits the left link: so the router has to cut it.
    answered, output = ping(net, "left", peers.RIGHT[1], "-M", "dont", "-s", "1472")
    expect(answered == PINGS, output)


def fragments_of_fragments(net):
    net.on("left", "ip", "route", "flush", "cache")
    # Cut by the kernel already, and once more by the router.
    answered, output = ping(net, "left", peers.RIGHT[1], "-M", "dont", "-s", "8000")
    expect(answered == PINGS, output)


def no_route(net):
    answered, output = ping(net, "left", "203.0.113.9", count=2)
    expect(answered == 0 and re.search(r"From 10\.71\.0\.1 .*Unreachable", output), output)


def redirects(net):
    """A detour over the router is told to the kernel, and it takes the other way from then on."""
    there, better = "203.0.113.1", "10.71.0.3"
    net.on("left", "sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/wire/accept_redirects")
    net.ask("neigh", "add", better, "lladdr", "02:00:00:00:71:99", "dev", "left")
    # The kernel follows to a neighbour that it knows, and asks for others.
    net.on("left", "ip", "neigh", "replace", better, "lladdr", "02:00:00:00:71:99", "dev", "wire")
    net.ask("route", "add", f"{there}/32", "via", better)

    def follows():
        ping(net, "left", there, "-W", "0.1", count=1)
        return f"via {better}" in net.on("left", "ip", "route", "get", there)
    peers.await_true("the kernel follows the redirect", follows)
    net.ask("route", "del", f"{there}/32")
    net.ask("neigh", "del", better, "dev", "left")
    net.on("left", "ip", "neigh", "del", better, "dev", "wire")
    net.on("left", "ip", "route", "flush", "cache")


def tcp(net):
    data = os.urandom(BYTES)
    server = subprocess.Popen(
        ["ip", "netns", "exec", net.names["right"], sys.executable, "-c", SERVER, peers.RIGHT[1]],
        stdout=subprocess.PIPE, text=True)
    try:
        expect(server.stdout.readline() == "listening\n", "the server does not start")
        client = subprocess.run(
            ["ip", "netns", "exec", net.names["left"], sys.executable, "-c", CLIENT, peers.RIGHT[1]],
            input=data, capture_output=True, timeout=peers.LIMIT_S * 4, check=False)
        expect(client.stdout.decode() == hashlib.sha256(data).hexdigest(), client.stderr.decode())
    finally:
        server.kill()
        server.wait()


def ends_cleanly(net):
    status = net.stop()
    expect(status == 0, f"status {status}: {net.log()}")


CASES = [
    ("ping of the router", pings_router),
    ("ping through the router", pings_through),
    ("neighbours on both sides", knows_neighbours),
    ("traceroute over UDP and ICMP", traceroute),
    ("path MTU discovery", path_mtu),
    ("fragmentation", fragments),
    ("fragments of fragments", fragments_of_fragments),
    ("net unreachable", no_route),
    ("redirects", redirects),
    ("4 MiB over TCP", tcp),
    ("a clean end on SIGTERM", ends_cleanly),
]
# DPDK's af_packet driver asks the kernel to put fragments together before it reads them, and then
# cuts the result off at its own frame size: none of the router's doing.
NOT_ON_VETH = [fragments_of_fragments]
NETWORKS = [("veth", 1), ("veth", 2), ("tap", 1)]


def cases_of(wire):
    return [(name, case) for name, case in CASES if wire != "veth" or case not in NOT_ON_VETH]


def main():
    why = peers.lacks()
    if why:
        print(f"1..0 # SKIP {why}")
        return 0
    print(f"1..{sum(len(cases_of(wire)) for wire, _ in NETWORKS)}", flush=True)
    number, failed = 0, 0
    for wire, workers in NETWORKS:
        plural = "worker" if workers == 1 else "workers"
        cases = [(f"{wire}, {workers} {plural}: {name}", case) for name, case in cases_of(wire)]
        try:
            with peers.Network(sys.argv[1], wire, workers) as net:
                for name, case in cases:
                    number += 1
                    failed += not attempt(number, name, case, net)
                cases = []
        except (peers.Failure, OSError, subprocess.SubprocessError) as failure:
            for name, _ in cases:
                number, failed = number + 1, failed + 1
                print(f"not ok {number} - {name}\n# the network does not start: {failure}", flush=True)
    return 1 if failed else 0


def attempt(number, name, case, net):
    try:
        case(net)
    except (peers.Failure, OSError, subprocess.SubprocessError) as failure:
        print(f"not ok {number} - {name}\n# {failure}", flush=True)
        if net.router.poll() is None:
            print(*(f"# {line}" for line in net.ask("stats").splitlines()), sep="\n", flush=True)
        return False
    print(f"ok {number} - {name}", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
