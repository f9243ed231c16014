"""Options are checked against the file's columns and the org's stages, and every error names what was meant."""

from __future__ import annotations

from typing import Any

import pytest

from app.importing.options import Made, Options, errors_of

COLUMNS = ("Name", "Amount", "Stage")
STAGES = ("discovery", "won", "lost")


@pytest.mark.parametrize(
    ("options", "path", "hint"),
    [
        ({"mapping": {"nmae": "Name"}}, "mapping.nmae", "name"),
        ({"mapping": {"name": "Nmae"}}, "mapping.name", "Name"),
        ({"mapping": {"name": Made(template="{Nmae} x")}}, "mapping.name", "Name"),
        ({"mapping": {"name": Made()}}, "mapping.name", "template"),
        ({"mapping": {"entered:wn": "Name"}}, "mapping.entered:wn", "won"),
        ({"mapping": {"cf_Bad": "Name"}}, "mapping.cf_Bad", "Unknown field"),
        ({"values": {"stage": {"x": "wn"}}}, "values.stage", "won"),
        ({"values": {"amount": {"x": "1"}}}, "values.amount", "stage"),
        ({"defaults": {"acount": "x"}}, "defaults.acount", "account"),
        ({"match_on": "email"}, "match_on", "external_id"),
        ({"locale": "xx-no"}, "locale", "locale"),
        ({"time_zone": "Mars"}, "time_zone", "Europe/Berlin"),
        ({"time_zone": "../etc/passwd"}, "time_zone", "Europe/Berlin"),
    ],
)
def test_an_error_names_the_option_and_the_remedy(options: dict[str, Any], path: str, hint: str) -> None:
    errors = errors_of(Options(**options), "opportunities", COLUMNS, STAGES)
    assert list(errors) == [path]
    assert hint in errors[path][0]


def test_options_that_fit_have_no_errors() -> None:
    mapping = {"name": "Name", "amount": "Amount", "entered:won": "Stage", "cf_size": Made(value="big")}
    options = Options(mapping=mapping, values={"stage": {"x": "won", "y": ""}}, defaults={"account": "None"})  # type: ignore[arg-type]
    assert errors_of(options, "opportunities", COLUMNS, STAGES) == {}
