"""Users over HTTP."""

from __future__ import annotations

from tests.support.scenarios import Org, errors, made, refused

PATH = "/api/users/"


def test_a_user_is_created_read_and_changed(org: Org) -> None:
    user = made(org.admin.post(PATH, {"email": "Rep@Yours.com", "name": "Robin"}))
    assert list(user) == ["id", "email", "name", "role", "active", "created_at", "updated_at", "version"]
    assert (user["role"], user["active"]) == ("rep", True)
    path = f"{PATH}{user['id']}/"
    changed = made(org.admin.patch(path, {"role": "manager", "active": False}), 200)
    assert (changed["role"], changed["active"], changed["version"]) == ("manager", False, 2)
    assert made(org.admin.get(path), 200) == changed
    refused(org.admin.request("DELETE", path), 405)


def test_me_is_the_tokens_user(org: Org) -> None:
    assert org.admin.get(f"{PATH}me/").json()["id"] == org.admin_id
    user = org.user()
    assert user.items() <= org.client(user).get(f"{PATH}me").json().items()


def test_an_address_is_there_once(org: Org, other_org: Org) -> None:
    user = org.user(email="rep@yours.com")
    assert refused(org.admin.post(PATH, {"email": "REP@yours.com", "name": "B"}), 409)["code"] == "email_taken"
    refused(org.admin.patch(f"{PATH}{org.admin_id}/", {"email": user["email"]}), 409)
    other_org.user(email="rep@yours.com")


def test_bad_fields_are_named(org: Org) -> None:
    found = errors(org.admin.post(PATH, {"email": 1, "role": "boss"}))
    assert set(found) == {"email", "name", "role"}
    assert "read_only, rep, manager, admin" in found["role"]
    assert set(errors(org.admin.post(PATH, {"email": "no", "name": ""}))) == {"email", "name"}


def test_the_last_admin_stays_one(org: Org) -> None:
    for change in ({"role": "rep"}, {"active": False}):
        refused(org.admin.patch(f"{PATH}{org.admin_id}/", change), 409)
    org.client(org.user("admin"))
    assert org.admin.patch(f"{PATH}{org.admin_id}/", {"role": "rep"}).status == 200


def test_only_admins_make_and_change_users(org: Org) -> None:
    manager = org.client(org.user("manager"))
    refused(manager.post(PATH, {"email": "x@yours.com", "name": "X"}), 403)
    refused(manager.patch(f"{PATH}{org.admin_id}/", {"role": "rep"}), 403)
    assert manager.get(PATH).json()["count"] == 2


def test_users_are_found_by_role_state_and_name(org: Org) -> None:
    user = org.user("manager", name="Robin Reyes", email="robin@yours.com")
    made(org.admin.patch(f"{PATH}{user['id']}/", {"active": False}), 200)
    for query in ("role=manager", "active=false", "email=Robin@yours.com", "search=reyes", "name=Robin%20Reyes"):
        assert [found["id"] for found in org.listed(query, PATH)["results"]] == [user["id"]], query
    assert org.listed("role=manager,admin", PATH)["count"] == 2


def test_another_org_sees_nothing_of_them(org: Org, other_org: Org) -> None:
    path = f"{PATH}{org.user()['id']}/"
    assert other_org.listed("", PATH)["count"] == 1
    refused(other_org.admin.get(path), 404)
    refused(other_org.admin.patch(path, {"role": "admin"}), 404)
