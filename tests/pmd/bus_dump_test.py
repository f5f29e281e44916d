#!/usr/bin/env python3
"""`pantala bus create|ls|dump`, and tcpdump and tshark reading what dump writes. Prints TAP.

usage: bus_dump_test.py pantala librte_net_shmif.so

Buses that live, that are dead, that are truncated, that a peer filled with garbage; in both formats.
The traffic is dpdk-testpmd's. Skipped where testpmd or tcpdump is not installed; tshark is used
where there is one.
"""
import json
import mmap
import os
import random
import re
import select
import shutil
import struct
import subprocess
import sys
import time

from testpmd import Home, Plugin, TESTPMD, Testpmd, expect, run_tests, wait_for

PANTALA = os.path.abspath(sys.argv[1])
TCPDUMP = shutil.which("tcpdump")
TSHARK = shutil.which("tshark")


def run(words, seconds=60, **more):
    """Runs a program; it must not be killed by a signal or hang."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=seconds, check=False, **more)
    expect(done.returncode >= 0, "%s died of signal %d" % (words, -done.returncode))
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def frames_of(path):
    """How many frames tcpdump (and tshark) reads; both must read the file to its end."""
    status, out, err = run([TCPDUMP, "-nr", path, "--count"])  # its lines may be several a frame
    counted = re.search(r"^(\d+) packet", out + err, re.M)
    expect(status == 0 and counted, "tcpdump: " + err)
    frames = int(counted.group(1))
    if TSHARK:
        status, out, err = run([TSHARK, "-nr", path, "-T", "fields", "-e", "frame.interface_name", "-e", "frame.len"])
        expect(status == 0 and "cut short" not in err, "tshark: " + err)
        expect(len(out.splitlines()) == frames, "tshark sees %d frames, tcpdump %d" % (len(out.splitlines()), frames))
        expect(frames == 0 or re.match(r"(node|sender|nobody)", out), "no interface names: " + out[:100])
    return frames


def dump(bus, to, *options, status=0):
    """Dumps and tells how many frames dump says it wrote."""
    got, _, err = run([PANTALA, "bus", "dump", bus, "-w", to, *options])
    expect(got == status, "dump: status %d: %s" % (got, err))
    said = re.search(r"(\d+) frames written", err)
    return int(said.group(1)) if said else err


def start_traffic(port):
    port.forward("txonly")
    wait_for(lambda: port.stats()["TX-packets"] > 10000, "traffic")


def create_and_list(plugin):
    with Home() as home:
        bus = home.bus()
        status, _, err = run([PANTALA, "bus", "create", bus, "--size", "4M", "--nodes", "3", "--lanes", "4"])
        expect(status == 0, err)
        os.chmod(bus, 0o666)  # for user nobody
        expect(run([PANTALA, "bus", "create", bus])[0] != 0, "a second bus at the same path")
        to = home.bus("empty.pcapng")
        expect(dump(bus, to) == frames_of(to) == 0, "frames of an empty bus")
        expect("power of two" in run([PANTALA, "bus", "create", bus + "2", "--size", "3M"])[2], "size 3M")
        with Testpmd(plugin, home) as port:
            listed = json.loads(run([PANTALA, "--json", "bus", "ls", bus])[1])
            node, = listed["nodes"]
            expect(listed["nodes_max"] == 3 and listed["lanes"] == 4, str(listed))
            expect(node["name"] == "net_shmif0" and node["pid"] == port.process.pid and node["alive"], str(node))
            expect("started" in run([PANTALA, "bus", "ls", bus])[1], "not started")
            port.process.kill()
            port.process.wait()
            expect("killed" in run([PANTALA, "bus", "ls", bus])[1], "not killed")


def live_and_dead(plugin):
    with Home() as home, Testpmd(plugin, home, "size=4M") as sender:
        start_traffic(sender)
        to = home.bus("live.pcapng")
        # The sender may overrun what is there while it is read, so 1000 may take more than one look.
        expect(dump(home.bus(), to, "-f", "-c", "1000") == 1000 == frames_of(to), "1000 frames of a live bus")
        said = dump(home.bus(), to)  # ends, though the sender goes on
        expect(said == frames_of(to), "%s frames" % said)
        sender.process.kill()
        sender.process.wait()
        to = home.bus("dead.pcapng")
        said = dump(home.bus(), to)
        expect(said == frames_of(to) > 1000, "%s frames of a dead bus" % said)


def follow(plugin):
    with Home() as home, Testpmd(plugin, home) as sender:
        with subprocess.Popen([PANTALA, "bus", "dump", "-f", home.bus()], stdout=subprocess.PIPE) as dumper:
            with subprocess.Popen([TCPDUMP, "-nr", "-", "-c", "3000"], stdin=dumper.stdout, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL) as reader:
                dumper.stdout.close()
                sender.forward("txonly")
                try:
                    lines = reader.communicate(timeout=60)[0].splitlines()
                finally:
                    reader.kill()
            expect(len(lines) == 3000 and b"198.18.0.1" in lines[0], "%d lines" % len(lines))
            sender.tell("stop")
            dumper.terminate()
        sender.quit()


def follow_without_a_reader(plugin):
    with Home() as home, Testpmd(plugin, home) as sender:
        unread, pipe = os.pipe()
        with subprocess.Popen([PANTALA, "bus", "dump", "-f", home.bus()], stdout=pipe) as dumper:
            sender.forward("txonly")
            wait_for(lambda: not select.select([], [pipe], [], 0)[1], "a full pipe")
            dumper.terminate()
            try:
                dumper.wait(60)
            finally:
                dumper.kill()
        os.close(unread)
        os.close(pipe)
        sender.tell("stop")
        sender.quit()


def truncated_while_followed(plugin):
    with Home() as home, Testpmd(plugin, home) as sender:
        to = home.bus("cut.pcapng")
        with subprocess.Popen([PANTALA, "bus", "dump", "-f", home.bus(), "-w", to], stderr=subprocess.PIPE) as dumper:
            sender.forward("txonly", "set burst 1")
            wait_for(lambda: os.path.exists(to) and os.path.getsize(to) > 10000, "a dump")
            os.truncate(home.bus(), 1 << 20)
            try:
                said = dumper.communicate(timeout=60)[1].decode()
            finally:
                dumper.kill()
            expect(dumper.returncode == 1 and "went away" in said, "status %d: %s" % (dumper.returncode, said))
        expect(frames_of(to) > 0, "no frames before the cut")
        expect("truncated" in dump(home.bus(), to, status=1), "no word of the cut")
        expect("truncated" in run([PANTALA, "bus", "ls", home.bus()])[2], "no word of the cut")
        sender.quit()


def garbage(plugin):
    """A bus whose tables, names and logs say anything: dump and ls end, and write what can be read."""
    with Home() as home:
        with Testpmd(plugin, home, "size=4M") as sender:
            start_traffic(sender)
            sender.tell("stop")
            sender.quit()
        dice = random.Random(5)
        with open(home.bus(), "r+b") as file, mmap.mmap(file.fileno(), 0) as bus:
            nodes, = struct.unpack_from("<I", bus, 0x10)
            node_bytes, = struct.unpack_from("<Q", bus, 0x20)
            tables = len(bus) - nodes * node_bytes
            for lap in range(20):
                bus[4096 + 0x28:4096 + 0x48] = dice.randbytes(32)  # the name
                for _ in range(1 if lap < 10 else 3000):
                    struct.pack_into("<Q", bus, dice.randrange(4096, tables - 8) & ~7,
                                     dice.getrandbits(64) >> dice.randrange(64))
                for _ in range(50):
                    struct.pack_into("<Q", bus, tables + dice.randrange(0, node_bytes - 8), dice.getrandbits(64))
                to = home.bus("garbage.pcapng")
                expect(dump(home.bus(), to) == frames_of(to), "frames of garbage")
                json.loads(run([PANTALA, "--json", "bus", "ls", home.bus()])[1])
                expect("\x1b" not in run([PANTALA, "bus", "ls", home.bus()])[1], "a name rules the terminal")


def no_bus(_):
    with Home() as home:
        expect("No such file" in dump(home.bus(), home.bus("x"), status=1), "a missing bus")
        with open(home.bus(), "w") as file:
            file.write("x" * 10000)
        expect("not a bus" in dump(home.bus(), home.bus("x"), status=1), "a text")
        expect("not a bus" in run([PANTALA, "bus", "ls", home.bus()])[2], "a text")


def netbsd_format(plugin):
    with Home() as home, Testpmd(plugin, home, "format=netbsd") as sender:
        sender.forward("txonly")
        wait_for(lambda: sender.stats()["TX-packets"] > 1000, "traffic")
        sender.tell("stop")
        to = home.bus("netbsd.pcapng")
        said = dump(home.bus(), to)
        expect(said == frames_of(to) > 100, "%s frames" % said)
        expect("netbsd" in run([PANTALA, "bus", "ls", home.bus()])[1], "ls")
        sender.quit()
        dice = random.Random(3)
        for _ in range(20):
            with open(home.bus(), "r+b") as file:
                file.seek(8)  # magic and version stay
                file.write(dice.randbytes(16) + b"\0" * 8)
                file.seek(dice.randrange(32, 1 << 20) - 32)
                file.write(dice.randbytes(32))
            got, _, err = run([PANTALA, "bus", "dump", home.bus(), "-w", to])
            expect(got in (0, 1), err)
            expect(got == 1 or frames_of(to) >= 0, err)


def main():
    skip = None if TESTPMD and TCPDUMP else "dpdk-testpmd and tcpdump are needed (apt-get install dpdk tcpdump)"
    tests = [create_and_list, live_and_dead, follow, follow_without_a_reader, truncated_while_followed, garbage, no_bus, netbsd_format]
    wanted = sys.argv[3:]
    with Plugin(sys.argv[2]) as plugin:
        return run_tests([(test.__name__, lambda test=test: test(plugin)) for test in tests
                          if not wanted or test.__name__ in wanted], skip)


sys.exit(main())
