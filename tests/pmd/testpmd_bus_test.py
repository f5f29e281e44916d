#!/usr/bin/env python3
"""Unmodified dpdk-testpmd over the net_shmif plugin, as an ordinary user. Prints TAP.

usage: testpmd_bus_test.py librte_net_shmif.so

What docs/shmif_bus.md promises to any DPDK program: forwarding modes, queues, segments, jumbo
frames, filters, link, statistics, peers that come, go, break the bus or write garbage to it. Run by
root, the processes become user nobody; skipped where testpmd is not installed.
"""
import mmap
import os
import random
import re
import struct
import subprocess
import sys
import time

from testpmd import Home, Plugin, TESTPMD, Testpmd, expect, run_tests, settled, wait_for

PEER = "02:00:00:00:00:00"  # where testpmd sends to unless told otherwise


def mode_test(plugin, mode, options=()):
    """One mode beside a process that makes (or takes) traffic."""
    other_mode = "rxonly" if mode in ("txonly", "flowgen") else "txonly"
    needs = {"rxonly": ["RX-packets"], "txonly": ["TX-packets"], "flowgen": ["TX-packets"]}
    with Home() as home, Testpmd(plugin, home, options=options) as tested, Testpmd(plugin, home) as other:
        tested.forward(mode)
        other.forward(other_mode)
        for name in needs.get(mode, ["RX-packets", "TX-packets"]):
            wait_for(lambda: tested.stats()[name] > 1000, "%s in mode %s" % (name, mode))
        if other_mode == "rxonly":
            wait_for(lambda: other.stats()["RX-packets"] > 1000, "frames of mode " + mode)
        tested.quit()
        other.quit()


def send_and_count(sender, receiver, seconds=1.0, mode="txonly"):
    """Traffic for a while; the statistics of both once all has arrived."""
    receiver.forward("rxonly")
    sender.forward(mode)
    time.sleep(seconds)
    sender.tell("stop")
    wait_for(lambda: settled(receiver)["RX-packets"], "frames")
    return sender.stats(), settled(receiver)


def every_frame_is_counted(plugin):
    with Home() as home, Testpmd(plugin, home) as receiver, Testpmd(plugin, home) as sender:
        sent, got = send_and_count(sender, receiver)
        expect(sent["TX-packets"] == got["RX-packets"] + got["RX-missed"], "%s sent, %s" % (sent, got))
        receiver.tell("stop")  # overrun it for sure
        sender.tell("start")
        wait_for(lambda: sender.stats()["TX-packets"] > sent["TX-packets"] + 1_000_000, "a million frames")
        sender.tell("stop")
        receiver.tell("start")
        sent, got = sender.stats(), settled(receiver)
        expect(got["RX-missed"] > 0, "nothing missed: %s" % got)
        expect(sent["TX-packets"] == got["RX-packets"] + got["RX-missed"], "%s sent, %s" % (sent, got))
        more = receiver.xstats()
        expect(more["rx_missed_errors"] == got["RX-missed"] == more["shmif_rx_q0_missed"], str(more))
        expect(more["rx_q0_packets"] == got["RX-packets"], str(more))
        receiver.quit()
        sender.quit()


def lossless_loses_nothing(plugin):
    with Home() as home, Testpmd(plugin, home) as receiver, \
            Testpmd(plugin, home, "flow=lossless") as sender:
        sent, got = send_and_count(sender, receiver, 2)
        expect(got["RX-missed"] == 0, "missed: %s" % got)
        expect(sent["TX-packets"] == got["RX-packets"], "%s sent, %s" % (sent, got))
        receiver.quit()
        sender.quit()


def queues_share_flows_by_hash(plugin):
    queues = ["--rxq=4", "--txq=4"]
    with Home() as home, Testpmd(plugin, home, options=queues + ["--rss-ip"]) as receiver, \
            Testpmd(plugin, home) as sender:
        sent, got = send_and_count(sender, receiver, mode="flowgen")
        more = receiver.xstats()
        each = [more["rx_q%d_packets" % queue] for queue in range(4)]
        expect(all(each) and sum(each) == got["RX-packets"], "queues took %s" % each)
        expect(sum(each) + sum(more["shmif_rx_q%d_missed" % queue] for queue in range(4)) == sent["TX-packets"],
               "%s of %s" % (more, sent))
        receiver.tell("set verbose 1")
        sender.forward("flowgen", "set burst 32")
        wait_for(lambda: receiver.read(20) is not None and receiver.text.count("RSS hash") > 1000, "hashes")
        sender.tell("stop")
        receiver.tell("stop")
        seen = re.findall(r"RSS hash=0x([0-9a-f]+) - RSS queue=0x([0-9a-f]+)", receiver.text)
        # The hash's low bits pick one of four lanes, and the lanes belong to the queues in turn.
        wrong = [one for one in seen if int(one[0], 16) % 4 != int(one[1], 16)]
        expect(len(seen) > 1000 and not wrong, "hash and queue: %s" % wrong[:5])
        expect(len({one[0] for one in seen}) > 16, "few hashes")
        receiver.tell("set verbose 0")
        receiver.quit()
        sender.quit()


def segments_arrive_whole(plugin):
    with Home() as home, Testpmd(plugin, home) as receiver, Testpmd(plugin, home) as sender:
        sender.tell("set txpkts 64,200,300")
        sent, got = send_and_count(sender, receiver)
        expect(got["RX-bytes"] == 564 * got["RX-packets"], str(got))
        expect(sent["TX-bytes"] == 564 * sent["TX-packets"], str(sent))
        receiver.quit()
        sender.quit()


def jumbo_frames(plugin):
    large = ["--max-pkt-len=9018", "--mbuf-size=9216"]
    scattered = ["--max-pkt-len=9018", "--enable-scatter"]
    with Home() as home, Testpmd(plugin, home, options=large) as sender:
        for options, segments in ((large, 1), (scattered, 5)):
            with Testpmd(plugin, home, options=options) as receiver:
                expect("MTU: 9000" in receiver.tell("show port info 0"), "MTU is not 9000")
                receiver.tell("set verbose 1")
                receiver.forward("rxonly")
                sender.forward("txonly", "set txpkts 9014", "set burst 1")
                wait_for(lambda: receiver.read(20) is not None and receiver.text.count("length=9014") > 50, "jumbo frames")
                sender.tell("stop")
                receiver.tell("stop")
                expect(re.search(r"length=9014 - nb_segs=%d" % segments, receiver.text), "segments")
                receiver.tell("set verbose 0")
                receiver.quit()
        sender.quit()


def mtu_is_bounded(plugin):
    with Home() as home, Testpmd(plugin, home) as one:
        one.tell("port stop 0")
        one.tell("port config mtu 0 9000")
        expect("MTU: 9000" in one.tell("show port info 0"), "MTU is not 9000")
        expect("max MTU (32718)" in one.tell("port config mtu 0 40000"), "MTU 40000 on a bus of 32 KB frames")
        one.tell("port start 0")
        one.quit()


def filters(plugin):
    with Home() as home, Testpmd(plugin, home) as receiver, Testpmd(plugin, home) as sender:

        def arrives(what, to):
            before = receiver.xstats()
            sender.forward("txonly", "set eth-peer 0 " + to)
            wait_for(lambda: sum(receiver.xstats()[name] - before[name] for name in
                                 ("shmif_rx_packets", "shmif_rx_filtered")) > 1000, "traffic")
            sender.tell("stop")
            settled(receiver)
            now = receiver.xstats()
            came = now["shmif_rx_packets"] > before["shmif_rx_packets"]
            expect(came == what, "%s %s" % (to, "was filtered" if what else "came through"))

        receiver.forward("rxonly")
        arrives(True, PEER)  # testpmd is promiscuous
        receiver.tell("set promisc 0 off")
        arrives(False, PEER)
        arrives(True, "ff:ff:ff:ff:ff:ff")
        receiver.tell("mac_addr add 0 " + PEER)
        arrives(True, PEER)
        receiver.tell("mac_addr remove 0 " + PEER)
        arrives(False, PEER)
        receiver.tell("mac_addr set 0 02:11:22:33:44:55")
        arrives(True, "02:11:22:33:44:55")
        group = "01:00:5e:00:00:05"
        arrives(False, group)
        receiver.tell("mcast_addr add 0 " + group)
        arrives(True, group)
        receiver.tell("mcast_addr remove 0 " + group)
        arrives(False, group)
        receiver.tell("set allmulti 0 on")
        arrives(True, group)
        receiver.quit()
        sender.quit()


def peers_come_and_go(plugin):
    """Two talk without loss; a third attaches, sends, detaches, within one of them and beside them."""
    with Home() as home, Testpmd(plugin, home) as receiver, Testpmd(plugin, home, "flow=lossless") as sender:
        receiver.forward("rxonly")
        sender.forward("txonly")
        for _ in range(3):
            with Testpmd(plugin, home) as guest:
                guest.forward("rxonly")
                wait_for(lambda: guest.stats()["RX-packets"] > 1000, "what a guest hears")
                guest.quit()
        receiver.tell("port attach net_shmif7,bus=%s" % home.bus())
        info = receiver.tell("show port info 1")
        expect("Driver name: net_shmif" in info, "no second port: " + info)
        receiver.tell("port stop 1")
        receiver.tell("port close 1")
        expect("detached" in receiver.tell("device detach net_shmif7").lower(), "not detached")
        sender.tell("stop")
        sent, got = sender.stats(), settled(receiver)
        expect(got["RX-missed"] == 0 and sent["TX-packets"] == got["RX-packets"], "%s %s" % (sent, got))
        receiver.quit()
        sender.quit()


def link_goes_down_with_the_bus(plugin):
    with Home() as home, Testpmd(plugin, home) as a, Testpmd(plugin, home) as b:
        expect("Link status: up" in a.tell("show port info 0"), "no link")
        a.forward("io")
        b.forward("txonly")
        wait_for(lambda: a.stats()["RX-packets"] > 1000, "traffic")
        os.truncate(home.bus(), 0)
        for one in (a, b):
            wait_for(lambda: "Link status: down" in one.tell("show port info 0"), "the link to go down")
        time.sleep(1)
        a.quit()
        b.quit()


def garbage(plugin):
    """A peer that writes what it likes into every table and log that is there."""
    with Home() as home, Testpmd(plugin, home) as a, Testpmd(plugin, home) as b:
        a.forward("io")
        b.forward("txonly")
        wait_for(lambda: a.stats()["RX-packets"] > 1000, "traffic")
        dice = random.Random(11)
        with open(home.bus(), "r+b") as file, mmap.mmap(file.fileno(), 0) as bus:
            nodes, = struct.unpack_from("<I", bus, 0x10)
            node_bytes, = struct.unpack_from("<Q", bus, 0x20)
            tables = len(bus) - nodes * node_bytes
            until = time.monotonic() + 3
            while time.monotonic() < until:
                for _ in range(300):
                    at = dice.randrange(4096, tables - 8) & ~7
                    struct.pack_into("<Q", bus, at, dice.getrandbits(64) >> dice.randrange(64))
                    at = tables + dice.randrange(0, 2 * node_bytes - 8)
                    struct.pack_into("<Q", bus, at, dice.getrandbits(64))
                epoch, = struct.unpack_from("<I", bus, 0x80)
                struct.pack_into("<I", bus, 0x80, epoch + 1 & 0xFFFFFFFF)
        a.quit()
        b.quit()


def refusal(plugin, home, arguments, words):
    """The port is not there, testpmd says `words` and ends well."""
    done = subprocess.run(
        [TESTPMD, "-d", plugin, "--no-huge", "--no-shconf", "-m", "256", "--no-pci", "--no-telemetry",
         "--vdev", "net_shmif0," + arguments, "--", "--total-num-mbufs=4096", "--no-mlockall"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=home.path,
        env=dict(os.environ, HOME=home.path, XDG_RUNTIME_DIR=home.path), timeout=60, check=False)
    text = done.stdout.decode(errors="replace")
    expect(done.returncode == 0 and "No probed ethernet devices" in text, "status %d: %s" % (done.returncode, text))
    expect(words in text, "no '%s' in: %s" % (words, text))


def what_is_no_bus_is_refused(plugin):
    with Home() as home:
        with open(home.bus("text"), "w") as file:
            file.write("hello")
        refusal(plugin, home, "bus=" + home.bus("text"), "not a bus")
        refusal(plugin, home, "bus=" + home.bus("none/bus"), "No such file")
        refusal(plugin, home, "bus=%s,queues=9" % home.bus(), "allows 8 queues")
        refusal(plugin, home, "bus=%s,mtu=40000" % home.bus(), "smaller mtu=")
        refusal(plugin, home, "bus=%s,colour=red" % home.bus(), "the arguments are bus=PATH")


def a_full_disk_is_refused(plugin):
    if os.geteuid() != 0:
        return "mounting a small file system needs root"
    with Home() as home:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M,mode=777", "small", home.path],
                          stderr=subprocess.DEVNULL, check=False).returncode != 0:
            return "mounting is not allowed here"
        try:
            refusal(plugin, home, "bus=" + home.bus(), "No space left")
        finally:
            subprocess.run(["umount", home.path], check=True)
    return None


def netbsd_neighbours(plugin):
    with Home() as home, Testpmd(plugin, home, "format=netbsd") as a, \
            Testpmd(plugin, home, "format=netbsd") as b:
        a.forward("io")
        b.forward("txonly", "set txpkts 1514")
        wait_for(lambda: a.stats()["RX-packets"] > 1000 and a.stats()["TX-packets"] > 1000, "traffic")
        a.quit()
        b.quit()


def main():
    with Plugin(sys.argv[1]) as plugin:
        modes = [("io", []), ("mac", []), ("5tswap", []), ("flowgen", []), ("txonly", []), ("rxonly", []),
                 ("io", ["--txq=2", "--rxq=2"])]
        tests = [("mode " + " ".join([mode] + options), lambda mode=mode, options=options: mode_test(plugin, mode, options))
                 for mode, options in modes]
        rest = [every_frame_is_counted, lossless_loses_nothing, queues_share_flows_by_hash, segments_arrive_whole,
                jumbo_frames, mtu_is_bounded, filters, peers_come_and_go, link_goes_down_with_the_bus, garbage,
                what_is_no_bus_is_refused, a_full_disk_is_refused, netbsd_neighbours]
        tests += [(test.__name__, lambda test=test: test(plugin)) for test in rest]
        wanted = sys.argv[2:]
        tests = [one for one in tests if not wanted or one[0] in wanted]
        return run_tests(tests, None if TESTPMD else "dpdk-testpmd is not installed (apt-get install dpdk)")


sys.exit(main())
