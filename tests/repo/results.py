#!/usr/bin/env python3
"""scripts/lib/results.py on results made by hand: what meson, TAP and single commands leave behind."""
import json
import os
import subprocess
import sys
import tempfile

import tree

GATHER = os.path.join(tree.ROOT, "scripts", "lib", "results.py")
JUNIT = """<testsuites><testsuite name="pantala.engine.pantala">
<testcase classname="wheel" name="expires"/>
<testcase classname="wheel" name="rearms"><failure message="no"/></testcase>
<testcase classname="wheel" name="on_nic"><skipped message="no NIC here"/></testcase>
</testsuite></testsuites>"""


def gathered(log_name, tests, junit=None):
    """Status, last line and standard error of gathering `tests` and summing them."""
    with tempfile.TemporaryDirectory() as build:
        logs = os.path.join(build, "meson-logs")
        os.mkdir(logs)
        if log_name:
            with open(os.path.join(logs, log_name + ".json"), "w", encoding="utf-8") as log:
                log.writelines(json.dumps(test) + "\n" for test in tests)
        if junit:
            with open(os.path.join(logs, log_name + ".junit.xml"), "w", encoding="utf-8") as log:
                log.write(junit)
        environment = {**os.environ, "PANTALA_RESULTS": os.path.join(build, "results.jsonl")}
        for words in (["meson", build, "release"], ["sum"]):
            done = subprocess.run([sys.executable, GATHER, *words], env=environment,
                                  capture_output=True, text=True, check=False)
            if words != ["sum"] and done.returncode:
                return done.returncode, "", done.stderr
        return done.returncode, done.stdout.splitlines()[-1], done.stderr


def case(expected, *arguments):
    def check():
        status, last, errors = gathered(*arguments)
        found = (status, last)
        return [] if found == expected else [f"expected {expected}, found {found}", *errors.splitlines()[-1:]]
    return check


def missing_log():
    status, _, errors = gathered(None, [])
    return [] if status and "wrote no testlog" in errors else [f"status {status}: {errors}"]


PASSED = {"name": "pantala / layers", "result": "OK", "stdout": "1..2\nok 1 - a\nok 2 - b\n"}
ENGINE = {"name": "pantala / engine", "result": "FAIL", "stdout": ""}
CRASHED = {"name": "pantala / pmd", "result": "ERROR", "stdout": ""}

tree.run([
    ("TAP cases are counted", case((0, "2 passed, 0 failed, 0 skipped"), "testlog", [PASSED])),
    ("the log of a wrapped run is found", case((0, "2 passed, 0 failed, 0 skipped"), "testlog-setarch", [PASSED])),
    ("a googletest program counts case by case",
     case((1, "1 passed, 1 failed, 1 skipped"), "testlog", [ENGINE], JUNIT)),
    ("a program that crashed is a failed case", case((1, "2 passed, 1 failed, 0 skipped"), "testlog", [PASSED, CRASHED])),
    ("a run without a test is a failure", case((1, "0 passed, 0 failed, 0 skipped"), "testlog", [])),
    ("a missing log is said", missing_log),
])
