# mypy: ignore-errors
from django.apps import AppConfig


class Peer(AppConfig):
    name = "tests.bench.peer"
    label = "peer"
