#!/usr/bin/env python3
"""Gathers the results of test cases from meson, TAP and single commands, and sums them.

usage: results.py meson BUILD STAGE      after `meson test` in BUILD
       results.py tap FILE STAGE         the output of one TAP program
       results.py case STAGE NAME passed|failed|skipped [WHY]
       results.py sum                    prints failures, skips and, last, the counts

Each call adds lines to $PANTALA_RESULTS: stage, case, verdict and reason, as JSON. `sum` ends with
status 1 if a case failed or if nothing passed at all.
"""
import glob
import json
import os
import re
import sys
import xml.etree.ElementTree as xml

RESULTS = os.environ.get("PANTALA_RESULTS", "build/results.jsonl")
TAP_LINE = re.compile(r"^(not )?ok\b\s*(\d+)?\s*-?\s*(.*?)\s*(?:#\s*(skip|todo)\w*\s*(.*))?$", re.I)


def add(stage, cases):
    lines = [json.dumps({"stage": stage, "case": name, "verdict": verdict, "why": why}) + "\n"
             for name, verdict, why in cases]
    with open(RESULTS, "ab", buffering=0) as out:  # in one write: stages end at the same time
        out.write("".join(lines).encode())


def tap_cases(text, program):
    """The cases of a TAP stream; a plan that was not kept is one failed case more."""
    cases, plan = [], None
    for line in text.splitlines():
        planned = re.match(r"^1\.\.(\d+)\s*(?:#\s*skip\w*\s*(.*))?$", line, re.I)
        if planned:
            plan = int(planned[1])
            if plan == 0:
                cases.append((program, "skipped", planned[2] or "no reason given"))
            continue
        found = TAP_LINE.match(line)
        if not found:
            continue
        name = f"{program}: {found[3] or found[2]}"
        if found[1]:
            cases.append((name, "failed", ""))
        elif found[4] and found[4].lower() == "skip":
            cases.append((name, "skipped", found[5] or "no reason given"))
        else:
            cases.append((name, "passed", ""))
    if plan is None or (plan and plan != len(cases)):
        cases.append((program, "failed", f"{len(cases)} cases of {plan} planned"))
    return cases


def short(name):
    """meson puts project and suites in front: "pantala:slow / bus" is "bus"."""
    return name.rpartition(" / ")[2]


def newest_log(build, kind):
    """Meson puts the wrapper's name into the log's: testlog-setarch.json."""
    logs = glob.glob(os.path.join(glob.escape(build), "meson-logs", f"testlog*.{kind}"))
    if not logs:
        raise FileNotFoundError(f"{build}: meson wrote no testlog*.{kind}")
    return max(logs, key=os.path.getmtime)


def junit_cases(build):
    """The cases of every gtest program, by program, from meson's JUnit file."""
    programs = {}
    path = newest_log(build, "junit.xml")
    for suite in xml.parse(path).getroot().iter("testsuite"):
        # meson calls them PROJECT.PROGRAM.SUITE
        program = short(suite.get("name", "").partition(".")[2].rpartition(".")[0])
        for case in suite.findall("testcase"):
            name = f"{case.get('classname', '')}.{case.get('name')}"
            skipped = case.find("skipped")
            verdict, why = "passed", ""
            if case.find("failure") is not None or case.find("error") is not None:
                verdict = "failed"
            elif skipped is not None:
                why = (skipped.get("message") or skipped.text or "no reason given").strip()
                verdict, why = "skipped", why.splitlines()[-1]
            elif case.get("status") == "notrun":
                verdict, why = "skipped", "disabled"
            programs.setdefault(program, []).append((name, verdict, why))
    return programs


def meson_cases(build):
    cases = []
    with open(newest_log(build, "json"), encoding="utf-8") as log:
        tests = [json.loads(line) for line in log]
    try:
        gtest = junit_cases(build)
    except (OSError, xml.ParseError):
        gtest = {}
    for test in tests:
        program, verdict = short(test["name"]), test["result"]
        output = test.get("stdout") or ""
        if program in gtest:
            own = gtest[program]
        elif re.search(r"^1\.\.\d+", output, re.M):
            own = tap_cases(output, program)
        else:
            own = []
        if not own and verdict == "OK":
            own = [(program, "passed", "")]
        elif not own and verdict == "SKIP":
            own = [(program, "skipped", (output.strip().splitlines() or ["no reason given"])[-1])]
        bad = verdict not in ("OK", "SKIP", "EXPECTEDFAIL")
        if bad and not any(case[1] == "failed" for case in own):
            own.append((program, "failed", f"ended as {verdict}"))
        cases += own
    return cases


def total():
    count = {"passed": 0, "failed": 0, "skipped": 0}
    try:
        with open(RESULTS, encoding="utf-8") as results:
            lines = [json.loads(line) for line in results]
    except OSError:
        lines = []
    for line in lines:
        count[line["verdict"]] += 1
    for verdict in ("skipped", "failed"):
        for line in lines:
            if line["verdict"] == verdict:
                why = f": {line['why']}" if line["why"] else ""
                print(f"{verdict}  [{line['stage']}] {line['case']}{why}")
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**count))
    return 1 if count["failed"] or not count["passed"] else 0


def main(arguments):
    match arguments:
        case ["meson", build, stage]:
            add(stage, meson_cases(build))
        case ["tap", path, stage]:
            with open(path, encoding="utf-8", errors="replace") as file:
                add(stage, tap_cases(file.read(), stage))
        case ["case", stage, name, ("passed" | "failed" | "skipped") as verdict, *why]:
            add(stage, [(name, verdict, " ".join(why))])
        case ["sum"]:
            return total()
        case _:
            sys.exit(__doc__)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
