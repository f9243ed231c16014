"""The Dockerfile where no image can be pulled: ``python -m tests.deploy.image``, as root on Debian.

debootstrap makes a Debian with Python 3.13 that stands in for ``python:3.13-slim``; podman builds the Dockerfile on it, and starts
every entry point as a user without rights, on a root that cannot be written, against a PostgreSQL and a broker of this
machine. Needs ``apt-get install podman runc debootstrap``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from app.dev import kafka
from app.dev.postgres import Postgres
from app.process import children, ports
from tests.support.processes import ROOT

BASE = Path(os.environ.get("IMAGE_BASE", "/var/tmp/opportunities-image-base"))
STANDS_IN_FOR = "docker.io/library/python:3.13-slim"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
RUN = (
    "podman", "--runtime=runc", "run", "--network=host", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL",
    "--security-opt=no-new-privileges", "--ulimit=nofile=10000:10000", "--ulimit=nproc=1000:1000", "--rm",
)  # fmt: skip
SECONDS = 60


def say(text: str) -> None:
    print(f"== {text}", flush=True)


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command[:6])} … failed: {(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def make_base() -> None:
    """Debian 13 with Python 3.13 under the names that the image has it under, and this machine's certificates when it builds."""
    if not (BASE / "usr/bin/python").is_symlink():
        run("debootstrap", "--variant=minbase", "--include=python3,python3-pip,ca-certificates", "trixie", str(BASE))
        for managed in (BASE / "usr/lib").glob("python3.*/EXTERNALLY-MANAGED"):
            managed.unlink()
        (BASE / "usr/bin/python").symlink_to("python3")
    packed = subprocess.Popen(["tar", "-C", BASE, "-c", "."], stdout=subprocess.PIPE)
    change = f"--change=ENV SSL_CERT_FILE={CERTIFICATES}"
    subprocess.run(["podman", "import", "--quiet", change, "-", STANDS_IN_FOR], stdin=packed.stdout, check=True)


def build() -> None:
    mounts = [f"--volume={path}:{path}:ro" for path in ("/etc/ssl/certs", "/etc/pip.conf") if Path(path).exists()]
    # `docker` is the format of Docker, which has health checks.
    run(
        "podman",
        "build",
        "--format=docker",
        "--pull=never",
        "--network=host",
        "--isolation=chroot",
        *mounts,
        "-t",
        "opportunities",
        ".",
    )


@contextmanager
def started(name: str, settings: dict[str, str], *verb: str) -> Iterator[str]:
    """A container while it runs; it must end by itself when it is told to stop."""
    container = f"opportunities-{name}-{os.getpid()}"
    given = [f"--env={key}={value}" for key, value in settings.items()]
    process = subprocess.Popen([*RUN, f"--name={container}", *given, "opportunities", *verb], stdout=subprocess.DEVNULL)
    try:
        yield container
        began = time.monotonic()
        run("podman", "stop", "--time=30", container)
        if process.wait(SECONDS) != 0:
            sys.exit(f"{name} ended with {process.returncode} when it was stopped")
        say(f"{name} stopped within {time.monotonic() - began:.1f} s")
    finally:
        subprocess.run(["podman", "kill", container], capture_output=True)


def until(what: str, true: Callable[[], bool]) -> None:
    if not children.wait_until(true, SECONDS):
        sys.exit(f"{what}: not within {SECONDS} s")
    say(what)


def ready(url: str) -> bool:
    try:
        with urlopen(f"{url}/health/ready", timeout=5) as reply:
            return bool(reply.status == 200)
    except (URLError, OSError):
        return False


def succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True).returncode == 0


def use(settings: dict[str, str], url: str) -> None:
    """Every entry point, and the checks that the image and the compose file make of them."""

    def once(*verb: str) -> str:
        return run(*RUN, *[f"--env={key}={value}" for key, value in settings.items()], "opportunities", *verb)

    say(once("migrate").splitlines()[-1])
    token = json.loads(once("org", "create", "--name=Acme", "--admin-email=you@example.com"))["token"]
    with ExitStack() as stack:
        api = stack.enter_context(started("api", settings, "serve", "--workers", "2"))
        relay = stack.enter_context(started("relay", settings, "relay"))
        webhooks = stack.enter_context(started("webhooks", settings, "webhooks"))
        until("the API is ready", lambda: ready(url))
        user = run("podman", "exec", api, "id", "-u").strip()
        if user != "10001" or succeeds("podman", "exec", api, "touch", "/srv/here"):
            sys.exit(f"it runs as user {user}, or can write its root")
        say("it runs as user 10001 and cannot write its root")
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        with urlopen(Request(f"{url}/api/accounts/", b'{"name": "Acme"}', headers)) as reply:
            say(f"an account is created: {reply.status}")
        health = json.loads(run("podman", "image", "inspect", "opportunities"))[0]["Healthcheck"]["Test"]
        at_port = [part.replace("127.0.0.1:8000", url.removeprefix("http://")) for part in health[1:]]
        until("the image's health check succeeds", lambda: succeeds("podman", "exec", api, *at_port))
        until("relay --check succeeds", lambda: succeeds("podman", "exec", relay, "opportunities", "relay", "--check"))
        until("webhooks --check succeeds", lambda: succeeds("podman", "exec", webhooks, "opportunities", "webhooks", "--check"))
        say(run("podman", "stats", "--no-stream", "--no-reset", "--format={{.Name}} {{.MemUsage}}", api, relay, webhooks).strip())


def main() -> int:
    make_base()
    say("a Debian with Python stands in for the base image")
    build()
    say("the Dockerfile is built as it is")
    port = ports.free_port()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        postgres = Postgres.start(Path(folder) / "postgres")
        stack.callback(postgres.stop)
        (Path(folder) / "kafka").mkdir()
        broker = kafka.Broker.start(Path(folder) / "kafka")
        stack.callback(broker.stop)
        settings = {
            "DATABASE_URL": postgres.create_database("image"),
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "OPPORTUNITIES_PORT": str(port),
        }
        use(settings, f"http://127.0.0.1:{port}")
    say("passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
