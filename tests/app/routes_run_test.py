"""Routes of a running `pantala run`: saved and restored, in batches, in any order of a configuration.

usage: routes_run_test.py PANTALA. Prints TAP. Every wait is for a state.
"""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from router_process import CONFIG, LIMIT_S, run_with_router  # pylint: disable=wrong-import-position

# Lines as an operator says them; gateways are reached by routes that come later in the order of prefixes.
HISTORY = """
add 90.0.0.0/8 via 10.2.0.2
add 40.0.0.0/8 via 90.0.0.1
add 35.0.0.0/8 via 40.0.0.1 proto bgp
add 36.0.0.0/8 nexthop via 90.0.0.1 weight 3 nexthop via 10.2.0.3 nexthop via 10.1.0.3 dev west weight 2
add 91.0.0.0/24 dev east
add 37.0.0.0/8 via 91.0.0.7
append 92.0.0.0/8 via 10.2.0.2
append 92.0.0.0/8 dev east
append 92.0.0.0/8 dev west
add 38.0.0.0/8 via 92.0.0.1
add 39.0.0.0/8 nexthop via 10.2.0.4 weight 5 nexthop via 10.2.0.3
del 39.0.0.0/8 via 10.2.0.3
add 39.1.0.0/16 nexthop dev east weight 2 nexthop via 10.2.0.3
del 39.1.0.0/16 via 10.2.0.3
add 41.0.0.0/8 via 10.2.0.3 proto bgp metric 0
add 41.0.0.0/8 via 90.0.0.3 proto bgp
add 41.0.0.0/8 via 10.2.0.5 metric 7 mtu 1400
add unreachable 42.0.0.0/8 proto ospf
add 90.0.0.0/8 via 10.2.0.9 table 100
add 40.0.0.0/8 via 90.0.0.1 table 100
add default via 90.0.0.1
add 2001:db8:90::/48 via 2001:db8:2::2
add 2001:db8:40::/48 via 2001:db8:90::1
add 2001:db8:35::/48 nexthop via 2001:db8:40::1 weight 4 nexthop via fe80::2 dev west
add 2001:db8:36::/48 nexthop dev east nexthop via 2001:db8:90::2
add default via 2001:db8:90::1
"""


def flush_all(router):
    for protocol in ("static", "bgp", "ospf"):
        router.ask("route", "flush", protocol, "table", "all")


def batch(router, text):
    status, out, err = router.command("route", "-b", "-", text=text)
    assert status == 0, err
    return out


def what_is_saved_is_restored(router):
    before = router.ask("route", "show", "table", "all")
    batch(router, HISTORY)
    for number in range(2, 66):  # as many next hops as a route may have
        router.ask("route", "append", "93.0.0.0/8", "via", f"10.2.0.{number}")
    router.refuses("route", "append", "93.0.0.0/8", "via", "10.2.0.66", because="64")
    shown = router.ask("route", "show", "table", "all")
    assert len(shown) == len(before) + 23, len(shown) - len(before)
    status, saved, err = router.command("route", "save", "table", "all")
    assert status == 0, err
    flush_all(router)
    assert len(router.ask("route", "show", "table", "all")) < len(before)
    batch(router, saved)
    assert router.ask("route", "show", "table", "all") == shown
    again = router.command("route", "save", "table", "all")[1]
    assert again == saved
    flush_all(router)
    batch(router, "replace 20.0.0.0/8 via 10.2.0.2\nreplace 20.0.0.0/8 via 10.2.0.9 table 100\n")
    assert router.ask("route", "show", "table", "all") == before


def one_family_is_saved(router):
    batch(router, HISTORY)
    saved = router.command("-6", "route", "save")[1]
    assert len(saved.splitlines()) == 5 and all(":" in line for line in saved.splitlines()), saved
    flush_all(router)
    batch(router, saved)
    assert router.ask("route", "get", "2001:db8:35::9")["to"] == "2001:db8:35::/48"
    flush_all(router)


def a_pipe_that_pauses_is_not_waited_for(router):
    with subprocess.Popen([router.program, "--socket", router.socket, "route", "-b", "-"], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as live:
        try:
            for number, text in enumerate(("replace 43.0.0.0/8 via 10.2.0.2\nrepl", "ace 44.0.0.0/8 via 10.2.0.3\n")):
                live.stdin.write(text)
                live.stdin.flush()
                end = time.monotonic() + LIMIT_S
                while router.command("route", "get", f"{43 + number}.1.1.1")[0] != 0:
                    assert time.monotonic() < end, "what has come is not made"
                    time.sleep(0.02)
            live.stdin.write("# the last line has no end\ndel 44.0.0.0/8")
            live.stdin.close()
            assert live.stdout.readline().startswith("3 changes in ")
            assert live.wait(LIMIT_S) == 0
        finally:
            live.kill()
    router.refuses("route", "get", "44.1.1.1", because="no route")
    router.ask("route", "del", "43.0.0.0/8")


def a_batch_that_fails_says_how_much_was_made(router):
    lines = [f"replace 40.{i >> 8}.{i & 255}.0/24 via 10.2.0.2\n" for i in range(20000)]
    router.refuses("route", "-b", "-", text="".join(lines) + "\nadd nonsense\n" + lines[0],
                   because="line 20002: ")
    router.refuses("route", "-b", "-", text="".join(lines) + "add nonsense\n",
                   because="(20000 changes before it were made)")
    assert router.ask("route", "flush", "static") == {"deleted": 20000}


def a_configuration_has_its_routes_in_any_order(router):
    path = router.directory + "/ordered.toml"
    whole = CONFIG.format(dir=router.directory)
    line = whole.count("\n") + 1
    routes = "".join(f'[[route]]\nto = "{to}"\nvia = "{via}"\n' for to, via in (
        ("35.0.0.0/8", "40.0.0.1"), ("40.0.0.0/8", "90.0.0.1"), ("90.0.0.0/8", "10.2.0.2"),
        ("2001:db8:35::/48", "2001:db8:40::1"), ("2001:db8:40::/48", "2001:db8:2::2")))
    for text, why in ((routes, ""), (routes.replace("90.0.0.0/8", "35.0.0.0/9"), f"{path}:{line}: ")):
        with open(path, "w", encoding="ascii") as file:
            file.write(whole + text)
        status, _, err = router.command("run", "--check", "-c", path)
        assert status == (1 if why else 0) and why in err and (not why or "40.0.0.1" in err), err


def a_deletion_means_the_route_that_has_what_it_names(router):
    router.ask("addr", "add", "10.9.0.1/24", "dev", "west")
    router.ask("route", "add", "10.9.0.0/24", "via", "10.1.0.2", "metric", "5")  # behind the address's own
    router.refuses("route", "del", "10.9.0.0/24", because="addr del")
    router.refuses("route", "del", "10.9.0.0/24", "via", "10.1.0.77", because="addr del")
    router.ask("route", "del", "10.9.0.0/24", "via", "10.1.0.2")
    assert len(router.ask("route", "show", "10.9.0.0/24")) == 1
    router.ask("addr", "del", "10.9.0.1/24", "dev", "west")
    batch(router, "add 44.0.0.0/8 via 10.1.0.2 metric 1\nadd 44.0.0.0/8 via 10.1.0.3 metric 2\n"
                  "add 44.0.0.0/8 nexthop via 10.1.0.3 nexthop via 10.1.0.4 metric 3\n")
    router.ask("route", "del", "44.0.0.0/8", "via", "10.1.0.3")
    assert [each["metric"] for each in router.ask("route", "show", "44.0.0.0/8")] == [1, 3]
    router.refuses("route", "del", "44.0.0.0/8", "via", "10.1.0.4", "metric", "1", because="no such route")
    router.ask("route", "del", "44.0.0.0/8", "via", "10.1.0.4")
    router.refuses("route", "del", "44.0.0.0/8", "via", "10.1.0.9", because="no such route")
    router.ask("route", "del", "44.0.0.0/8", "via", "10.1.0.3")
    router.ask("route", "del", "44.0.0.0/8", "via", "10.1.0.2")


def a_link_too_small_for_ipv6_is_refused(router):
    router.refuses("link", "set", "east", "mtu", "1000", because="1280")
    assert {link["name"]: link for link in router.ask("link")}["east"]["mtu"] == 1500
    router.misused("route", "add", "2001:db8:9::/48", "via", "2001:db8:2::2", "mtu", "600", because="1280")
    router.ask("link", "set", "west", "mtu", "1000")
    router.refuses("addr", "add", "2001:db8:1::1/64", "dev", "west", because="1280")
    router.refuses("route", "add", "2001:db8:9::/48", "via", "fe80::2", "dev", "west", because="1280")
    router.ask("link", "set", "west", "mtu", "1500")


TESTS = [
    a_link_too_small_for_ipv6_is_refused, a_deletion_means_the_route_that_has_what_it_names,
    what_is_saved_is_restored, one_family_is_saved, a_pipe_that_pauses_is_not_waited_for,
    a_batch_that_fails_says_how_much_was_made, a_configuration_has_its_routes_in_any_order,
]

if __name__ == "__main__":
    sys.exit(run_with_router(TESTS))
