"""An embedded PostgreSQL for development and tests: started on a folder, stopped with us, and found again as it was.

It listens on loopback only and requires a password that only the folder's owner can read. It dies with us, and a kill -9 of it or
of us loses nothing that was committed. It is not for production: there ``DATABASE_URL`` names a real one.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import IO

import msgspec
import psycopg
from psycopg import sql

from app.dev import postgres_binaries
from app.process import children, data_folder, ports
from app.process.failures import Failure
from projections import connections

NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
TRIES = 5


class EmbeddedError(Failure):
    """Why the server did not start, in one sentence."""


class Access(msgspec.Struct, frozen=True):
    """How to reach the server of a folder; kept in the folder, so that the address stays the same between starts."""

    port: int
    password: str


class Postgres:
    """A running server, created by ``start``; it holds its folder's lock until ``stop``."""

    def __init__(self, data_dir: Path, lock: IO[str], options: Mapping[str, str]) -> None:
        self.data_dir = data_dir
        self.cluster = data_dir / "postgres"
        self.log = data_dir / "postgres.log"
        self.name = f"opportunities-{sha256(str(self.cluster).encode()).hexdigest()[:12]}"
        self.lock = lock
        self.options = options
        self.user = owner(self.cluster)
        self.binaries = postgres_binaries.find(self.user, made_by(self.cluster))
        self.access = Access(port=0, password="")
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(
        cls,
        data_dir: str | Path,
        *,
        durable: bool = True,
        port: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Postgres:
        """Start the server of ``data_dir``, creating the cluster if there is none. Call it from the main thread.

        Durable means that commits survive a power cut; tests can do without. By default the port is that of the last start, or a
        free one if it is taken.
        """
        folder = Path(data_dir).absolute()
        held = data_folder.lock(folder)
        try:
            server = cls(folder, held, ({} if durable else NOT_DURABLE) | dict(options or {}))
            server.evict()
            server.make(port)
            server.run()
        except postgres_binaries.NoBinaries as error:
            held.close()
            raise EmbeddedError(str(error)) from error
        except OSError as error:
            held.close()
            raise data_folder.Unusable(f"The data folder {folder} cannot be used: {error.strerror}.") from error
        except BaseException:
            held.close()
            raise
        return server

    @property
    def port(self) -> int:
        return self.access.port

    @property
    def url(self) -> str:
        return self.database("postgres")

    def database(self, name: str) -> str:
        return f"postgresql://postgres:{self.access.password}@127.0.0.1:{self.access.port}/{name}"

    def create_database(self, name: str) -> str:
        """The URL of the database ``name``, created if it does not exist."""
        with suppress(psycopg.errors.DuplicateDatabase), connections.connect_patiently(self.url, "embedded") as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.database(name)

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """Stop the server (its sessions are cut, its commits kept) and release the folder."""
        try:
            if self.process is not None:
                children.stop(self.process, signal.SIGINT)
        finally:
            self.lock.close()

    def kill(self) -> None:
        """Kill the server as a power cut would, except that the system still writes its buffers."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.lock.close()

    def restart(self) -> None:
        """Restart a server that died, at the same address."""
        if self.process is not None:
            children.stop(self.process, signal.SIGINT)
        self.evict()
        self.run()

    def evict(self) -> None:
        """Make sure that no process of an earlier server is left on the folder, nor its pid file.

        A server whose parent was killed is already stopping, so it gets a moment before it is signalled.
        """
        for number, seconds in ((None, 5), (signal.SIGINT, 15), (signal.SIGKILL, 5)):
            if number is not None:
                signal_all(inhabitants(self.name), number)
            if children.wait_until(lambda: not inhabitants(self.name), seconds):
                (self.cluster / "postmaster.pid").unlink(missing_ok=True)
                return
        raise EmbeddedError(f"An earlier PostgreSQL on {self.data_dir} does not end: pid {inhabitants(self.name)}.")

    def make(self, port: int | None) -> None:
        """Initialize the cluster in a temporary place, unless it exists, and move it here when it is complete."""
        remembered = self.data_dir / "postgres.json"
        if self.cluster.exists():
            try:
                access = msgspec.json.decode(remembered.read_bytes(), type=Access)
            except (FileNotFoundError, msgspec.DecodeError):
                raise EmbeddedError(f"{remembered} with the password of the data beside it is missing or damaged.") from None
            self.access = msgspec.structs.replace(access, port=port or access.port)
            return
        self.access = Access(port=port or 0, password=secrets.token_urlsafe(24))
        fresh = self.data_dir / "postgres.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        with tempfile.NamedTemporaryFile("w", prefix="opportunities-") as password:
            password.write(self.access.password + "\n")
            password.flush()
            if self.user is not None:
                os.chown(fresh, self.user, pwd.getpwuid(self.user).pw_gid)
                os.chown(password.name, self.user, -1)
            self.initialize(fresh, password.name)
        self.remember()
        fresh.rename(self.cluster)

    def initialize(self, folder: Path, password_file: str) -> None:
        command: list[str | Path] = [self.binaries / "initdb", "-U", "postgres", "-E", "UTF8"]
        command += ["--no-locale", "--no-instructions", "-A", "scram-sha-256", f"--pwfile={password_file}"]
        with self.log.open("ab") as log:
            start = log.tell()
            code = self.spawn(command, folder, log).wait()
        if code:
            shutil.rmtree(folder, ignore_errors=True)
            raise EmbeddedError(f"PostgreSQL cannot be set up in {self.data_dir}: {self.complaint(start)}")

    def run(self) -> None:
        """Start the server at its remembered port, or at another one if that is taken."""
        complaint = ""
        for _ in range(TRIES):
            if self.access.port == 0 or ports.bind_problem("127.0.0.1", self.access.port):
                self.access = msgspec.structs.replace(self.access, port=ports.free_port())
            with self.log.open("ab") as log:
                start = log.tell()
                self.process = self.spawn(self.command(), self.cluster, log)
            if self.ready():
                self.remember()
                return
            complaint = self.complaint(start)
            if "in use" not in complaint:
                break
        raise EmbeddedError(f"PostgreSQL does not start on {self.data_dir}: {complaint}")

    def command(self) -> list[str | Path]:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.access.port),
            "unix_socket_directories": "",
            "cluster_name": self.name,
            "max_connections": "200",
        } | dict(self.options)
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [self.binaries / "postgres", *settings]

    def spawn(self, command: list[str | Path], folder: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a program on the data in ``folder``. Its user may not be allowed to reach that by name, as nobody cannot pass
        through root's home: on Linux it is given the open folder."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
        group = None if self.user is None else pwd.getpwuid(self.user).pw_gid
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        place = f"/proc/self/fd/{opened}" if sys.platform == "linux" else str(folder)
        try:
            return children.spawn(
                [*command, "-D", place],
                stop=signal.SIGINT,
                env=env | {"LC_ALL": "C", "TZ": "UTC"},
                cwd="/",
                output=log,
                user=self.user,
                group=group,
                pass_fds=[opened],
            )
        finally:
            os.close(opened)

    def ready(self) -> bool:
        """Wait until the server accepts connections; False if it ended instead."""
        assert self.process is not None
        pid = self.process.pid
        children.wait_until(lambda: not self.alive() or is_ready(self.cluster / "postmaster.pid", pid), 300)
        return self.alive()

    def complaint(self, start: int) -> str:
        """What the server last said about its own trouble, in the log from ``start`` on."""
        with self.log.open("rb") as log:
            log.seek(start)
            lines = log.read().decode(errors="replace").splitlines()
        if any("No space left on device" in line for line in lines):
            return f"the disk is full, make room (see {self.log})"
        serious = [line for line in lines if any(word in line for word in ("FATAL:", "PANIC:", "error:"))]
        said = [line.partition(":  ")[2] or line for line in serious or lines[-1:]]
        return f"{said[0].strip()} (see {self.log})" if said else f"it said nothing (see {self.log})"

    def remember(self) -> None:
        write_private(self.data_dir / "postgres.json", msgspec.json.encode(self.access))


def owner(cluster: Path) -> int | None:
    """The uid that the server runs as: None for ourselves; because PostgreSQL refuses root, the data's owner or nobody then."""
    if os.geteuid() != 0:
        return None
    had_by = cluster.stat().st_uid if cluster.exists() else 0
    return had_by or pwd.getpwnam("nobody").pw_uid


def made_by(cluster: Path) -> int | None:
    """The major version of PostgreSQL that created the data, if there is any."""
    try:
        return int((cluster / "PG_VERSION").read_text().partition(".")[0])
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def is_ready(pid_file: Path, pid: int) -> bool:
    try:
        lines = pid_file.read_text().splitlines()
    except OSError:
        return False
    return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"


def inhabitants(name: str, program: str = "postgres") -> list[int]:
    """The processes of the server whose cluster has this name, from any start."""
    if not Path("/proc/self/cmdline").exists():
        listed = subprocess.run(["/bin/ps", "-axo", "pid=,command="], capture_output=True, text=True, check=False).stdout
        return [int(line.split()[0]) for line in listed.splitlines() if name in line and program in line.split()[1]]
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it has ended meanwhile
                command = (entry / "cmdline").read_bytes()
                if name.encode() in command and program.encode() in command.split(b"\0")[0]:
                    found.append(int(entry.name))
    return found


def signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def write_private(path: Path, content: bytes) -> None:
    """Write a whole file atomically, readable only by us."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
