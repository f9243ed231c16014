"""Why no broker can be used, in a sentence that names the setting.

The library only says that it could not connect. So a broker is asked step by step, as a client would: address, TLS, first answer,
login. The first step that fails is the reason. It is asked once, after a client has given up, and has seconds to answer.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import closing
from typing import Protocol

from consumers import kafka_wire as wire
from consumers.kafka_settings import Kafka

SERVERS = 3
SECONDS = 3.0
NAME = "OPPORTUNITIES_KAFKA_"
NO_SUCH_MECHANISM, NOT_NOW = 33, 34
EXPIRED, NOT_YET, OTHER_HOST, OTHER_ADDRESS = 10, 9, 62, 64
"""What OpenSSL finds wrong with a certificate."""


class Login(Protocol):
    """A SASL mechanism that takes turns with the broker."""

    def auth_bytes(self) -> bytes: ...

    def receive(self, auth_bytes: bytes) -> object: ...

    def is_done(self) -> bool: ...


class Problem(Exception):
    """What is wrong, in a sentence without its full stop."""


class Unreachable(Problem):
    """Nobody answers at an address: another one may say more."""


def problem(config: Kafka, login: Callable[[], Login]) -> str | None:
    """What is wrong with the settings or the brokers; None if a broker answers well, or nothing can be said."""
    found: list[Problem] = []
    seconds = min(SECONDS, config.request_timeout_ms / 4000)
    for server in [each.strip() for each in config.bootstrap_servers.split(",")][:SERVERS]:
        try:
            _ask(server, config, login, seconds)
        except Problem as error:
            found.append(error)
        except (OSError, ValueError, struct.error):
            continue  # it answers, but what it says explains nothing
        else:
            return None
    return str(min(found, key=lambda error: isinstance(error, Unreachable))) if found else None


def _ask(server: str, config: Kafka, login: Callable[[], Login], seconds: float) -> None:
    """Raises ``Problem``, and ``OSError`` for what cannot be explained."""
    context = _context(config) if config.security.endswith("SSL") else None
    host, _, port = server.rpartition(":")
    host = host.strip("[]")
    with closing(_connect(server, host, port, seconds)) as plain, closing(_secure(plain, server, host, context)) as connection:
        _first_answer(connection, server, config)
        if config.security.startswith("SASL"):
            _log_in(connection, server, config, login())
        else:
            _is_open(connection, server, config)


def _connect(server: str, host: str, port: str, seconds: float) -> socket.socket:
    if not host or not port.isdigit():
        raise Problem(f"KAFKA_BOOTSTRAP_SERVERS names {server!r}, which is not host:port")
    try:
        return socket.create_connection((host, int(port)), seconds)
    except socket.gaierror:
        raise Unreachable(f"no host is called {host}: check KAFKA_BOOTSTRAP_SERVERS") from None
    except OSError:
        raise Unreachable(f"no broker answers at {server}: check KAFKA_BOOTSTRAP_SERVERS") from None


def _context(config: Kafka) -> ssl.SSLContext:
    """As the library makes it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if config.ca_path:
            context.load_verify_locations(config.ca_path)
        else:
            context.load_default_certs()
    except (ssl.SSLError, OSError):
        raise Problem(f"{NAME}CA_PATH, {config.ca_path}, holds no certificate in PEM") from None
    try:
        if config.certificate_path:
            context.load_cert_chain(config.certificate_path, config.key_path, password="")
    except (ssl.SSLError, OSError, ValueError):
        names = f"{NAME}CERTIFICATE_PATH and {NAME}KEY_PATH"
        raise Problem(f"{names} are not a certificate and its own key without a password, in PEM") from None
    return context


def _secure(plain: socket.socket, server: str, host: str, context: ssl.SSLContext | None) -> socket.socket:
    if context is None:
        return plain
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        raise Problem(_of_certificate(error, server, host)) from None
    except TimeoutError:
        raise Problem(f"{server} does not answer in TLS: check {NAME}SECURITY, and whether the broker is well") from None
    except (ssl.SSLError, ConnectionError):
        raise Problem(
            f"{server} does not speak TLS: set {NAME}SECURITY to PLAINTEXT or SASL_PLAINTEXT, or name its TLS port in"
            " KAFKA_BOOTSTRAP_SERVERS"
        ) from None


def _of_certificate(error: ssl.SSLCertVerificationError, server: str, host: str) -> str:
    match error.verify_code:
        case code if code == EXPIRED:
            return f"the certificate of {server} has expired: renew it on the broker; {NAME}SECURITY asks for a valid one"
        case code if code == NOT_YET:
            return f"the certificate of {server} is not valid yet: check the clocks; {NAME}SECURITY asks for a valid one"
        case code if code in (OTHER_HOST, OTHER_ADDRESS):
            return (
                f"the certificate of {server} is not for {host}: name the broker in KAFKA_BOOTSTRAP_SERVERS as its certificate does"
            )
    return (
        f"the certificate of {server} is of an authority that is not known here: set {NAME}CA_PATH to the PEM file of the brokers'"
        f" authority ({error.verify_message})"
    )


def _first_answer(connection: socket.socket, server: str, config: Kafka) -> None:
    try:
        wire.request(connection, wire.VERSIONS, 0)
    except TimeoutError:
        raise
    except OSError:
        if not isinstance(connection, ssl.SSLSocket):
            security = "SASL_SSL" if config.security.startswith("SASL") else "SSL or SASL_SSL"
            raise Problem(f"{server} closes what is not TLS: set {NAME}SECURITY to {security}") from None
        if config.certificate_path:
            must = "it must be valid, and of an authority that the brokers know"
            raise Problem(f"{server} refuses the certificate of {NAME}CERTIFICATE_PATH: {must}") from None
        raise Problem(f"{server} asks for a client certificate: set {NAME}CERTIFICATE_PATH and {NAME}KEY_PATH") from None


def _is_open(connection: socket.socket, server: str, config: Kafka) -> None:
    """Whether it answers without a login: where it wants one, it takes no second request before that."""
    try:
        wire.request(connection, wire.VERSIONS, 0)
    except TimeoutError:
        raise
    except OSError:
        security = "SASL_SSL" if config.security == "SSL" else "SASL_PLAINTEXT"
        raise Problem(f"{server} asks for a login: set {NAME}SECURITY to {security}, {NAME}USERNAME and {NAME}PASSWORD") from None


def _log_in(connection: socket.socket, server: str, config: Kafka, login: Login) -> None:
    answer = wire.request(connection, wire.HANDSHAKE, 1, wire.text(config.mechanism))
    (code,) = struct.unpack_from(">h", answer)
    if code == NOT_NOW:
        security = "SSL" if config.security == "SASL_SSL" else "PLAINTEXT"
        raise Problem(f"{server} takes no login: set {NAME}SECURITY to {security}")
    if code == NO_SUCH_MECHANISM:
        offered = ", ".join(wire.texts(answer[2:])) or "none"
        raise Problem(f"{server} does not take {config.mechanism}: set {NAME}MECHANISM to one that it takes ({offered})")
    while not login.is_done():
        token = login.auth_bytes()
        answer = wire.request(connection, wire.AUTHENTICATE, 0, struct.pack(">i", len(token)) + token)
        if struct.unpack_from(">h", answer)[0]:
            raise Problem(f"{server} does not know {NAME}USERNAME {config.username!r} with {NAME}PASSWORD by {config.mechanism}")
        (length,) = struct.unpack_from(">h", answer, 2)
        login.receive(answer[2 + 2 + max(length, 0) + 4 :])
