"""What is found whatever its case and marks, on a database whose locale knows ASCII alone; and what a line may not hold."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.support.scenarios import OPPORTUNITIES, Json, Org, errors, made, refused

DECOMPOSED = "Probe & So\u0308hne"
COMPOSED = "Probe & Söhne"


@pytest.mark.parametrize(
    "phrase",
    ["SÖHNE", "söhne", "sohne", "SO\u0308HNE", "söhne probe", "& SÖHNE", "Sö", "pr söhn", "so\u00adhne", "\u200b", "ｓｏｈｎｅ"],
)
def test_a_search_finds_every_word_whatever_its_case_and_marks(org: Org, phrase: str) -> None:
    named = org.opportunity(DECOMPOSED)
    of_account = org.opportunity("Annual", account_id=org.account(COMPOSED)["id"])
    split = org.opportunity("Söhne", account_id=org.account("Probe & Co")["id"])
    assert {item["id"] for item in org.listed(f"search={quote(phrase)}")["results"]} == {named["id"], of_account["id"], split["id"]}


@pytest.mark.parametrize(
    ("phrase", "names"),
    [
        ("öh", []), ("hne", ["Söhne (UK)"]), ("uk", ["Söhne (UK)"]), ("k", []), ("u", ["Söhne (UK)"]), ("(u", ["Söhne (UK)"]),
        ("(", ["Söhne (UK)"]), ("京", ["東京都"]), ("京都", ["東京都"]), ("東", ["東京都"]), ("söhne 東京", []), ("% _", []),
        ("Ке", ["Ключ Кёльн"]),
        ("КЕЛЬН", ["Ключ Кёльн"]), ("ль", []),
    ],
)  # fmt: skip
def test_a_word_of_one_or_two_letters_begins_a_word(org: Org, phrase: str, names: list[str]) -> None:
    account = org.account("x")["id"]
    for name in ("Söhne (UK)", "東京都", "Ключ Кёльн"):
        org.opportunity(name, account_id=account)
    assert org.names(f"search={quote(phrase)}") == names


def test_a_renamed_account_is_found_by_its_new_name_and_as_of_then_by_the_old_one(org: Org) -> None:
    account = org.account("Müller")
    deal = org.opportunity("Annual", account_id=account["id"])
    renamed = made(org.admin.patch(f"/api/accounts/{account['id']}/", {"name": "Schäfer"}), 200)
    assert org.names("search=SCHAFER") == ["Annual"]
    assert org.names("search=muller") == []
    before = f"as_of={quote(deal['created_at'])}"
    assert org.names(f"search=muller&{before}") == ["Annual"]
    assert org.names(f"search=schafer&{before}") == []
    assert org.names(f"search=schafer&as_of={quote(renamed['updated_at'])}") == ["Annual"]


def test_the_forecast_finds_what_the_list_finds(org: Org) -> None:
    org.opportunity(COMPOSED, amount="100", close_date="2026-05-05")
    org.opportunity("Other", amount="50", close_date="2026-05-05")
    month = org.listed("search=SOHNE", "/api/opportunities/forecast/")["months"][0]
    assert (month["count"], month["unweighted"]) == (1, 100)


@pytest.mark.parametrize(
    "query", ["search=SÖHNE", "search=pr", "name__icontains=be & SÖ", f"name={DECOMPOSED}", "search=sohne probe"]
)
def test_records_of_the_directory_are_found_like_deals(org: Org, query: str) -> None:
    org.account("Other")
    account = org.account(DECOMPOSED)
    assert account["name"] == COMPOSED
    assert org.listed(quote(query, "="), "/api/accounts/")["results"] == [account]


@pytest.mark.parametrize(
    ("query", "count"),
    [("email=JÜRGEN@X.DE", 1), ("email=ju\u0308rgen@x.de", 1), ("email=jurgen@x.de", 0), ("search=JURGEN", 1), ("search=x", 1),
     ("name__icontains=x.de", 0), ("name__icontains=GÜR GR", 1)],
)  # fmt: skip
def test_people_are_found_by_name_and_address(org: Org, query: str, count: int) -> None:
    org.contact("Gür", "Grün", email="jürgen@x.de")
    org.user(name="Gür Grün", email="Jürgen@x.de")
    assert org.listed(quote(query, "="), "/api/contacts/")["count"] == count
    assert org.listed(quote(query, "="), "/api/users/")["count"] == count


def test_an_email_is_one_users_whatever_its_case_and_form(org: Org) -> None:
    user = org.user(email="jürgen@x.de")
    problem = refused(org.admin.post("/api/users/", {"email": "JU\u0308RGEN@X.DE", "name": "Other"}), 409)
    assert problem["code"] == "email_taken"
    org.opportunity("His", owner_id=user["id"])
    assert org.names("owner=" + quote("JU\u0308RGEN@x.de")) == ["His"]


def test_a_lost_reason_is_known_whatever_its_case_and_marks(org: Org) -> None:
    policy = made(org.admin.get("/api/pipeline/"), 200)
    body = {name: policy[name] for name in ("stages", "transitions")}
    body |= {"lost_reasons": [{"code": "cher", "label": "Trop cher (e\u0301le\u0301ve\u0301)"}], "allow_free_text": False}
    made(org.admin.put("/api/pipeline/", body), 200)
    lost = org.moved(org.opportunity(), stage="lost", lost_reason="TROP CHER (ELEVE)")
    assert lost["lost_reason_code"] == "cher"
    body["lost_reasons"] += [{"code": "CHÉR", "label": "Other"}]
    assert set(errors(org.admin.put("/api/pipeline/", body))) == {"lost_reasons.1.code"}


def test_tags_and_custom_fields_are_compared_in_one_form(org: Org) -> None:
    org.custom_field("size", "dropdown", options=["gro\u0308ß", "klein"])
    org.custom_field("sizes", "multiselect", options=["größ", "klein"])
    given = {"size": "größ", "sizes": ["gro\u0308ß"], "o\u0308": "O\u0308l", "note": {"a": "Ärger"}, "plain": "Two  Words"}
    deal = org.opportunity("a", tags=["gru\u0308n", "grün"], custom_fields=given)
    assert deal["tags"] == ["grün"]
    assert deal["custom_fields"] == {"size": "größ", "sizes": ["größ"], "ö": "Öl", "note": {"a": "Ärger"}, "plain": "Two  Words"}
    for query in (
        "tags=gru\u0308n", "cf_ö=Öl", "cf_o\u0308=O\u0308l", "cf_size=gro\u0308ß", "cf_sizes=gro\u0308ß", "cf_ö__icontains=OL",
        "cf_size__icontains=GROSS",
        "cf_sizes__icontains=grö", "cf_note__icontains=ARGER", "cf_plain__icontains=O  WOR", "search=A",
    ):  # fmt: skip
        assert org.names(quote(query, "=")) == ["a"], query
    assert org.names(quote("cf_size__icontains=xx", "=")) == []
    unchanged = made(
        org.admin.patch(f"{OPPORTUNITIES}{deal['id']}/", {"custom_fields": {"o\u0308": "O\u0308l"}, "name": " a"}), 200
    )
    assert unchanged["version"] == deal["version"]


BAD_LINES = ["\u200b", "two\nlines", "a\u2028b", "tab\there", "\u202etxt", "a\u2066b", "\x01", " \u00a0"]


def lines(org: Org, text: str) -> list[tuple[str, str, Json, str]]:
    account = org.account()["id"]
    path = f"{OPPORTUNITIES}{org.opportunity(account_id=account)['id']}/"
    field = {"key": "k", "label": "K", "type": "dropdown", "options": ["a"]}
    stages = made(org.admin.get("/api/pipeline/"), 200)["stages"]
    reason = {"code": "c", "label": "C"}
    return [
        ("POST", OPPORTUNITIES, {"name": text, "account_id": account}, "name"),
        ("PATCH", path, {"name": text}, "name"),
        ("PATCH", path, {"tags": [text]}, "tags"),
        ("POST", f"{path}activities/", {"type": "note", "subject": text}, "subject"),
        ("POST", "/api/accounts/", {"name": text}, "name"),
        ("POST", "/api/accounts/", {"name": "a", "domain": text}, "domain"),
        ("PATCH", f"/api/accounts/{account}/", {"name": text}, "name"),
        *(
            ("POST", "/api/contacts/", {"first_name": "a", "last_name": "b", name: text}, name)
            for name in ("first_name", "last_name", "title", "phone")
        ),
        ("POST", "/api/users/", {"email": "x@y.com", "name": text}, "name"),
        ("POST", "/api/tokens/", {"name": text}, "name"),
        ("PATCH", "/api/organization/", {"name": text}, "name"),
        ("POST", "/api/custom-fields/", {**field, "label": text}, "label"),
        ("POST", "/api/custom-fields/", {**field, "options": [text]}, "options"),
        ("POST", "/api/custom-fields/", {**field, "options": [{"value": "a", "label": text}]}, "options"),
        ("PUT", "/api/pipeline/", {"stages": [{**stages[0], "label": text}, *stages[1:]]}, "stages.0.label"),
        ("PUT", "/api/pipeline/", {"stages": stages, "lost_reasons": [{**reason, "label": text}]}, "lost_reasons.0.label"),
    ]


@pytest.mark.parametrize("text", BAD_LINES)
def test_a_line_is_one_line_with_something_to_see(org: Org, text: str) -> None:
    for method, path, body, field in lines(org, text):
        assert set(errors(org.admin.request(method, path, body))) == {field}, (path, body)


def test_what_has_room_for_lines_keeps_them(org: Org) -> None:
    deal = org.moved(org.opportunity(), stage="lost", lost_reason=" one\ntwo\u202e ")
    assert deal["lost_reason"] == "one\ntwo\u202e"
    body: dict[str, Any] = {"type": "note", "subject": " Hi\n", "body": "one\n\ntwo"}
    activity = made(org.admin.post(f"{OPPORTUNITIES}{deal['id']}/activities/", body))
    assert (activity["subject"], activity["body"]) == ("Hi", "one\n\ntwo")


def test_a_name_that_is_not_known_leads_to_the_one_that_was_meant_whatever_its_case(org: Org) -> None:
    assert "Did you mean close_date?" in errors(org.admin.get(f"{OPPORTUNITIES}?CLOSE_DATE=2026-01-01"))["CLOSE_DATE"]
    assert (
        "'negotiation'"
        in errors(org.admin.post(OPPORTUNITIES, {"name": "a", "account_id": org.account()["id"], "stage": "NEGOTIATION"}))["stage"]
    )
