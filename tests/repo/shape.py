#!/usr/bin/env python3
"""Sizes of files and directories, words that must not be in the tree, links that must lead somewhere."""
import collections
import os
import re

import tree

LINES_MAX = 500
FILES_MAX = 20  # in one directory

# Path and why it may exceed its limit. An entry that is no longer needed is a failure.
MAY_EXCEED = {"docs/decisions": "a page a decision, found by its number"}

# What must not stand in the tree, and why. (Written so that they do not match themselves.)
WORDS = [
    (r"\b(ntoh|hton)[sl]l?\s*[(]", (".cpp", ".hpp"), "byte order is a type: be16, be32"),
    (r"\b(TO[D]O|FIX[M]E|X[X]X)\b", None, "unfinished work belongs in the tracker"),
    (r"(?<![\w.])/(work|home|root)/[\w.]", None, "a path of one machine"),
    (r"\bvolatile\s+(?!\(|(std::)?sig_atomic_t)", (".cpp", ".hpp"), "std::atomic with an explicit order"),
    (r"\busing\s+namespace\s+(?!\w+::.*literals|std::\w*literals)", (".hpp",), "in a header"),
]
TEXT = (".cpp", ".hpp", ".def", ".md", ".py", ".sh", ".build", ".txt", ".toml", ".supp", ".yml")

LINK = re.compile(r"\]\(([^)\s]+)\)")
QUOTED_PATH = re.compile(r"`([\w.-]+(?:/[\w.-]+)+\.(?:hpp|cpp|def|md|py|txt|toml|build)|scripts/\w+)`")


def over_limits(sizes, allowed):
    """`sizes`: pairs of path and line count."""
    wrong, used = [], set()
    count = collections.Counter(os.path.dirname(path) or "." for path, _ in sizes)
    for path, lines in sizes:
        if path.endswith((".cpp", ".hpp", ".py")) and lines > LINES_MAX:
            used.add(path)
            if path not in allowed:
                wrong.append(f"{path}: {lines} lines; the limit is {LINES_MAX}")
    for directory, number in sorted(count.items()):
        if number > FILES_MAX:
            used.add(directory)
            if directory not in allowed:
                wrong.append(f"{directory}: {number} files; the limit is {FILES_MAX}")
    wrong += [f"{path}: allowed to exceed its limit but does not" for path in allowed if path not in used]
    return wrong


def bad_words(path, text):
    wrong = []
    for pattern, endings, why in WORDS:
        if endings and not path.endswith(endings):
            continue
        for match in re.finditer(pattern, text):
            line = text.count("\n", 0, match.start()) + 1
            wrong.append(f"{path}:{line}: '{match[0].strip()}': {why}")
    return wrong


def dead_links(path, text, exists):
    wrong = []
    for link in LINK.findall(text):
        target = link.partition("#")[0]
        if "://" in link or link.startswith("mailto:") or not target:
            continue
        if not exists(os.path.normpath(os.path.join(os.path.dirname(path), target))):
            wrong.append(f"{path}: the link '{link}' leads nowhere")
    for quoted in QUOTED_PATH.findall(text):
        beside = os.path.normpath(os.path.join(os.path.dirname(path), quoted))
        if not exists(quoted) and not exists(beside):
            wrong.append(f"{path}: speaks of {quoted}, which does not exist")
    return wrong


def sizes_of_tree():
    return over_limits([(path, tree.read(path).count("\n")) for path in tree.files()], MAY_EXCEED)


def is_text(path):
    first = "" if path.endswith(TEXT) else tree.read(path)[:2]
    return path.endswith(TEXT) or first == "#!"


def words_of_tree():
    return [wrong for path in tree.files() if is_text(path) for wrong in bad_words(path, tree.read(path))]


def links_of_tree():
    pages = [path for path in tree.files() if path.endswith(".md")]
    exists = lambda path: os.path.exists(os.path.join(tree.ROOT, path))
    return [wrong for page in pages for wrong in dead_links(page, tree.read(page), exists)]


def catches_sizes():
    long_file = over_limits([("a/b.cpp", LINES_MAX + 1)], {})
    full_room = over_limits([(f"a/{n}.hpp", 1) for n in range(FILES_MAX + 1)], {})
    stale = over_limits([("a/b.cpp", 1)], {"a/b.cpp": "why"})
    fine = over_limits([("a/b.cpp", LINES_MAX)], {}) + over_limits([("a/b.cpp", 999)], {"a/b.cpp": "why"})
    caught = {"a long file": long_file, "a full directory": full_room, "a stale permission": stale}
    return [f"not caught: {name}" for name, wrong in caught.items() if not wrong] + fine


def catches_words():
    bad = [("a.cpp", "x = nto" + "hl(y);"), ("a.md", "TO" + "DO: more"), ("a.py", "open('/ho" + "me/x')"),
           ("a.hpp", "vola" + "tile int x;"), ("a.hpp", "using name" + "space std;")]
    fine = [("a.cpp", "x = y.host(); // not mentohl"), ("a.md", "docs/work/plan, /proc/net"),
            ("a.cpp", "asm volatile(\"pause\");"), ("a.cpp", "using namespace std::chrono_literals;")]
    return ([f"not caught: {text}" for path, text in bad if not bad_words(path, text)] +
            [wrong for path, text in fine for wrong in bad_words(path, text)])


def catches_links():
    exists = lambda path: path in ("docs/b.md", "engine/worker.hpp")
    bad = ["[b](c.md)", "[b](../b.md)", "see `engine/gone.hpp`"]
    fine = "[b](b.md#part) [c](https://example.org/x) [d](#here) `engine/worker.hpp` `a/b`"
    return ([f"not caught: {text}" for text in bad if not dead_links("docs/a.md", text, exists)] +
            dead_links("docs/a.md", fine, exists))


tree.run([
    ("a size over its limit is caught", catches_sizes),
    ("a forbidden word is caught", catches_words),
    ("a dead link is caught", catches_links),
    ("files and directories keep their limits", sizes_of_tree),
    ("no forbidden words", words_of_tree),
    ("links and paths in the documents lead somewhere", links_of_tree),
])
