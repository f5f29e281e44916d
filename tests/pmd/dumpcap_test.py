#!/usr/bin/env python3
"""dpdk-dumpcap captures from net_shmif. Prints TAP.

usage: dumpcap_test.py pantala librte_net_shmif.so

dumpcap is a secondary process: it needs a primary with hugepages, for EAL lets nobody attach to
--no-huge memory. Where root may have some, the test takes 2 MB pages for its own time and gives them
back; else it is skipped with the reason.
"""
import os
import shutil
import subprocess
import sys
import tempfile

from testpmd import Home, Plugin, TESTPMD, Testpmd, WAIT_SECONDS, expect, run_tests, wait_for

PANTALA = os.path.abspath(sys.argv[1])
DUMPCAP = shutil.which("dpdk-dumpcap")
TCPDUMP = shutil.which("tcpdump")
PAGES = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
FREE = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
NEEDED = 130  # pages: 192 MB for a testpmd or a pantala, 32 MB for dumpcap, some to spare
PEER = "02:00:00:00:00:00"  # where testpmd sends to
ROOT = {}     # Popen's arguments: hugepages and EAL's shared files are root's


def number_in(path):
    with open(path) as file:
        return int(file.read())


class Hugepages:
    """Enough free pages and a place to map them, or a reason why not in `missing`."""

    def __enter__(self):
        self.missing = None
        self.directory = None
        self.added = 0
        if not (TESTPMD and DUMPCAP and TCPDUMP):
            self.missing = "dpdk-testpmd, dpdk-dumpcap and tcpdump are needed (apt-get install dpdk tcpdump)"
        elif os.geteuid() != 0:
            self.missing = "hugepages for a process that others attach to need root"
        elif not os.path.exists(PAGES):
            self.missing = "this kernel has no 2 MB hugepages"
        else:
            self.take()
        return self

    def take(self):
        self.added = max(0, NEEDED - number_in(FREE))
        try:
            self.add(self.added)
        except OSError as error:
            self.added = 0
            self.missing = "%s cannot be written (%s)" % (PAGES, error.strerror)
            return
        if number_in(FREE) < NEEDED:
            self.missing = "the kernel has no %d MB left in pages of 2 MB" % (2 * NEEDED)
            return
        self.directory = tempfile.mkdtemp(prefix="pantala-huge-", dir="/run")
        mounted = subprocess.run(["mount", "-t", "hugetlbfs", "-o", "pagesize=2M", "none", self.directory],
                                 stderr=subprocess.PIPE, text=True, check=False)
        if mounted.returncode != 0:
            os.rmdir(self.directory)
            self.directory = None
            self.missing = "hugetlbfs cannot be mounted: " + mounted.stderr.strip()

    @staticmethod
    def add(pages):
        if pages:
            with open(PAGES, "r+") as file:
                now = int(file.read())
                file.seek(0)
                file.write(str(max(0, now + pages)))

    def __exit__(self, *_):
        if self.directory:
            subprocess.run(["umount", self.directory], check=True)
            os.rmdir(self.directory)
        self.add(-self.added)

    def memory(self):
        return ["--huge-dir", self.directory, "-m", "128"]


def capture(plugin, prefix, interface, to):
    """What dumpcap takes from the primary with this prefix: at least 200 packets, as tcpdump reads them."""
    done = subprocess.run(
        [DUMPCAP, "--file-prefix", prefix, "-i", interface, "-c", "200", "-a", "duration:30", "-w", to],
        env=dict(os.environ, LD_PRELOAD=plugin), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=90, check=False)
    said = done.stdout.decode(errors="replace")
    expect(done.returncode == 0, "dumpcap: status %d: %s" % (done.returncode, said))
    read = subprocess.run([TCPDUMP, "-nr", to], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    expect(read.returncode == 0, "tcpdump: " + read.stderr)
    lines = read.stdout.splitlines()
    expect(len(lines) >= 200, "%d packets captured; %s" % (len(lines), said))
    expect(any("198.18.0.1.9 > 198.18.0.2.9: UDP" in line for line in lines), "other packets: " + lines[0])


def from_testpmd(plugin, pages):
    with Home() as home, Testpmd(plugin, home, user=ROOT, memory=pages.memory()) as receiver:
        os.chmod(home.bus(), 0o666)  # the sender is user nobody
        with Testpmd(plugin, home) as sender:
            receiver.forward("rxonly")
            sender.forward("txonly", "set burst 1")
            capture(plugin, receiver.prefix, "net_shmif0", home.bus("capture.pcapng"))
            sender.quit()
        receiver.quit()


def says(path, words):
    with open(path) as file:
        return words in file.read()


def from_pantala(plugin, pages):
    prefix = "pantala-run-%d" % os.getpid()
    with Home() as home, Testpmd(plugin, home) as sender:
        os.chmod(home.bus(), 0o666)
        config = home.bus("router.toml")
        with open(config, "w") as file:
            file.write('[control]\nsocket = "%s"\n' % home.bus("control"))
        with open(home.bus("log"), "w+") as log, subprocess.Popen(
                [PANTALA, "run", "-c", config, "-p", "bus:%s,mac=%s" % (home.bus(), PEER), "--addr", "198.18.0.2/24@p0", "--",
                 "--file-prefix", prefix, *pages.memory()], stdin=subprocess.DEVNULL, stdout=log, stderr=log) as router:
            try:
                sender.forward("txonly", "set burst 1")
                wait_for(lambda: router.poll() is not None or says(home.bus("log"), "ready after"), "the router")
                capture(plugin, prefix, "net_shmif0", home.bus("capture.pcapng"))
            finally:
                router.terminate()
                router.wait(timeout=WAIT_SECONDS)
                log.seek(0)
                for line in log.read().splitlines()[-10:]:
                    print("#", line)
        expect(router.returncode == 0, "pantala run ended with status %s" % router.returncode)
        sender.quit()


def a_secondary_is_refused_in_words(plugin, pages):
    with Home() as home, Testpmd(plugin, home, user=ROOT, memory=pages.memory()) as primary:
        done = subprocess.run(
            [TESTPMD, "-d", plugin, "--proc-type=secondary", "--file-prefix", primary.prefix, *pages.memory(), "--no-pci",
             "--no-telemetry", "--vdev", "net_shmif9,bus=" + home.bus(), "--", "--total-num-mbufs=4096"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
        said = done.stdout.decode(errors="replace")
        expect(done.returncode >= 0 and "has no place on a bus of its own" in said, said)
        primary.quit()


def main():
    with Plugin(sys.argv[2]) as plugin, Hugepages() as pages:
        tests = [from_testpmd, from_pantala, a_secondary_is_refused_in_words]
        wanted = sys.argv[3:]
        return run_tests([(test.__name__, lambda test=test: test(plugin, pages)) for test in tests
                          if not wanted or test.__name__ in wanted], pages.missing)


sys.exit(main())
