"""Imports from the upload to the undo, through the API and the worker, on the exports of other systems."""

from __future__ import annotations

import io
import json
import socket

import psycopg
import pytest

from app.importing.table import understand
from domain.fields import MAX_CUSTOM_FIELDS
from projections import rebuild
from projections.imports import jobs
from tests.app.importing.reading import EXPORTS
from tests.app.importing.workbooks import row, workbook
from tests.support.commands import log
from tests.support.imports import PATH, Work, counts, rows, send, working
from tests.support.scenarios import Json, Org, made, refused

FACTS = json.loads((EXPORTS / "facts.json").read_text())
NAMES = ("Rita Lang", "Tom Okafor", "Zoë Brandt", "Li Wei")


@pytest.fixture
def people(org: Org) -> list[Json]:
    return [org.user(name=name) for name in NAMES]


def figures(org: Org) -> Json:
    """What ``facts.json`` has, as the API tells it."""
    forecast = made(org.admin.get("/api/opportunities/forecast/"), 200)
    won = {month["month"]: month["won"] for month in forecast["months"] if month["won"]}
    status = {one: org.listed(f"status={one}")["count"] for one in ("won", "lost", "open")}
    opens = [*forecast["months"], forecast["unscheduled"]]
    return {
        "deals": sum(status.values()),
        **status,
        "won_amount": round(sum(won.values()), 2),
        "open_amount": round(sum(month["open_unweighted"] for month in opens), 2),
        "no_amount": org.listed("amount__isnull=true")["count"],
        "accounts": org.listed("", "/api/accounts/")["count"],
        "won_by_month": won,
    }


FILES = ["hubspot/deals.csv", "salesforce/report-opportunities.csv", "pipedrive/deals.xlsx", "zoho/Deals.csv", "odoo/crm.lead.csv"]


@pytest.mark.parametrize("name", FILES)
def test_an_export_is_imported_and_gives_its_figures(org: Org, work: Work, people: list[Json], name: str) -> None:
    found = work.uploaded(org.admin, (EXPORTS / name).read_bytes())
    assert (found["state"], found["rows"]) == ("ready", 60)
    done = work.started(org.admin, found)
    assert (done["state"], counts(done), rows(org.admin, done)) == ("done", (60, 0, 0, 0), [])
    assert figures(org) == FACTS


def test_salesforce_s_files_are_imported_one_after_the_other(org: Org, work: Work) -> None:
    folder = EXPORTS / "salesforce"
    assert counts(work.imported(org.admin, (folder / "User.csv").read_bytes(), "users")) == (4, 0, 0, 0)
    assert counts(work.imported(org.admin, (folder / "Account.csv").read_bytes(), "accounts")) == (10, 0, 0, 0)
    users = ["rita.lang", "tom.okafor", "zoe.brandt", "li.wei"]
    owners = {f"0055i000000000{place}": f"{user}@example.com" for place, user in enumerate(users)}
    histories = [(folder / f"Opportunity{which}History.csv").read_bytes() for which in ("", "Field")]
    data = (folder / "Opportunity.csv").read_bytes()
    done = work.imported(org.admin, data, "opportunities", *histories, values={"owner": owners})
    assert (done["state"], counts(done)) == ("done", (60, 0, 0, 0))
    assert figures(org) == FACTS
    then = made(org.admin.get("/api/opportunities/?as_of=2025-09-01T00:00:00Z&external_id=0065i0000009001001"), 200)["results"][0]
    assert (then["stage"], then["status"], then["amount"]) == ("negotiation", "open", "886.08")
    assert then["created_at"] == "2025-08-07T08:00:00Z"


def test_the_past_of_hubspot_s_deals_is_written_at_its_times(org: Org, work: Work, people: list[Json]) -> None:
    folder = EXPORTS / "hubspot"
    work.imported(org.admin, (folder / "companies.csv").read_bytes(), "accounts")
    done = work.imported(
        org.admin, (folder / "deals.csv").read_bytes(), "opportunities", (folder / "deal-stage-history.csv").read_bytes()
    )
    assert counts(done) == (60, 0, 0, 0)
    assert figures(org) == FACTS
    deal = org.listed("external_id=9001001")["results"][0]
    entries = made(org.admin.get(f"/api/opportunities/{deal['id']}/history/"), 200)["results"]
    assert [entry["occurred_at"] for entry in entries] == [
        "2025-08-07T08:00:00Z", "2025-08-22T10:00:00Z", "2025-08-29T10:00:00Z", "2025-09-04T10:00:00Z",
    ]  # fmt: skip
    assert {entry["import_id"] for entry in entries} == {done["id"]}


def test_a_bad_row_is_told_by_line_and_column_and_the_others_are_imported(org: Org, work: Work) -> None:
    data = b"Name,Account,Stage,Amount\nA,Acme,proposal,1\nB,Acme,proposal,lots\nC,Acme,dreaming,1\nD,Acme,won,5\n"
    found = work.uploaded(org.admin, data)
    checked = work.started(org.admin, found, "start/?dry_run=true")
    assert (checked["state"], checked["checked"], counts(checked)) == ("ready", True, (1, 0, 0, 3))
    expected = {(3, "Amount"), (4, "Stage"), (5, "actual_close_date")}
    assert {(row["line"], row["column"]) for row in rows(org.admin, checked)} == expected
    assert org.listed("")["count"] == 0
    done = work.started(org.admin, found)
    assert (done["state"], counts(done)) == ("done", (1, 0, 0, 3))
    assert {(row["line"], row["column"]) for row in rows(org.admin, done)} == expected
    failed = org.admin.get(f"{PATH}{done['id']}/failed/").body.decode().splitlines()
    assert failed[0] == "Name,Account,Stage,Amount,import_error"
    assert failed[1].startswith("B,Acme,proposal,lots,Amount: This is no number")
    assert org.admin.get(f"{PATH}{done['id']}/file/").body == data


def test_the_same_file_is_not_imported_twice_unless_it_is_forced_and_makes_nothing_twice_then(
    org: Org, work: Work, people: list[Json]
) -> None:
    data = (EXPORTS / "hubspot/deals.csv").read_bytes()
    first = work.imported(org.admin, data)
    again = work.uploaded(org.admin, data)
    problem = refused(org.admin.post(f"{PATH}{again['id']}/start/"), 409)
    assert (problem["code"], problem["first"]) == ("imported", first["id"])
    done = work.started(org.admin, again, "start/?force=true")
    assert counts(done) == (0, 0, 60, 0)
    assert org.listed("")["count"] == 60


def test_a_worker_that_is_gone_is_followed_by_one_that_goes_on_where_it_was(org: Org, work: Work) -> None:
    lines = "".join(f"Deal {number},Acme,E{number}\n" for number in range(450))
    found = work.uploaded(org.admin, f"Name,Account,External id\n{lines}".encode())
    made(org.admin.post(f"{PATH}{found['id']}/start/"), 202)
    work.importer.step()
    work.importer.close()
    with working(work.url) as next_one:
        assert 0 < made(org.admin.get(f"{PATH}{found['id']}/"), 200)["done"] < 450
        next_one.all()
    done = made(org.admin.get(f"{PATH}{found['id']}/"), 200)
    assert (done["state"], counts(done)) == ("done", (450, 0, 0, 0))
    assert org.listed("")["count"] == 450
    assert org.listed("", "/api/accounts/")["count"] == 1


def test_a_cancelled_import_keeps_what_it_did_and_goes_on_when_it_is_started(org: Org, work: Work) -> None:
    lines = "".join(f"Deal {number},Acme,E{number}\n" for number in range(250))
    found = work.uploaded(org.admin, f"Name,Account,External id\n{lines}".encode())
    made(org.admin.post(f"{PATH}{found['id']}/start/"), 202)
    work.importer.step()
    assert made(org.admin.post(f"{PATH}{found['id']}/cancel/"), 202)["state"] == "cancelled"
    work.all()
    kept = org.listed("")["count"]
    assert 0 < kept < 250
    assert counts(work.started(org.admin, found)) == (250, 0, 0, 0)


def test_an_undone_import_leaves_nothing_but_what_somebody_changed_since(org: Org, work: Work, people: list[Json]) -> None:
    before = figures(org)
    done = work.imported(org.admin, (EXPORTS / "hubspot/deals.csv").read_bytes())
    touched = org.listed("status=open")["results"][0]
    made(org.admin.patch(f"/api/opportunities/{touched['id']}/", {"next_step": "Call"}), 200)
    undone = work.started(org.admin, done, "undo/")
    assert undone["state"] == "undone"
    assert [item["id"] for item in org.listed("")["results"]] == [touched["id"]]
    left = {(row["column"], row["value"]) for row in rows(org.admin, undone)}
    assert ("opportunity", touched["id"]) in left
    assert org.admin.delete(f"/api/opportunities/{touched['id']}/").status == 204
    assert {**figures(org), "accounts": 0} == {**before, "accounts": 0}
    assert rebuild.verify(work.url) == []
    assert counts(work.started(org.admin, undone))[0] == 60


def test_what_an_import_changed_is_set_back(org: Org, work: Work) -> None:
    account = org.account()
    deal = org.opportunity("A", account_id=account["id"], external_id="E1", amount="10", tags=["x"], custom_fields={"size": 1})
    done = work.imported(org.admin, b"Name,Account,External id,Amount,Stage\nB,Acme Corp,E1,99,proposal\n")
    assert counts(done) == (0, 1, 0, 0)
    assert (org.read(deal)["name"], org.read(deal)["amount"], org.read(deal)["stage"]) == ("B", "99.00", "proposal")
    work.started(org.admin, done, "undo/")
    same = ("name", "amount", "stage", "tags", "custom_fields", "probability", "external_id")
    assert {name: org.read(deal)[name] for name in same} == {name: deal[name] for name in same}


def test_an_import_that_is_all_or_nothing_leaves_nothing_if_a_row_fails(org: Org, work: Work) -> None:
    lines = "".join(f"Deal {number},Acme,E{number},{number}\n" for number in range(30))
    data = f"Name,Account,External id,Amount\n{lines}".encode()
    failed = work.imported(org.admin, data + b"Bad,Acme,E99,lots\n", all_or_nothing=True)
    assert (failed["state"], failed["failed"]) == ("failed", 1)
    assert "nothing was imported" in failed["problem"]["message"]
    assert [(row["line"], row["column"]) for row in rows(org.admin, failed)] == [(32, "Amount")]
    assert org.listed("")["count"] == org.listed("", "/api/accounts/")["count"] == 0
    assert counts(work.imported(org.admin, data, all_or_nothing=True)) == (30, 0, 0, 0)
    assert org.listed("")["count"] == 30


@pytest.mark.parametrize(
    "data",
    [
        b"Name;Account;Amount\nA;Acme;1\n\xc4;Acme;lots\n",
        '{"Name": "Ä", "Account": "Acme", "Amount": "lots"}\n'.encode(),
        workbook(row(1, ["Name", "Account", "Amount"]) + row(2, ["Ä", "Acme", "lots"])).getvalue(),
    ],
)
def test_failed_rows_come_back_in_the_format_of_their_file(org: Org, work: Work, data: bytes) -> None:
    found = work.imported(org.admin, data)
    reply = org.admin.get(f"{PATH}{found['id']}/failed/")
    if data.startswith(b"{"):
        (line,) = reply.body.splitlines()
        assert json.loads(line).keys() == {"Name", "Account", "Amount", "import_error"}
        assert json.loads(line)["Name"] == "Ä"
    elif data.startswith(b"PK"):
        sheet = understand(io.BytesIO(reply.body))
        assert (sheet.columns[-1], [one.cells[:3] for one in sheet.rows()]) == ("import_error", [["Ä", "Acme", "lots"]])
        assert 'filename="failed-file.xlsx"' in reply.headers["content-disposition"]
    else:
        lines = reply.body.decode("cp1252").splitlines()
        assert (lines[0], lines[1][:12]) == ("Name;Account;Amount;import_error", "Ä;Acme;lots;")


def test_what_an_import_made_is_found_by_it_in_lists_and_in_the_feed(org: Org, other_org: Org, work: Work) -> None:
    org.opportunity("Other", external_id="E0")
    first = work.imported(org.admin, b"Name,Account,External id,Stage,Created,Closed at\nA,Acme,E1,won,2026-01-01,2026-02-01\n")
    second = work.imported(org.admin, b"Name,Account,External id\nB,Beta,E2\nC,Beta,E3\n")
    org.opportunity("Another", external_id="E4")

    def found(which: Json, path: str = "/api/opportunities/", query: str = "") -> list[str]:
        return sorted(item["name"] for item in org.listed(f"import={which['id']}{query}", path)["results"])

    assert (found(first), found(second)) == (["A"], ["B", "C"])
    assert (found(first, "/api/accounts/"), found(second, "/api/accounts/")) == (["Acme"], ["Beta"])
    assert found(second, query="&ordering=-name&page_size=1&page=2") == ["B"]
    assert found(second, query="&cursor=&status=open&search=b") == ["B", "C"]
    assert found(first, query="&as_of=2026-01-15T00:00:00Z") == ["A"]
    both = work.imported(org.admin, b"Name,Account,External id\nA2,Acme,E1\n", webhooks=True)
    assert org.listed(f"import={first['id']},{second['id']},{both['id']}")["count"] == 3
    told = [one.meta.webhooks for one in log(work.url) if str(one.meta.import_id) in (first["id"], both["id"])]
    assert told == [False, False, False, True]
    events = made(org.admin.get(f"/api/events/?import={first['id']}&limit=2"), 200)
    assert [event["type"] for event in events["results"]] == ["account.created", "opportunity.created"]
    more = made(org.admin.get(events["next"][events["next"].index("/api/") :]), 200)
    assert ([event["type"] for event in more["results"]], more["next"]) == (["opportunity.won"], None)
    assert {event["import_id"] for event in [*events["results"], *more["results"]]} == {first["id"]}
    deal = org.listed(f"import={second['id']}&external_id=E2")["results"][0]
    made(org.admin.patch(f"/api/opportunities/{deal['id']}/", {"next_step": "Call"}), 200)
    work.started(org.admin, second, "undo/")
    assert found(second) == ["B"]
    undone = made(org.admin.get(f"/api/events/?import={second['id']}&limit=500"), 200)["results"]
    assert [event["type"] for event in undone] == ["account.created", *["opportunity.created"] * 2, "opportunity.deleted"]
    assert other_org.listed(f"import={first['id']}")["count"] == 0
    assert made(other_org.admin.get(f"/api/events/?import={first['id']}"), 200)["results"] == []
    assert "import" in refused(org.admin.get("/api/events/?import=x"))["errors"]


def test_users_of_an_import_are_found_in_the_feed(org: Org, work: Work) -> None:
    found = work.imported(org.admin, b"Email,Name\na@users.example,A\nb@users.example,B\n", "users")
    events = made(org.admin.get(f"/api/events/?import={found['id']}"), 200)["results"]
    assert [event["type"] for event in events] == ["user.created"] * 2


def test_columns_that_give_nothing_else_become_custom_fields_if_that_is_wanted(org: Org, work: Work) -> None:
    data = b"Name,Account,Seats,Signed on,Is pilot,Notes\nA,Acme,12,2026-01-31,yes,As agreed\n"
    found = work.imported(org.admin, data, create_missing={"custom_fields": True})
    assert counts(found) == (1, 0, 0, 0)
    defined = made(org.admin.get("/api/custom-fields/"), 200)["results"]
    assert {(one["key"], one["label"], one["type"]) for one in defined} >= {
        ("seats", "Seats", "number"), ("signed_on", "Signed on", "date"), ("is_pilot", "Is pilot", "checkbox"),
        ("notes", "Notes", "textarea"),
    }  # fmt: skip
    (deal,) = org.listed("cf_seats__gte=12&cf_signed_on=2026-01-31&cf_is_pilot=true")["results"]
    assert deal["custom_fields"]["notes"] == "As agreed"
    again = work.imported(org.admin, data.replace(b"12", b"13"), create_missing={"custom_fields": True})
    assert counts(again) == (0, 1, 0, 0)
    manager = org.client(org.user("manager"))
    refused_one = work.imported(manager, b"Name,Account,Region\nB,Acme,North\n", create_missing={"custom_fields": True})
    assert refused_one["state"] == "failed"


def test_more_custom_fields_than_there_may_be_are_refused_and_none_is_defined(org: Org, work: Work) -> None:
    names = [f"More {number}" for number in range(MAX_CUSTOM_FIELDS + 1)]
    data = f"Name,Account,{','.join(names)}\nA,Acme,{','.join(['x'] * len(names))}\n".encode()
    found = work.imported(org.admin, data, create_missing={"custom_fields": True})
    assert found["state"] == "failed"
    assert f"at most {MAX_CUSTOM_FIELDS} custom fields" in found["problem"]["message"]
    assert made(org.admin.get("/api/custom-fields/"), 200)["results"] == []


def test_tags_that_no_deal_has_are_refused_if_that_is_wanted(org: Org, work: Work) -> None:
    org.opportunity("Old", tags=["vip"])
    found = work.imported(org.admin, b"Name,Account,Tags\nA,Acme,vip\nB,Acme,vip;vpi\n", create_missing={"tags": False})
    assert counts(found) == (1, 0, 0, 1)
    assert [(row["line"], row["column"], row["value"]) for row in rows(org.admin, found)] == [(3, "tags", "vpi")]


def test_a_record_that_two_rows_made_is_undone_once(org: Org, work: Work) -> None:
    data = b"Name,Account,External id,Amount\nA,Acme,E1,1\nB,Acme,E1,2\nC,Acme,E2,3\n"
    done = work.imported(org.admin, data)
    assert counts(done) == (2, 1, 0, 0)
    assert {(item["name"], item["amount"]) for item in org.listed("")["results"]} == {("B", "2.00"), ("C", "3.00")}
    undone = work.started(org.admin, done, "undo/")
    assert (undone["state"], rows(org.admin, undone), org.listed("")["count"]) == ("undone", [], 0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"Name,Account\n", "no row"),
        (b"Name,Account\nA\0,x\n", "NUL"),
        (b'Name,Account\nA,"x\n' + b"B,y\n" * 100, "not closed"),
        (b"PK\x03\x04nothing", "no workbook"),
    ],
)
def test_a_file_that_cannot_be_read_fails_with_its_reason(org: Org, work: Work, data: bytes, message: str) -> None:
    found = work.uploaded(org.admin, data)
    assert found["state"] == "failed"
    assert message in found["problem"]["message"]


def test_imports_are_for_managers_and_those_of_users_for_admins(org: Org, other_org: Org, work: Work) -> None:
    data = b"Name,Account\nA,Acme\n"
    rep, manager = org.client(org.user("rep")), org.client(org.user("manager"))
    refused(send(rep, data), 403)
    refused(send(manager, b"Email\nx@example.com\n", "users"), 403)
    found = made(send(manager, data))
    refused(rep.post(f"{PATH}{found['id']}/start/"), 403)
    for verb in ("", "rows/", "file/", "failed/"):
        refused(other_org.admin.get(f"{PATH}{found['id']}/{verb}"), 404)
    for verb in ("start/", "cancel/", "undo/"):
        refused(other_org.admin.post(f"{PATH}{found['id']}/{verb}"), 404)
    assert other_org.listed("", PATH)["count"] == 0
    assert org.listed("", PATH)["count"] == 1


def test_a_revoked_token_stops_its_import(org: Org, work: Work) -> None:
    manager = org.user("manager")
    token = made(org.admin.post("/api/tokens/", {"name": "t", "user_id": manager["id"]}))
    client = org.with_token(token["token"])
    found = work.uploaded(client, b"Name,Account\nA,Acme\n")
    made(client.post(f"{PATH}{found['id']}/start/"), 202)
    assert org.admin.delete(f"/api/tokens/{token['id']}/").status == 204
    work.all()
    failed = made(org.admin.get(f"{PATH}{found['id']}/"), 200)
    assert failed["state"] == "failed"
    assert "revoked" in failed["problem"]["message"]
    assert counts(work.started(org.admin, failed)) == (1, 0, 0, 0)


def test_options_are_changed_and_the_file_is_looked_at_again(org: Org, work: Work) -> None:
    found = work.uploaded(org.admin, b"x;y;z\nA;Acme;1.200,50\n")
    path = f"{PATH}{found['id']}/"
    assert "mapping.nmae" in refused(org.admin.patch(path, {"mapping": {"nmae": "x"}}))["errors"]
    assert "lcale" in refused(org.admin.patch(path, {"lcale": "de"}))["errors"]
    mapping = {"name": "x", "account": "y", "amount": "z", "next_step": {"template": "{x} of {y}"}}
    made(org.admin.patch(path, {"mapping": mapping}), 200)
    work.all()
    looked_at = made(org.admin.get(path), 200)
    assert (looked_at["state"], looked_at["options"]["locale"]) == ("ready", "de")
    assert looked_at["inspection"]["preview"][0]["values"]["amount"] == "1200.50"
    work.started(org.admin, looked_at)
    (deal,) = org.listed("")["results"]
    assert (deal["amount"], deal["next_step"]) == ("1200.50", "A of Acme")


def test_an_upload_is_checked_part_by_part(org: Org) -> None:
    refused(org.admin.post(PATH, b"{}"), 415)
    problem = refused(send(org.admin, b"x", "deals"))
    assert "opportunities" in problem["errors"]["kind"][0]
    assert "maping" in refused(send(org.admin, b"x", maping={}))["errors"]
    refused(org.admin.post(PATH, b"nothing", Content_Type="multipart/form-data; boundary=x"))
    assert org.listed("", PATH)["count"] == 0


@pytest.mark.parametrize("expect", ["", "Expect: 100-continue\r\n"])
def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(org: Org, expect: str) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {org.token}\r\nContent-Length: {3 * 1024**3}\r\n{expect}"
    with socket.create_connection(("127.0.0.1", org.server.port), timeout=30) as client:
        client.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode())
        answer = client.recv(65_536).decode()
    assert answer.startswith("HTTP/1.1 413 ")
    assert "at most 2,048 MB together: split them" in answer
    assert org.listed("", PATH)["count"] == 0


def test_the_files_of_what_was_deleted_or_refused_are_removed_by_a_worker(
    org: Org, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Part by part: to remove a large file takes longer than a request, or a statement, may."""
    monkeypatch.setattr(jobs, "SWEPT", 1)
    kept = work.uploaded(org.admin, b"Name,Account\nA,Acme\n")
    gone = work.uploaded(org.admin, b"Name,Account\nB,Acme\n")
    assert org.admin.delete(f"{PATH}{gone['id']}/").status == 204
    refused(org.admin.get(f"{PATH}{gone['id']}/"), 404)
    refused(send(org.admin, b"x", "deals"))
    assert org.listed("", PATH)["count"] == 1
    with working(work.url) as next_one:
        next_one.all()
    with psycopg.connect(work.url) as connection:
        for table, column in (("imports", "id"), ("import_parts", "import_id")):
            found = connection.execute(f"SELECT {column}::text FROM {table} WHERE org_id = %s", (org.id,)).fetchall()
            assert found == [(kept["id"],)]
