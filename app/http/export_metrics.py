"""What is measured of exports."""

from __future__ import annotations

from time import monotonic

from prometheus_client import Counter, Gauge

from app.exporting.export import MEDIA_TYPES

_by_format = ("format",)
_running = Gauge("exports_in_progress", "Exports that are being made.", multiprocess_mode="livesum")
_waiting = Gauge("exports_waiting", "Exports that wait for their turn.", multiprocess_mode="livesum")
_exports = Counter("exports", "Exports that ended, whole or broken off.", _by_format)
_records = Counter("export_records", "Records that they read.", _by_format)
_seconds = Counter("export_seconds", "How long they took, from their turn to their end.", _by_format)
for _format in MEDIA_TYPES:  # shown before the first one
    for _counter in (_exports, _records, _seconds):
        _counter.labels(_format)


waiting = _waiting.track_inprogress


class Measured:
    """One export, from its turn on."""

    def __init__(self, format_: str) -> None:
        self._format, self._began = format_, monotonic()
        _running.inc()

    @property
    def seconds(self) -> float:
        return monotonic() - self._began

    def ended(self, records: int) -> None:
        _running.dec()
        _exports.labels(self._format).inc()
        _records.labels(self._format).inc(records)
        _seconds.labels(self._format).inc(self.seconds)
