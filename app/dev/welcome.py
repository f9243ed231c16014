"""What a person sees when everything runs: the URL, the token, and three things to try."""

from __future__ import annotations

import json
import shlex
from datetime import date, timedelta
from pathlib import Path

from app.dev.supervised import get


def welcome(base_url: str, token: str, folder: Path) -> str:
    bearer = shlex.quote(f"Authorization: Bearer {token}")
    port = int(base_url.rpartition(":")[2])
    _, accounts = get(port, "/api/accounts/?page_size=1", token)
    if accounts and accounts.get("results"):
        body = {"name": "My first deal", "account_id": accounts["results"][0]["id"], "amount": "24000"}
        posted = f"-d '{json.dumps(body)}' {base_url}/api/opportunities/"
    else:
        posted = f"-d '{json.dumps({'name': 'My first account'})}' {base_url}/api/accounts/"
    first, last = quarter(date.today())  # noqa: DTZ011  the quarter of whoever sits at this machine
    return f"""
Opportunities runs at {base_url} (docs: {base_url}/schema/). Ctrl-C stops it; the data stays in {folder}.

  token  {token}

Try:

  curl -s -H {bearer} '{base_url}/api/opportunities/?stage=proposal&page_size=2'

  curl -s -H {bearer} '{base_url}/api/opportunities/forecast/?close_date__gte={first}&close_date__lte={last}'

  curl -s -H {bearer} -H 'Content-Type: application/json' {posted}
"""


def quarter(day: date) -> tuple[date, date]:
    first = date(day.year, day.month - (day.month - 1) % 3, 1)
    after = date(first.year + (first.month == 10), (first.month + 2) % 12 + 1, 1)
    return first, after - timedelta(days=1)
