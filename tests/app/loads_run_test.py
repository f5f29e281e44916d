"""Tables that a running `pantala run` loads from files: lists of prefixes, dumps of route collectors.

usage: loads_run_test.py PANTALA. Prints TAP. Every wait is for a state.
"""
import gzip
import os
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from router_process import LIMIT_S, run_with_router  # pylint: disable=wrong-import-position

TABLE_ROUTES = int(os.environ.get("PANTALA_TEST_ROUTES", "50000"))  # less where the program is slow


def a_table_is_loaded_whole(router):
    path = router.directory + "/table.gz"
    with gzip.open(path, "wt") as file:
        file.writelines(f"50.{i >> 8}.{i & 255}.0/24\n" for i in range(TABLE_ROUTES))
        file.write("2001:db8::/32\n")
    before = len(router.ask("route"))
    answer = router.ask("route", "load", path, "via", "10.2.0.2", "via", "10.2.0.3")
    assert (answer["routes"], answer["ip6_routes"], answer["passed_over"]) == (TABLE_ROUTES, 0, 1)
    assert len(router.ask("route")) == before + TABLE_ROUTES
    assert router.ask("route", "get", "50.10.1.1")["to"] == "50.10.1.0/24"
    router.refuses("route", "load", path, because="via GATEWAY")
    router.misused("route", "load", path, "vai", "10.2.0.2", because="did you mean 'via'?")
    answer = router.ask("route", "load", path, "via", "10.2.0.2", "via", "2001:db8:2::2")
    assert (answer["routes"], answer["ip6_routes"], answer["passed_over"]) == (TABLE_ROUTES, 1, 0)
    assert router.ask("route", "get", "2001:db8::1")["hops"][0]["via"] == "2001:db8:2::2"
    found = router.ask("route", "verify")
    assert found["alike"] == found["workers"] == 1 and found["wrong"] == 0 and found["addresses"] > 2 * TABLE_ROUTES
    assert router.ask("route", "flush", "bgp")["deleted"] == TABLE_ROUTES + 1
    assert len(router.ask("route")) == before
    router.refuses("route", "load", "/nonexistent", because="/nonexistent")


def a_table_that_does_not_come_holds_nobody_up(router):
    pipe = router.directory + "/pipe"
    os.mkfifo(pipe)
    router.refuses("route", "load", pipe, "via", "10.2.0.2", because="regular file")
    path = router.directory + "/long.txt"
    with open(path, "w", encoding="ascii") as file:
        file.write("# nothing but a comment\n" * 8_000_000)
    for _ in range(3):
        client = subprocess.Popen([router.program, "--socket", router.socket, "route", "load", path],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        client.kill()
        client.wait(LIMIT_S)
    router.ask("link")
    os.unlink(path)
    cut = router.directory + "/cut.gz"
    whole = gzip.compress(b"".join(b"51.%d.%d.0/24\n" % (i >> 8, i & 255) for i in range(5000)), 0)
    with open(cut, "wb") as file:
        file.write(whole[:whole.index(b"\n", len(whole) // 2) + 1])
    router.refuses("route", "load", cut, "via", "10.2.0.2", because="ends in the middle")
    router.refuses("route", "get", "51.0.1.1", because="no route")


def mrt_dump():
    """TABLE_DUMP_V2 of one route a family, whose next hops nobody here can reach."""
    def record(subtype, body):
        return struct.pack(">IHHI", 0, 13, subtype, len(body)) + body
    def rib(subtype, length, prefix, attribute):
        entry = struct.pack(">HIH", 0, 0, len(attribute)) + attribute
        return record(subtype, struct.pack(">IB", 0, length) + prefix + struct.pack(">H", 1) + entry)
    far6 = bytes.fromhex("20010db8ffff00000000000000000001")
    return (rib(2, 16, bytes([61, 1]), bytes([0x40, 3, 4, 192, 0, 2, 99])) +
            rib(4, 48, bytes.fromhex("20010db80061"), bytes([0x80, 14, 17, 16]) + far6))


def dumps_of_collectors_are_loaded(router):
    path = router.directory + "/rib.mrt"
    with open(path, "wb") as file:
        file.write(mrt_dump())
    router.refuses("route", "load", path, because="192.0.2.99")
    answer = router.ask("route", "load", path, "via", "10.2.0.2", "via", "2001:db8:2::2")
    assert (answer["routes"], answer["ip6_routes"]) == (1, 1)
    assert router.ask("route", "get", "61.1.2.3")["hops"][0]["via"] == "10.2.0.2"
    assert router.ask("route", "get", "2001:db8:61::1")["hops"][0]["via"] == "2001:db8:2::2"
    assert router.ask("route", "flush", "bgp")["deleted"] == 2


TESTS = [a_table_is_loaded_whole, dumps_of_collectors_are_loaded, a_table_that_does_not_come_holds_nobody_up]

if __name__ == "__main__":
    sys.exit(run_with_router(TESTS))
