"""What the tests of the repository share: the files of the tree and TAP output."""
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def files(root=ROOT):
    """Paths below `root` that belong to the tree: what git tracks or would track, else all."""
    try:
        command = ["git", "-C", root, "ls-files", "-co", "--exclude-standard"]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")
        return sorted(path for path in set(listed) if path and os.path.isfile(os.path.join(root, path)))
    except (OSError, subprocess.CalledProcessError):
        found = []
        for directory, subdirectories, names in os.walk(root):
            subdirectories[:] = [d for d in subdirectories if not d.startswith(("build", ".git"))]
            found += [os.path.relpath(os.path.join(directory, name), root) for name in names]
        return sorted(found)


def read(path, root=ROOT):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read()


class Skip(str):
    """Returned by a case that could not be tried: why."""


def run(cases):
    """Runs (name, function) pairs; a function returns the list of what is wrong. TAP on stdout."""
    failed = 0
    print(f"1..{len(cases)}")
    for number, (name, function) in enumerate(cases, 1):
        wrong = function()
        if isinstance(wrong, Skip):
            print(f"ok {number} - {name} # SKIP {wrong}")
            continue
        failed += bool(wrong)
        print(f"{'not ok' if wrong else 'ok'} {number} - {name}")
        for line in wrong:
            print(f"# {line}")
    sys.exit(1 if failed else 0)
