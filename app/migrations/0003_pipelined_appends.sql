-- Appends within one round trip: who holds the log's lock knows the next positions before the rows are written.

DROP FUNCTION append_events(uuid[], bigint[], text[], bytea[], uuid[]);
DROP FUNCTION lock_log();

-- Waits until nobody else appends, and keeps others waiting to the end of the transaction; the position of the next event.
CREATE FUNCTION lock_log() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock('public.opportunities_events'::regclass::oid::bigint);
    RETURN (SELECT last_value + is_called::int FROM public.opportunities_events_notification_id_seq);
END $$;

-- Rows get their positions in the order of the arrays, from the one that lock_log() told; under the lock that is the order of
-- commits. Whoever took a position without the lock meanwhile brings the transaction down.
CREATE FUNCTION append_events(ids uuid[], versions bigint[], topics text[], states bytea[], orgs uuid[], beginning bigint)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM lock_log();
    INSERT INTO public.opportunities_events (originator_id, originator_version, topic, state, org_id)
        SELECT e.id, e.version, e.topic, e.state, e.org
        FROM unnest(ids, versions, topics, states, orgs) WITH ORDINALITY AS e (id, version, topic, state, org, n)
        ORDER BY e.n;
    IF currval('public.opportunities_events_notification_id_seq') <> beginning + cardinality(ids) - 1 THEN
        RAISE EXCEPTION 'Positions were taken without the lock of the log.' USING ERRCODE = 'serialization_failure';
    END IF;
    PERFORM pg_notify('opportunities_events', '');
END $$;

-- Nobody but a writer can keep writers waiting.
REVOKE ALL ON FUNCTION lock_log(), append_events(uuid[], bigint[], text[], bytea[], uuid[], bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lock_log(), append_events(uuid[], bigint[], text[], bytea[], uuid[], bigint) TO opportunities_writer;
GRANT SELECT ON SEQUENCE opportunities_events_notification_id_seq TO opportunities_writer;
