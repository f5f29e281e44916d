"""Set-up and build at the head of a script, as scripts/demo does them; all they say is on stderr."""
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def prepare(name, *targets, groups=("build",), wanted=(), build=None):
    """The build directory, with the targets built. `wanted`: groups that we can do without. A build directory that
    somebody names is his: it is not set up."""
    own = build is None or os.path.realpath(build) == os.path.join(ROOT, "build")
    build = build or os.path.join(ROOT, "build")
    setup = os.path.join(ROOT, "scripts", "setup")
    if own and wanted:
        subprocess.run([setup, *groups, *wanted], stdout=sys.stderr, check=False)
    commands = [[setup, *groups]] if own else []
    commands.append([os.path.join(ROOT, "scripts", "lib", "build.sh"), build, os.path.join(build, name + ".log"), *targets])
    for command in commands:
        if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:
            sys.exit(f"{name}: the set-up or the build failed (above)")
    return build
