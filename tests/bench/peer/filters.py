# mypy: ignore-errors
# ruff: noqa: RUF012
"""The list's filters."""

from django_filters import rest_framework as filters

from tests.bench.peer.models import Opportunity


class OpportunityFilter(filters.FilterSet):
    tags = filters.CharFilter(lookup_expr="contains")

    class Meta:
        model = Opportunity
        fields = {
            "stage": ["exact"],
            "status": ["exact"],
            "owner": ["exact"],
            "account": ["exact"],
            "close_date": ["gte", "lte"],
            "amount": ["gte", "lte"],
        }
