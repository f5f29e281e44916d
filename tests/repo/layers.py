#!/usr/bin/env python3
"""Who may include whom: docs/architecture.md, "Layers", as a table that is checked."""
import re

import tree

# A room and the rooms below it that its files may include, besides itself. A file belongs to the
# longest room that its path starts with.
MAY_INCLUDE = {
    "engine/base": [],
    "stack/wire": ["engine/base"],
    "engine/dpdk": [],
    "engine": ["engine/base", "engine/dpdk"],
    "stack/route": ["engine", "engine/base", "stack/wire"],
    "stack/ether": ["engine", "engine/base", "stack/wire", "stack/route"],
    "stack/ip": ["engine", "engine/base", "stack/wire", "stack/route", "stack/ether"],
    "stack/udp": ["engine", "engine/base", "stack/wire", "stack/route", "stack/ether", "stack/ip"],
    "stack/tcp": ["engine", "engine/base", "stack/wire", "stack/route", "stack/ether", "stack/ip"],
    "stack/socket": ["engine", "engine/base", "stack/wire", "stack/route", "stack/ether", "stack/ip",
                     "stack/udp", "stack/tcp", "include/pantala"],
    "stack": ["engine", "engine/base", "stack/wire", "stack/route", "stack/ether", "stack/ip",
              "stack/udp", "stack/tcp", "stack/socket", "include/pantala"],
    "include/pantala": [],
    "pmd": ["engine/base", "engine/dpdk"],
}
# Programs and tests stand above everything: any room, but not one another.
PROGRAMS = ["app", "bench", "tests"]

DPDK = re.compile(r"^(rte_\w+|cmdline\w*)\.h$")
DPDK_DRIVER = re.compile(r"^(ethdev_driver|ethdev_vdev|bus_vdev_driver|dev_driver|bus_driver)\.h$")
WITHOUT_DPDK = ["engine/base", "stack/wire", "include/pantala"]
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^">]+)[">]', re.M)


def room_of(path):
    rooms = [room for room in [*MAY_INCLUDE, *PROGRAMS] if path.startswith(room + "/")]
    return max(rooms, key=len, default=None)


def target_room(included):
    if included.startswith("pantala/"):
        return "include/pantala"
    return room_of(included)


def violation(path, included):
    """Why `path` may not include `included`, or None."""
    room, target = room_of(path), target_room(included)
    if DPDK_DRIVER.match(included) and room not in ("pmd", "tests", "bench"):
        return "only pmd/ includes DPDK's driver headers"
    if DPDK.match(included) and room in WITHOUT_DPDK:
        return f"{room} knows no DPDK"
    if target is None or target == room:
        return None
    if room in PROGRAMS:
        return None if target not in PROGRAMS or room in ("tests", "bench") else "a program's own files"
    if target not in MAY_INCLUDE[room]:
        return f"{room} may include only {', '.join(MAY_INCLUDE[room]) or 'the standard library'}"
    return None


def violations(sources):
    """Every forbidden include of `sources`, pairs of path and text."""
    wrong = []
    for path, text in sources:
        if room_of(path) is None:
            wrong.append(f"{path}: belongs to no room of the table")
            continue
        for included in INCLUDE.findall(text):
            why = violation(path, included)
            if why:
                wrong.append(f"{path}: #include {included}: {why}")
    return wrong


def the_tree():
    paths = [path for path in tree.files() if path.endswith((".cpp", ".hpp"))]
    return violations((path, tree.read(path)) for path in paths) if paths else ["no source found"]


CAUGHT = [
    ("stack/tcp/a.cpp", '#include "stack/udp/b.hpp"', "sideways"),
    ("stack/route/a.hpp", '#include "stack/ip/b.hpp"', "upward"),
    ("engine/a.hpp", '  #  include "stack/wire/b.hpp"', "the engine knows no protocol"),
    ("engine/base/a.hpp", "#include <rte_mbuf.h>", "DPDK in engine/base"),
    ("stack/wire/a.hpp", "#include <rte_ether.h>", "DPDK in stack/wire"),
    ("stack/ip/a.cpp", "#include <ethdev_driver.h>", "a driver header in the stack"),
    ("pmd/a.cpp", '#include "engine/netmsg.hpp"', "the side building and the engine"),
    ("stack/ether/a.cpp", '#include "pmd/b.hpp"', "the stack and the side building"),
    ("stack/stack.cpp", '#include "app/b.hpp"', "a program from below"),
    ("attic/a.cpp", "", "a room that is not in the table"),
]
ALLOWED = [
    ("stack/tcp/a.cpp", '#include "stack/tcp/b.hpp"\n#include "stack/route/c.hpp"\n#include <vector>'),
    ("stack/stack.cpp", '#include "stack/tcp/b.hpp"\n#include "engine/worker.hpp"\n#include <rte_mbuf.h>'),
    ("pmd/a.cpp", '#include <ethdev_driver.h>\n#include "engine/base/check.hpp"\n#include "pmd/b.hpp"'),
    ("app/main.cpp", '#include "pmd/bus_ops.hpp"\n#include "stack/stack.hpp"'),
    ("tests/app/a_test.cpp", '#include "app/config.hpp"\n#include "tests/harness/packet.hpp"'),
]


def catches_violations():
    return [f"not caught: {what}" for path, text, what in CAUGHT if not violations([(path, text)])]


def lets_the_rest_pass():
    return violations(ALLOWED)


tree.run([
    ("a forbidden include is caught", catches_violations),
    ("an allowed include passes", lets_the_rest_pass),
    ("every include of the tree goes down", the_tree),
])
