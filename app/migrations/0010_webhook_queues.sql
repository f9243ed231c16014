-- When each endpoint next has something to send, so that a sender looks at those that are due and at no others.
-- ``due_at`` is never later than the time at which one of the endpoint's pending deliveries can be claimed; it may be earlier.
-- ``changes`` counts what made it so: whoever puts the time off must have seen all of them.
CREATE TABLE webhook_queues (
    endpoint_id uuid PRIMARY KEY,
    due_at timestamptz NOT NULL,
    changes bigint NOT NULL DEFAULT 1
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);
CREATE INDEX webhook_queues_due ON webhook_queues (due_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_queues TO opportunities_writer;

-- The earliest time at which a delivery can be claimed.
CREATE FUNCTION claimable_at(due_at timestamptz, leased_until timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT greatest(due_at, coalesce(leased_until, due_at)) $$;

-- Senders that sleep for seconds are woken for what is due before they would wake.
CREATE FUNCTION queue_webhook_endpoints(endpoint_ids uuid[], due_ats timestamptz[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO webhook_queues AS q (endpoint_id, due_at)
        SELECT n.endpoint_id, min(n.due_at) FROM unnest(endpoint_ids, due_ats) AS n (endpoint_id, due_at)
        GROUP BY n.endpoint_id ORDER BY n.endpoint_id
    ON CONFLICT (endpoint_id) DO UPDATE SET due_at = least(q.due_at, excluded.due_at), changes = q.changes + 1;
    IF EXISTS (SELECT 1 FROM unnest(due_ats) AS n (due_at) WHERE n.due_at < clock_timestamp() + interval '5 seconds') THEN
        PERFORM pg_notify('webhook_deliveries', '');
    END IF;
END $$;
REVOKE ALL ON FUNCTION queue_webhook_endpoints(uuid[], timestamptz[]) FROM PUBLIC;

CREATE FUNCTION webhook_deliveries_added() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM queue_webhook_endpoints(array_agg(n.endpoint_id), array_agg(claimable_at(n.due_at, n.leased_until)))
    FROM now_there n WHERE n.status = 'pending' HAVING count(*) > 0;
    RETURN NULL;
END $$;

-- What makes a delivery claimable later, such as a lease, is found when the earlier time has come.
CREATE FUNCTION webhook_deliveries_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    -- No join: its plan, made for the few rows of the first time, would be kept for the thousands of a replay.
    PERFORM queue_webhook_endpoints(array_agg(c.endpoint_id), array_agg(c.due_at))
    FROM (
        SELECT r.endpoint_id, max(r.due_at) AS due_at
        FROM (
            SELECT id, endpoint_id, claimable_at(due_at, leased_until) AS due_at, NULL::timestamptz AS was_due_at
            FROM now_there WHERE status = 'pending'
            UNION ALL
            SELECT id, endpoint_id, NULL, claimable_at(due_at, leased_until) FROM before_it WHERE status = 'pending'
        ) r
        GROUP BY r.id, r.endpoint_id HAVING max(r.due_at) < coalesce(max(r.was_due_at), 'infinity')
    ) c
    HAVING count(*) > 0;
    RETURN NULL;
END $$;

CREATE TRIGGER added AFTER INSERT ON webhook_deliveries
    REFERENCING NEW TABLE AS now_there FOR EACH STATEMENT EXECUTE FUNCTION webhook_deliveries_added();
CREATE TRIGGER changed AFTER UPDATE ON webhook_deliveries
    REFERENCING OLD TABLE AS before_it NEW TABLE AS now_there FOR EACH STATEMENT EXECUTE FUNCTION webhook_deliveries_changed();

INSERT INTO webhook_queues (endpoint_id, due_at)
    SELECT endpoint_id, min(claimable_at(due_at, leased_until)) FROM webhook_deliveries
    WHERE status = 'pending' GROUP BY endpoint_id;
