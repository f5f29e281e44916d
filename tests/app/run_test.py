"""`pantala run` from outside: two buses, the commands, traffic that must all arrive, and the end.

usage: run_test.py PANTALA. Prints TAP. Nothing here depends on how fast the machine is: every wait is for
a state, and its bound is reached by a failure only.
"""
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

LIMIT_S = 60

CONFIG = """[engine]
lcores = "floating"

[[port]]
name = "west"
device = "bus:{dir}/west.bus,flow=lossless"
mac = "02:00:00:00:00:01"

[[port]]
name = "east"
device = "bus:{dir}/east.bus,flow=lossless"

[[link]]
name = "east.7"
port = "east"
vlan = 7

[[addr]]
address = "10.1.0.1/24"
dev = "west"

[[addr]]
address = "10.2.0.1/24"
dev = "east"

[[neigh]]
address = "10.2.0.2"
lladdr = "02:70:00:00:00:00"
dev = "east"

[[route]]
to = "20.0.0.0/8"
via = "10.2.0.2"
"""


class Router:
    """A running pantala, and the commands that speak to it."""

    def __init__(self, program, directory):
        self.program, self.directory = program, directory
        self.socket = directory + "/control.sock"
        with open(directory + "/router.toml", "w", encoding="ascii") as file:
            file.write(CONFIG.format(dir=directory))
        self.process = self.start()
        line = self.process.stdout.readline()
        assert line, "the router says nothing and ends"
        self.ready = json.loads(line)

    def start(self):
        return subprocess.Popen(
            [self.program, "--json", "--socket", self.socket, "run", "-c", self.directory + "/router.toml"],
            stdout=subprocess.PIPE, text=True)

    def command(self, *words, text=None):
        """Status, stdout and stderr of a command."""
        done = subprocess.run([self.program, "--socket", self.socket, *words], input=text, text=True,
                              capture_output=True, timeout=LIMIT_S, check=False)
        return done.returncode, done.stdout, done.stderr

    def ask(self, *words):
        status, out, err = self.command("--json", *words)
        assert status == 0, f"{words}: {err}"
        return json.loads(out)

    def refuses(self, *words, because, text=None):
        status, _, err = self.command(*words, text=text)
        assert status == 1 and because in err, f"{words}: status {status}, {err!r}"

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT_S)


def starts_as_configured(router):
    assert router.ready["state"]["workers"] == 1
    links = {link["name"]: link for link in router.ask("link", "show")}
    assert links["west"]["address"] == "02:00:00:00:00:01"
    assert links["east.7"]["vlan"] == 7 and links["east"]["addresses"] == ["10.2.0.1/24"]
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


def a_table_is_loaded_whole(router):
    path = router.directory + "/table.gz"
    with gzip.open(path, "wt") as file:
        file.writelines(f"50.{i >> 8}.{i & 255}.0/24\n" for i in range(50000))
        file.write("2001:db8::/32\n")
    before = len(router.ask("route"))
    answer = router.ask("route", "load", path, "via", "10.2.0.2", "via", "10.2.0.3")
    assert answer["routes"] == 50000 and answer["ip6_skipped"] == 1
    assert len(router.ask("route")) == before + 50000
    assert router.ask("route", "get", "50.10.1.1")["to"] == "50.10.1.0/24"
    router.refuses("route", "load", path, because="via GATEWAY")
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


def ends_cleanly(router):
    assert router.stop() == 0
    assert not os.path.exists(router.socket)
    router.refuses("link", because="pantala run")


def main():
    tests = [starts_as_configured, routes_come_and_go, interfaces_and_addresses_change,
             batches_are_made_in_order_or_say_where_they_end,
             what_leads_nowhere_is_refused_everywhere, a_port_hears_the_address_of_its_interfaces,
             a_port_carries_what_its_interfaces_promise, traffic_all_arrives, a_bus_tells_who_and_what_is_on_it,
             a_table_is_loaded_whole, a_table_that_does_not_come_holds_nobody_up,
             a_second_router_on_the_socket_is_refused, a_bad_configuration_names_its_line, ends_cleanly]
    print(f"1..{len(tests)}", flush=True)
    directory = tempfile.mkdtemp(prefix="pantala.")
    router = Router(os.path.abspath(sys.argv[1]), directory)
    bad = 0
    try:
        for number, test in enumerate(tests, 1):
            try:
                test(router)
                print(f"ok {number} - {test.__name__.replace('_', ' ')}", flush=True)
            except (AssertionError, KeyError, ValueError, subprocess.TimeoutExpired) as failure:
                bad += 1
                print(f"not ok {number} - {test.__name__.replace('_', ' ')}\n# {failure!r}", flush=True)
    finally:
        router.stop()
        shutil.rmtree(directory, ignore_errors=True)
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
