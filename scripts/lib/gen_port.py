"""A forwarder between two generating ports, as a process that can be stopped and continued.

All forwarders of a comparison are started once and stay loaded; at any time all but one are stopped,
so runs are interleaved on the same core without loading tables again. Packets are counted by the
ports themselves, in files that this module shares with them (bench/gen_vdev/gen_control.hpp).
"""
import collections
import mmap
import os
import signal
import struct
import subprocess
import sys
import threading
import time

CONTROL_BYTES = 192
CONTROL_MAGIC = 0x31304E45474E4150
CHECK_AT, TSC_HZ_AT, COUNTERS_AT = 8, 16, 64
COUNTERS = ("generated", "sent", "no_mbuf", "checked", "good", "bad_frame", "bad_port", "bad_mac",
            "bad_ttl", "bad_checksum", "own")
IN_FLIGHT_MAX = 256  # packets a forwarder may hold when it is stopped in mid-burst


class Failure(Exception):
    """A forwarder did not do its work; the text says which and what."""


class Control:
    """One port's control block."""

    def __init__(self, path):
        with open(path, "wb") as file:
            file.write(struct.pack("<Q", CONTROL_MAGIC).ljust(CONTROL_BYTES, b"\0"))
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), CONTROL_BYTES)

    def word(self, at):
        return struct.unpack_from("<Q", self.memory, at)[0]

    def set_check(self, on):
        struct.pack_into("<Q", self.memory, CHECK_AT, int(on))

    def counters(self):
        return dict(zip(COUNTERS, struct.unpack_from(f"<{len(COUNTERS)}Q", self.memory, COUNTERS_AT)))


class Forwarder:
    """`command(vdevs)` gives the argument list; `routes_line` is a byte string of which its output has
    one line a route while it loads, for progress."""

    def __init__(self, name, directory, cpu, command, port_arguments, routes_line=None, env=None):
        self.name = name
        self.cpu = cpu
        self.routes_line = routes_line
        self.env = env
        self.control = []
        vdevs = []
        for side in (0, 1):
            path = os.path.join(directory, f"{name}.control{side}")
            self.control.append(Control(path))
            vdevs.append(f"net_pantala_gen{side},side={side},control={path},{port_arguments}")
        self.argv = command(vdevs)
        self.process = None
        self.tail = collections.deque(maxlen=15)
        self.routes_loaded = 0

    def total(self, counter):
        return sum(control.counters()[counter] for control in self.control)

    def _drain(self):
        for line in self.process.stdout:
            if self.routes_line and self.routes_line in line:
                self.routes_loaded += 1
            else:
                self.tail.append(line.decode(errors="replace").rstrip())

    def start(self, timeout=600):
        """Returns when it forwards; it is then stopped."""
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, env=self.env)
        threading.Thread(target=self._drain, daemon=True).start()
        began = told = time.monotonic()
        while self.total("sent") == 0:
            time.sleep(0.05)
            if self.process.poll() is not None:
                raise Failure(f"{self.name} ended with status {self.process.returncode}:\n  "
                              + " ".join(self.argv) + "\n  " + "\n  ".join(self.tail))
            now = time.monotonic()
            if now - began > timeout:
                raise Failure(f"{self.name} does not forward after {timeout} s:\n  " + "\n  ".join(self.tail))
            if now - told >= 2:
                told = now
                loaded = f", {self.routes_loaded} routes" if self.routes_line else ""
                say(f"{self.name}: loading, {now - began:.0f} s{loaded}")
        time.sleep(0.2)
        self.pause()
        say(f"{self.name}: forwards after {time.monotonic() - began:.1f} s")

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def check(self, frames, timeout=60):
        """Every frame that is sent is judged until each port has sent `frames`: a whole turn of the keys."""
        before = [control.counters() for control in self.control]
        held = self.total("generated") - self.total("sent")
        for control in self.control:
            control.set_check(True)
        self.resume()
        began = time.monotonic()
        while any(control.counters()["checked"] - old["checked"] < frames
                  for control, old in zip(self.control, before)):
            time.sleep(0.02)
            if time.monotonic() - began > timeout:
                break
        for control in self.control:
            control.set_check(False)
        time.sleep(0.02)
        self.pause()
        checked = 0
        for side, (control, old) in enumerate(zip(self.control, before)):
            new = {name: value - old[name] for name, value in control.counters().items()}
            checked += new["checked"]
            wrong = {name: value for name, value in new.items() if name.startswith("bad") and value}
            # It may have been stopped between the two counters of a frame.
            if new["checked"] < frames or wrong or new["checked"] - new["good"] > 1:
                raise Failure(f"{self.name}: of {new['checked']} frames sent by port {side} (at least {frames} "
                              f"expected), {new['good']} were right; {wrong or 'too few'}")
        lost = self.total("generated") - self.total("sent") - held  # `held`: lost while it loaded, too
        if lost > IN_FLIGHT_MAX:
            raise Failure(f"{self.name} lost {lost} frames")
        return checked

    def run(self, seconds, warm_up=0.15):
        """Packets a second, TSC cycles a packet, and the share of the CPU that it got."""
        self.resume()
        time.sleep(warm_up)
        cpu, sent, at = self.cpu_seconds(), self.total("sent"), time.monotonic()
        time.sleep(seconds)
        sent, elapsed = self.total("sent") - sent, time.monotonic() - at
        share = (self.cpu_seconds() - cpu) / elapsed
        self.pause()
        rate = sent / elapsed
        if sent == 0:
            raise Failure(f"{self.name} sent nothing")
        return rate, self.control[0].word(TSC_HZ_AT) / rate, share

    def cpu_seconds(self):
        """Time that the busiest thread, the forwarding one, has run."""
        most = 0
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{task}/schedstat", encoding="ascii") as file:
                most = max(most, int(file.read().split()[0]))
        return most / 1e9

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def say(text):
    print(f"   {text}", file=sys.stderr, flush=True)
