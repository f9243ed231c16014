"""Exports of lists: every format, with the list's parameters, roles and limits, as a client gets them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import socket
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager

import psycopg
import pytest
from python_calamine import CalamineWorkbook

from app.exporting.sheets import COLUMNS, Kind
from app.http.list_spec import ListSpec
from app.process.children import wait_until
from app.resources import exports
from tests.support.scenarios import OPPORTUNITIES, Json, Org, errors, made, now, refused
from tests.support.server import Client

EXPORT = f"{OPPORTUNITIES}export/"


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8"), newline="")))


def exported(client: Client, query: str = "", path: str = EXPORT) -> list[dict[str, str]]:
    reply = client.get(f"{path}?{query}")
    assert reply.status == 200, reply.body
    return rows(reply.body)


def lines(client: Client, query: str = "", path: str = EXPORT) -> list[Json]:
    reply = client.get(f"{path}?format=ndjson&{query}")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/x-ndjson"), reply.body
    return [json.loads(line) for line in reply.body.splitlines()]


@pytest.fixture
def deals(org: Org) -> Org:
    """Three deals, of which the first has everything."""
    org.custom_field("seats", "number")
    org.custom_field("rivals", "multiselect", options=["globex", "initech"])
    acme = org.account('Söhne, Acme & "Co"')
    jane, li = org.contact("Jane", "Doe"), org.contact("Li", "Wei")
    org.opportunity(
        '=HYPERLINK("x")', account_id=acme["id"], amount="123456789012345.67", close_date="2026-06-30", tags=["a", "b"],
        stakeholder_ids=[jane["id"], li["id"]], next_step="+49 call", external_id="X-1",
        custom_fields={"seats": 72, "rivals": ["globex", "initech"], "undefined": {"a": [1]}},
    )  # fmt: skip
    org.won(name="won", account_id=acme["id"], amount="5", currency="JPY")
    org.lost(name="-5", account_id=acme["id"])
    return org


def test_a_file_has_a_column_for_each_field_and_a_row_for_each_deal(deals: Org) -> None:
    reply = deals.admin.get(EXPORT)
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    assert reply.headers["content-disposition"].startswith('attachment; filename="opportunities-20')
    lost, won, first = rows(reply.body)
    item = deals.listed()["results"][2]
    assert first == {
        **dict.fromkeys(("actual_amount", "actual_close_date", "lost_reason", "lost_reason_code", "closed_at"), ""),
        **{name: str(item[name]) for name in ("id", "external_id", "amount", "currency", "stage", "status", "probability")},
        **{name: str(item[name]) for name in ("close_date", "stage_entered_at", "created_at", "updated_at", "version")},
        "name": '\'=HYPERLINK("x")',
        "account": 'Söhne, Acme & "Co"',
        "account_id": item["account"]["id"],
        "owner": item["owner"]["email"],
        "owner_id": item["owner"]["id"],
        "stakeholders": "Jane Doe;Li Wei",
        "stakeholder_ids": ";".join(one["id"] for one in item["stakeholders"]),
        "tags": "a;b",
        "next_step": "'+49 call",
        "cf_seats": "72",
        "cf_rivals": "globex;initech",
        "cf_undefined": '{"a":[1]}',
    }
    assert (won["amount"], won["actual_amount"], won["status"]) == ("5", "900", "won")
    assert lost["name"] == "-5"  # a number, not a formula
    assert b"\r\n" in reply.body
    assert not reply.body.replace(b"\r\n", b"").count(b"\n")


def test_every_field_of_a_list_has_a_column() -> None:
    tables: dict[Kind, ListSpec] = {
        "opportunities": exports.DEALS,
        "accounts": exports.ACCOUNTS,
        "contacts": exports.CONTACTS,
    }
    for kind, table in tables.items():
        assert {one.field for one in COLUMNS[kind]} == set(table.fields) - {"custom_fields"}


def test_lines_are_the_items_of_the_list(deals: Org) -> None:
    assert lines(deals.admin) == deals.listed()["results"]
    assert lines(deals.admin, "fields=name,owner") == deals.listed("fields=name,owner")["results"]


def test_cells_of_a_workbook_have_their_types(deals: Org) -> None:
    reply = deals.admin.get(f"{EXPORT}?format=xlsx")
    assert reply.headers["content-disposition"].endswith('.xlsx"')
    header, _, won, first = CalamineWorkbook.from_filelike(io.BytesIO(reply.body)).get_sheet_by_index(0).to_python()
    cells = dict(zip(header, first, strict=True))
    assert cells["name"] == '=HYPERLINK("x")'
    assert cells["amount"] == "123456789012345.67"  # more digits than a spreadsheet's numbers have
    assert str(cells["close_date"]) == "2026-06-30"
    assert str(cells["created_at"]).replace(" ", "T")[:19] == deals.listed()["results"][2]["created_at"][:19]
    assert (cells["probability"], cells["cf_seats"], cells["cf_rivals"]) == (20, 72, "globex;initech")
    assert dict(zip(header, won, strict=True))["amount"] == 5


@pytest.mark.parametrize(
    "query",
    ["status=won", "ordering=name", "ordering=-amount,name", "search=won", "cf_seats__gte=70", "owner=me&ordering=close_date"],
)
def test_filters_and_ordering_are_the_lists(deals: Org, query: str) -> None:
    assert lines(deals.admin, query) == deals.listed(query)["results"]


def test_an_export_as_of_an_instant_is_the_list_of_then(deals: Org) -> None:
    then = now()
    deals.opportunity("later")
    made(deals.admin.patch(f"/api/accounts/{deals.listed()['results'][1]['account']['id']}/", {"name": "Renamed"}), 200)
    assert lines(deals.admin, f"as_of={then}") == deals.listed(f"as_of={then}")["results"]
    assert len(exported(deals.admin, f"as_of={then}")) == 3


def test_fields_choose_columns(deals: Org) -> None:
    first = exported(deals.admin, "fields=owner,name,custom_fields&external_id=X-1")[0]
    assert list(first) == ["name", "owner", "owner_id", "cf_seats", "cf_rivals", "cf_undefined"]
    assert list(exported(deals.admin, "fields=name")[0]) == ["name"]


def test_raw_cells_are_as_they_are_and_a_mark_tells_excel_the_encoding(deals: Org) -> None:
    reply = deals.admin.get(f"{EXPORT}?raw=true&bom=true&external_id=X-1")
    assert reply.body.startswith(b"\xef\xbb\xbfid,")
    assert rows(reply.body[3:])[0]["name"] == '=HYPERLINK("x")'


def test_accounts_and_contacts_are_exported_too(org: Org) -> None:
    org.account("Acme", domain="acme.example", external_id="A-1", custom_fields={"tier": "gold"})
    org.contact("Zoë", "Brandt", email="zoe@acme.example")
    (account,) = exported(org.admin, "search=acm", "/api/accounts/export/")
    assert (account["name"], account["domain"], account["external_id"], account["cf_tier"]) == (
        "Acme",
        "acme.example",
        "A-1",
        "gold",
    )
    assert lines(org.admin, "", "/api/contacts/export/") == org.listed("", "/api/contacts/")["results"]
    assert exported(org.admin, "", "/api/contacts/export/")[0]["first_name"] == "Zoë"


def test_an_empty_list_is_a_header_alone(org: Org) -> None:
    assert org.admin.get(f"{EXPORT}?fields=id,name").body == b"id,name\r\n"
    assert org.admin.get(f"{EXPORT}?format=ndjson").body == b""
    book = CalamineWorkbook.from_filelike(io.BytesIO(org.admin.get(f"{EXPORT}?format=xlsx&fields=id").body))
    assert book.get_sheet_by_index(0).to_python() == [["id"]]


def test_bad_parameters_are_named(org: Org) -> None:
    found = errors(org.admin.get(f"{EXPORT}?format=pdf&bom=maybe&page=2&stagee=x&fields=nme&as_of=soon"))
    assert set(found) == {"format", "bom", "page", "stagee", "fields", "as_of"}
    assert "csv" in found["format"]
    assert set(errors(org.admin.get("/api/accounts/export/?as_of=2026-01-01T00:00:00Z"))) == {"as_of"}


def test_whoever_may_list_may_export_and_nobody_else(deals: Org, other_org: Org) -> None:
    assert len(exported(deals.client(deals.user("read_only")))) == 3
    assert exported(other_org.admin) == []
    refused(deals.with_token(None).get(EXPORT), 401)
    refused(deals.with_token("nonsense").get(EXPORT), 401)
    refused(deals.admin.post(EXPORT, {}), 405)


def test_head_has_the_headers_of_the_file_and_reads_nothing(deals: Org) -> None:
    reply = deals.admin.request("HEAD", f"{EXPORT}?format=xlsx")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["content-type"].endswith("spreadsheetml.sheet")
    assert reply.headers["content-disposition"].endswith('.xlsx"')


def test_files_are_compressed_where_the_client_takes_it(deals: Org) -> None:
    plain = deals.admin.get(EXPORT).body
    reply = deals.admin.get(EXPORT, Accept_Encoding="gzip")
    assert (reply.headers["content-encoding"], reply.headers["vary"]) == ("gzip", "accept-encoding")
    assert gzip.decompress(reply.body) == plain
    assert "content-encoding" not in deals.admin.get(f"{EXPORT}?format=xlsx", Accept_Encoding="gzip").headers


@contextmanager
def held_up(url: str) -> Iterator[psycopg.Connection[tuple[int]]]:
    """Meanwhile nothing that reads deals gets on."""
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE opportunities IN ACCESS EXCLUSIVE MODE")
        yield connection


def await_exports(connection: psycopg.Connection[tuple[int]], number: int) -> None:
    """Until so many exports wait in PostgreSQL for the one who holds them up."""
    text = "SELECT count(*) FROM pg_locks WHERE relation = 'opportunities'::regclass AND NOT granted"
    while connection.execute(text).fetchone() != (number,):
        connection.execute("SELECT pg_sleep(0.02)")


def measured(org: Org) -> dict[str, float]:
    """What ``/metrics`` says of exports, by series."""
    lines = org.with_token(None).get("/metrics").body.decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines) if name.startswith("export")}


def test_a_token_has_one_export_at_a_time_and_one_that_waits(deals: Org, shared_database_url: str) -> None:
    clients = [deals.with_token(deals.token) for _ in range(3)]
    with ThreadPoolExecutor() as pool, held_up(shared_database_url) as connection:
        first = pool.submit(clients[0].get, EXPORT)
        await_exports(connection, 1)
        others = [pool.submit(client.get, EXPORT) for client in clients[1:]]
        done, waiting = wait(others, return_when=FIRST_COMPLETED)
        reply = done.pop().result()
        assert refused(reply, 429)["code"] == "too_many_waiting"
        assert int(reply.headers["retry-after"]) >= 1
        await_exports(connection, 1)
        connection.rollback()
        assert [one.result().status for one in [first, *waiting]] == [200, 200]
    assert len(exported(deals.admin)) == 3


def test_a_process_makes_so_many_exports_at_once(deals: Org, shared_database_url: str) -> None:
    clients = [deals.client(deals.user()) for _ in range(2)]
    third = [deals.with_token(deals.token) for _ in range(2)]
    assert wait_until(lambda: measured(deals)["exports_in_progress"] == 0, 30)  # those of other tests have ended
    before = measured(deals)
    with ThreadPoolExecutor() as pool, held_up(shared_database_url) as connection:
        both = [pool.submit(client.get, EXPORT) for client in clients]
        await_exports(connection, 2)
        done, waiting = wait([pool.submit(client.get, EXPORT) for client in third], return_when=FIRST_COMPLETED)
        refused(done.pop().result(), 429)  # its token's first one waits
        await_exports(connection, 2)
        now_there = measured(deals)
        assert (now_there["exports_in_progress"], now_there["exports_waiting"]) == (2, 1)
        connection.rollback()
        assert [one.result().status for one in [*both, *waiting]] == [200] * 3
    assert wait_until(lambda: measured(deals)["exports_in_progress"] == 0, 30)
    after = measured(deals)
    assert after['exports_total{format="csv"}'] == before['exports_total{format="csv"}'] + 3
    assert after['export_records_total{format="csv"}'] == before['export_records_total{format="csv"}'] + 9
    assert after['export_seconds_total{format="csv"}'] > before['export_seconds_total{format="csv"}']
    assert after["exports_waiting"] == 0


def test_an_export_whose_client_hangs_up_is_ended_in_the_database(deals: Org, shared_database_url: str) -> None:
    with held_up(shared_database_url) as connection:
        for query in ("", "fields=name"):
            client = socket.create_connection(("127.0.0.1", deals.server.port), timeout=30)
            head = f"GET {EXPORT}?{query} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {deals.token}\r\n\r\n"
            client.sendall(head.encode())
            await_exports(connection, 1)
            client.close()
            await_exports(connection, 0)
    assert len(exported(deals.admin)) == 3
