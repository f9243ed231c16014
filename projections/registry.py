"""All read models, in the order in which they are updated, and how they differ from those of a database."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from projections.directory import Directory
from projections.exchange_rates import ExchangeRates
from projections.forecast.ledger import ForecastLedger
from projections.opportunities import Opportunities
from projections.projection import Projection

READ_MODELS: tuple[Projection, ...] = (Directory(), Opportunities(), ExchangeRates(), ForecastLedger())


def to_text(versions: Mapping[str, int]) -> str:
    """Names and versions in the form of ``event_store.Opening``."""
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))


def difference(live: str) -> str | None:
    """How a database's read models differ from those of this program, in a sentence with the remedy."""
    if live == _ours():
        return None
    there, here = _versions(live), _versions(_ours())
    name = min(name for name in there.keys() | here.keys() if there.get(name) != here.get(name))
    if name not in here:
        return f"Read model {name} is not known to this program: use the version that migrated the database."
    remedy = "use the version that migrated the database" if there.get(name, 0) > here[name] else "run `opportunities migrate`"
    return f"Read model {name} is at version {there.get(name)}, this program's is {here[name]}: {remedy}."


@cache
def _ours() -> str:
    return to_text({model.name: model.version for model in READ_MODELS})


def _versions(text: str) -> dict[str, int]:
    pairs = (pair.rsplit(" ", 1) for pair in text.split(", ") if pair)
    return {name: int(version) for name, version in pairs}
