# mypy: ignore-errors
"""The endpoints measured: list, detail, create, transition and forecast."""

import uuid
from collections import defaultdict
from decimal import Decimal

from django.db import transaction
from django.db.models import Case, Count, F, Q, Sum, When
from django.db.models.functions import TruncMonth
from django.utils import timezone
from django.utils.dateparse import parse_date
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.exceptions import APIException
from rest_framework.generics import get_object_or_404
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from tests.bench.peer.filters import OpportunityFilter
from tests.bench.peer.models import ExchangeRate, Opportunity
from tests.bench.peer.serializers import OpportunityCreate, OpportunityDetail, OpportunityItem, Transition


class TransitionNotAllowed(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "transition_not_allowed"
    default_detail = "The pipeline does not allow this move."


class OpportunityViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet):
    filterset_class = OpportunityFilter

    def get_queryset(self):
        own = Opportunity.objects.filter(org=self.request.user.org_id, deleted=False)
        return own.select_related("account", "owner").prefetch_related("stakeholders").order_by("-created_at", "-id")

    def get_serializer_class(self):
        return OpportunityItem if self.action == "list" else OpportunityDetail

    @transaction.atomic
    def create(self, request):
        body = OpportunityCreate(data=request.data, context={"request": request})
        body.is_valid(raise_exception=True)
        values = dict(body.validated_data)
        stage, stakeholders = values.pop("stage"), values.pop("stakeholder_ids")
        fixed = {"won": 100, "lost": 0}.get(stage.type)
        now = timezone.now()
        opportunity = Opportunity(
            id=uuid.uuid4(),
            org_id=request.user.org_id,
            owner=values.pop("owner", request.user),
            currency=values.pop("currency", request.user.org.currency),
            stage=stage.key,
            status=stage.type,
            probability_source="manual" if fixed is None and "probability" in values else "stage",
            probability=fixed if fixed is not None else values.pop("probability", stage.probability),
            created_at=now,
            updated_at=now,
            stage_entered_at=now,
            **values,
        )
        opportunity.save(force_insert=True)
        opportunity.stakeholders.add(*stakeholders)
        headers = {"Location": f"/api/opportunities/{opportunity.pk}/", "ETag": '"1"'}
        return Response(OpportunityDetail(opportunity).data, status=status.HTTP_201_CREATED, headers=headers)

    @action(detail=True, methods=["post"])
    @transaction.atomic
    def transition(self, request, pk):
        body = Transition(data=request.data, context={"request": request})
        body.is_valid(raise_exception=True)
        opportunity = get_object_or_404(self.get_queryset().select_for_update(of=("self",)), pk=pk)
        stage = body.validated_data["stage"]
        if stage.key != opportunity.stage:
            self._move(opportunity, stage, body.validated_data)
        return Response(OpportunityDetail(opportunity).data, headers={"ETag": f'"{opportunity.version}"'})

    def _move(self, opportunity, stage, values):
        if opportunity.status != "open" and stage.type != "open":
            raise TransitionNotAllowed
        now = timezone.now()
        fixed = {"won": 100, "lost": 0}.get(stage.type)
        opportunity.probability_source = "manual" if fixed is None and "probability" in values else "stage"
        opportunity.probability = values.get("probability", stage.probability) if fixed is None else fixed
        opportunity.stage, opportunity.status = stage.key, stage.type
        opportunity.actual_amount = values.get("actual_amount") if stage.type == "won" else None
        opportunity.actual_close_date = values.get("actual_close_date") if stage.type != "open" else None
        opportunity.lost_reason = values.get("lost_reason") if stage.type == "lost" else None
        opportunity.lost_reason_code = None
        opportunity.updated_at = opportunity.stage_entered_at = now
        opportunity.version += 1
        opportunity.save(
            update_fields=[
                "stage",
                "status",
                "probability",
                "probability_source",
                "actual_amount",
                "actual_close_date",
                "lost_reason",
                "lost_reason_code",
                "updated_at",
                "stage_entered_at",
                "version",
            ]
        )


class ForecastView(APIView):
    """Totals by month, grouped in the database and converted at the org's rates."""

    def get(self, request):
        org = request.user.org
        open_in, won_in = Q(status="open"), Q(status="won")
        for bound in ("gte", "lte"):
            if text := request.query_params.get(f"close_date__{bound}"):
                open_in &= Q(**{f"close_date__{bound}": parse_date(text)})
                won_in &= Q(**{f"actual_close_date__{bound}": parse_date(text)})
        rows = (
            Opportunity.objects.filter(open_in | won_in, org=org, deleted=False)
            .annotate(month=TruncMonth(Case(When(status="won", then="actual_close_date"), default="close_date")))
            .values("month", "currency")
            .annotate(
                open_unweighted=Sum("amount", filter=Q(status="open")),
                open_weighted=Sum(F("amount") * F("probability") / Decimal(100), filter=Q(status="open")),
                won=Sum("actual_amount", filter=Q(status="won")),
                count=Count("id"),
            )
            .order_by("month")
        )
        rates = {rate.currency: rate.rate for rate in ExchangeRate.objects.filter(org=org).order_by("valid_from")}
        rates[org.currency] = Decimal(1)
        months = defaultdict(lambda: dict.fromkeys(("open_unweighted", "open_weighted", "won", "count"), Decimal(0)))
        for row in rows:
            month = months[row["month"].strftime("%Y-%m")]
            month["count"] += row["count"]
            for name in ("open_unweighted", "open_weighted", "won"):
                month[name] += (row[name] or 0) * rates[row["currency"]]
        return Response({"currency": org.currency, "months": [_month(name, sums) for name, sums in months.items()]})


def _month(name, sums):
    return {
        "month": name,
        "unweighted": _number(sums["open_unweighted"] + sums["won"]),
        "weighted": _number(sums["open_weighted"] + sums["won"]),
        "open_unweighted": _number(sums["open_unweighted"]),
        "open_weighted": _number(sums["open_weighted"]),
        "won": _number(sums["won"]),
        "count": int(sums["count"]),
    }


def _number(value):
    rounded = round(value, 2)
    return int(rounded) if rounded == int(rounded) else float(rounded)
