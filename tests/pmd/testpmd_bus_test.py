#!/usr/bin/env python3
"""Unmodified dpdk-testpmd over the net_shmif plugin, as an ordinary user. Prints TAP.

usage: testpmd_bus_test.py librte_net_shmif.so

Each forwarding mode runs between two testpmd processes on one bus: one makes traffic, the other
forwards (or swallows) it. Run by root, the processes become user nobody; skipped where testpmd is
not installed.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

TESTPMD = shutil.which("dpdk-testpmd")
NOBODY = 65534
STATS = re.compile(r"(RX|TX)-packets: (\d+)")


def command(plugin, home, name, arguments):
    return [TESTPMD, "-d", plugin, "--no-huge", "-m", "256", "--no-pci", "--no-telemetry", "--no-shconf",
            "--lcores", "0@0-%d,1@0-%d" % (os.cpu_count() - 1, os.cpu_count() - 1),
            "--file-prefix", name, "--vdev", "net_shmif0,bus=%s/bus" % home, "--",
            "--total-num-mbufs=4096", "--no-mlockall", "--auto-start"] + arguments


def start(plugin, home, name, arguments):
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    return subprocess.Popen(command(plugin, home, name, arguments), stdin=subprocess.PIPE, cwd=home,
                            env=dict(os.environ, HOME=home, XDG_RUNTIME_DIR=home),
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **user)


def wait_for(path_ready, seconds=20):
    until = time.monotonic() + seconds
    while time.monotonic() < until and not path_ready():
        time.sleep(0.05)


def finish(process):
    out, _ = process.communicate("\n", timeout=60)
    seen = {"RX": 0, "TX": 0}
    for way, count in STATS.findall(out):
        seen[way] = max(seen[way], int(count))
    return process.returncode, seen, out


def reachable(plugin):
    """The plugin where user nobody may read it; EAL takes none below a world-writable directory."""
    if os.geteuid() != 0:
        return plugin, None
    directory = tempfile.mkdtemp(prefix="pantala-plugin-", dir="/run")
    os.chmod(directory, 0o755)
    return shutil.copy(plugin, directory), directory


def one_mode(plugin, mode, extra):
    """Status and counts of the process in `mode`, beside one that makes (or takes) traffic."""
    home = tempfile.mkdtemp(prefix="pantala-testpmd-", dir="/dev/shm")
    if os.geteuid() == 0:
        os.chown(home, NOBODY, NOBODY)
    other_mode = "rxonly" if mode in ("txonly", "flowgen") else "txonly"
    try:
        tested = start(plugin, home, "tested", ["--forward-mode=" + mode] + extra)
        wait_for(lambda: os.path.exists(home + "/bus"))
        other = start(plugin, home, "other", ["--forward-mode=" + other_mode])
        time.sleep(3)
        return finish(tested), finish(other)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def passes(plugin, mode, extra):
    (status, seen, out), (other_status, other_seen, other_out) = one_mode(plugin, mode, extra)
    needs = {"rxonly": ["RX"], "txonly": ["TX"], "flowgen": ["TX"]}.get(mode, ["RX", "TX"])
    good = status == 0 and other_status == 0 and all(seen[way] > 1000 for way in needs)
    if mode in ("txonly", "flowgen"):
        good = good and other_seen["RX"] > 1000
    if not good:
        for line in (out + other_out).splitlines()[-60:]:
            print("#", line)
    return good


def main():
    plugin = os.path.abspath(sys.argv[1])
    modes = [("io", []), ("mac", []), ("5tswap", []), ("flowgen", []), ("txonly", []), ("rxonly", []),
             ("io", ["--txq=2", "--rxq=2"])]
    print("1..%d" % len(modes))
    failed = 0
    plugin, directory = reachable(plugin)
    for number, (mode, extra) in enumerate(modes, 1):
        name = "testpmd " + " ".join([mode] + extra)
        if TESTPMD is None:
            print("ok %d - %s # skip dpdk-testpmd is not installed (apt-get install dpdk)" % (number, name))
            continue
        good = passes(plugin, mode, extra)
        failed += not good
        print("%s %d - %s" % ("ok" if good else "not ok", number, name), flush=True)
    if directory is not None:
        shutil.rmtree(directory)
    return 1 if failed else 0


sys.exit(main())
