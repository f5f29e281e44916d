"""The configuration with which `pantala run` forwards between the generating ports: the links, next
hops and neighbours of bench/forward_bench_data.cpp."""

NEXTHOPS = 63


def forward_config(path, data, plugin, vdevs, lcores, eal, ipv6=False):
    """Writes the file; returns its path."""
    words = ", ".join(f'"{word}"' for word in ["-d", plugin] + eal)
    text = f"""[engine]
workers = 1
idle = "busy"
lcores = "{lcores}"
eal = [{words}]
[control]
socket = "{path}.socket"
"""
    for side, vdev in enumerate(vdevs):
        address = f"2001:db8:0:{side}::fe/64" if ipv6 else f"198.18.{side}.254/24"
        text += f"""[[port]]
name = "side{side}"
device = "{vdev}"
[[addr]]
address = "{address}"
dev = "side{side}"
"""
    for hop in range(1, NEXTHOPS + 1):
        text += f"""[[neigh]]
address = "{gateway(hop, ipv6)}"
lladdr = "02:00:00:01:00:{hop:02x}"
dev = "side{hop & 1}"
"""
    text += f"""[[table]]
file = "{data}/pantala.routes"
via = "{gateway(1, ipv6)}"
"""
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return path


def gateway(hop, ipv6):
    return f"2001:db8:0:{hop & 1}::1{hop:02x}" if ipv6 else f"198.18.{hop & 1}.{100 + hop}"
