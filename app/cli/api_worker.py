"""One process of the API: its application, and the settings that the process which starts it hands down."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from typing import Any

from app import logs, settings
from app.main import Application, create_app
from app.process import children, memory
from app.routes import ROUTES
from app.settings import Settings


def hand_down(config: Settings) -> None:
    """Put the settings where the worker processes find them."""
    for name, value in config.environ().items():
        os.environ[name] = value
        os.environ.pop(f"{name}_FILE", None)


def worker() -> Application:
    """The application in one of several processes, with its parent's settings; it dies with its parent."""
    parent = multiprocessing.parent_process()
    children.die_with_parent(parent=parent.pid if parent else None)
    config = settings.load()
    logs.configure(config.log_level, config.log_format)
    return application(config)


def application(config: Settings, routes: Sequence[Any] = ROUTES) -> Application:
    """The application of this process."""
    app = create_app(config, routes)
    memory.tune_gc()
    return app
