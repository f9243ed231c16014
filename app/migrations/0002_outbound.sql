-- What leaves the product follows the log from a checkpoint of its own. Operational state: no read model, so a rebuild
-- never touches it and a replay of the log never sends anything.

-- ``position`` is the last one of the log that was dealt with, ``updated_at`` when its owner was last seen at work.
CREATE TABLE checkpoints (
    name text PRIMARY KEY,
    position bigint NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT, INSERT, UPDATE, DELETE ON checkpoints TO opportunities_writer;

-- How far a checkpoint is behind the log, in events (at most a million are counted) and in seconds since the oldest of
-- them was recorded, and for how many seconds its owner was not seen. No row where it never was.
CREATE FUNCTION lag_of(checkpoint text)
RETURNS TABLE ("position" bigint, events bigint, seconds double precision, unseen double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN QUERY
        SELECT c.position,
               (SELECT count(*) FROM (
                   SELECT 1 FROM opportunities_events e WHERE e.notification_id > c.position LIMIT 1000000) ahead),
               coalesce((
                   SELECT extract(epoch FROM clock_timestamp()
                          - (convert_from(e.state, 'UTF8')::jsonb #>> '{meta,recorded_at}')::timestamptz)::double precision
                   FROM opportunities_events e WHERE e.notification_id > c.position
                   ORDER BY e.notification_id LIMIT 1), 0),
               extract(epoch FROM clock_timestamp() - c.updated_at)::double precision
        FROM checkpoints c WHERE c.name = checkpoint;
END $$;
REVOKE ALL ON FUNCTION lag_of(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lag_of(text) TO opportunities_reader, opportunities_writer;

-- The key that the secrets of webhook endpoints are derived from. For the writer alone: with it anybody could sign.
CREATE TABLE webhook_keys (id int PRIMARY KEY CHECK (id = 1), key bytea NOT NULL);
INSERT INTO webhook_keys
    SELECT 1, sha256((gen_random_uuid()::text || gen_random_uuid()::text || gen_random_uuid()::text)::bytea);
GRANT SELECT ON webhook_keys TO opportunities_writer;

-- One row for an event that an endpoint is to be told of, at the most. ``attempts`` counts all of them, ``tries`` those
-- since it was last begun; a row under way is leased, and free again when the lease is over.
CREATE TABLE webhook_deliveries (
    id uuid PRIMARY KEY,
    org_id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    event_id text NOT NULL,
    type text NOT NULL,
    opportunity_id uuid,
    position bigint,
    body text STORAGE EXTERNAL NOT NULL,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'dead')),
    attempts int NOT NULL DEFAULT 0,
    tries int NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    leased_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_at timestamptz,
    UNIQUE (endpoint_id, event_id)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (endpoint_id, due_at) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_dead ON webhook_deliveries (endpoint_id) WHERE status = 'dead';
CREATE INDEX webhook_deliveries_log ON webhook_deliveries (org_id, endpoint_id, id DESC);
SELECT isolate('webhook_deliveries');
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_deliveries TO opportunities_writer;

CREATE TABLE webhook_attempts (
    delivery_id uuid NOT NULL REFERENCES webhook_deliveries ON DELETE CASCADE,
    number int NOT NULL,
    org_id uuid NOT NULL,
    at timestamptz NOT NULL,
    ms int NOT NULL,
    outcome text NOT NULL,
    status int,
    answer text NOT NULL,
    error text,
    PRIMARY KEY (delivery_id, number)
);
SELECT isolate('webhook_attempts');
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_attempts TO opportunities_writer;

-- Endpoints of which no attempt has succeeded since; no row where the last one did.
CREATE TABLE webhook_failing (endpoint_id uuid PRIMARY KEY, org_id uuid NOT NULL, since timestamptz NOT NULL);
SELECT isolate('webhook_failing');
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_failing TO opportunities_writer;

CREATE TABLE webhook_outcomes (outcome text PRIMARY KEY, n bigint NOT NULL);
GRANT SELECT, INSERT, UPDATE ON webhook_outcomes TO opportunities_writer;

-- Records of the topic that could not be taken, for somebody to look at. After its loss a topic counts from 0 again.
CREATE TABLE dead_letters (
    topic text NOT NULL,
    partition int NOT NULL,
    "offset" bigint NOT NULL,
    digest bytea NOT NULL,
    key bytea,
    value bytea,
    headers jsonb NOT NULL,
    error text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (topic, partition, "offset", digest)
);
GRANT SELECT, INSERT, DELETE ON dead_letters TO opportunities_writer;

-- What Prometheus is told of the webhooks of all orgs. A delivery whose endpoint is not active is held and not due.
CREATE FUNCTION webhook_gauges() RETURNS TABLE (name text, label text, value double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN QUERY
        WITH pending AS (
            SELECT d.due_at, coalesce(e.active, false) AS active
            FROM webhook_deliveries d
            LEFT JOIN directory e ON e.id = d.endpoint_id AND e.valid_to = 'infinity' AND NOT e.deleted
            WHERE d.status = 'pending'
        )
        SELECT 'due', '', count(*)::double precision FROM pending p WHERE p.active AND p.due_at <= clock_timestamp()
        UNION ALL
        SELECT 'overdue_seconds', '', coalesce(extract(epoch FROM clock_timestamp() - min(p.due_at)), 0)::double precision
        FROM pending p WHERE p.active AND p.due_at <= clock_timestamp()
        UNION ALL
        SELECT 'waiting', '', count(*)::double precision FROM pending p WHERE p.active AND p.due_at > clock_timestamp()
        UNION ALL
        SELECT 'held', '', count(*)::double precision FROM pending p WHERE NOT p.active
        UNION ALL
        SELECT 'dead', '', count(*)::double precision FROM webhook_deliveries d WHERE d.status = 'dead'
        UNION ALL
        SELECT 'dead_letters', '', count(*)::double precision FROM dead_letters
        UNION ALL
        SELECT 'attempts', o.outcome, o.n::double precision FROM webhook_outcomes o
        UNION ALL
        SELECT 'lag', substring(c.name FROM 10), coalesce((c.detail ->> 'lag')::double precision, 0)
        FROM checkpoints c WHERE c.name LIKE 'webhooks/%'
        UNION ALL
        SELECT 'unseen_seconds', CASE WHEN c.name LIKE 'webhooks/%' THEN 'consumer' ELSE 'sender' END,
               min(extract(epoch FROM clock_timestamp() - c.updated_at))::double precision
        FROM checkpoints c WHERE c.name LIKE 'webhooks%' GROUP BY 2;
END $$;
REVOKE ALL ON FUNCTION webhook_gauges() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION webhook_gauges() TO opportunities_reader, opportunities_writer;
