"""Take the steps of the Dockerfile without a container engine, run the result, and tell whether it holds.

    sudo python -m scripts.prove_image        # Linux; `make image-check`

Each stage is a directory with this machine's system and Python in the place of the base image, without its
compilers. The result runs as the image's user, without capabilities, its root read-only but for the volumes.
All of it happens in namespaces of its own and is gone afterwards. The base image itself, what `docker build`
makes of the file, and the network between containers are not proved by this.
"""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.image_files import Step, files_let_in, stages_of

PROJECT = Path(__file__).resolve().parent.parent
COMPILERS = ("cc", "gcc", "c++", "g++", "clang", "rustc", "cargo")
SECRET = "k3Jx9vQ2mZ7tR5yW8bN4cL6hF1dS0gAq"
INSIDE = "PROVING_IMAGE"  # is set in the namespaces
PATIENCE = 60  # seconds
WITHOUT_RIGHTS = ("--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs")


class Disproved(Exception):
    """The image does not hold what it promises; the message says which promise."""


class Stage:
    """A root file system in the making, as the steps so far left it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.directory = "/"
        self.environment = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
        self.user = "0:0"
        self.volumes: list[str] = []
        self.command: list[str] = []
        self.health_command: list[str] = []
        build_base(root)

    def inside(self, path: str) -> Path:
        """Where a path of the image, relative to its WORKDIR, lies here."""
        return self.root / str(Path(self.directory, path)).lstrip("/")

    def run(self, command: Sequence[str], *, environment: dict[str, str] | None = None) -> None:
        subprocess.run(self.invocation(command), env={**self.environment, **(environment or {})}, check=True)

    def invocation(self, command: Sequence[str], *rights: str) -> list[str]:
        user, _, group = self.user.partition(":")
        start = 'cd "$0" && exec setpriv "$@"'
        identity = (f"--reuid={user}", f"--regid={group or user}", *(rights or ("--clear-groups",)))
        return ["chroot", str(self.root), "/bin/sh", "-c", start, self.directory, *identity, *command]


def main() -> None:
    if home := os.environ.get(INSIDE):
        mount("-t", "tmpfs", "-o", "mode=755", "image", home)
        prove(build(Path(home)))
    elif sys.platform == "linux" and os.geteuid() == 0:
        sys.exit(run_in_namespaces())
    else:
        sys.exit("This makes mounts and changes the user: run it as root on Linux.")


def run_in_namespaces() -> int:
    """Start this script again with mounts and processes of its own, which end with it; return its exit code.

    Nothing is deleted here: what lies under a mount could be this machine's.
    """
    home = tempfile.mkdtemp(prefix="image-")
    namespaces = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
    command = [*namespaces, sys.executable, "-m", "scripts.prove_image"]
    ended = subprocess.run(command, env={**os.environ, INSIDE: home}, cwd=PROJECT)
    os.rmdir(home)  # noqa: PTH106  # empty, for the mounts are gone
    return ended.returncode


# ---- building
def build(home: Path) -> Stage:
    """Take all steps; the last stage is the image."""
    stages: dict[str, Stage] = {}
    for number, (start, *steps) in enumerate(stages_of(PROJECT / "Dockerfile")):
        stage = Stage(home / str(number))
        stages[start.words[2] if len(start.words) > 2 else str(number)] = stage
        for step in steps:
            say(f"{step.name} {step.text}")
            take(step, stage, stages)
    return stage


def take(step: Step, stage: Stage, stages: dict[str, Stage]) -> None:
    match step.name:
        case "WORKDIR":
            stage.inside(step.text).mkdir(parents=True, exist_ok=True)
            stage.directory = step.text
        case "COPY":
            copy(step, stage, stages)
        case "RUN":
            stage.run(["/bin/sh", "-ec", step.text], environment=settings_of_pip())
        case "ENV":
            for word in step.words:
                name, _, value = word.partition("=")
                stage.environment[name] = value.replace("$PATH", stage.environment["PATH"])
        case "USER":
            stage.user = step.text
        case "VOLUME":
            stage.volumes = step.words
        case "HEALTHCHECK":
            stage.health_command = Step("CMD", {}, step.text.removeprefix("CMD ")).words
        case "CMD":
            stage.command = step.words
        case "EXPOSE":
            pass
        case other:
            raise Disproved(f"This script does not know {other}.")


def copy(step: Step, stage: Stage, stages: dict[str, Stage]) -> None:
    *sources, target = step.words
    for source in sources:
        if "from" in step.options:
            origin = stages[step.options["from"]].root / source.lstrip("/")
            shutil.copytree(origin, stage.inside(target), symlinks=True, dirs_exist_ok=True)
        else:
            copy_from_context(source, stage.inside(target))


def copy_from_context(source: str, target: Path) -> None:
    found = sorted(path for path in (PROJECT / source).glob("**/*") if path.is_file()) or [PROJECT / source]
    names = files_let_in(PROJECT, [path.relative_to(PROJECT).as_posix() for path in found])
    if not names:
        raise Disproved(f"COPY {source} finds nothing that .dockerignore lets in.")
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, target / name)


def build_base(root: Path) -> None:
    """What every Debian image has, with this interpreter under /usr/local as the python images have it."""
    for name in ("usr", "dev", "proc", "tmp", "opt", "srv", "root", "var/cache/ldconfig"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / name).symlink_to(f"usr/{name}")
    (root / "tmp").chmod(0o1777)
    shutil.copytree("/etc", root / "etc", symlinks=True)
    mount_system(root)
    subprocess.run(["chroot", root, "/sbin/ldconfig"], check=True)  # or Python finds the library of another


def mount_system(root: Path) -> None:
    """All that is this machine's is read-only."""
    mount("--bind", "-o", "ro", "/usr", root / "usr")
    mount("--bind", "-o", "ro", sys.base_prefix, root / "usr/local")
    for name in COMPILERS:
        if found := shutil.which(name, path="/usr/bin"):
            mount("--bind", "-o", "ro", "/dev/null", root / str(Path(found).resolve()).lstrip("/"))
    mount("-t", "proc", "proc", root / "proc")
    mount("-t", "tmpfs", "-o", "mode=755", "dev", root / "dev")
    for name in ("null", "zero", "full", "random", "urandom"):
        os.mknod(root / "dev" / name, stat.S_IFCHR | 0o666, Path("/dev", name).stat().st_rdev)
        (root / "dev" / name).chmod(0o666)


def settings_of_pip() -> dict[str, str]:
    """How this machine reaches its package index; without the progress."""
    own = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_CERT"))}
    return own | {"PIP_QUIET": "2"}


def mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


# ---- proving
def prove(image: Stage) -> None:
    print(f"\nAdded to the base image: {size_of(image, '/opt/venv')} packages, {size_of(image, '.')} code.")
    make_read_only(image)
    prove_that_nothing_else_is_inside(image)
    prove_that_a_secret_is_wanted(image)
    prove_that_it_serves(image, {"JWT_SECRET": SECRET})
    print("With the variables of env.example, as `--env-file .env` gives them:")
    prove_that_it_serves(image, template())
    print("The steps of the Dockerfile hold what they promise.")


def size_of(image: Stage, path: str) -> str:
    total = sum(file.lstat().st_size for file in image.inside(path).rglob("*") if file.is_file())
    return f"{total / 1024**2:.0f} MB of"


def make_read_only(image: Stage) -> None:
    """A volume begins as what the image has there, owners included."""
    for volume in image.volumes:
        place, beside = image.inside(volume), image.root.parent / "volumes" / volume.strip("/")
        beside.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", str(place), str(beside)], check=True)
    mount("--bind", "-o", "ro", image.root, image.root)  # without what is mounted below it
    mount_system(image.root)
    for volume in image.volumes:
        mount("--bind", image.root.parent / "volumes" / volume.strip("/"), image.inside(volume))


def prove_that_nothing_else_is_inside(image: Stage) -> None:
    inside = {path.name for path in image.inside(".").iterdir()}
    say(f"inside: {', '.join(sorted(inside))}")
    for unwanted in ("tests", "docs", "bench", ".git", ".env", "Dockerfile"):
        expect(unwanted not in inside, f"{unwanted} is not inside")
    expect(not image.inside("/opt/venv/bin/pip").exists(), "the packages come without pip")
    expect(any(image.inside("nanobanana").glob("__pycache__/*.pyc")), "the code is compiled")


def prove_that_a_secret_is_wanted(image: Stage) -> None:
    ended = subprocess.run(
        image.invocation(image.command, *WITHOUT_RIGHTS),
        env=image.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    expect(ended.returncode != 0 and "JWT_SECRET is missing" in ended.stderr, "a missing secret is refused")


def template() -> dict[str, str]:
    """What `docker run --env-file` makes of the template: empty values are set too."""
    lines = (PROJECT / "env.example").read_text(encoding="utf-8").splitlines()
    variables = [line.partition("=") for line in lines if "=" in line and not line.startswith("#")]
    return {name: value for name, _, value in variables}


def prove_that_it_serves(image: Stage, variables: dict[str, str]) -> None:
    with running(image, variables) as (server, environment):
        wait_until_healthy(image, environment)
        prove_that_only_volumes_are_written(image, environment)
        user = (image.root / f"proc/{server.pid}/status").read_text().partition("Uid:\t")[2].split()[0]
        expect(user == image.user.partition(":")[0], f"it runs as user {user}")
        server.send_signal(signal.SIGTERM)
        expect(server.wait(PATIENCE) == 0, "told to stop, it ends well")
    expect(not check_health(image, environment), "its HEALTHCHECK says that it is gone")


@contextmanager
def running(
    image: Stage, variables: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str]]]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    environment = {**image.environment, **variables, "PORT": port}
    server = subprocess.Popen(image.invocation(image.command, *WITHOUT_RIGHTS), env=environment)
    try:
        yield server, environment
    finally:
        server.kill()
        server.wait()


def wait_until_healthy(image: Stage, environment: dict[str, str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not check_health(image, environment):
        if time.monotonic() > deadline:
            raise Disproved("Its HEALTHCHECK never says that all is well.")
        time.sleep(0.2)
    say("its HEALTHCHECK says that all is well")


def check_health(image: Stage, environment: dict[str, str]) -> bool:
    command = image.invocation(image.health_command, *WITHOUT_RIGHTS)
    return subprocess.run(command, env=environment, capture_output=True).returncode == 0


def prove_that_only_volumes_are_written(image: Stage, environment: dict[str, str]) -> None:
    code = "import tempfile, pathlib; print(tempfile.gettempdir()); pathlib.Path('draft').touch()"
    command = image.invocation(["python", "-c", code], *WITHOUT_RIGHTS)
    tried = subprocess.run(command, env=environment, capture_output=True, text=True)
    expect("Read-only file system" in tried.stderr, "the root is read-only")
    temporary = Path(tried.stdout.strip())
    expect(any(temporary.is_relative_to(volume) for volume in image.volumes), f"uploads go to {temporary}")
    written = [path for volume in image.volumes for path in image.inside(volume).rglob("*")]
    say(f"written: {', '.join(sorted(str(path.relative_to(image.root)) for path in written)[:12])}")


def expect(holds: bool, promise: str) -> None:
    if not holds:
        raise Disproved(f"It does not hold that {promise}.")
    say(promise)


def say(what: str) -> None:
    print(f"  {what}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except (Disproved, subprocess.CalledProcessError) as error:
        sys.exit(f"Not proved: {error}")
