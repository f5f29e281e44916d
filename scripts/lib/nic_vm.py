#!/usr/bin/env python3
"""Boots one virtual machine a NIC model and talks to the router in it, frame by frame.

usage: nic_vm.py IMAGE-DIRECTORY PANTALA [--idle POLICY] [--times N] [MODEL ...]   (scripts/nic_vm calls it)

The NICs' far ends are Unix datagram sockets of this process: one frame a datagram. Waiting is
always for something, with a generous limit that only a failure reaches; nothing depends on speed.
"""
import argparse
import os
import random
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

import frames as f
from ends import end_on_signals
from progress import Progress

MODELS = {
    "e1000": "e1000",
    "e1000e": "e1000e",
    "vmxnet3": "vmxnet3",
    "virtio-net": "virtio-net-pci,disable-legacy=on",
}
DEFAULT_MODELS = ["e1000", "vmxnet3", "virtio-net"]
BOOT_LIMIT_S = 180
REPLY_LIMIT_S = 20
PINGS = 20
DATAGRAMS = 1000  # each way
WINDOW = 32  # datagrams under way: fewer than any ring holds, so none may be lost
PAYLOAD_MAX = 1472

SIDES = [
    {"net": "10.1.0", "nic_mac": "02:50:41:4e:00:01", "peer_mac": "02:00:00:00:01:02"},
    {"net": "10.2.0", "nic_mac": "02:50:41:4e:00:02", "peer_mac": "02:00:00:00:02:02"},
]

CONFIG = """[engine]
workers = 1
idle = "{2}"
eal = ["--in-memory", "-m", "128", "--no-telemetry"]

[control]
socket = "/run/pantala.sock"

[[port]]
name = "left"
device = "{0}"

[[port]]
name = "right"
device = "{1}"

[[addr]]
address = "10.1.0.1/24"
dev = "left"

[[addr]]
address = "10.2.0.1/24"
dev = "right"
"""

# Runs in the guest, in the host's root. A line on the console is the sign to show counts and stop.
GUEST_SCRIPT = """#!/bin/sh
cat >/tmp/router.toml <<'END'
{config}END
{pantala} run -c /tmp/router.toml </dev/null &
router=$!
(read -r word && {pantala} --socket /run/pantala.sock stats; grep -e CPU -e uio /proc/interrupts
 kill -TERM $router) </dev/console &
wait $router
echo "guest: pantala ended with status $?"
"""


class Failure(Exception):
    """What was expected did not happen."""


class Peer:
    """A host on the far end of one NIC: answers ARP for its address, keeps the rest for the test."""

    def __init__(self, directory, index):
        side = SIDES[index]
        self.mac, self.nic_mac = f.mac(side["peer_mac"]), f.mac(side["nic_mac"])
        self.ip, self.router = f.address(side["net"] + ".2"), f.address(side["net"] + ".1")
        self.silent_ip = f.address(side["net"] + ".3")  # never speaks first: the router has to ask
        self.nic_path = os.path.join(directory, f"nic{index}")
        self.path = os.path.join(directory, f"peer{index}")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.bind(self.path)
        self.asked = 0  # times the router asked for one of our addresses

    def send(self, frame):
        try:
            self.socket.sendto(frame, self.nic_path)
        except (FileNotFoundError, ConnectionRefusedError):
            pass  # the machine is not there yet, or no more: the wait for an answer tells

    def send_ip(self, packet):
        self.send(f.ethernet(self.nic_mac, self.mac, f.ETHERTYPE_IP4, packet))

    def receive(self):
        """The next frame that is not ARP for us, as Ethernet; None if it was."""
        frame = f.Ethernet(self.socket.recv(65536))
        if frame.ethertype == f.ETHERTYPE_ARP:
            question = f.Arp(frame.payload)
            if question.operation == f.ARP_REQUEST and question.target_ip in (self.ip, self.silent_ip):
                self.asked += 1
                self.send(f.arp(f.ARP_REPLY, self.mac, question.target_ip,
                                question.sender_mac, question.sender_ip))
                return None
        return frame


class Machine:
    """One virtual machine; its console is copied to a file and watched for the end."""

    def __init__(self, images, model, directory, script, log):
        self.directory, self.status, self.ended = directory, None, threading.Event()
        self.progress, self.doing = Progress(model), "booting"
        command = [
            "qemu-system-x86_64", "-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio",
            "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024",
            "-kernel", f"{images}/vmlinuz", "-initrd", f"{images}/initrd", "-append",
            f"console=ttyS0 quiet panic=-1 hugepagesz=2M hugepages=192 guest_script={script}",
            "-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap",
            "-device", "virtio-9p-pci,fsdev=root,mount_tag=host"]
        for index, side in enumerate(SIDES):
            command += [
                "-netdev", f"dgram,id=net{index},local.type=unix,local.path={directory}/nic{index},"
                f"remote.type=unix,remote.path={directory}/peer{index}",
                "-device", f"{MODELS[model]},netdev=net{index},mac={side['nic_mac']}"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, errors="replace")
        self.log = open(log, "w", encoding="utf-8")
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        for line in self.process.stdout:
            self.log.write(line)
            self.log.flush()
            if "guest: pantala ended with status" in line:
                self.status = int(line.split()[-1])
        self.ended.set()

    def stop(self):
        """Asks the router to end; its exit status."""
        self.process.stdin.write("stop\n")
        self.process.stdin.flush()
        if not self.ended.wait(REPLY_LIMIT_S * 3) or self.status is None:
            raise Failure("the router does not end when asked to")
        return self.status

    def try_stop(self):
        """After a failure: the counts on the console may tell why."""
        try:
            self.stop()
        except (Failure, OSError):
            pass

    def last_words(self):
        with open(self.log.name, encoding="utf-8") as file:
            return [line for line in file if line.strip()][-25:]

    def close(self):
        self.process.kill()
        self.process.wait()
        self.ended.wait(5)
        self.log.close()


def await_frame(machine, peers, wanted, limit_s, again=None):
    """Serves all peers until wanted(peer, frame) is true; calls `again` twice a second."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if machine.ended.is_set():
            raise Failure("the machine ended early")
        if again:
            again()
        machine.progress.show(machine.doing)
        ready, _, _ = select.select([peer.socket for peer in peers], [], [], 0.5)
        for peer in peers:
            if peer.socket in ready:
                frame = peer.receive()
                if frame is not None and wanted(peer, frame):
                    return
    raise Failure("no answer")


def check_arp(machine, peers):
    for peer in peers:
        def is_reply(other, frame, peer=peer):
            if other is not peer or frame.ethertype != f.ETHERTYPE_ARP:
                return False
            reply = f.Arp(frame.payload)
            return (reply.operation == f.ARP_REPLY and reply.sender_ip == peer.router and
                    reply.sender_mac == peer.nic_mac == frame.source and reply.target_mac == peer.mac)

        def ask(peer=peer):
            peer.send(f.arp(f.ARP_REQUEST, peer.mac, peer.ip, bytes(6), peer.router))
        await_frame(machine, peers, is_reply, BOOT_LIMIT_S, ask)


def check_ping(machine, peers):
    for peer in peers:
        for sequence in range(PINGS):
            data = random.Random(sequence).randbytes(sequence * 70)
            sent = f.echo(f.ICMP_ECHO, 0x5041, sequence, data)
            peer.send_ip(f.ipv4(peer.ip, peer.router, f.PROTOCOL_ICMP, sent))

            def is_reply(other, frame, peer=peer, sequence=sequence, data=data):
                if other is not peer or frame.ethertype != f.ETHERTYPE_IP4:
                    return False
                packet = f.Ipv4(frame.payload)
                if packet.protocol != f.PROTOCOL_ICMP:
                    return False
                reply = f.Icmp(packet)
                return ((packet.source, packet.destination) == (peer.router, peer.ip) and
                        (reply.kind, reply.identifier, reply.sequence, reply.payload) ==
                        (f.ICMP_ECHO_REPLY, 0x5041, sequence, data))
            await_frame(machine, peers, is_reply, REPLY_LIMIT_S)


def check_datagram(frame, source, target, expected):
    """The datagram's number if `frame` is a forwarded one; raises if anything about it is wrong."""
    if frame.ethertype != f.ETHERTYPE_IP4:
        return None
    packet = f.Ipv4(frame.payload)
    if packet.protocol != f.PROTOCOL_UDP:
        return None
    datagram = f.Udp(packet)
    number = packet.identification
    right = (frame.source == target.nic_mac and frame.destination == target.mac and packet.ttl == 63 and
             (packet.source, packet.destination) == (source.ip, target.silent_ip) and
             (datagram.source_port, datagram.destination_port) == (4000 + number, 5000) and
             datagram.payload == expected.get(number))
    if not right:
        raise Failure(f"datagram {number} came out wrong")
    return number


def check_forwarding(machine, peers):
    for source, target in (peers, peers[::-1]):
        numbers = random.Random(7)
        # The first alone: a router queues little for a neighbour that it does not know yet.
        starts = [0, *range(1, DATAGRAMS, WINDOW), DATAGRAMS]
        for start, stop in zip(starts, starts[1:]):
            waiting = {}
            for number in range(start, stop):
                waiting[number] = numbers.randbytes(numbers.randint(0, PAYLOAD_MAX))
                body = f.udp(source.ip, target.silent_ip, 4000 + number, 5000, waiting[number])
                source.send_ip(
                    f.ipv4(source.ip, target.silent_ip, f.PROTOCOL_UDP, body, identification=number))

            def take(peer, frame, source=source, target=target, waiting=waiting):
                if peer is target:
                    number = check_datagram(frame, source, target, waiting)
                    if number is not None:
                        del waiting[number]
                return not waiting
            try:
                await_frame(machine, peers, take, REPLY_LIMIT_S)
            except Failure as failure:
                raise Failure(f"{len(waiting)} datagrams from {start} on did not come: {failure}") from None
        if not target.asked:
            raise Failure("the router never asked for a neighbour that it had not heard of")


def check_time_exceeded(machine, peers):
    source, target = peers
    body = f.udp(source.ip, target.ip, 4000, 5000, b"last hop")
    probe = f.ipv4(source.ip, target.ip, f.PROTOCOL_UDP, body, ttl=1)
    source.send_ip(probe)

    def is_error(peer, frame):
        if peer is not source or frame.ethertype != f.ETHERTYPE_IP4:
            return False
        packet = f.Ipv4(frame.payload)
        if packet.protocol != f.PROTOCOL_ICMP:
            return False
        error = f.Icmp(packet)
        return (packet.source == source.router and (error.kind, error.code) == (f.ICMP_TIME_EXCEEDED, 0) and
                error.payload.startswith(probe[:28]))
    await_frame(machine, peers, is_error, REPLY_LIMIT_S)


CHECKS = [
    ("ARP", check_arp),
    (f"ping, {PINGS} of {PINGS} a port", check_ping),
    (f"UDP forwarded and checked, {DATAGRAMS} of {DATAGRAMS} each way", check_forwarding),
    ("time exceeded", check_time_exceeded),
]


def nic_addresses():
    """Where QEMU puts the NICs: after the host bridge, the ISA bridge and the 9p device."""
    return ["0000:00:03.0", "0000:00:04.0"]


def try_model(images, pantala, model, idle):
    log = os.path.abspath(os.path.join(images, "..", "..", f"nic_vm-{model}.log"))
    directory = tempfile.mkdtemp(prefix="nic_vm.")
    script = os.path.join(os.path.dirname(log), f"nic_vm-{model}.sh")
    with open(script, "w", encoding="utf-8") as file:
        config = CONFIG.format(*nic_addresses(), idle)
        file.write(GUEST_SCRIPT.format(config=config, pantala=os.path.abspath(pantala)))
    peers = [Peer(directory, index) for index in range(len(SIDES))]
    machine = Machine(images, model, directory, script, log)
    what = "start"
    try:
        with machine.progress:
            for what, check in CHECKS:
                check(machine, peers)
                print(f"{model}: {what}: ok", flush=True)
                machine.doing = f"after {what}"
            what = "end"
            status = machine.stop()
        if status:
            raise Failure(f"status {status}")
        print(f"{model}: clean end: ok", flush=True)
        return True
    except (Failure, f.Malformed) as failure:
        print(f"{model}: {what}: FAILED: {failure}; the console is in {log}", flush=True)
        machine.try_stop()
        print("    " + "    ".join(machine.last_words()), flush=True)
        return False
    finally:
        machine.close()
        shutil.rmtree(directory)


def main():
    end_on_signals()
    parser = argparse.ArgumentParser(prog="nic_vm", description="real NIC drivers in a virtual machine")
    parser.add_argument("images")
    parser.add_argument("pantala")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--idle", choices=["adaptive", "busy"], default="adaptive", help="the router's policy")
    parser.add_argument("--times", type=int, default=1, help="run each model so often")
    given = parser.parse_intermixed_args()
    unknown = [model for model in given.models if model not in MODELS]
    if unknown:
        sys.exit(f"nic_vm: no model {unknown[0]}; there are: {', '.join(MODELS)}")
    models = (given.models or DEFAULT_MODELS) * given.times
    good = [try_model(os.path.abspath(given.images), given.pantala, model, given.idle) for model in models]
    print(f"nic_vm: {sum(good)} of {len(good)} runs passed")
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
