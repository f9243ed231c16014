"""The pipeline policy over HTTP."""

from __future__ import annotations

from tests.support.scenarios import Org, errors, made, refused

PATH = "/api/pipeline/"


def test_a_new_org_has_the_default_policy(org: Org) -> None:
    policy = made(org.admin.get(PATH), 200)
    assert [(stage["key"], stage["type"], stage["probability"]) for stage in policy["stages"]] == [
        ("discovery", "open", 20),
        ("qualification", "open", 40),
        ("proposal", "open", 60),
        ("negotiation", "open", 80),
        ("won", "won", 100),
        ("lost", "lost", 0),
    ]
    assert policy["transitions"] == "permissive"
    assert policy["allow_free_text"] is True


def test_what_was_read_may_be_put_back_and_changes_nothing(org: Org) -> None:
    policy = made(org.admin.get(PATH), 200)
    assert made(org.admin.request("PUT", PATH, policy), 200) == policy


def test_the_policy_is_replaced_as_a_whole_and_at_a_version(org: Org) -> None:
    policy = made(org.admin.get(PATH), 200)
    policy["stages"][0] |= {"probability": 10, "required_fields": ["amount"]}
    policy["transitions"] = "no_skip"
    reply = org.admin.request("PUT", PATH, policy, If_Match='"1"')
    assert made(reply, 200)["stages"][0]["probability"] == 10
    assert reply.headers["etag"].startswith('"2.')
    refused(org.admin.request("PUT", PATH, policy, If_Match='"1"'), 412)


def test_all_that_is_wrong_is_told_by_its_place(org: Org) -> None:
    policy = made(org.admin.get(PATH), 200)
    policy["stages"][0]["probabilty"] = 3
    policy["stages"][1]["type"] = "closed"
    policy["transitions"] = "any"
    found = errors(org.admin.request("PUT", PATH, policy))
    assert set(found) == {"stages.0.probabilty", "stages.1.type", "transitions"}
    assert "permissive" in found["transitions"]
    assert set(errors(org.admin.request("PUT", PATH, {"stages": []}))) == {"stages"}


def test_a_stage_in_use_stays(org: Org) -> None:
    org.opportunity()
    policy = made(org.admin.get(PATH), 200)
    policy["stages"] = policy["stages"][1:]
    problem = refused(org.admin.request("PUT", PATH, policy), 409)
    assert (problem["code"], problem["stages"]) == ("stage_in_use", {"discovery": 1})


def test_only_admins_change_it(org: Org) -> None:
    manager = org.client(org.user("manager"))
    policy = manager.get(PATH).json()
    refused(manager.request("PUT", PATH, policy), 403)


def test_another_org_has_its_own(org: Org, other_org: Org) -> None:
    policy = made(org.admin.get(PATH), 200)
    made(org.admin.request("PUT", PATH, {**policy, "transitions": "no_skip"}), 200)
    assert made(other_org.admin.get(PATH), 200)["transitions"] == "permissive"
