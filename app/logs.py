"""How every process logs: one JSON object per line on stderr, an event name and its fields.

Refuses prose, request bodies and secrets; the libraries' own loggers come out in the same form, from their warnings up.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import msgspec
import structlog
from structlog.typing import Processor

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(level: str = "info", form: str = "json") -> None:
    """Set up logging for this process. ``form`` is ``json``, or ``console`` for a person at a terminal."""
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Processor
    if form == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        last: list[Processor] = [renderer]
    else:
        renderer = structlog.processors.JSONRenderer(serializer=_json)
        last = [structlog.processors.format_exc_info, renderer]
    structlog.configure(
        processors=shared + last,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    foreign = logging.StreamHandler(sys.stderr)
    foreign.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [foreign]
    root.setLevel(max(logging.WARNING, LEVELS[level]))


def _json(event: Any, default: Any) -> str:
    return msgspec.json.encode(event, enc_hook=default).decode()
