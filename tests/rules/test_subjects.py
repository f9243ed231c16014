"""Every module has a test file of its own name in the mirrored folder, or a subject's that it is tested through."""

from __future__ import annotations

from pathlib import Path

from tests.support.processes import ROOT
from tests.support.sources import modules

SUBJECTS = {
    "domain/deal_fields.py": "domain/test_opportunity_changes.py",
    "domain/sql_cursor.py": "domain/test_event_store.py",
    "projections/directory/cards.py": "app/reading/test_embedded_cards.py",
    "projections/guarding.py": "app/test_isolation.py",
    "projections/directory/terms.py": "projections/test_directory.py",
    "projections/opportunities/items.py": "app/reading/test_embedded_cards.py",
    "projections/opportunities/orderings.py": "projections/opportunities/test_finding.py",
    "projections/sources.py": "projections/opportunities/test_finding.py",
    "projections/forecast/deal_sums.py": "app/reading/test_kept_forecasts.py",
    "projections/forecast/kept_forecast.py": "app/reading/test_kept_forecasts.py",
    "projections/forecast/kept_groups.py": "app/reading/test_kept_forecasts.py",
    "projections/forecast/kept_table.py": "app/reading/test_kept_forecasts.py",
    "projections/forecast/known_groups.py": "app/reading/test_kept_forecasts.py",
    "projections/kept.py": "app/reading/test_keeper.py",
    "projections/directory/counts.py": "app/reading/test_kept_directory.py",
    "projections/opportunities/list_query.py": "projections/opportunities/test_finding.py",
    "projections/opportunities/counts.py": "app/reading/test_keeper.py",
    "projections/placeholders.py": "app/writing/test_statements.py",
    "app/cli/audit.py": "projections/test_feed.py",
    "app/cli/config.py": "app/cli/test_main.py",
    "app/cli/dev.py": "e2e/test_dev.py",
    "app/cli/migrate.py": "app/cli/test_main.py",
    "app/cli/options.py": "app/cli/test_main.py",
    "app/cli/org.py": "app/cli/test_main.py",
    "app/cli/rebuild.py": "app/cli/test_main.py",
    "app/cli/token.py": "app/cli/test_main.py",
    "app/cli/verify.py": "app/cli/test_main.py",
    "app/cli/doctor.py": "app/migrations/test_prerequisites.py",
    "app/cli/endpoint_disabling.py": "consumers/webhooks/test_sender.py",
    "app/cli/explanations.py": "app/cli/test_main.py",
    "app/cli/provisioning.py": "app/cli/test_main.py",
    "app/cli/relay.py": "app/resources/test_relay_metrics.py",
    "app/cli/serve.py": "e2e/test_serve.py",
    "app/cli/stream.py": "e2e/test_dev_stream.py",
    "app/cli/webhook_process.py": "e2e/test_webhooks.py",
    "app/cli/webhooks.py": "e2e/test_webhooks.py",
    "app/dev/demo.py": "app/schema/test_asyncapi.py",
    "app/dev/postgres_binaries.py": "app/dev/test_postgres.py",
    "app/dev/supervised.py": "e2e/test_dev.py",
    "app/dev/supervisor.py": "e2e/test_dev.py",
    "app/http/authentication.py": "app/resources/test_access.py",
    "app/http/body_errors.py": "app/http/test_bodies.py",
    "app/http/body_forms.py": "app/http/test_bodies.py",
    "app/http/client_address.py": "app/http/test_rate_limit.py",
    "app/http/dispatch.py": "app/http/test_conventions.py",
    "app/http/etag.py": "app/http/test_preconditions.py",
    "app/http/idempotency_key.py": "app/http/test_preconditions.py",
    "app/http/json_schema.py": "app/schema/test_openapi.py",
    "app/http/listing.py": "app/http/test_paging.py",
    "app/http/metrics.py": "app/resources/test_operations.py",
    "app/http/operations.py": "app/schema/test_openapi.py",
    "app/http/param_types.py": "app/http/test_filters.py",
    "app/http/parameters.py": "app/schema/test_openapi.py",
    "app/http/records.py": "app/resources/test_records.py",
    "app/http/request_context.py": "app/http/test_middleware.py",
    "app/http/response.py": "app/http/test_conventions.py",
    "app/http/shared.py": "app/resources/test_operations.py",
    "app/importing/cells.py": "app/importing/test_deals.py",
    "app/importing/date_orders.py": "app/importing/test_date_form.py",
    "app/importing/decimal_marks.py": "app/importing/test_number_form.py",
    "app/importing/faults.py": "app/importing/test_separated.py",
    "app/importing/inspection.py": "app/importing/test_exports.py",
    "app/importing/presets.py": "app/importing/test_exports.py",
    "app/importing/text_lines.py": "app/importing/test_separated.py",
    "app/main.py": "app/http/test_middleware.py",
    "app/process/children.py": "app/cli/test_main.py",
    "app/process/failures.py": "app/cli/test_main.py",
    "app/process/memory.py": "app/reading/test_live_feed.py",
    "app/reading/lane_metrics.py": "app/reading/test_lane.py",
    "app/reading/org_feed.py": "app/reading/test_live_feed.py",
    "app/reading/subscription.py": "app/reading/test_live_feed.py",
    "app/resources/api_root.py": "app/resources/test_operations.py",
    "app/resources/health.py": "app/resources/test_operations.py",
    "app/resources/metrics.py": "app/resources/test_operations.py",
    "app/resources/opportunities.py": "app/resources/test_opportunity_writes.py",
    "app/resources/opportunity_types.py": "app/schema/test_openapi.py",
    "app/resources/schema_metrics.py": "app/resources/test_operations.py",
    "app/resources/webhook_deliveries.py": "app/resources/test_webhooks.py",
    "app/resources/forecast_parameters.py": "app/resources/test_forecast.py",
    "app/resources/webhook_metrics.py": "e2e/test_webhooks.py",
    "app/resources/webhook_requests.py": "app/resources/test_webhooks.py",
    "app/schema/landing_page.py": "app/schema/test_pages.py",
    "app/schema/openapi_webhooks.py": "app/schema/test_openapi.py",
    "app/server/chunks.py": "app/server/test_requests.py",
    "app/server/connection_limits.py": "app/server/test_connections.py",
    "app/server/cycle.py": "app/server/test_requests.py",
    "app/server/framing.py": "app/server/test_requests.py",
    "app/server/heads.py": "app/server/test_requests.py",
    "app/server/protocol.py": "app/server/test_requests.py",
    "app/http/bulk_operations.py": "app/http/test_bulk.py",
    "app/http/bulk_turns.py": "app/http/test_bulk.py",
    "app/writing/bulk.py": "app/http/test_bulk.py",
    "app/writing/circumstances.py": "app/writing/test_committer.py",
    "app/writing/deciding.py": "app/writing/test_committer.py",
    "app/writing/connection.py": "app/writing/test_committer.py",
    "app/writing/responses.py": "app/writing/test_committer.py",
    "app/writing/envelope.py": "app/writing/test_committer.py",
    "app/writing/provisioning.py": "app/cli/test_main.py",
    "app/writing/token_secrets.py": "app/resources/test_tokens.py",
    "app/writing/write_metrics.py": "app/writing/test_command_queue.py",
    "consumers/checkpoints.py": "consumers/test_relay.py",
    "consumers/database.py": "consumers/test_silent_database.py",
    "consumers/event_reader.py": "consumers/test_relay.py",
    "consumers/kafka_wire.py": "consumers/test_kafka_diagnosis.py",
    "consumers/publisher.py": "consumers/test_relay.py",
    "consumers/republish.py": "e2e/test_dev_stream.py",
    "consumers/webhooks/deal_event.py": "consumers/webhooks/test_fan_out.py",
    "consumers/webhooks/delivery_log.py": "app/resources/test_webhooks.py",
    "consumers/webhooks/redelivery.py": "app/resources/test_webhooks.py",
    "consumers/webhooks/ssrf_guard.py": "consumers/webhooks/test_transport.py",
    "consumers/webhooks/sweep.py": "consumers/webhooks/test_deliveries.py",
    "domain/context.py": "domain/test_opportunity_stages.py",
    "domain/custom_value.py": "domain/test_opportunity_changes.py",
    "domain/opportunity/commands.py": "domain/test_opportunity_changes.py",
    "domain/opportunity/decisions.py": "domain/test_opportunity_stages.py",
    "domain/opportunity/draft.py": "domain/test_opportunity_changes.py",
    "domain/opportunity/events.py": "domain/test_opportunity_properties.py",
    "domain/policy.py": "domain/test_opportunity_stages.py",
    "projections/before.py": "projections/test_feed.py",
    "projections/clock.py": "e2e/test_clocks.py",
    "projections/command_responses.py": "app/writing/test_committer.py",
    "projections/conditions.py": "app/http/test_filters.py",
    "projections/decision_facts.py": "app/resources/test_access.py",
    "projections/directory/credentials.py": "app/cli/test_main.py",
    "projections/directory/queries.py": "app/resources/test_records.py",
    "projections/event_payloads.py": "projections/test_feed.py",
    "projections/forecast/balances.py": "projections/forecast/test_properties.py",
    "projections/forecast/entries.py": "projections/forecast/test_waterfall.py",
    "projections/forecast/by_owner.py": "projections/forecast/test_filtered.py",
    "projections/forecast/current.py": "projections/forecast/test_ledger.py",
    "projections/forecast/owners.py": "projections/forecast/test_filtered.py",
    "projections/forecast/waterfall_types.py": "projections/forecast/test_waterfall.py",
    "projections/idempotency_records.py": "app/http/test_repeated_commands.py",
    "projections/opportunities/conditions.py": "app/resources/test_opportunity_lists.py",
    "projections/opportunities/queries.py": "app/resources/test_opportunity_lists.py",
    "projections/registry.py": "app/writing/test_writers_of_other_versions.py",
    "projections/at_once.py": "projections/test_workers.py",
    "projections/copied_values.py": "projections/test_copies.py",
    "projections/filling.py": "projections/test_workers.py",
    "projections/shadow_schema.py": "projections/test_workers.py",
    "projections/shadows.py": "projections/test_rebuild.py",
    "projections/swap.py": "projections/test_rebuild.py",
    "projections/versioned_rows.py": "projections/test_rebuild.py",
}
"""By module without a file of its own: where its behaviour is tested."""


def test_every_module_has_its_test_file_or_its_subjects() -> None:
    assert [str(module) for module in modules() if _own(module) is None and str(module) not in SUBJECTS] == []


def test_the_table_of_subjects_is_true() -> None:
    """Of modules that are there and have no file of their own, and of test files that are there."""
    stale = [module for module in SUBJECTS if not (ROOT / module).exists() or _own(Path(module)) is not None]
    missing = sorted({path for path in SUBJECTS.values() if not (ROOT / "tests" / path).exists()})
    assert (stale, missing) == ([], [])


def _own(module: Path) -> Path | None:
    """The test file of that name; of a package, one in its folder. What holds no function or class needs none."""
    text = (ROOT / module).read_text()
    folder = ROOT / "tests" / module.parent
    if "def " not in text and "class " not in text:
        return module
    names = [f"test_{module.stem}.py", f"test_{module.stem}_*.py"]
    if module.name == "__init__.py":
        folder, names = folder.parent, [f"test_{module.parent.name}.py", f"{module.parent.name}/test_*.py"]
    return next((found for name in names for found in folder.glob(name)), None)
