"""What the commands of one transaction know of what those before them have decided."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from app.writing.committer import Committer
from app.writing.envelope import Envelope, Outcome
from domain import account, contact, opportunity
from domain.errors import Conflict, Invalid, NotFound
from tests.support.commands import Company, state


def outcomes(results: list[Outcome | Exception]) -> list[str]:
    return [result.status if isinstance(result, Outcome) else type(result).__name__ for result in results]


def upsert(company: Company, external_id: str, name: str) -> Envelope:
    create = company.creation(name, external_id=external_id)
    change = opportunity.Replace(name=name, account_id=company.account_id, external_id=external_id)
    return replace(company.envelope(change), external_id=external_id, create=create)


def test_an_external_id_taken_in_the_same_transaction_is_taken(company: Company) -> None:
    first, second = (company.envelope(company.creation(external_id="X")) for _ in range(2))
    assert outcomes(company.committer.run([first, second])) == ["created", "Conflict"]


def test_an_external_id_freed_in_the_same_transaction_is_free(company: Company) -> None:
    deal, other = company.deal(external_id="X"), company.deal(external_id="Y")
    swap = [
        company.envelope(opportunity.Update(external_id="Z"), deal),
        company.envelope(opportunity.Update(external_id="X"), other),
        company.envelope(opportunity.Update(external_id="Y"), deal),
        company.envelope(opportunity.Delete(), other),
        company.envelope(company.creation(external_id="X")),
        company.envelope(opportunity.Restore(), other),
    ]
    expected = ["changed", "changed", "changed", "changed", "created", "Conflict"]
    assert outcomes(company.committer.run(swap)) == expected


def test_a_deal_is_restored_once_the_one_that_took_its_id_has_another(company: Company) -> None:
    deal = company.deal(external_id="X")
    company.do(opportunity.Delete(), deal)
    other = company.deal(external_id="X")
    with pytest.raises(Conflict):
        company.do(opportunity.Restore(), deal)
    both = [company.envelope(opportunity.Update(external_id="Y"), other), company.envelope(opportunity.Restore(), deal)]
    assert outcomes(company.committer.run(both)) == ["changed", "changed"]


def test_whoever_comes_later_replaces_what_was_created_before_in_the_same_transaction(company: Company) -> None:
    results = company.committer.run([upsert(company, "X", "A"), upsert(company, "X", "B"), upsert(company, "X", "B")])
    assert outcomes(results) == ["created", "changed", "unchanged"]
    ids = {result.stream_id for result in results if isinstance(result, Outcome)}
    assert len(ids) == 1


def test_another_process_is_found_by_its_record(company: Company, elsewhere: Committer, shared_database_url: str) -> None:
    (made,) = elsewhere.run([upsert(company, "X", "A")])
    assert isinstance(made, Outcome)
    elsewhere.run([company.envelope(opportunity.Update(amount=None, name="Between"), made.stream_id)])
    (again,) = company.committer.run([upsert(company, "X", "B")])
    assert isinstance(again, Outcome)
    assert (again.status, again.stream_id, again.version) == ("changed", made.stream_id, 3)
    assert state(shared_database_url, made.stream_id).name == "B"


def test_a_command_for_an_external_id_that_nobody_has_is_not_found(company: Company) -> None:
    command = replace(company.envelope(opportunity.Update(name="B")), external_id="nobody")
    (result,) = company.committer.run([command])
    assert isinstance(result, NotFound)
    assert "'nobody'" in str(result)


def test_an_account_is_deleted_by_its_external_id_unless_deals_name_it(company: Company) -> None:
    def delete() -> Envelope:
        return replace(company.envelope(account.Delete()), external_id="A")

    id_ = company.do(account.Create(name="A", external_id="A")).stream_id
    deal = company.do(opportunity.Create(name="A", account_id=id_)).stream_id
    (refused,) = company.committer.run([delete()])
    assert isinstance(refused, Conflict)
    assert refused.extra == {"deals": 1}
    company.do(opportunity.Delete(), deal)
    assert outcomes(company.committer.run([delete()])) == ["changed"]


def test_records_of_every_kind_in_one_transaction_know_each_other(company: Company) -> None:
    acme = company.envelope(account.Create(name="A", external_id="A"))
    jane = company.envelope(contact.Create(first_name="J", last_name="D", account_external_id="A", external_id="C"))
    names = {"account_external_id": "A", "stakeholder_external_ids": ("C",)}
    deal = company.envelope(opportunity.Create(name="A", **names))  # type: ignore[arg-type]
    company.committer.run_as_one([acme, jane, deal])
    with pytest.raises(Conflict, match="1 deals"):
        company.committer.run_as_one(
            [company.envelope(opportunity.Update(name="B"), deal.stream_id), company.envelope(contact.Delete(), jane.stream_id)]
        )
    company.committer.run_as_one(
        [company.envelope(opportunity.Delete(), deal.stream_id), company.envelope(account.Delete(), acme.stream_id)]
    )
    with pytest.raises(Invalid, match="account_external_id"):
        company.do(opportunity.Create(name="A", account_external_id="A"))
