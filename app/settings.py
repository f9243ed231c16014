"""The settings of every process: one frozen struct, read once from the environment and the command line.

There are no silent fallbacks: bad values are reported by name, all at once, and nothing starts. Every setting NAME can be given as
NAME_FILE instead, the path of a file that holds the value, such as a mounted secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from consumers.kafka_settings import Kafka, Mechanism, Security, problems
from domain.did_you_mean import suggestion
from domain.webhook_url import Network, Rules, rules

PREFIX = "OPPORTUNITIES_"
SHARED = frozenset({"database_url", "kafka_bootstrap_servers"})
"""Settings with names that other software uses too; the others carry ``PREFIX``."""


SECRET = frozenset({"metrics_token", "kafka_password"})

_ORIGIN_HOST = re.compile(r"(?!-)[a-z0-9.-]+|\[[0-9a-f:]+\]")
_DATABASE_HOST = re.compile(r"(?:\[[0-9a-fA-F:.%]+\]|[^:@\[\]]*)(?::([0-9]{0,5}))?")
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})|%00|\s")
_PASSWORD = re.compile(r"(^[^:/]+://[^:@/?]*):.*@", re.DOTALL)
_SECRET_PARAMETERS = re.compile(r"((?:password|secret|client_key|server_key)=)[^&]*")
_USUAL_PORTS = {"http": 80, "https": 443}


class SettingsError(Exception):
    """What is wrong with the settings, one sentence per setting."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Settings(Struct, frozen=True, kw_only=True):
    database_url: Annotated[
        str,
        Meta(description="The PostgreSQL database, `postgresql://user:password@host:port/name`; also several hosts or a socket."),
    ]
    host: Annotated[str, Meta(description="The address the API listens on.", min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(description="The port the API listens on.", ge=1, le=65535)] = 8000
    workers: Annotated[int, Meta(description="API processes; one per core is enough.", ge=1, le=256)] = 1
    public_url: Annotated[
        str, Meta(description="The API's public URL, for links in responses; empty: taken from the request's `Host`.")
    ] = ""
    max_body_bytes: Annotated[int, Meta(description="The largest request body accepted.", ge=1024)] = 1_048_576
    max_connections: Annotated[
        int,
        Meta(
            description="Client connections per process; beyond it silent ones are dropped, then only `/health/` is answered.", ge=1
        ),
    ] = 2_000
    keep_alive_s: Annotated[
        float, Meta(description="How long an idle connection stays open; set it longer than a load balancer's timeout.", ge=0.1)
    ] = 75
    head_timeout_s: Annotated[
        float, Meta(description="How long a request's head may take; without a byte, a third of it.", ge=0.1)
    ] = 30
    body_timeout_s: Annotated[
        float,
        Meta(
            description="How long a request's body may take; without a byte, or for a response nobody reads, a third of it.", ge=0.1
        ),
    ] = 60
    statement_timeout_ms: Annotated[int, Meta(description="The longest a SQL statement may take.", ge=100)] = 15_000
    read_connections: Annotated[
        int, Meta(description="Database connections per process for cheap reads; writes use one more.", ge=1, le=100)
    ] = 3
    dear_connections: Annotated[
        int, Meta(description="Database connections per process for dear reads; a token uses half of them at most.", ge=1, le=100)
    ] = 2
    dear_timeout_ms: Annotated[
        int, Meta(description="The longest a dear read may take; never longer than any statement may.", ge=100)
    ] = 15_000
    exports: Annotated[int, Meta(description="Exports per process at once, each with a database connection.", ge=1, le=20)] = 2
    export_seconds: Annotated[float, Meta(description="The longest an export may read the database, in seconds.", ge=1)] = 900.0
    cors_origins: Annotated[
        str,
        Meta(
            description="Origins whose pages may use the API in a browser, such as `https://app.example.com,http://localhost:5173`."
        ),
    ] = ""
    compression: Annotated[
        bool, Meta(description="Whether responses of 1 KB and more are compressed for clients that accept it.")
    ] = True
    rate_limit: Annotated[
        float,
        Meta(description="Requests per second, per user and process; also invalid tokens per address; 0: no limit.", ge=0),
    ] = 0
    trusted_proxies: Annotated[
        str,
        Meta(description="Networks of trusted proxies, whose `X-Forwarded-For` gives the client's address, such as `10.1.0.0/16`."),
    ] = ""
    streams_per_token: Annotated[int, Meta(description="Event streams open at once, per token and process.", ge=1)] = 600
    streams_per_org: Annotated[int, Meta(description="Event streams open at once, per organization and process.", ge=1)] = 1_000
    metrics_token: Annotated[str, Meta(description="The token for `/metrics`; empty: only this machine may read it.")] = ""
    shutdown_timeout_s: Annotated[int, Meta(description="How long shutdown waits for requests in flight.", ge=0)] = 10
    kafka_bootstrap_servers: Annotated[str, Meta(description="The Kafka brokers, `host:port,host:port`; the relay needs them.")] = (
        ""
    )
    kafka_topic: Annotated[
        str, Meta(description="The topic of the events; the relay creates it.", pattern=r"^[A-Za-z0-9._-]{1,249}$")
    ] = "opportunities.events"
    kafka_partitions: Annotated[int, Meta(description="Partitions of the topic when it is created.", ge=1, le=1000)] = 6
    kafka_replication: Annotated[
        int,
        Meta(
            description="Replicas of a topic that is created, from 3 on with `min.insync.replicas=2`; 0: the cluster's default.",
            ge=0,
            le=9,
        ),
    ] = 0
    kafka_retention_hours: Annotated[
        int, Meta(description="How long the topic keeps events, and how far back a lost one is filled again; 0: forever.", ge=0)
    ] = 168
    kafka_security: Annotated[Security, Meta(description="The protocol of the brokers.")] = "PLAINTEXT"
    kafka_ca_path: Annotated[
        str, Meta(description="PEM file of the brokers' certificate authority; empty: those of the system.")
    ] = ""
    kafka_certificate_path: Annotated[str, Meta(description="PEM file of the client certificate, if the brokers ask for one.")] = ""
    kafka_key_path: Annotated[str, Meta(description="PEM file of its key.")] = ""
    kafka_mechanism: Annotated[Mechanism, Meta(description="With SASL: the mechanism.")] = "SCRAM-SHA-512"
    kafka_username: Annotated[str, Meta(description="With SASL: the user.")] = ""
    kafka_password: Annotated[str, Meta(description="With SASL: the password.")] = ""
    kafka_session_timeout_ms: Annotated[
        int, Meta(description="After how long a silent consumer's partitions go to another one.", ge=1_000, le=1_800_000)
    ] = 45_000
    kafka_fetch_wait_ms: Annotated[
        int, Meta(description="How long a broker may wait for new events before it answers a fetch.", ge=1, le=5_000)
    ] = 500
    webhook_allow_http: Annotated[bool, Meta(description="Whether webhook endpoints may be without TLS.")] = False
    webhook_ports: Annotated[str, Meta(description="Ports that webhook endpoints may use, or `any`.")] = "443,80,8443"
    webhook_networks: Annotated[
        str, Meta(description="Private networks that webhook endpoints may be in, such as `10.1.0.0/16,fd00::/8`.")
    ] = ""
    webhook_concurrency: Annotated[int, Meta(description="Webhook requests in flight per process.", ge=2, le=10_000)] = 256
    webhook_keep_days: Annotated[int, Meta(description="How long settled webhook deliveries are kept.", ge=8, le=3_650)] = 30
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="The lowest level that is logged.")] = (
        "info"
    )
    log_format: Annotated[Literal["json", "console"], Meta(description="JSON, or lines for people.")] = "json"

    def environ(self) -> dict[str, str]:
        """The settings as environment variables for another of our processes."""
        return {variable(name): str(getattr(self, name)) for name in self.__struct_fields__}

    def redacted(self) -> dict[str, str]:
        """The settings with secrets hidden, for people."""
        hidden = {"DATABASE_URL": without_password(self.database_url)}
        hidden |= {variable(name): "***" for name in SECRET if getattr(self, name)}
        return self.environ() | hidden

    def kafka(self) -> Kafka:
        """How to connect to Kafka. Raises ``SettingsError`` if that cannot work."""
        names = [name for name in self.__struct_fields__ if name.startswith("kafka_")]
        kafka = Kafka(**{name.removeprefix("kafka_"): getattr(self, name) for name in names})
        if found := problems(kafka):
            raise SettingsError(found)
        return kafka

    def webhook_rules(self) -> Rules:
        """Where webhooks may go. Raises ``SettingsError`` for values that cannot be parsed."""
        try:
            return rules(self.webhook_allow_http, self.webhook_ports, self.webhook_networks)
        except ValueError as error:
            raise SettingsError([f"{variable('webhook_ports')}, {variable('webhook_networks')}: {error}"]) from None

    def origins(self) -> frozenset[str]:
        """The origins of ``cors_origins``. Raises ``SettingsError`` for one that is not an origin."""
        try:
            return origins(self.cors_origins)
        except ValueError as error:
            raise SettingsError([f"{variable('cors_origins')}: {error}"]) from None

    def proxies(self) -> tuple[Network, ...]:
        """The trusted proxies. Raises ``SettingsError`` for values that cannot be parsed."""
        try:
            return networks(self.trusted_proxies)
        except ValueError as error:
            raise SettingsError([f"{variable('trusted_proxies')} must be networks like 10.1.0.0/16: {error}."]) from None


def load(environ: Mapping[str, str] = os.environ, **overrides: Any) -> Settings:
    """The settings of ``environ``; an override that is not None comes first."""
    values: dict[str, Any] = {}
    problems = unknown(environ)
    for field in msgspec.structs.fields(Settings):
        name = variable(field.name)
        try:
            given = overrides.get(field.name)
            text = given if given is not None else from_environment(environ, name)
            if text is not None:
                values[field.name] = convert(field.type, text)
            elif field.required:
                problems.append(f"{name} is not set: {field_meta(field.type).description}")
        except ValueError as error:
            problems.append(f"{name} {error}")
    problems += [message for name in ("database_url", "public_url") if (message := url_error(name, values.get(name)))]
    if problems:
        raise SettingsError(problems)
    made = Settings(**values)
    made.webhook_rules()
    made.proxies()
    made.origins()
    return made


def from_environment(environ: Mapping[str, str], name: str) -> str | None:
    """The value of NAME, or the content of the file named by NAME_FILE without the final newline."""
    direct, path = environ.get(name) or None, environ.get(f"{name}_FILE") or None
    if direct is None and path is not None:
        try:
            return Path(path).read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ValueError(f"cannot be read from {path}: {reason}.") from None
    if direct is not None and path is not None:
        raise ValueError(f"and {name}_FILE are both set: keep one.")
    return direct


def convert(annotated: Any, value: object) -> object:
    try:
        return msgspec.convert(value, annotated, strict=False)
    except msgspec.ValidationError:
        raise ValueError(f"is {value!r}, but must be {expected(annotated)}.") from None


def expected(annotated: Any) -> str:
    """What a value of this type looks like, for error messages."""
    kind, meta = get_args(annotated)[0], field_meta(annotated)
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    noun = {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "a string")
    if meta.ge is not None and meta.le is not None:
        return f"{noun} from {meta.ge} to {meta.le}"
    if meta.pattern is not None:
        return f"{noun} like {meta.pattern}"
    return f"{noun} of at least {meta.ge}" if meta.ge is not None else noun


def url_error(name: str, value: str | None) -> str | None:
    """Why a URL cannot be used. The message does not repeat a value that may hold a password."""
    if not value:
        return None
    if name == "database_url":
        return database_url_error(variable(name), value)
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018  raises on a port that is no number
    except ValueError:
        return f"{variable(name)} is not a URL."
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return f"{variable(name)} must be an http or https URL, such as https://crm.example.com."
    return None


def database_url_error(name: str, value: str) -> str | None:
    """As libpq reads it: several hosts with a port each, or the folder of a socket."""
    scheme, _, rest = value.partition("://")
    if scheme not in ("postgresql", "postgres"):
        return f"{name} must start with postgresql:// and name a database, such as postgresql://user:password@localhost:5432/opportunities."
    before, at, after = rest.partition("@")
    hosts = re.split(r"[/?]", after if at and "/" not in before else rest, maxsplit=1)[0]
    if _BAD_ESCAPE.search(value.strip()) or not all(_is_host(host) for host in hosts.split(",")):
        escapes = "write @ : / ? # % and space in a password as %40 %3A %2F %3F %23 %25 %20"
        return f"{name} is not a URL: check host and port, and {escapes}."
    return None


def _is_host(text: str) -> bool:
    found = _DATABASE_HOST.fullmatch(text)
    return found is not None and int(found[1] or 0) <= 65535


def networks(text: str) -> tuple[Network, ...]:
    """Parse ``10.1.0.0/16,fd00::/8``. Raises ``ValueError``."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def origins(text: str) -> frozenset[str]:
    """Parse a comma-separated list. Raises ``ValueError`` with a sentence about what is not an origin as browsers send it."""
    found = [part.strip() for part in text.split(",") if part.strip()]
    for origin in found:
        if origin == "*":
            raise ValueError("* is not supported: name each origin, such as https://app.example.com.")
        if not _is_origin(origin):
            raise ValueError(
                f"{origin!r} is not an origin as a browser sends it: http or https, the host in small letters and a port where"
                " it is not the usual one, and nothing behind that, such as https://app.example.com."
            )
    return frozenset(found)


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme not in _USUAL_PORTS or port == _USUAL_PORTS[parts.scheme]:
        return False
    host, _, _ = parts.netloc.rpartition(":") if port is not None else (parts.netloc, "", "")
    return bool(_ORIGIN_HOST.fullmatch(host)) and text == f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")


def without_password(url: str) -> str:
    """The URL for people. Where it is not clear what the password is, too much is hidden rather than too little."""
    return _SECRET_PARAMETERS.sub(r"\1***", _PASSWORD.sub(r"\1:***@", url))


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return name.upper() if name in SHARED else PREFIX + name.upper()


def unknown(environ: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that looks like a setting but is not one; most likely it is misspelt."""
    known = [variable(name) for name in Settings.__struct_fields__]
    names = sorted(name for name in environ if name.startswith(PREFIX) and name.removesuffix("_FILE") not in known)
    return [f"{name} is not a setting.{suggestion(name, known)}" for name in names]


def field_meta(annotated: Any) -> Meta:
    meta = get_args(annotated)[1]
    assert isinstance(meta, Meta)
    return meta


def table() -> str:
    """The table of settings as the README shows it, in Markdown."""
    hints = get_type_hints(Settings, include_extras=True)
    rows = ["| Setting | Default | Meaning |", "|---|---|---|"]
    for field in msgspec.structs.fields(Settings):
        default = "required" if field.required else f"`{field.default}`" if field.default != "" else "empty"
        rows.append(f"| `{variable(field.name)}` | {default} | {field_meta(hints[field.name]).description} |")
    return "\n".join(rows) + "\n"
