# mypy: ignore-errors
# ruff: noqa: RUF012
"""List item and detail in the seed's shape, and what create and transition take."""

from decimal import Decimal

from rest_framework import serializers

from tests.bench.peer.models import Account, Activity, Contact, CustomField, Opportunity, Stage, User


class AccountCard(serializers.ModelSerializer):
    class Meta:
        model = Account
        fields = ["id", "name"]


class UserCard(serializers.ModelSerializer):
    class Meta:
        model = User
        fields = ["id", "email"]


class ContactCard(serializers.ModelSerializer):
    class Meta:
        model = Contact
        fields = ["id", "first_name", "last_name"]


class ContactRecord(serializers.ModelSerializer):
    account_id = serializers.UUIDField()

    class Meta:
        model = Contact
        fields = [
            "id",
            "version",
            "created_at",
            "updated_at",
            "first_name",
            "last_name",
            "email",
            "phone",
            "title",
            "account_id",
        ]


class ActivityRecord(serializers.ModelSerializer):
    class Meta:
        model = Activity
        fields = ["id", "type", "subject", "body", "occurred_at"]


class CustomFieldRecord(serializers.ModelSerializer):
    class Meta:
        model = CustomField
        fields = ["key", "label", "type", "options", "required", "filterable"]


class OpportunityItem(serializers.ModelSerializer):
    account = AccountCard()
    owner = UserCard()
    stakeholders = ContactCard(many=True)

    class Meta:
        model = Opportunity
        fields = [
            "id",
            "name",
            "account",
            "amount",
            "currency",
            "stage",
            "probability",
            "close_date",
            "owner",
            "stakeholders",
            "custom_fields",
            "created_at",
            "status",
            "tags",
            "actual_amount",
            "actual_close_date",
            "lost_reason",
            "lost_reason_code",
            "updated_at",
            "version",
        ]


class OpportunityDetail(OpportunityItem):
    stakeholders = ContactRecord(many=True)
    activities = serializers.SerializerMethodField()
    custom_field_definitions = serializers.SerializerMethodField()

    class Meta(OpportunityItem.Meta):
        fields = [
            *OpportunityItem.Meta.fields,
            "probability_source",
            "stage_entered_at",
            "activities",
            "custom_field_definitions",
        ]

    def get_activities(self, opportunity):
        newest = opportunity.activity_set.order_by("-occurred_at", "-id")[:50]
        return ActivityRecord(newest, many=True).data

    def get_custom_field_definitions(self, opportunity):
        definitions = CustomField.objects.filter(org=opportunity.org_id).order_by("rank")
        return CustomFieldRecord(definitions, many=True).data


def money(**options):
    return serializers.DecimalField(max_digits=17, decimal_places=2, min_value=Decimal(0), **options)


class CloseFields(serializers.Serializer):
    """What a won or lost stage asks for."""

    actual_amount = money(required=False)
    actual_close_date = serializers.DateField(required=False)
    lost_reason = serializers.CharField(required=False)

    def stage_of(self, key):
        stage = Stage.objects.filter(org=self.context["request"].user.org_id, key=key).first()
        if stage is None:
            raise serializers.ValidationError({"stage": ["No such stage."]})
        return stage

    def check_closing(self, stage, attrs):
        needed = {"won": ["actual_amount", "actual_close_date"], "lost": ["lost_reason"]}.get(stage.type, [])
        if missing := [name for name in needed if attrs.get(name) is None]:
            raise serializers.ValidationError({name: [f"Required by stage {stage.key}."] for name in missing})


class OpportunityCreate(CloseFields):
    name = serializers.CharField(max_length=255)
    account_id = serializers.PrimaryKeyRelatedField(source="account", queryset=Account.objects.all())
    owner_id = serializers.PrimaryKeyRelatedField(source="owner", queryset=User.objects.all(), required=False)
    amount = money(required=False, allow_null=True)
    currency = serializers.CharField(max_length=3, required=False)
    stage = serializers.CharField(required=False)
    probability = serializers.IntegerField(min_value=0, max_value=100, required=False)
    close_date = serializers.DateField(required=False, allow_null=True)
    stakeholder_ids = serializers.ListField(child=serializers.UUIDField(), default=list)
    tags = serializers.ListField(child=serializers.CharField(max_length=64), default=list)
    custom_fields = serializers.DictField(default=dict)

    def validate_account_id(self, account):
        return self._own(account)

    def validate_owner_id(self, owner):
        return self._own(owner)

    def validate_stakeholder_ids(self, ids):
        org = self.context["request"].user.org_id
        found = list(Contact.objects.filter(org=org, pk__in=ids))
        if missing := set(ids) - {contact.pk for contact in found}:
            raise serializers.ValidationError(f"Unknown: {', '.join(map(str, missing))}.")
        return found

    def validate(self, attrs):
        org = self.context["request"].user.org_id
        key = attrs.get("stage")
        stage = self.stage_of(key) if key else Stage.objects.filter(org=org, type="open").earliest("rank")
        self.check_closing(stage, attrs)
        return attrs | {"stage": stage}

    def _own(self, record):
        if record.org_id != self.context["request"].user.org_id:
            raise serializers.ValidationError("Unknown.")
        return record


class Transition(CloseFields):
    stage = serializers.CharField()
    probability = serializers.IntegerField(min_value=0, max_value=100, required=False)

    def validate(self, attrs):
        stage = self.stage_of(attrs["stage"])
        self.check_closing(stage, attrs)
        return attrs | {"stage": stage}
