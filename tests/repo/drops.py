#!/usr/bin/env python3
"""Each reason for which a packet dies is counted somewhere, and named in a test."""
import re

import tree

REASONS = "engine/drop_reasons.def"
UNTESTED = {"none"}  # not a death


def reasons(text):
    return re.findall(r"^PANTALA_DROP\((\w+),", text, re.MULTILINE)


def unnamed(names, texts):
    words = set()
    for text in texts:
        words.update(re.findall(r"\w+", text))
    return [name for name in names if name not in words]


def source_texts(prefixes):
    return [tree.read(path) for path in tree.files()
            if path.startswith(prefixes) and path.endswith((".cpp", ".hpp"))]


def every_reason_is_in_a_test():
    names = [name for name in reasons(tree.read(REASONS)) if name not in UNTESTED]
    return [f"{REASONS}: no test names {name}" for name in unnamed(names, source_texts(("tests/",)))]


def every_reason_is_given():
    names = [name for name in reasons(tree.read(REASONS)) if name not in UNTESTED]
    given = source_texts(("engine/", "stack/", "app/"))
    return [f"{REASONS}: nothing dies of {name}" for name in unnamed(names, given)]


def the_check_notices():
    found = reasons('PANTALA_DROP(none, "-", "")\nPANTALA_DROP(one, "a", "b")\nPANTALA_DROP(two, "a", "b")\n')
    wrong = [] if found == ["none", "one", "two"] else [f"read {found}"]
    return wrong + ([] if unnamed(["one", "two"], ["{one, 1}", "twofold"]) == ["two"] else ["misses a reason"])


if __name__ == "__main__":
    tree.run([
        ("every drop reason is named in a test", every_reason_is_in_a_test),
        ("every drop reason is given somewhere", every_reason_is_given),
        ("a reason without a test would be noticed", the_check_notices),
    ])
