"""Where a running forwarder's cycles go, by sampling its forwarding thread with perf: nothing is added
to the program. Samples are told apart by function; each is accurate to the few instructions that a
sample may slip by."""
import os
import re
import shutil
import subprocess

# Stage, and what the names of its functions contain. The first that fits counts.
STAGES = [
    ("rx", ("gen::(anonymous namespace)::receive", "::fill4", "::fill6", "engine::receive")),
    ("sort", ("ether_input",)),
    ("check and ask", ("ip4_plain", "ip4_input", "ip6_input", "ip6_look")),
    ("lookup and rewrite", ("write_common", "look_up", "fib4_", "ip4_forward", "stack::forward", "fib6_",
                            "write_packets", "ip6_forward")),
    ("tx", ("free_burst", "gen::(anonymous namespace)::send", "engine::transmit", "memmove", "memcpy", "tx_port")),
]
REST = "round"  # the loop, messages, timers, counters
LINE = re.compile(r"^\s*([0-9.]+)%\s+\[[.k]\]\s+(.*?)\s*$")


def busiest_thread(pid):
    def ran(task):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[0])
    return max(os.listdir(f"/proc/{pid}/task"), key=ran)


def stage_of(function):
    for stage, names in STAGES:
        if any(name in function for name in names):
            return stage
    return REST


def stage_costs(forwarder, cycles, directory, seconds=3):
    """Cycles a packet by stage, which add up to `cycles`; None where perf is missing or not allowed."""
    if shutil.which("perf") is None:
        return None
    data = os.path.join(directory, "perf.data")
    forwarder.resume()
    recorded = subprocess.run(
        ["perf", "record", "-q", "-e", "cpu-clock", "-F", "4999", "-o", data, "-t",
         busiest_thread(forwarder.process.pid), "--", "sleep", str(seconds)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    forwarder.pause()
    if recorded.returncode != 0:
        return None
    report = subprocess.run(["perf", "report", "-i", data, "--stdio", "--no-children", "-F", "overhead,sym", "-g", "none"],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout.decode()
    costs = dict.fromkeys([stage for stage, _ in STAGES] + [REST], 0.0)
    for line in report.splitlines():
        found = LINE.match(line)
        if found:
            costs[stage_of(found[2])] += float(found[1]) / 100
    total = sum(costs.values())
    return {stage: round(share / total * cycles, 1) for stage, share in costs.items()} if total > 0.5 else None
