"""`pantala run` from outside: two buses, the commands, traffic that must all arrive, and the end.

usage: run_test.py PANTALA. Prints TAP. Nothing here depends on how fast the machine is: every wait is for
a state, and its bound is reached by a failure only.
"""
import json
import os
import select
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from router_process import CONFIG, LIMIT_S, run_with_router  # pylint: disable=wrong-import-position


def starts_as_configured(router):
    assert router.ready["state"]["workers"] == 1
    links = {link["name"]: link for link in router.ask("link", "show")}
    assert links["west"]["address"] == "02:00:00:00:00:01"
    assert links["east.7"]["vlan"] == 7 and links["east"]["addresses"][0] == "10.2.0.1/24"
    routes = {route["to"]: route for route in router.ask("route")}
    assert routes["20.0.0.0/8"]["hops"][0]["via"] == "10.2.0.2"
    neighbor = router.ask("neigh")[0]
    assert (neighbor["address"], neighbor["lladdr"]) == ("10.2.0.2", "02:70:00:00:00:00")
    assert neighbor["state"] == "permanent" and neighbor["dev"] == "east"
    assert {row["protocol"] for row in router.ask("netisr", "show")} >= {"ether"}


def routes_come_and_go(router):
    router.ask("route", "add", "30.0.0.0/8", "via", "10.2.0.2")
    assert router.ask("route", "get", "30.1.2.3")["to"] == "30.0.0.0/8"
    router.refuses("route", "add", "30.0.0.0/8", "via", "10.2.0.2", because="30.0.0.0/8")
    router.ask("route", "replace", "blackhole", "30.0.0.0/8")
    assert router.ask("route", "get", "30.1.2.3")["kind"] == "blackhole"
    router.ask("route", "add", "30.1.0.0/16", "nexthop", "via", "10.2.0.2", "nexthop", "via", "10.2.0.3")
    assert len(router.ask("route", "get", "30.1.2.3")["hops"]) == 2
    router.ask("route", "del", "30.1.0.0/16")
    router.ask("route", "del", "30.0.0.0/8")
    router.refuses("route", "get", "30.1.2.3", because="")
    router.refuses("route", "add", "30.0.0.0/8", "via", "99.9.9.9", because="99.9.9.9")
    router.refuses("route", "add", "30.0.0.0/8", "dev", "nowhere", because="nowhere")


def interfaces_and_addresses_change(router):
    router.ask("link", "add", "link", "west", "name", "west.9", "type", "vlan", "id", "9")
    router.ask("addr", "add", "10.9.0.1/24", "dev", "west.9", "nodad")
    assert {"dev": "west.9", "address": "10.9.0.1/24", "flags": ""} in router.ask("addr")
    assert router.ask("route", "get", "10.9.0.77")["kind"] == "connected"
    router.ask("link", "set", "west.9", "down")
    router.ask("addr", "del", "10.9.0.1/24", "dev", "west.9")
    router.ask("link", "del", "west.9")
    assert "west.9" not in {link["name"] for link in router.ask("link")}
    router.refuses("link", "del", "west", because="port")
    router.ask("neigh", "add", "10.2.0.9", "lladdr", "02:00:00:00:00:09", "dev", "east")
    router.ask("neigh", "del", "10.2.0.9", "dev", "east")
    router.refuses("neigh", "del", "10.2.0.9", "dev", "east", because="10.2.0.9")


def batches_are_made_in_order_or_say_where_they_end(router):
    lines = [f"replace 40.{i >> 8}.{i & 255}.0/24 via 10.2.0.2" for i in range(30000)]
    status, out, err = router.command("--json", "route", "-b", "-", text="\n".join(lines) + "\n")
    assert status == 0 and json.loads(out)["applied"] == 30000, err
    assert router.ask("route", "get", "40.1.2.3")["to"] == "40.1.2.0/24"
    text = "# all gone\n" + "".join(f"route del 40.{i >> 8}.{i & 255}.0/24\n" for i in range(30000))
    status, out, err = router.command("--json", "route", "-b", "-", text=text)
    assert status == 0 and json.loads(out)["applied"] == 30000, err
    router.refuses("route", "-b", "-", text="add 41.0.0.0/8 via 10.2.0.2\nadd nonsense\n", because="line 2")
    router.ask("route", "del", "41.0.0.0/8")


def both_families_are_saved_and_restored(router):
    router.ask("route", "add", "2001:db8:77::/48", "via", "fe80::2", "dev", "east")
    assert router.ask("route", "get", "2001:db8:77::9")["hops"] == [{"via": "fe80::2", "dev": "east"}]
    router.ask("route", "append", "2001:db8:77::/48", "via", "fe80::3", "dev", "west")
    assert len(router.ask("route", "get", "2001:db8:77::9")["hops"]) == 2
    router.misused("route", "add", "2001:db8:78::/48", "via", "10.2.0.2", because="other family")
    router.misused("route", "add", "2001:db8:78::1/48", "dev", "east", because="2001:db8:78::/48")
    router.ask("route", "add", "32.0.0.0/8", "nexthop", "via", "10.2.0.2", "weight", "3", "nexthop", "via", "10.2.0.3")
    router.ask("route", "add", "32.0.0.0/8", "via", "10.2.0.4", "metric", "50", "mtu", "1400")
    router.ask("route", "add", "prohibit", "32.1.0.0/16", "proto", "bgp")
    shown = router.ask("route")
    status, saved, err = router.command("route", "save")
    assert status == 0 and "replace 2001:db8:77::/48 nexthop via fe80::2 dev east" in saved, err + saved
    assert "replace 32.0.0.0/8 via 10.2.0.4 proto static metric 50 mtu 1400" in saved, saved
    assert "10.1.0.0/24" not in saved
    for gone in ("2001:db8:77::/48", "32.0.0.0/8", "32.0.0.0/8", "32.1.0.0/16"):
        router.ask("route", "del", gone)
    router.refuses("route", "get", "2001:db8:77::9", because="no route")
    status, _, err = router.command("route", "-b", "-", text=saved)
    assert status == 0, err
    assert router.ask("route") == shown
    router.ask("route", "del", "32.0.0.0/8", "metric", "50")
    router.refuses("route", "del", "32.0.0.0/8", "metric", "50", because="32.0.0.0/8")
    router.refuses("route", "del", "blackhole", "32.0.0.0/8", because="32.0.0.0/8")
    router.ask("route", "del", "32.0.0.0/8")
    router.ask("route", "del", "32.1.0.0/16", "proto", "bgp")
    router.ask("route", "del", "2001:db8:77::/48")


def metrics_and_weights_count(router):
    router.ask("route", "add", "33.0.0.0/8", "via", "10.2.0.3", "metric", "10")
    router.ask("route", "add", "33.0.0.0/8", "via", "10.2.0.2", "metric", "5")
    assert router.ask("route", "get", "33.1.1.1")["hops"][0]["via"] == "10.2.0.2"
    router.refuses("route", "add", "33.0.0.0/8", "via", "10.2.0.4", "metric", "5", because="metric 5")
    router.ask("route", "del", "33.0.0.0/8", "metric", "5")
    assert router.ask("route", "get", "33.1.1.1")["metric"] == 10
    router.ask("route", "replace", "33.0.0.0/8", "metric", "10", "nexthop", "via", "10.2.0.2", "weight", "7",
               "nexthop", "via", "10.2.0.3")
    assert [hop.get("weight", 1) for hop in router.ask("route", "get", "33.1.1.1")["hops"]] == [7, 1]
    router.ask("route", "del", "33.0.0.0/8")


def what_is_shown_is_what_was_asked_for(router):
    assert {row["dev"] for row in router.ask("addr", "show", "dev", "west")} == {"west"}
    assert [row["name"] for row in router.ask("link", "show", "east.7")] == ["east.7"]
    assert {row["protocol"] for row in router.ask("route", "show", "proto", "kernel")} == {"kernel"}
    assert all(any(hop["dev"] == "east" for hop in row["hops"]) for row in router.ask("route", "show", "dev", "east"))
    assert all(":" not in row["to"] for row in router.ask("-4", "route"))
    assert all(":" in row["to"] for row in router.ask("-6", "route"))
    router.refuses("addr", "show", "nowhere", because="no interface 'nowhere'")
    for words, because in ((("route", "show", "dve", "east"), "did you mean 'dev'?"),
                           (("route", "show", "10.0.0.0/8", "10.0.0.0/8"), "10.0.0.0/8"),
                           (("addr", "show", "west", "east"), "'east'"),
                           (("netisr", "show", "all"), "'all'"),
                           (("netisr", "set"), "'set'"),
                           (("stats", "al"), "did you mean 'all'?"),
                           (("link", "shwo"), "did you mean 'show'?"),
                           (("link", "set", "west", "txqueuelen", "9"), "iproute2"),
                           (("route", "add", "10.5.0.0/16", "vai", "10.2.0.2"), "did you mean 'via'?"),
                           (("route", "add", "10.5.0.0/16", "via", "10.2.0.2", "table", "255"), "table 255"),
                           (("route", "add", "10.5.0.0/16", "via", "10.2.0.2", "src", "10.1.0.1"), "'src'"),
                           (("route", "change", "10.5.0.0/16", "via", "10.2.0.2"), "'change'"),
                           (("route", "add", "10.5.0.0/16", "via", "10.2.0.2", "via", "10.2.0.3"), "'via' twice"),
                           (("route", "-b", "-", "add"), "'add'"),
                           (("-6", "route", "add", "default", "dev", "west"), "-6"),
                           (("addr", "add", "10.3.0.1/24", "dev", "west", "dev", "east"), "'dev' twice"),
                           (("route", "--bogus"), "--bogus"), (("rout",), "did you mean 'route'?"), (("frobnicate",), "no command"), ((), "")):
        router.misused(*words, because=because)
    for words, because in ((("route", "get"), "which address"), (("route", "get", "10.1.0.1", "from"), "'from'"),
                           (("route", "verify", "now"), "'now'"), (("route", "flush"), "which protocol"),
                           (("route", "flush", "everything"), "'everything'")):
        router.refuses(*words, because=because)
    for words in (("--help",), ("route", "--help"), ("--version",)):
        assert router.command(*words)[0] == 0, words
    assert "Exit status" in router.command("--help")[1]


def the_host_cache_is_shown_and_flushed(router):
    assert router.ask("hostcache") == router.ask("-6", "hostcache", "show") == []
    assert router.ask("hostcache", "show", "10.2.0.2") == []
    assert router.ask("hostcache", "flush") == {"workers": 1}
    router.refuses("hostcache", "flush", "2001:db8::9", because="no worker")
    for words, because in (("frobnicate", "'frobnicate'"), ("show 10.2.0.300", "10.2.0.300"),
                           ("flush 10.2.0.2 10.2.0.3", "'10.2.0.3'")):
        router.misused("hostcache", *words.split(), because=because)
    assert "hostcache_expired" in {row["name"] for row in router.ask("stats", "all")}


def tcp_settings_are_shown_and_changed(router):
    rows = {row["name"]: row for row in router.ask("tcp")}
    assert rows["time_wait_ms"]["value"] == 60000 and rows["time_wait_ms"]["when"] == "anytime"
    assert rows["conns"]["when"] == "start" and rows["syn_cookies"]["value"] is True
    assert router.ask("tcp", "set", "time_wait_ms", "2000") == {"workers": 1}
    assert [row["value"] for row in router.ask("tcp", "show", "time_wait_ms")] == [2000]
    for words, because in ((("set", "time_wait_ms", "0"), "1 to"), (("set", "time_weit_ms", "1"), "did you mean 'time_wait_ms'"),
                           (("set", "conns", "9"), "configuration alone"), (("show", "nothing"), "no 'nothing'"),
                           (("set", "persist_min_ms", "70000"), "persist_max_ms")):
        router.refuses("tcp", *words, because=because)
    for words, because in (("frobnicate", "'frobnicate'"), ("set", "which setting"), ("set ttl", "what value"),
                           ("set ttl 3 4", "'4'")):
        router.misused("tcp", *words.split(), because=because)
    assert router.ask("tcp", "set", "time_wait_ms", "60000") == {"workers": 1}


def watchers_are_told_of_changes(router):
    router.misused("monitor", "rout", because="did you mean 'route'?")
    watcher = subprocess.Popen([router.program, "--json", "--socket", router.socket, "monitor"],
                               stdout=subprocess.PIPE, text=True)
    of_routes = subprocess.Popen([router.program, "--socket", router.socket, "monitor", "route"],
                                 stdout=subprocess.PIPE, text=True)
    gone = subprocess.Popen([router.program, "--json", "--socket", router.socket, "monitor"],
                            stdout=subprocess.PIPE, text=True)
    try:
        assert json.loads(watcher.stdout.readline())["action"] == "begin"
        assert json.loads(gone.stdout.readline())["action"] == "begin"
        while True:  # what has no JSON says nothing when it begins: until it hears of a change
            router.ask("route", "add", "35.9.0.0/16", "via", "10.2.0.2")
            router.ask("route", "del", "35.9.0.0/16")
            if select.select([of_routes.stdout], [], [], 0.2)[0]:
                break
        gone.kill()
        router.ask("route", "add", "35.0.0.0/8", "via", "10.2.0.2")
        router.ask("route", "replace", "35.0.0.0/8", "via", "10.2.0.3")
        router.command("route", "-b", "-", text="replace 35.1.0.0/16 via 10.2.0.2\ndel 35.1.0.0/16\n")
        router.refuses("route", "add", "35.0.0.0/8", "via", "10.2.0.2", because="already")
        router.ask("neigh", "add", "10.2.0.77", "lladdr", "02:00:00:00:00:77", "dev", "east")
        router.ask("route", "add", "blackhole", "35.2.0.0/16", "table", "11")
        router.ask("link", "set", "east.7", "down")
        router.ask("addr", "add", "10.77.0.1/24", "dev", "east.7", "nodad")
        router.ask("addr", "del", "10.77.0.1/24", "dev", "east.7")
        router.ask("link", "set", "east.7", "up")
        router.ask("neigh", "del", "10.2.0.77", "dev", "east")
        router.ask("route", "del", "35.2.0.0/16", "table", "11")
        router.ask("route", "del", "35.0.0.0/8")
        seen = []
        while not seen or seen[-1] != ("route", "del", "35.0.0.0/8"):
            event = json.loads(watcher.stdout.readline())
            name = event.get("to") or event.get("address") if event["event"] != "link" else event["name"]
            assert (event.get("table") == 11) == (name == "35.2.0.0/16"), event
            if not name.startswith("35.9."):
                seen.append((event["event"], event["action"], name))
        wanted = [("route", "add", "35.0.0.0/8"), ("route", "change", "35.0.0.0/8"),
                  ("route", "add", "35.1.0.0/16"), ("route", "del", "35.1.0.0/16"),
                  ("neigh", "add", "10.2.0.77"), ("route", "add", "35.2.0.0/16"), ("link", "change", "east.7"),
                  ("addr", "add", "10.77.0.1/24"),
                  ("addr", "del", "10.77.0.1/24"), ("link", "change", "east.7"), ("neigh", "del", "10.2.0.77"),
                  ("route", "del", "35.0.0.0/8")]
        ours = [event for event in seen if event in wanted]
        assert ours == wanted, seen
        lines = []
        while not lines or lines[-1] != "[route] Deleted 35.0.0.0/8 via 10.2.0.3 proto static":
            lines.append(of_routes.stdout.readline().rstrip())
            assert lines[-1].startswith("[route] "), lines
    finally:
        for process in (watcher, of_routes, gone):
            process.kill()
            process.wait(LIMIT_S)


def a_route_stands_aside_for_an_address(router):
    def told(event):
        return event["action"], event.get("protocol"), event.get("aside", False)
    net, static = "10.88.0.0/24", ("10.88.0.0/24", "via", "10.2.0.2")
    watcher = subprocess.Popen([router.program, "--json", "--socket", router.socket, "monitor", "route"],
                               stdout=subprocess.PIPE, text=True)
    try:
        assert json.loads(watcher.stdout.readline())["action"] == "begin"
        router.ask("route", "add", *static)
        router.ask("addr", "add", "10.88.0.1/24", "dev", "east", "nodad")
        assert router.ask("route", "get", "10.88.0.9")["kind"] == "connected"
        rows = router.ask("route", "show", net)
        assert [row.get("aside", False) for row in rows] == [False, True], rows
        assert f"{net} via 10.2.0.2 proto static aside\n" in router.command("route", "show")[1]
        saved = router.command("route", "save")[1]
        assert f"replace {net} via 10.2.0.2 proto static aside\n" in saved, saved
        router.refuses("route", "add", *static, because="addr del")
        router.ask("route", "replace", net, "via", "10.2.0.3")
        router.ask("addr", "del", "10.88.0.1/24", "dev", "east")
        assert router.ask("route", "get", "10.88.0.9")["hops"] == [{"via": "10.2.0.3"}]
        router.ask("addr", "add", "10.88.0.1/24", "dev", "east", "nodad")
        router.ask("route", "del", net)
        router.refuses("route", "del", net, because="addr del")
        status, _, err = router.command("route", "-b", "-", text=saved)
        assert status == 0, err
        assert router.command("route", "save")[1] == saved
        router.ask("addr", "del", "10.88.0.1/24", "dev", "east")
        router.ask("route", "del", net)
        events = []
        while len(events) < 8:
            events.append(told(json.loads(watcher.stdout.readline())))
        kept = [("change", "static", aside) for aside in (True, True, False, True)]
        assert events == [("add", "static", False), *kept, ("del", "static", True), ("add", "static", True),
                          ("change", "static", False)], events
    finally:
        watcher.kill()
        watcher.wait(LIMIT_S)


def bus_node(router, bus):
    """What the port says of itself to the other stations of its bus."""
    nodes = router.ask("bus", "ls", f"{router.directory}/{bus}.bus")["nodes"]
    return [node for node in nodes if node["state"] == "started" and node["alive"]][0]


def what_leads_nowhere_is_refused_everywhere(router):
    for own in ("10.1.0.1/32", "10.1.0.0/24", "10.1.0.255/32"):
        router.refuses("route", "replace", own, "via", "10.2.0.2", because="addr del")
        router.refuses("route", "del", own, because="addr del")
        router.refuses("route", "-b", "-", text=f"replace {own} via 10.2.0.2\n", because="addr del")
    assert router.ask("route", "get", "10.1.0.1")["kind"] == "local"
    for bad in ("10.9.0.0/24", "10.9.0.255/24", "127.0.0.1/8"):
        router.refuses("addr", "add", bad, "dev", "west", because=bad)
    for address, mac, because in (("10.1.0.9", "ff:ff:ff:ff:ff:ff", "Ethernet"),
                                  ("10.1.0.9", "01:00:5e:00:00:01", "Ethernet"),
                                  ("10.1.0.1", "02:00:00:00:00:09", "own address"),
                                  ("10.2.0.9", "02:00:00:00:00:09", "no link")):
        router.refuses("neigh", "add", address, "lladdr", mac, "dev", "west", because=because)
    router.refuses("route", "add", "31.0.0.0/8", "via", "10.1.0.2", "dev", "east", because="no link of 'east'")
    router.refuses("route", "-b", "-", text="replace 31.0.0.0/8 via 99.9.9.9\n", because="99.9.9.9")
    path = router.directory + "/nowhere.txt"
    with open(path, "w", encoding="ascii") as file:
        file.write("31.0.0.0/8\n")
    router.refuses("route", "load", path, "via", "99.9.9.9", because="99.9.9.9")
    router.refuses("route", "get", "31.0.0.1", because="no route")


def a_port_hears_the_address_of_its_interfaces(router):
    router.ask("link", "set", "east", "address", "02:00:00:00:00:77")
    assert bus_node(router, "east")["address"] == "02:00:00:00:00:77"
    router.ask("link", "add", "link", "east", "name", "east.8", "type", "vlan", "id", "8")
    links = {link["name"]: link["address"] for link in router.ask("link")}
    assert links["east"] == links["east.7"] == links["east.8"] == "02:00:00:00:00:77", links
    router.ask("link", "del", "east.8")
    router.refuses("link", "set", "east.7", "address", "02:00:00:00:00:78", because="'east'")
    for bad in ("01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"):
        router.refuses("link", "set", "east", "address", bad, because=bad)
    assert bus_node(router, "east")["address"] == "02:00:00:00:00:77"


def a_port_carries_what_its_interfaces_promise(router):
    assert bus_node(router, "west")["mtu"] == 1500
    for name in ("west", "east.7"):
        router.refuses("link", "set", name, "mtu", "65535", because="at most")
    router.refuses("link", "set", "west", "mtu", "5000", because="[[port]]")
    assert {link["mtu"] for link in router.ask("link")} == {1500}
    router.ask("link", "set", "west", "mtu", "1800")
    assert bus_node(router, "west")["mtu"] == 1800
    router.ask("link", "set", "west", "mtu", "1500")
    path = router.directory + "/tall.toml"
    with open(path, "w", encoding="ascii") as file:
        file.write(f'[engine]\nlcores = "floating"\n[[port]]\nname = "a"\n'
                   f'device = "bus:{router.directory}/tall.bus"\n'
                   f'[[link]]\nname = "a.5"\nport = "a"\nvlan = 5\nmtu = 65535\n')
    done = subprocess.run([router.program, "--socket", router.directory + "/tall.sock", "run", "-c", path],
                          capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 1 and path + ":6: MTU 65535" in done.stderr, done.stderr


def traffic_all_arrives(router):
    done = subprocess.run(
        [router.program, "gen", "--tx", f"bus:{router.directory}/west.bus,flow=lossless", "--rx",
         f"bus:{router.directory}/east.bus", "--next", "02:00:00:00:00:01", "--from", "10.1.0.2", "--to",
         "20.0.0.0/8", "--flows", "500", "--size", "64,200,1000", "--routed", "--count", "3000", "--rate",
         "10k", "--seconds", str(LIMIT_S), "--json"],
        capture_output=True, text=True, timeout=2 * LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["sent"] == report["received"] == 3000, report
    assert not any(report[key] for key in ("lost", "duplicate", "reordered", "corrupt", "late")), report
    forwarded = sum(row["value"] for row in router.ask("stats") if row["name"] == "forwarded")
    assert forwarded >= 3000


def a_bus_tells_who_and_what_is_on_it(router):
    path = router.directory + "/east.bus"
    nodes = router.ask("bus", "ls", path)["nodes"]
    assert [node for node in nodes if node["state"] == "started" and node["alive"]], nodes
    capture = router.directory + "/east.pcapng"
    status, _, err = router.command("bus", "dump", path, "-w", capture, "-c", "10")
    assert status == 0, err
    with open(capture, "rb") as file:
        assert file.read(4) == b"\x0a\x0d\x0d\x0a" and len(file.read()) > 10 * 64
    made = router.directory + "/made.bus"
    assert router.command("bus", "create", made, "--size", "4M")[0] == 0
    assert router.ask("bus", "ls", made)["node_bytes"] == 4 << 20
    router.refuses("bus", "create", made, "--size", "4M", because=made)
    answer = router.ask("bus", "dump", made, "-w", capture)
    assert answer == {"frames": 0, "overwritten": 0}, answer
    assert router.ask("bus", "create", made + "2", "--size", "16m")["node_bytes"] == 16 << 20
    router.refuses("bus", "create", made + "3", "--size", "1.5K", because="1.5K")
    answer = router.ask("bus", "create", made + "3", "--format", "netbsd")
    assert answer["format"] == "netbsd" and answer["file_bytes"] == 1 << 20 and "node_bytes" not in answer, answer
    assert router.ask("bus", "ls", made + "3") == answer
    assert "1048544 bytes" in router.command("bus", "ls", made + "3")[1]
    router.refuses("bus", "create", made + "4", "--format", "netbsd", "--size", "4M", because="--size")
    router.misused("bus", "create", made + "4", "--format", "linux", because="linux")
    router.refuses("bus", "ls", router.directory + "/router.toml", because="router.toml")


def a_second_router_on_the_socket_is_refused(router):
    second = router.start()
    assert second.wait(LIMIT_S) == 1
    router.ask("link")


def a_bad_configuration_names_its_line(router):
    path = router.directory + "/bad.toml"
    for text, place in (("[engine]\nworkres = 1\n", ":2:"), ('[[port]]\nname = "a"\ndevice = "what"\n', ":1:")):
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        done = subprocess.run([router.program, "--socket", router.directory + "/bad.sock", "run", "-c", path],
                              capture_output=True, text=True, timeout=LIMIT_S, check=False)
        assert done.returncode == 1 and path + place in done.stderr, done.stderr


WRONG_NAMES = (  # what a configuration of two ports may name that is not there: the text, its line, and why
    ('[[addr]]\naddress = "10.3.0.1/24"\ndev = "south"\n', 1, "no interface 'south'"),
    ('\n[[link]]\nname = "west.5"\nport = "south"\nvlan = 5\n', 2, "no interface 'south'"),
    ('[[link]]\nname = "east"\nport = "west"\nvlan = 5\n', 1, "two interfaces are called 'east'"),
    ('[[port]]\nname = "east"\ndevice = "bus:/tmp/x"\n', 1, "two ports are called 'east'"),
    ('[[port]]\nname = "north"\ndevice = "what"\n', 1, "'what'"),
    ('[[port]]\nname = "north"\ndevice = "bus:/tmp/x"\nmac = "01:00:5e:00:00:01"\n', 1, "01:00:5e:00:00:01"),
    ('[[route]]\nto = "30.0.0.0/8"\ndev = "south"\n', 1, "no interface 'south'"),
    ('[[route]]\nto = "30.0.0.0/8"\nvia = "10.1.0.2"\n\n[[route]]\nto = "31.0.0.0/8"\nvia = "99.9.9.9"\n', 5, "99.9.9.9"),
    ('[[route]]\nto = "30.0.0.0/8"\nvia = "10.1.0.2"\ndev = "east"\n', 1, "no link of 'east'"),
    ('[[route]]\nto = "2001:db8:9::/48"\nvia = "2001:db8:5::1"\n', 1, "2001:db8:5::1"),
    ('[[neigh]]\naddress = "10.1.0.9"\nlladdr = "02:00:00:00:00:09"\ndev = "south"\n', 1, "no interface 'south'"),
    ('[[neigh]]\naddress = "10.2.0.9"\nlladdr = "02:00:00:00:00:09"\ndev = "west"\n', 1, "no link of 'west'"),
    ('[[iface]]\ndev = "south"\nrpf = "strict"\n', 1, "no interface 'south'"),
    ('[[table]]\nfile = "missing.txt"\nvia = "10.2.0.2"\n', 1, "missing.txt"),
    ('[[table]]\nfile = "table.txt"\nvia = "99.9.9.9"\n', 1, "99.9.9.9"),
)


def a_check_looks_for_what_is_named(router):
    """Nothing is opened: the ports of the running router serve as those of the configuration that is checked."""
    path, table = router.directory + "/checked.toml", router.directory + "/table.txt"
    whole = CONFIG.format(dir=router.directory)
    first = whole.count("\n")
    with open(table, "w", encoding="ascii") as file:
        file.write("30.0.0.0/8\n")
    fine = '[[table]]\nfile = "table.txt"\nvia = "10.2.0.2"\n'
    for text, line, why in ((fine, 0, ""), *WRONG_NAMES):
        with open(path, "w", encoding="ascii") as file:
            file.write(whole + text)
        status, out, err = router.command("run", "--check", "-c", path)
        assert out == "" and status == (1 if why else 0), f"{text}: status {status}, {err!r}"
        assert why in err and (not why or f"{path}:{first + line}: " in err), f"{text}: {err!r}"
    status, _, err = router.command("run", "--check")
    assert status == 1 and "no ports" in err, err


def ends_cleanly(router):
    assert router.stop() == 0
    assert not os.path.exists(router.socket)
    router.refuses("link", because="pantala run")


TESTS = [
    starts_as_configured, routes_come_and_go, interfaces_and_addresses_change,
    batches_are_made_in_order_or_say_where_they_end, what_leads_nowhere_is_refused_everywhere,
    a_port_hears_the_address_of_its_interfaces, a_port_carries_what_its_interfaces_promise, traffic_all_arrives,
    a_bus_tells_who_and_what_is_on_it, metrics_and_weights_count,
    a_route_stands_aside_for_an_address, both_families_are_saved_and_restored,
    what_is_shown_is_what_was_asked_for, the_host_cache_is_shown_and_flushed, tcp_settings_are_shown_and_changed,
    watchers_are_told_of_changes,
    a_second_router_on_the_socket_is_refused, a_bad_configuration_names_its_line, a_check_looks_for_what_is_named,
    ends_cleanly,
]

if __name__ == "__main__":
    sys.exit(run_with_router(TESTS))
