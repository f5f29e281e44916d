#!/usr/bin/env python3
"""The router between two hosts of the Linux kernel, over IPv6: ping, traceroute, path MTU, neighbours that fail
and come back, fragments.

usage: kernel_peers6_test.py PANTALA        TAP on stdout; skipped where there is no root
"""
import re
import subprocess
import sys

import peers

LEFT, RIGHT = ("2001:db8:71::1", "2001:db8:71::2"), ("2001:db8:72::1", "2001:db8:72::2")  # router's, host's
PINGS = 10


def set_up(net):
    """IPv6 on both hosts and on the router, by its command line."""
    for side, (router, host) in (("left", LEFT), ("right", RIGHT)):
        net.ask("addr", "add", f"{router}/64", "dev", side, "nodad")
        net.on(side, "sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/wire/disable_ipv6")
        net.on(side, "sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/wire/accept_ra")
        net.on(side, "ip", "-6", "addr", "add", f"{host}/64", "dev", "wire", "nodad")
        net.on(side, "ip", "-6", "route", "add", "default", "via", router)


def expect(condition, output):
    if not condition:
        raise peers.Failure(" | ".join(output.strip().splitlines()[-6:]))


def ping(net, side, target, *options, count=PINGS):
    """How many of `count` echo requests were answered, and what ping printed."""
    command = " ".join(["ping", "-6", "-n", "-c", "1", "-W", "10", *options, target])
    output = net.on(side, "sh", "-c", f"for i in $(seq {count}); do {command}; done", check=False)
    return len(re.findall(r" 1 received", output)), output


def all_answered(net, side, target, *options):
    answered, output = ping(net, side, target, *options)
    expect(answered == PINGS, output)
    return output


def pings_router(net):
    all_answered(net, "left", LEFT[0])
    all_answered(net, "right", RIGHT[0])
    all_answered(net, "left", RIGHT[0])


def pings_through(net):
    output = all_answered(net, "left", RIGHT[1])
    expect("ttl=63" in output, output)
    all_answered(net, "right", LEFT[1])


def pings_link_local(net):
    output = net.ask("addr", "show")
    own = re.search(r"left\s+(fe80:[0-9a-f:]+)/64", output)
    expect(own, output)
    all_answered(net, "left", f"{own[1]}%wire")


def knows_neighbours(net):
    output = net.on("left", "ip", "-6", "neigh", "show", LEFT[0])
    expect("lladdr" in output and "router" in output, output)
    output = net.ask("neigh", "show")
    expect(LEFT[1] in output and RIGHT[1] in output, output)


def traceroute(net):
    for probes in ("-U", "-I"):
        output = net.on("left", "traceroute", "-6", "-n", probes, "-q", "1", "-N", "1", "-w", "5", "-m", "4",
                        RIGHT[1])
        hops = re.findall(r"^\s*(\d+)\s+([0-9a-f:]+)\s", output, re.M)
        expect(hops == [("1", LEFT[0]), ("2", RIGHT[1])], output)


def path_mtu(net):
    output = net.on("left", "tracepath", "-6", "-n", "-m", "4", RIGHT[1])
    expect(f"pmtu {peers.RIGHT_MTU}" in output and "reached" in output, output)
    net.on("left", "ip", "-6", "route", "flush", "cache")
    all_answered(net, "left", RIGHT[1], "-M", "do", "-s", str(peers.RIGHT_MTU - 48))


def fragments(net):
    # Cut by the kernel; the router forwards the pieces, and puts together and cuts those for itself.
    ping(net, "left", RIGHT[1], "-s", "4000", "-W", "2", count=1)  # this one learns the path's MTU
    all_answered(net, "left", RIGHT[1], "-s", "4000")
    all_answered(net, "left", LEFT[0], "-s", "4000")


def no_route(net):
    answered, output = ping(net, "left", "2001:db8:99::1", count=1)
    expect(answered == 0 and re.search(r"From 2001:db8:71::1 .*(No route|unreachable)", output), output)


def silent_neighbour(net):
    answered, output = ping(net, "left", "2001:db8:72::99", count=1)
    expect(answered == 0 and re.search(r"From 2001:db8:71::1 .*Address unreachable", output), output)


def state_of(net, address):
    for line in net.ask("neigh", "show").splitlines():
        if line.split()[0] == address:
            return line.split()[-1]
    return "none"


def neighbour_fails_and_recovers(net):
    all_answered(net, "left", RIGHT[1])
    net.on("right", "ip", "-6", "addr", "del", f"{RIGHT[1]}/64", "dev", "wire")
    net.ask("neigh", "del", RIGHT[1], "dev", "right")
    answered, output = ping(net, "left", RIGHT[1], count=1)
    expect(answered == 0, output)
    peers.await_true("the neighbour has failed", lambda: state_of(net, RIGHT[1]) in ("failed", "none"))
    net.on("right", "ip", "-6", "addr", "add", f"{RIGHT[1]}/64", "dev", "wire", "nodad")
    net.on("right", "ip", "-6", "route", "replace", "default", "via", RIGHT[0])
    peers.await_true("the neighbour is back", lambda: ping(net, "left", RIGHT[1], count=1)[0] == 1)


def states_until(net, addresses, wanted, poke=None):
    """The states that each address goes through until all have been `wanted`."""
    seen = {address: [] for address in addresses}

    def ended():
        for address in addresses:
            state = state_of(net, address)
            if seen[address][-1:] != [state]:
                seen[address].append(state)
        if poke:
            poke()
        return all(wanted in states for states in seen.values())
    peers.await_true(f"neighbours are {wanted} at last", ended)
    return {address: states[:states.index(wanted) + 1] for address, states in seen.items()}


# Until the router answers: a ping that leaves while one side still asks for the other may be lost.
ANSWERED = ("i=0; until ping {family} -n -c 1 -W 1 {router}; do i=$((i + 1)); "
            "[ $i -lt 10 ] || exit 1; done")


def neighbours_age_and_recover(net):
    """RFC 4861 7.3 in both families at once: one that moved is stale, is used, is asked for, fails, and answers
    again."""
    both = {"-4": (f"{peers.RIGHT[1]}/24", peers.RIGHT[0]), "-6": (f"{RIGHT[1]}/64", RIGHT[0])}
    addresses = [address.split("/")[0] for address, _ in both.values()]

    def use():
        for address in addresses:
            net.on("left", "ping", "-n", "-c", "1", "-W", "1", address, check=False)

    def on_right(*commands):
        net.on("right", "sh", "-c", "; ".join(command.format(family=family, address=address, router=router)
                                              for command in commands for family, (address, router) in both.items()))
    use()
    old = net.on("right", "cat", "/sys/class/net/wire/address").strip()
    # It says where it is now by asking for the router, and is gone.
    on_right("ip link set wire address 02:00:00:00:72:99", "ip {family} neigh flush dev wire",
             ANSWERED, "ip {family} addr del {address} dev wire")
    use()
    for states in states_until(net, addresses, "failed").values():
        expect(states[0] in ("stale", "delay", "probe") and states[-2] == "probe", str(states))
    on_right("ip {family} addr add {address} dev wire", "ip {family} route replace default via {router}")
    states_until(net, addresses, "reachable", use)
    on_right(f"ip link set wire address {old}", "ip {family} neigh flush dev wire",
             ANSWERED)


def redirects(net):
    """A detour over the router is told to the kernel, and it takes the other way from then on."""
    own = re.search(r"left\s+(fe80:[0-9a-f:]+)/64", net.ask("addr", "show"))
    expect(own, net.ask("addr", "show"))
    there, better, net_there = "2001:db8:99::1", "fe80::7199", "2001:db8:99::/64"
    net.on("left", "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/wire/accept_redirects")
    net.on("left", "ip", "-6", "route", "add", net_there, "via", own[1], "dev", "wire")
    net.ask("neigh", "add", better, "lladdr", "02:00:00:00:71:99", "dev", "left")
    net.ask("route", "add", net_there, "via", better, "dev", "left")

    def follows():
        ping(net, "left", there, "-W", "0.1", count=1)
        return f"via {better}" in net.on("left", "ip", "-6", "route", "get", there)
    peers.await_true("the kernel follows the redirect", follows)
    net.ask("route", "del", net_there)
    net.ask("neigh", "del", better, "dev", "left")
    net.on("left", "ip", "-6", "route", "del", net_there, "via", own[1], "dev", "wire")


def follows_new_link_address(net):
    """The kernel hears unasked that the router has another link address (RFC 4861 7.2.6)."""
    all_answered(net, "left", LEFT[0])
    row = net.on("left", "ip", "-6", "neigh", "show", LEFT[0])
    old = re.search(r"lladdr ([0-9a-f:]+)", row)
    expect(old, row)
    now = "02:00:00:00:71:01"
    net.ask("link", "set", "left", "address", now)
    peers.await_true("the kernel knows the new link address", lambda: now in net.on(
        "left", "ip", "-6", "neigh", "show", LEFT[0]))
    net.ask("link", "set", "left", "address", old[1])
    peers.await_true("the kernel knows the old one again", lambda: old[1] in net.on(
        "left", "ip", "-6", "neigh", "show", LEFT[0]))


def replies_over_a_narrow_path(net):
    """A host behind a link narrower than the router's own: the router's echo replies are cut from the second on
    (RFC 8201)."""
    far, name = "2001:db8:98::2", f"{net.names['right']}far"
    peers.run("ip", "netns", "add", name)
    try:
        peers.run("ip", "-n", net.names["right"], "link", "add", "far", "mtu", "1300", "type", "veth",
                  "peer", "name", "wire", "mtu", "1300", "netns", name)
        net.on("right", "sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/far/disable_ipv6;"
               " echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
        net.on("right", "ip", "link", "set", "far", "up")
        net.on("right", "ip", "-6", "addr", "add", "2001:db8:98::1/64", "dev", "far", "nodad")
        peers.run("ip", "netns", "exec", name, "sh", "-c",
                  "echo 0 >/proc/sys/net/ipv6/conf/wire/disable_ipv6; ip link set lo up; ip link set wire up;"
                  f" ip -6 addr add {far}/64 dev wire nodad; ip -6 route add default via 2001:db8:98::1")
        net.ask("route", "add", "2001:db8:98::/64", "via", RIGHT[1])
        command = ["ping", "-6", "-n", "-c", "1", "-s", "2000", "-W", "1", RIGHT[0]]
        for _ in range(2):  # the first reply's pieces are too large, and this is said of them
            peers.run("ip", "netns", "exec", name, *command, check=False)
        command[command.index("-W") + 1] = "10"
        output = peers.run("ip", "netns", "exec", name, *command, check=False)
        expect(" 1 received" in output, output + net.ask("hostcache", "show"))
        net.ask("route", "del", "2001:db8:98::/64")
    finally:
        net.on("right", "sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/all/forwarding", check=False)
        peers.run("ip", "netns", "del", name, check=False)


def taken_address(net):
    """The kernel asks before it uses the router's address, and hears that it is taken."""
    net.on("left", "ip", "-6", "addr", "add", f"{LEFT[0]}/64", "dev", "wire")
    peers.await_true("the kernel gives the address up", lambda: "dadfailed" in net.on(
        "left", "ip", "-6", "addr", "show", "dev", "wire"))
    net.on("left", "ip", "-6", "addr", "del", f"{LEFT[0]}/64", "dev", "wire")


def flags_of(net, address):
    """What `addr show` says of an address of the router; None: it does not have it."""
    for row in net.ask("addr", "show").splitlines():
        words = row.split()
        if len(words) > 1 and words[1].split("/")[0] == address:
            return " ".join(words[2:])
    return None


def address_of_a_host(net):
    """The router asks before it uses an address, and hears from the kernel that it is taken; once more when it is
    free."""
    for address, family in (("2001:db8:71::77", "-6"), ("10.71.0.77", "-4")):
        length = "64" if family == "-6" else "24"
        options = ["nodad"] if family == "-6" else []
        net.on("left", "ip", family, "addr", "add", f"{address}/{length}", "dev", "wire", *options)
        net.ask("addr", "add", f"{address}/{length}", "dev", "left")
        expect("tentative" in flags_of(net, address), net.ask("addr", "show"))
        peers.await_true(f"the router gives {address} up", lambda: flags_of(net, address) == "dadfailed")
        net.ask("addr", "del", f"{address}/{length}", "dev", "left")
        net.on("left", "ip", family, "addr", "del", f"{address}/{length}", "dev", "wire")
        net.ask("addr", "add", f"{address}/{length}", "dev", "left")
        peers.await_true(f"{address} is the router's", lambda: flags_of(net, address) in ("", "-"))
        answered, output = ping(net, "left", address, count=1) if family == "-6" else (1, "")
        expect(answered == 1, output)
        net.ask("addr", "del", f"{address}/{length}", "dev", "left")


def hosts_make_addresses(net):
    """The kernel makes an address and a default route of the router's advertisements, and loses the route with the
    last of them."""
    sysctl = "/proc/sys/net/ipv6/conf/wire"
    net.on("left", "ip", "-6", "route", "del", "default")
    net.on("left", "sh", "-c", f"echo 1 >{sysctl}/autoconf; echo 2 >{sysctl}/accept_ra")
    net.ask("link", "set", "left", "ra", "send")

    def made():
        return re.search(r"inet6 (2001:db8:71:[0-9a-f:]+)/64 scope global (?!.*tentative).*dynamic",
                         net.on("left", "ip", "-6", "addr", "show", "dev", "wire"), re.M)

    def by_router():
        return "default via fe80:" in net.on("left", "ip", "-6", "route", "show")
    peers.await_true("the kernel has made an address", lambda: made() and by_router())
    all_answered(net, "left", RIGHT[1], "-I", made()[1])
    net.ask("link", "set", "left", "ra", "off")
    peers.await_true("the kernel has lost the default route", lambda: not by_router())
    net.on("left", "sh", "-c", f"echo 0 >{sysctl}/accept_ra")
    net.on("left", "ip", "-6", "route", "add", "default", "via", LEFT[0])


def spoofed_sources(net):
    """With the strict check a source of the other side is dropped, and one of this side is not."""
    net.ask("link", "set", "left", "rpf", "strict")
    all_answered(net, "left", RIGHT[1])
    spoofed = "2001:db8:72::66"
    net.on("left", "ip", "-6", "addr", "add", f"{spoofed}/128", "dev", "wire", "nodad")
    answered, output = ping(net, "left", RIGHT[1], "-I", spoofed, "-W", "1", count=1)
    expect(answered == 0 and "ip6_reverse_path" in net.ask("stats"), output)
    net.on("left", "ip", "-6", "addr", "del", f"{spoofed}/128", "dev", "wire")
    net.ask("link", "set", "left", "rpf", "off")


def ends_cleanly(net):
    status = net.stop()
    expect(status == 0, f"status {status}: {net.log()}")


CASES = [
    ("ping of the router", pings_router),
    ("ping through the router", pings_through),
    ("ping of a link-local address", pings_link_local),
    ("neighbours on both sides", knows_neighbours),
    ("traceroute over UDP and ICMP", traceroute),
    ("path MTU discovery", path_mtu),
    ("fragmentation", fragments),
    ("no route", no_route),
    ("a neighbour that does not answer", silent_neighbour),
    ("a neighbour fails and recovers", neighbour_fails_and_recovers),
    ("neighbours age, fail and recover", neighbours_age_and_recover),
    ("redirects", redirects),
    ("a new link address of the router", follows_new_link_address),
    ("echo replies over a narrow path", replies_over_a_narrow_path),
    ("an address that is taken", taken_address),
    ("an address that a host has", address_of_a_host),
    ("addresses from advertisements", hosts_make_addresses),
    ("sources of the other side", spoofed_sources),
    ("a clean end on SIGTERM", ends_cleanly),
]
# DPDK's af_packet driver asks the kernel to put fragments together before it reads them.
NOT_ON_VETH = [fragments, replies_over_a_narrow_path]
# A tap's two ends have one Ethernet address in DPDK's driver: one link-local address as well, no conflict
# in ARP, and no advertisement that the kernel does not take for its own.
NOT_ON_TAP = [pings_link_local, address_of_a_host, hosts_make_addresses, neighbours_age_and_recover, redirects,
              follows_new_link_address]
NETWORKS = [("veth", 2), ("tap", 1)]


def cases_of(wire):
    return [(name, case) for name, case in CASES if case not in (NOT_ON_VETH if wire == "veth" else NOT_ON_TAP)]


def attempt(number, name, case, net):
    try:
        case(net)
    except (peers.Failure, OSError, subprocess.SubprocessError) as failure:
        print(f"not ok {number} - {name}\n# {failure}", flush=True)
        if net.router.poll() is None:
            print(*(f"# {line}" for line in net.ask("stats").splitlines()), sep="\n", flush=True)
        return False
    print(f"ok {number} - {name}", flush=True)
    return True


def main():
    why = peers.lacks()
    if why:
        print(f"1..0 # SKIP {why}")
        return 0
    print(f"1..{sum(len(cases_of(wire)) for wire, _ in NETWORKS)}", flush=True)
    number, failed = 0, 0
    for wire, workers in NETWORKS:
        cases = [(f"{wire}, {workers} worker(s): {name}", case) for name, case in cases_of(wire)]
        try:
            with peers.Network(sys.argv[1], wire, workers) as net:
                set_up(net)
                for name, case in cases:
                    number += 1
                    failed += not attempt(number, name, case, net)
                cases = []
        except (peers.Failure, OSError, subprocess.SubprocessError) as failure:
            for name, _ in cases:
                number, failed = number + 1, failed + 1
                print(f"not ok {number} - {name}\n# the network does not start: {failure}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
