"""`pantala gen` from outside: ARP, long frames, interruptions, searches.

usage: gen_run_test.py PANTALA. Prints TAP. Every wait is for a state; its bound is reached by a failure only.
"""
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from router_process import LIMIT_S, run_with_router  # pylint: disable=wrong-import-position


def generator(router, *words):
    return subprocess.run([router.program, "gen", *words, "--json"], capture_output=True, text=True,
                          timeout=2 * LIMIT_S, check=False)


def find_and_send(router, gateway, *words):
    """The router's and the gateway's Ethernet address are asked for; then all arrives."""
    words = (*words, "--next", "10.1.0.1", "--gateway-ip", gateway, "--routed", "--seconds", str(LIMIT_S))
    ends = time.monotonic() + LIMIT_S
    while not any(row["address"] == gateway and row.get("lladdr") == "02:70:00:00:00:00" for row in router.ask("neigh")):
        assert time.monotonic() < ends, router.ask("neigh")
        done = generator(router, *words, "--count", "1")  # waits at the router until that has its answer
    assert "10.1.0.1 is at 02:00:00:00:00:01" in done.stderr, done.stderr
    done = generator(router, *words, "--count", "300", "--rate", "10k")
    assert done.returncode == 0 and json.loads(done.stdout)["received"] == 300, done.stdout + done.stderr


def generator_and_router_find_each_other(router):
    """ARP both ways: nobody was told an Ethernet address."""
    router.ask("route", "add", "34.0.0.0/8", "via", "10.2.0.30")
    west, east = (f"bus:{router.directory}/{bus}.bus,flow=lossless" for bus in ("west", "east"))
    ports = ("--tx", west, "--rx", east, "--to", "34.0.0.0/8", "--from", "10.1.0.2")
    find_and_send(router, "10.2.0.30", *ports)
    done = generator(router, *ports, "--next", "10.1.0.99")
    assert done.returncode == 1 and "nobody answered ARP for 10.1.0.99" in done.stderr, done.stderr
    router.ask("route", "replace", "34.0.0.0/8", "via", "10.1.0.30")  # there and back by one port
    find_and_send(router, "10.1.0.30", *ports[:3], west, *ports[4:])
    router.ask("route", "del", "34.0.0.0/8")


def long_frames_are_generated(router):
    """Up to what a buffer holds, by an MTU that the port is asked for."""
    bus = f"bus:{router.directory}/jumbo.bus,flow=lossless,size=64M"
    frames = ("--next", "02:70:00:00:00:00", "--to", "20.0.0.0/8", "--flows", "50", "--count", "300",
              "--seconds", str(LIMIT_S))
    done = generator(router, "--tx", bus, "--rx", bus + ",queues=1", *frames, "--size", "64,9014,20000")
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["received"] == 300 and report["corrupt"] == 0, done.stdout + done.stderr
    done = generator(router, "--tx", f"bus:{router.directory}/small.bus,format=netbsd", "--rx",
                     f"bus:{router.directory}/small.bus,format=netbsd", *frames, "--size", "9014")
    assert done.returncode == 1 and "9014 bytes want an MTU of 9000" in done.stderr, done.stderr


def slow_rates_are_sent(router):
    """Packets farther apart than a sender that was kept from the CPU makes up for."""
    bus = f"bus:{router.directory}/slow.bus,flow=lossless"
    done = generator(router, "--tx", bus, "--rx", bus + ",queues=1", "--next", "02:70:00:00:00:00", "--to", "20.0.0.0/8",
                     "--flows", "50", "--rate", "100", "--count", "20", "--seconds", str(LIMIT_S))
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["sent"] == report["received"] == 20, done.stdout + done.stderr


def a_trial_that_is_interrupted_says_so(router):
    bus = f"bus:{router.directory}/loop.bus"
    words = [router.program, "gen", "--tx", bus, "--rx", bus + ",queues=1", "--next", "02:70:00:00:00:00", "--to",
             "20.0.0.0/8", "--flows", "50", "--json"]
    for more in (("--rate", "1k", "--seconds", "3600"), ("--search", "--rate", "1k", "--seconds", "3600")):
        with subprocess.Popen([*words, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            for line in process.stderr:
                if "received" in line:  # it runs
                    break
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 1, err
        if "--search" in more:
            assert out == "" and "interrupted before" in err, out + err
            continue
        report = json.loads(out)
        assert report["interrupted"] and 0 < report["seconds"] < 3600 and report["lost"] == 0, report


def a_search_goes_through_the_sizes(router):
    bus = f"bus:{router.directory}/loop.bus,flow=lossless"
    done = generator(router, "--tx", bus, "--rx", bus + ",queues=1", "--next", "02:70:00:00:00:00", "--to", "20.0.0.0/8",
                     "--flows", "50", "--search", "--rate", "1k", "--seconds", "0.05", "--size", "64,1514")
    report = json.loads(done.stdout)
    assert done.returncode == 0 and not report["interrupted"], done.stdout + done.stderr
    assert [row["size"] for row in report["searches"]] == ["64", "1514"], report
    assert all(row["lost"] == 0 and row["sent"] > 0 and row["trials"] > 0 for row in report["searches"]), report


TESTS = [
    generator_and_router_find_each_other, long_frames_are_generated, slow_rates_are_sent,
    a_trial_that_is_interrupted_says_so, a_search_goes_through_the_sizes,
]

if __name__ == "__main__":
    sys.exit(run_with_router(TESTS))
