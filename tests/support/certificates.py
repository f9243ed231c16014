"""Certificates for tests: an authority of a test's own, made by the ``openssl`` of the machine, and what it signs."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

CONFIG = """
[ca]
default_ca = tests
[tests]
dir = {folder}
database = {folder}/index.txt
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[server]
subjectAltName = {hosts}
[req]
distinguished_name = name
[name]
"""
PAST = ("-startdate", "20200101000000Z", "-enddate", "20200201000000Z")
PRESENT = ("-days", "30")


class Pair(NamedTuple):
    """PEM files; ``both`` holds the key and the certificate, as a broker wants them."""

    certificate: Path
    key: Path
    both: Path


class Authority:
    """Signs certificates for hosts and clients."""

    def __init__(self, folder: Path, name: str = "Tests") -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._key = folder / "ca.key"
        self.certificate = folder / "ca.pem"
        (folder / "index.txt").touch()
        self._configure("DNS:none")
        openssl("genpkey", *EC, "-out", str(self._key))
        subject = ("-subj", f"/CN={name}", "-config", str(self._config))
        openssl("req", "-x509", "-new", "-key", str(self._key), "-days", "30", *subject, "-out", str(self.certificate))

    def issue(self, name: str, hosts: Sequence[str] = ("IP:127.0.0.1", "DNS:localhost"), *, expired: bool = False) -> Pair:
        key, request, certificate, both = (self._folder / f"{name}.{kind}" for kind in ("key", "csr", "pem", "both.pem"))
        self._configure(",".join(hosts))
        config = ("-config", str(self._config))
        openssl("genpkey", *EC, "-out", str(key))
        openssl("req", "-new", "-key", str(key), "-subj", f"/CN={name}", *config, "-out", str(request))
        ours = ("-cert", str(self.certificate), "-keyfile", str(self._key), "-extensions", "server", *config)
        openssl("ca", "-batch", "-notext", "-in", str(request), *ours, *(PAST if expired else PRESENT), "-out", str(certificate))
        both.write_text(key.read_text() + certificate.read_text())
        return Pair(certificate, key, both)

    @property
    def _config(self) -> Path:
        return self._folder / "openssl.cnf"

    def _configure(self, hosts: str) -> None:
        self._config.write_text(CONFIG.format(folder=self._folder, hosts=hosts))


EC = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")


def openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, (arguments, done.stderr)
