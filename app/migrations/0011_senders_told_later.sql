-- Senders that sleep for seconds are woken for what is due before they would wake. A transaction with app.tells_senders = 'later'
-- notifies them itself after its commit, because PostgreSQL commits notifying transactions one after the other.
CREATE OR REPLACE FUNCTION queue_webhook_endpoints(endpoint_ids uuid[], due_ats timestamptz[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO webhook_queues AS q (endpoint_id, due_at)
        SELECT n.endpoint_id, min(n.due_at) FROM unnest(endpoint_ids, due_ats) AS n (endpoint_id, due_at)
        GROUP BY n.endpoint_id ORDER BY n.endpoint_id
    ON CONFLICT (endpoint_id) DO UPDATE SET due_at = least(q.due_at, excluded.due_at), changes = q.changes + 1;
    IF current_setting('app.tells_senders', true) IS DISTINCT FROM 'later'
        AND EXISTS (SELECT 1 FROM unnest(due_ats) AS n (due_at) WHERE n.due_at < clock_timestamp() + interval '5 seconds') THEN
        PERFORM pg_notify('webhook_deliveries', '');
    END IF;
END $$;
