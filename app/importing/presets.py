"""The headers of well-known systems' exports, and which field each of them is.

Headers are compared without case, spaces, punctuation, and the ``Entity - `` before them. ``ANY`` has names in several languages
for files of no system, or of one whose headers are translated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from app.importing import own_files
from app.importing.options import Kind, Made, Source
from domain.text import folded

_ENTITY = re.compile(r"^(deal|organization|organisation|person|contact|lead|opportunity) - ", re.IGNORECASE)
_OTHER = re.compile(r"[\W_]+")
DATE_ENTERED = re.compile(r"date entered (?:stage )?\"?(?P<stage>.+?)\"?(?: \(.*\))?$", re.IGNORECASE)


class Preset(NamedTuple):
    """``marks`` are headers by which the system's file is known; ``fields`` by kind, field → its headers, the best first."""

    name: str
    marks: Mapping[Kind, Sequence[str]]
    fields: Mapping[Kind, Mapping[str, Sequence[str]]]
    values: Mapping[str, Mapping[str, str]] = {}


def form(header: str) -> str:
    """What of a header is compared."""
    return _OTHER.sub("", folded(_ENTITY.sub("", header.strip())))


HUBSPOT = Preset(
    "hubspot",
    {
        "opportunities": ("Record ID", "Deal Name", "Deal Stage"),
        "accounts": ("Record ID", "Company name", "Company owner"),
        "contacts": ("Record ID", "First Name", "Last Name", "Contact owner"),
    },
    {
        "opportunities": {
            "external_id": ("Record ID", "Deal ID"), "name": ("Deal Name",), "stage": ("Deal Stage",),
            "amount": ("Amount",), "currency": ("Currency",), "close_date": ("Close Date",), "created_at": ("Create Date",),
            "owner": ("Deal owner",), "lost_reason": ("Closed Lost Reason",), "tags": ("Deal Tags",),
            "account_external_id": ("Associated Company IDs (Primary)", "Associated Company IDs"),
            "account": ("Associated Company (Primary)", "Associated Company"), "contacts": ("Associated Contact",),
            "next_step": ("Next step",), "probability": ("Deal probability",),
        },
        "accounts": {
            "external_id": ("Record ID",), "name": ("Company name",), "domain": ("Company Domain Name",),
            "created_at": ("Create Date",),
        },
        "contacts": {
            "external_id": ("Record ID",), "first_name": ("First Name",), "last_name": ("Last Name",), "email": ("Email",),
            "phone": ("Phone Number",), "title": ("Job Title",), "account_external_id": ("Associated Company IDs",),
            "account": ("Associated Company", "Company Name"), "created_at": ("Create Date",),
        },
    },
)  # fmt: skip
SALESFORCE_REPORT = Preset(
    "salesforce-report",
    {"opportunities": ("Opportunity Name", "Opportunity Owner", "Stage", "Close Date"),
    "accounts": ("Account Name", "Account Owner")},
    {
        "opportunities": {
            "external_id": ("Opportunity ID",), "name": ("Opportunity Name",), "account": ("Account Name",), "stage": ("Stage",),
            "amount": ("Amount",), "currency": ("Amount Currency",), "probability": ("Probability (%)",),
            "close_date": ("Close Date",),
            "created_at": ("Created Date",), "owner": ("Opportunity Owner",), "next_step": ("Next Step",),
            "lost_reason": ("Loss Reason", "Closed Lost Reason"),
        },
        "accounts": {"external_id": ("Account ID",), "name": ("Account Name",), "domain": ("Website",),
        "created_at": ("Created Date",)},
    },
)  # fmt: skip
SALESFORCE = Preset(
    "salesforce",
    {
        "opportunities": ("Id", "StageName", "CloseDate", "AccountId"),
        "accounts": ("Id", "Name", "OwnerId"),
        "contacts": ("Id", "LastName", "AccountId"),
        "users": ("Id", "Name", "Email", "IsActive"),
    },
    {
        "opportunities": {
            "external_id": ("Id",), "account_external_id": ("AccountId",), "account": ("Account.Name",), "name": ("Name",),
            "stage": ("StageName",), "amount": ("Amount",), "currency": ("CurrencyIsoCode",), "probability": ("Probability",),
            "close_date": ("CloseDate",), "created_at": ("CreatedDate",), "owner": ("Owner.Email", "OwnerId"),
            "next_step": ("NextStep",),
            "lost_reason": ("LossReason__c", "Loss_Reason__c", "Closed_Lost_Reason__c"),
        },
        "accounts": {"external_id": ("Id",), "name": ("Name",), "domain": ("Website",), "created_at": ("CreatedDate",)},
        "contacts": {
            "external_id": ("Id",), "first_name": ("FirstName",), "last_name": ("LastName",), "email": ("Email",),
            "phone": ("Phone",),
            "title": ("Title",), "account_external_id": ("AccountId",), "created_at": ("CreatedDate",),
        },
        "users": {"email": ("Email",), "name": ("Name",), "active": ("IsActive",)},
    },
)  # fmt: skip
PIPEDRIVE = Preset(
    "pipedrive",
    {
        "opportunities": ("Title", "Status", "Stage", "Value", "Currency of value"),
        "accounts": ("Name", "Open deals", "People"),
        "contacts": ("Name", "Organization", "Open deals"),
    },
    {
        "opportunities": {
            "external_id": ("ID",), "name": ("Title",), "owner": ("Owner",), "amount": ("Value",),
            "currency": ("Currency of value",),
            "stage": ("Stage",), "status": ("Status",), "close_date": ("Expected close date",), "created_at": ("Deal created",),
            "lost_reason": ("Lost reason",), "probability": ("Probability",), "tags": ("Label",), "account": ("Organization",),
            "contacts": ("Contact person",), "closed_at": ("Won time", "Lost time"),
        },
        "accounts": {"external_id": ("ID",), "name": ("Name",), "created_at": ("Organization created",)},
        "contacts": {
            "external_id": ("ID",), "name": ("Name",), "email": ("Email - Work", "Email"), "phone": ("Phone - Work", "Phone"),
            "account": ("Organization",), "title": ("Job title",), "created_at": ("Person created",),
        },
    },
)  # fmt: skip
ZOHO = Preset(
    "zoho",
    {
        "opportunities": ("Record Id", "Deal Owner", "Deal Name", "Closing Date"),
        "accounts": ("Record Id", "Account Owner", "Account Name"),
        "contacts": ("Record Id", "Contact Owner", "Last Name"),
    },
    {
        "opportunities": {
            "external_id": ("Record Id",), "owner": ("Deal Owner",), "name": ("Deal Name",), "account": ("Account Name",),
            "stage": ("Stage",), "amount": ("Amount",), "currency": ("Currency",), "probability": ("Probability (%)",),
            "close_date": ("Closing Date",), "created_at": ("Created Time",), "next_step": ("Next Step",),
            "contacts": ("Contact Name",),
            "lost_reason": ("Reason For Loss", "Reason For Loss  "), "tags": ("Tag",),
        },
        "accounts": {"external_id": ("Record Id",), "name": ("Account Name",), "domain": ("Website",),
        "created_at": ("Created Time",)},
        "contacts": {
            "external_id": ("Record Id",), "first_name": ("First Name",), "last_name": ("Last Name",), "email": ("Email",),
            "phone": ("Phone",), "title": ("Title",), "account": ("Account Name",), "created_at": ("Created Time",),
        },
    },
)  # fmt: skip
ODOO = Preset(
    "odoo",
    {
        "opportunities": ("id", "partner_id", "expected_revenue", "stage_id"),
        "accounts": ("id", "name", "is_company"),
        "contacts": ("id", "name", "parent_id", "function"),
    },
    {
        "opportunities": {
            "external_id": ("id", "External ID"), "name": ("name", "Opportunity"), "account": ("partner_id", "Customer"),
            "amount": ("expected_revenue", "Expected Revenue"), "currency": ("company_currency",), "stage": ("stage_id", "Stage"),
            "close_date": ("date_deadline", "Expected Closing"), "created_at": ("create_date", "Created on"),
            "closed_at": ("date_closed", "Closed Date"), "owner": ("user_id", "Salesperson"), "tags": ("tag_ids", "Tags"),
            "lost_reason": ("lost_reason_id", "lost_reason", "Lost Reason"), "status": ("active", "Active"),
        },
        "accounts": {"external_id": ("id",), "name": ("name",), "domain": ("website",), "created_at": ("create_date",)},
        "contacts": {
            "external_id": ("id",), "name": ("name",), "email": ("email",), "phone": ("phone",), "title": ("function",),
            "account": ("parent_id",), "created_at": ("create_date",),
        },
    },
    {"status": {"TRUE": "", "True": "", "true": "", "FALSE": "lost", "False": "lost", "false": "lost"}},
)  # fmt: skip
DYNAMICS = Preset(
    "dynamics",
    {
        "opportunities": ("Topic", "Potential Customer", "Est. Close Date", "Est. Revenue"),
        "accounts": ("Account Name", "Primary Contact", "Main Phone"),
        "contacts": ("Full Name", "Company Name", "Business Phone"),
    },
    {
        "opportunities": {
            "external_id": ("(Do Not Modify) Opportunity", "Opportunity"), "name": ("Topic",),
            "account": ("Potential Customer", "Account"),
            "amount": ("Est. Revenue",), "actual_amount": ("Actual Revenue",), "currency": ("Currency",), "status": ("Status",),
            "stage": ("Pipeline Phase", "Sales Stage", "Process Stage"), "probability": ("Probability",),
            "close_date": ("Est. Close Date",), "closed_at": ("Actual Close Date",), "created_at": ("Created On",),
            "owner": ("Owner",),
            "lost_reason": ("Status Reason",), "contacts": ("Contact",),
        },
        "accounts": {
            "external_id": ("(Do Not Modify) Account",), "name": ("Account Name",), "domain": ("Website",),
            "created_at": ("Created On",),
        },
        "contacts": {
            "external_id": ("(Do Not Modify) Contact",), "first_name": ("First Name",), "last_name": ("Last Name",),
            "name": ("Full Name",),
            "email": ("Email",), "phone": ("Business Phone",), "title": ("Job Title",), "account": ("Company Name",),
        },
    },
)  # fmt: skip
OWN = Preset(own_files.TABLE, own_files.TABLE_MARKS, own_files.TABLE_FIELDS)
OWN_LINES = Preset(own_files.LINES, own_files.LINES_MARKS, own_files.LINES_FIELDS)
PRESETS = {one.name: one for one in (OWN, OWN_LINES, HUBSPOT, SALESFORCE_REPORT, SALESFORCE, PIPEDRIVE, ZOHO, ODOO, DYNAMICS)}

ANY: Mapping[Kind, Mapping[str, Sequence[str]]] = {
    "opportunities": {
        "external_id": ("external_id", "opportunity_id", "deal_id", "id", "Record ID", "Kennung", "Identifiant"),
        "name": ("name", "deal", "deal name", "opportunity", "title", "Titel", "Titre", "Título", "Titolo", "Naam", "Nom",
        "Nombre"),
        "account": ("account", "company", "customer", "organization", "Organisation", "Firma", "Unternehmen", "Kunde", "Entreprise",
                    "Client", "Organización", "Empresa", "Cliente", "Azienda", "Bedrijf", "Organisatie"),
        "amount": ("amount", "value", "deal value", "revenue", "Wert", "Betrag", "Summe", "Valeur", "Montant", "Valor", "Importe",
                   "Valore", "Importo", "Waarde", "Bedrag"),
        "currency": ("currency", "Währung", "Devise", "Moneda", "Moeda", "Valuta", "Währung des Werts", "Devise de la valeur"),
        "stage": ("stage", "deal_stage", "phase", "pipeline stage", "Stufe", "Étape", "Etapa", "Fase"),
        "status": ("status", "Statut", "Estado", "Stato"),
        "probability": ("probability", "Wahrscheinlichkeit", "Probabilité", "Probabilidad", "Probabilidade", "Kans"),
        "close_date": ("close_date", "closing date", "expected close date", "Voraussichtliches Abschlussdatum", "Abschlussdatum",
                       "Date de clôture prévue", "Fecha prevista de cierre", "Data prevista de fechamento",
                       "Verwachte sluitingsdatum"),
        "owner": ("owner", "sales_agent", "salesperson", "rep", "assigned to", "Besitzer", "Inhaber", "Zuständig", "Propriétaire",
                  "Propietario", "Proprietário", "Proprietario", "Eigenaar"),
        "contacts": ("contact", "contact person", "Kontaktperson", "Ansprechpartner", "Personne à contacter",
                     "Persona de contacto",
                     "Contactpersoon"),
        "tags": ("tags", "labels", "label", "Etikett", "Étiquette", "Etiqueta", "Etichetta"),
        "next_step": ("next_step", "next step"),
        "actual_amount": ("actual_amount", "actual revenue"),
        "actual_close_date": ("actual_close_date",),
        "lost_reason": ("lost_reason", "loss reason", "Verlustgrund", "Grund des Verlusts", "Raison de la perte",
        "Razón de la pérdida",
                        "Motivo da perda", "Reden voor verlies"),
        "created_at": ("created_at", "created", "create date", "created date", "Erstellt am", "Deal erstellt", "Angelegt am",
                       "Date de création", "Deal créé", "Fecha de creación", "Data de criação", "Aangemaakt op"),
        "closed_at": ("closed_at", "Won time", "Lost time", "Gewonnen am", "Verloren am"),
        "account_external_id": ("account_external_id", "account_id"),
    },
    "accounts": {
        "external_id": ("external_id", "account_id", "company_id", "id"),
        "name": ("name", "account", "account name", "company", "company name", "organization", "Firma", "Unternehmen", "Entreprise",
                 "Empresa"),
        "domain": ("domain", "website", "web site", "url"),
        "created_at": ("created_at", "created", "create date", "created date"),
    },
    "contacts": {
        "external_id": ("external_id", "contact_id", "person_id", "id"),
        "first_name": ("first_name", "given name", "Vorname", "Prénom"),
        "last_name": ("last_name", "surname", "family name", "Nachname", "Nom de famille", "Apellido"),
        "name": ("name", "full name", "contact", "contact name"),
        "email": ("email", "e-mail", "email address"),
        "phone": ("phone", "telephone", "mobile", "Telefon", "Téléphone"),
        "title": ("title", "job title", "position"),
        "account": ("account", "company", "account name", "company name", "organization"),
        "account_external_id": ("account_external_id", "account_id", "company_id"),
        "created_at": ("created_at", "created", "create date", "created date"),
    },
    "users": {
        "email": ("email", "e-mail", "email address", "username"),
        "name": ("name", "full name", "user", "sales_agent"),
        "role": ("role", "profile"),
        "active": ("active", "is active", "status"),
    },
}  # fmt: skip


def recognised(kind: Kind, columns: Sequence[str]) -> Preset | None:
    """The system whose export has these columns: all of its marks, and more of them than another's."""
    present = {form(column) for column in columns}
    fitting = [one for one in PRESETS.values() if one.marks.get(kind) and present.issuperset(map(form, one.marks[kind]))]
    return max(
        fitting, key=lambda one: sum(1 for headers in one.fields[kind].values() if present & set(map(form, headers))), default=None
    )


def suggested(kind: Kind, columns: Sequence[str], preset: Preset | None) -> dict[str, Source]:
    """Field → column, first as the system calls it, then by any name."""
    by_form: dict[str, str] = {}
    for column in columns:
        by_form.setdefault(form(column), column)
    found: dict[str, Source] = {}
    taken: set[str] = set()
    for fields in (preset.fields.get(kind, {}) if preset else {}, ANY[kind] if preset is None else {}):
        for name, headers in fields.items():
            present = [by_form[one] for header in headers if (one := form(header)) in by_form and by_form[one] not in taken]
            if not present or name in found:
                continue
            taken.update(present if name == "closed_at" else present[:1])
            several = name == "closed_at" and len(present) > 1
            found[name] = Made(template="".join(f"{{{one}}}" for one in present)) if several else present[0]
    return found
