# mypy: ignore-errors
# ruff: noqa: RUF012
"""The same records as ours, as rows that are changed in place."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q


class Organization(models.Model):
    id = models.UUIDField(primary_key=True)
    name = models.CharField(max_length=255)
    currency = models.CharField(max_length=3)


class Owned(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    org = models.ForeignKey(Organization, models.CASCADE, db_index=False)

    class Meta:
        abstract = True


class User(Owned):
    email = models.EmailField()
    name = models.CharField(max_length=255)
    role = models.CharField(max_length=16)
    active = models.BooleanField(default=True)

    is_authenticated = True


class Token(models.Model):
    hash = models.CharField(max_length=64, primary_key=True)
    user = models.ForeignKey(User, models.CASCADE)


class Stage(Owned):
    key = models.CharField(max_length=64)
    label = models.CharField(max_length=255)
    type = models.CharField(max_length=4)
    probability = models.IntegerField()
    rank = models.IntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["org", "key"], name="stage_key")]


class ExchangeRate(Owned):
    currency = models.CharField(max_length=3)
    valid_from = models.DateField()
    rate = models.DecimalField(max_digits=20, decimal_places=10)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["org", "currency", "valid_from"], name="one_rate_a_day")]


class Account(Owned):
    name = models.CharField(max_length=255)


class Contact(Owned):
    first_name = models.CharField(max_length=255)
    last_name = models.CharField(max_length=255)
    email = models.CharField(max_length=255, null=True)
    phone = models.CharField(max_length=255, null=True)
    title = models.CharField(max_length=255, null=True)
    account = models.ForeignKey(Account, models.PROTECT, null=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    version = models.IntegerField(default=1)


class CustomField(Owned):
    key = models.CharField(max_length=64)
    label = models.CharField(max_length=255)
    type = models.CharField(max_length=16)
    options = models.JSONField(default=list)
    required = models.BooleanField(default=False)
    filterable = models.BooleanField(default=False)
    rank = models.IntegerField()


class Opportunity(Owned):
    name = models.CharField(max_length=255)
    account = models.ForeignKey(Account, models.PROTECT, db_index=False)
    owner = models.ForeignKey(User, models.PROTECT, db_index=False)
    stakeholders = models.ManyToManyField(Contact)
    amount = models.DecimalField(max_digits=17, decimal_places=2, null=True)
    currency = models.CharField(max_length=3)
    stage = models.CharField(max_length=64)
    status = models.CharField(max_length=4)
    probability = models.IntegerField()
    probability_source = models.CharField(max_length=6)
    close_date = models.DateField(null=True)
    custom_fields = models.JSONField(default=dict)
    tags = ArrayField(models.CharField(max_length=64), default=list)
    actual_amount = models.DecimalField(max_digits=17, decimal_places=2, null=True)
    actual_close_date = models.DateField(null=True)
    lost_reason = models.TextField(null=True)
    lost_reason_code = models.CharField(max_length=64, null=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    stage_entered_at = models.DateTimeField()
    version = models.IntegerField(default=1)
    deleted = models.BooleanField(default=False)

    class Meta:
        indexes = [
            models.Index(name=f"opportunity_{name}", fields=["org", *fields], condition=Q(deleted=False))
            for name, fields in {
                "created": ["-created_at", "-id"],
                "stage": ["stage", "-created_at", "-id", "close_date"],
                "stage_date": ["stage", "close_date"],
                "owner": ["owner", "-created_at", "-id"],
                "account": ["account"],
                "close": ["status", "close_date"],
                "actual": ["status", "actual_close_date"],
            }.items()
        ]


class Activity(Owned):
    opportunity = models.ForeignKey(Opportunity, models.CASCADE)
    type = models.CharField(max_length=16)
    subject = models.CharField(max_length=255)
    body = models.TextField(null=True)
    occurred_at = models.DateTimeField()
