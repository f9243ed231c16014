"""Two versions of the product side by side under load, while one of them migrates: nothing is missing from a read model."""

from __future__ import annotations

import json

import pytest
from uuid_utils.compat import uuid7

from app.process import children
from app.writing.provisioning import Provisioned
from projections.registry import READ_MODELS
from tests.support.commands import log
from tests.support.processes import opportunities
from tests.support.scenarios import OPPORTUNITIES
from tests.support.server import Reply, Server, serving
from tests.support.worker import Load

pytestmark = pytest.mark.e2e

DEAL = {"name": "Deal", "account_id": str(uuid7())}


NEWER = {model.name: model.version for model in READ_MODELS}
OLDER = ("tests.support.other_version", "forecast,directory=1")


@pytest.mark.slow
def test_old_and_new_side_by_side_leave_nothing_out(empty_database_url: str) -> None:
    """The new version has a read model more, and another one in a newer version."""
    env = {"DATABASE_URL": empty_database_url}

    def done(*verb: str, program: tuple[str, ...] = ("app.cli",)) -> str:
        ended = opportunities(*verb, env=env, program=program)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def appended(more: int) -> bool:
        so_far = len(log(empty_database_url))
        return children.wait_until(lambda: len(log(empty_database_url)) > so_far + more, 30)

    done("migrate", program=OLDER)
    made = json.loads(done("org", "create", "--name", "Acme", "--admin-email", "a@acme.example", program=OLDER))
    org = Provisioned(**made)
    with serving(empty_database_url, program=OLDER) as old, Load(old, org):
        assert appended(20)
        assert done("migrate").splitlines() == [
            f"rebuilt read model {name} version {NEWER[name]}" for name in ("directory", "forecast")
        ]
        refused = created(old, org)
        assert (refused.status, refused.json()["code"]) == (503, "schema")
        assert f"Read model directory is at version {NEWER['directory']}, this program's is 1" in refused.json()["detail"]
        assert int(refused.headers["retry-after"]) > 0
        with old.client(org.token) as client:
            assert client.get(OPPORTUNITIES).status == 200
        assert not old.ready()
        with serving(empty_database_url) as new, Load(new, org):
            assert appended(20)
            assert created(old, org).status == 503
            assert "equal the log" in done("verify")
            done("migrate", program=OLDER)  # back again
            assert created(new, org).status == 503
            assert appended(20)
            assert (old.ready(), new.ready()) == (True, False)
    assert "equal the log" in done("verify", program=OLDER)


def created(server: Server, org: Provisioned) -> Reply:
    with server.client(org.token) as client:
        return client.post("/api/accounts/", {"name": "Acme"})
