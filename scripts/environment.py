"""Make .venv and install a requirements file into it: `environment.py REQUIREMENTS STAMP`.

Two make commands started side by side take turns, and the second finds the work done.
"""

import fcntl
import subprocess
import sys
import venv
from pathlib import Path

VENV = Path(".venv")
NEWEST_INPUTS = ("requirements.txt", "requirements-dev.txt", "constraints.txt")


def main(requirements: str, stamp: Path) -> None:
    if sys.version_info < (3, 11):  # noqa: UP036  # this runs under whichever python3 there is
        sys.exit(f"nanobanana needs Python 3.11 or later; {sys.executable} is {sys.version.split()[0]}.")
    with Path(".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_fresh(stamp):
            return
        if not (VENV / "bin" / "pip").exists():
            print(f"Making {VENV} ...", flush=True)
            venv.create(VENV, with_pip=True, clear=VENV.exists())
        print(f"Installing {requirements} into {VENV} ...", flush=True)
        pip = [VENV / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        try:
            failed = subprocess.run([*pip, "-r", requirements]).returncode
        except KeyboardInterrupt:
            sys.exit("Stopped; the same command goes on from here.")
        if failed:
            sys.exit(f"{requirements} could not be installed: see pip's message above.")
        stamp.touch()


def is_fresh(stamp: Path) -> bool:
    newest = max(Path(name).stat().st_mtime for name in NEWEST_INPUTS)
    return stamp.exists() and stamp.stat().st_mtime >= newest


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
