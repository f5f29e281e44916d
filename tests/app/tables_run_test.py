"""Routing tables (VRFs) of a running `pantala run`, by its commands.

usage: tables_run_test.py PANTALA. Prints TAP.
"""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from router_process import run_with_router  # pylint: disable=wrong-import-position


def names(router):
    return {row["table"]: row["name"] for row in router.ask("vrf")}


def the_configuration_makes_one(router):
    rows = router.ask("vrf", "show")
    assert [(row["name"], row["table"], row["interfaces"]) for row in rows][1:] == [("red", 100, ["east.100"])]
    assert rows[0]["name"] == "main" and rows[0]["table"] == 254
    assert router.ask("route", "get", "20.1.1.1", "vrf", "red")["hops"][0]["via"] == "10.2.0.9"
    assert router.ask("route", "get", "20.1.1.1")["hops"][0]["via"] == "10.2.0.2"
    links = {link["name"]: link for link in router.ask("link", "show")}
    assert links["east.100"]["vrf"] == "red" and links["east.100"]["table"] == 100 and "table" not in links["east"]


def another_has_the_same_addresses_and_prefixes(router):
    before = names(router)
    router.ask("link", "add", "blue", "type", "vrf", "table", "10")
    assert names(router) == {**before, 10: "blue"}
    router.ask("link", "add", "link", "west", "name", "west.20", "type", "vlan", "id", "20")
    router.ask("link", "set", "west.20", "vrf", "blue")
    router.ask("addr", "add", "10.2.0.1/24", "dev", "west.20", "nodad")
    router.ask("addr", "add", "2001:db8:2::1/64", "dev", "west.20", "nodad")
    router.ask("route", "add", "20.0.0.0/8", "via", "10.2.0.7", "vrf", "blue")
    router.ask("route", "add", "2001:db8:99::/48", "via", "2001:db8:2::7", "table", "10")
    ways = [router.ask("route", "get", "20.1.1.1", *words)["hops"][0]["via"]
            for words in ((), ("vrf", "blue"), ("table", "10"), ("vrf", "red"))]
    assert ways == ["10.2.0.2", "10.2.0.7", "10.2.0.7", "10.2.0.9"], ways
    assert router.ask("route", "get", "2001:db8:99::1", "vrf", "blue")["table"] == 10
    router.refuses("route", "get", "2001:db8:99::1", because="no route")
    router.refuses("route", "get", "50.1.1.1", "vrf", "blue", because="no route")


def what_is_shown_and_saved_says_which(router):
    rows = router.ask("route", "show", "20.0.0.0/8", "table", "all")
    assert [(row.get("table"), row.get("vrf")) for row in rows] == [(None, None), (10, "blue"), (100, "red")], rows
    assert all(row["table"] == 10 for row in router.ask("route", "show", "vrf", "blue"))
    assert all("table" not in row for row in router.ask("route"))
    status, saved, err = router.command("route", "save", "table", "all")
    assert status == 0 and "replace 20.0.0.0/8 via 10.2.0.7 table 10 proto static\n" in saved, err + saved
    shown = router.ask("route", "show", "table", "all")
    router.ask("route", "del", "20.0.0.0/8", "vrf", "blue")
    router.ask("route", "del", "2001:db8:99::/48", "vrf", "blue")
    assert router.ask("route", "show", "table", "all") != shown
    status, _, err = router.command("route", "-b", "-", text=saved)
    assert status == 0 and router.ask("route", "show", "table", "all") == shown, err


def feeds_fill_and_empty_one(router):
    many = "".join(f"replace 60.{i >> 8}.{i & 255}.0/24 via 10.2.0.7 table 10\n" for i in range(3000))
    status, out, err = router.command("--json", "route", "-b", "-", text=many)
    assert status == 0 and json.loads(out)["applied"] == 3000, err
    verified = router.ask("route", "verify")
    assert verified["wrong"] == 0 and verified["tables"] == 3 and verified["addresses"] > 6000, verified
    cost = [row for row in router.ask("vrf") if row["table"] == 10][0]
    assert cost["ipv4_routes"] == 3004 and 4096 <= cost["replica_bytes_ipv4"] < 256 << 10, cost
    assert router.ask("route", "flush", "static", "vrf", "blue") == {"deleted": 3002}
    path = router.directory + "/blue.txt"
    with open(path, "w", encoding="ascii") as file:
        file.writelines(f"70.{i}.0.0/16\n" for i in range(100))
    assert router.ask("route", "load", path, "via", "10.2.0.7", "vrf", "blue")["routes"] == 100
    router.refuses("route", "get", "70.1.1.1", because="no route")
    assert router.ask("route", "get", "70.1.1.1", "vrf", "blue")["protocol"] == "bgp"
    assert router.ask("route", "flush", "bgp", "table", "all") == {"deleted": 100}
    assert {row["where"] for row in router.ask("stats", "all")} >= {"table 10", "table 100"}


def what_does_not_fit_is_refused(router):
    before = names(router)
    router.refuses("link", "add", "blue", "type", "vrf", "table", "11", because="already")
    router.refuses("link", "add", "cyan", "type", "vrf", "table", "10", because="'blue'")
    router.refuses("link", "add", "12", "type", "vrf", "table", "12", because="no name")
    router.refuses("link", "add", "west", "type", "vrf", "table", "12", because="exists")
    router.refuses("link", "set", "west.20", "vrf", "cyan", because="no VRF 'cyan'; there are: red, blue")
    router.refuses("link", "set", "west.20", "nomaster", because="10.2.0.1")
    router.refuses("link", "del", "blue", because="nomaster")
    router.refuses("route", "show", "table", "12", because="no table 12")
    router.refuses("route", "del", "20.0.0.0/8", "table", "12", because="no table 12")
    router.refuses("route", "add", "20.0.0.0/8", "via", "10.2.0.2", "table", "12", because="no way")
    router.misused("vrf", "add", because="link add")
    assert names(router) == before


def a_change_of_a_link_is_made_whole_or_not_at_all(router):
    def link():
        return [row for row in router.ask("link", "show") if row["name"] == "west.20"][0]

    before, tables = link(), names(router)
    bad = [(("table", "12", "mtu", "60000"), "MTU 60000"), (("mtu", "1300", "down", "vrf", "cyan"), "no VRF"),
           (("mtu", "1300", "address", "02:00:00:00:00:01"), "its port"),
           (("mtu", "1300", "down", "nomaster"), "10.2.0.1")]
    for words, why in bad:
        router.refuses("link", "set", "west.20", *words, because=why)
        assert link() == before, (words, link())
    assert names(router) == tables
    assert router.ask("route", "get", "10.2.0.77", "vrf", "blue")["hops"][0]["dev"] == "west.20"


def an_interface_moves_and_an_empty_table_is_gone(router):
    """A table without a name is there as long as something is in it."""
    router.ask("link", "set", "west.20", "table", "12")
    assert router.ask("route", "get", "10.2.0.77", "table", "12")["hops"][0]["dev"] == "west.20"
    assert names(router) == {254: "main", 10: "blue", 12: None, 100: "red"}
    router.ask("addr", "del", "10.2.0.1/24", "dev", "west.20")
    router.ask("addr", "del", "2001:db8:2::1/64", "dev", "west.20")
    router.ask("link", "set", "west.20", "nomaster")
    router.ask("link", "del", "blue")
    router.ask("link", "del", "west.20")
    assert names(router) == {254: "main", 100: "red"}
    assert router.ask("route", "verify")["tables"] == 2


TESTS = [
    the_configuration_makes_one, another_has_the_same_addresses_and_prefixes, what_is_shown_and_saved_says_which,
    feeds_fill_and_empty_one, what_does_not_fit_is_refused,
    a_change_of_a_link_is_made_whole_or_not_at_all, an_interface_moves_and_an_empty_table_is_gone,
]

if __name__ == "__main__":
    sys.exit(run_with_router(TESTS))
