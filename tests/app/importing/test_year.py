"""A year of another system's deals, with a mapping of a few lines: every end of a month answers as it was then."""

from __future__ import annotations

import calendar
import csv
import io
from datetime import date, timedelta
from random import Random

from tests.support.imports import counts, working
from tests.support.scenarios import Json, Org, made

HEADER = ("opportunity_id", "sales_agent", "product", "account", "deal_stage", "engage_date", "close_date", "close_value")
OPTIONS: Json = {
    "mapping": {
        "external_id": "opportunity_id",
        "name": {"template": "{account} — {product}"},
        "account": "account",
        "stage": "deal_stage",
        "created_at": "engage_date",
        "close_date": "close_date",
        "actual_amount": "close_value",
    },
    "values": {"stage": {"Prospecting": "discovery", "Engaging": "qualification", "Won": "won", "Lost": "lost"}},
    "defaults": {"account": "Nobody yet"},
}


def deals() -> list[dict[str, str]]:
    random = Random(2017)
    found = []
    for number in range(240):
        engaged = date(2016, 11, 1) + timedelta(days=random.randrange(400))
        stage = random.choice(("Prospecting", "Engaging", "Engaging", "Won", "Won", "Won", "Lost", "Lost"))
        closed = engaged + timedelta(days=random.randrange(1, 120)) if stage in ("Won", "Lost") else None
        account = "" if stage == "Engaging" else f"Company {number % 20}"
        values = (
            f"O{number}", "", random.choice(("GTX Pro", "MG Special")), account, stage,
            "" if stage == "Prospecting" else engaged.isoformat(), closed.isoformat() if closed else "",
            str(random.randrange(30, 30_000)) if stage == "Won" else "0" if stage == "Lost" else "",
        )  # fmt: skip
        found.append(dict(zip(HEADER, values, strict=True)))
    return found


def test_each_end_of_a_month_is_as_the_file_says(org: Org, shared_database_url: str) -> None:
    found, text = deals(), io.StringIO(newline="")
    writer = csv.DictWriter(text, HEADER)
    writer.writeheader()
    writer.writerows(found)
    with working(shared_database_url) as work:
        assert counts(work.imported(org.admin, text.getvalue().encode(), **OPTIONS)) == (len(found), 0, 0, 0)
    for month in range(1, 13):
        end = f"2017-{month:02}-{calendar.monthrange(2017, month)[1]}"
        closed = {
            stage: [one for one in found if one["deal_stage"] == stage and one["close_date"] <= end] for stage in ("Won", "Lost")
        }
        engaged = [one for one in found if one["engage_date"] and one["engage_date"] <= end]
        at = f"as_of={end}T23:59:59Z&page_size=1"
        assert org.listed(f"{at}&status=won")["count"] == len(closed["Won"]), end
        assert org.listed(f"{at}&status=lost")["count"] == len(closed["Lost"]), end
        assert org.listed(at)["count"] == len(engaged), end
        months = made(org.admin.get(f"/api/opportunities/forecast/?as_of={end}T23:59:59Z"), 200)["months"]
        assert sum(one["won"] for one in months) == sum(int(one["close_value"]) for one in closed["Won"]), end
    assert org.listed("page_size=1")["count"] == len(found)
