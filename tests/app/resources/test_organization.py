"""The org itself over HTTP."""

from __future__ import annotations

from tests.support.scenarios import OPPORTUNITIES, Org, errors, made, refused

PATH = "/api/organization/"


def test_it_is_read_and_changed_but_for_its_currency(org: Org) -> None:
    before = made(org.admin.get(PATH), 200)
    assert (before["id"], before["name"], before["currency"], before["custom_fields_mode"]) == (org.id, "Yours", "USD", "keep")
    after = made(org.admin.patch(PATH, {"name": "Ours", "currency": "usd"}, If_Match='"1"'), 200)
    assert (after["name"], after["currency"], after["version"]) == ("Ours", "USD", 2)
    refused(org.admin.patch(PATH, {"name": "Theirs"}, If_Match='"1"'), 412)
    assert list(errors(org.admin.patch(PATH, {"name": "Theirs", "currency": "EUR"}))) == ["currency"]
    assert made(org.admin.get(PATH), 200) == after


def test_in_strict_mode_custom_fields_must_be_defined(org: Org) -> None:
    made(org.admin.patch(PATH, {"custom_fields_mode": "strict"}), 200)
    body = {"name": "Annual", "account_id": org.account()["id"], "custom_fields": {"competitor": "x"}}
    assert list(errors(org.admin.post(OPPORTUNITIES, body))) == ["custom_fields.competitor"]
    assert list(errors(org.admin.patch(PATH, {"custom_fields_mode": "lax"}))) == ["custom_fields_mode"]


def test_only_admins_change_it(org: Org) -> None:
    refused(org.client(org.user("manager")).patch(PATH, {"name": "Mine"}), 403)
