-- Whoever appends is told the time and the versions of the read models together with the position: one clock for all processes,
-- which never goes back, and no rows for read models that are not, or no longer, of the writer's versions.

-- When the last append was, in microseconds since 1970.
CREATE SEQUENCE log_clock MINVALUE 0 START 0;
-- A last event that was recorded by a clock ahead of ours does not keep the time standing still.
SELECT setval('log_clock', least(
    (SELECT (extract(epoch FROM (convert_from(state, 'UTF8')::jsonb #>> '{meta,recorded_at}')::timestamptz) * 1000000)::bigint
     FROM opportunities_events ORDER BY notification_id DESC LIMIT 1),
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
)) WHERE EXISTS (SELECT 1 FROM opportunities_events);
GRANT SELECT, UPDATE ON SEQUENCE log_clock TO opportunities_writer;

-- Waits until nobody else appends, and keeps others waiting to the end of the transaction. The position and the time of the next
-- event, later than that of any before, and the read models with their versions.
CREATE FUNCTION open_log(OUT "position" bigint, OUT instant bigint, OUT read_models text) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock('public.opportunities_events'::regclass::oid::bigint);
    SELECT s.last_value + s.is_called::int,
           greatest((extract(epoch FROM clock_timestamp()) * 1000000)::bigint, c.last_value + 1),
           (SELECT coalesce(string_agg(m.name || ' ' || m.version, ', ' ORDER BY m.name COLLATE "C"), '') FROM public.read_models m)
    INTO "position", instant, read_models
    FROM public.opportunities_events_notification_id_seq s, public.log_clock c;
END $$;

-- Rows get their positions in the order of the arrays, from the one that open_log() told; under the lock that is the order of
-- commits. Whoever took a position without the lock meanwhile brings the transaction down.
CREATE FUNCTION append_events(
    ids uuid[], versions bigint[], topics text[], states bytea[], orgs uuid[], beginning bigint, instant bigint
) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock('public.opportunities_events'::regclass::oid::bigint);
    INSERT INTO public.opportunities_events (originator_id, originator_version, topic, state, org_id)
        SELECT e.id, e.version, e.topic, e.state, e.org
        FROM unnest(ids, versions, topics, states, orgs) WITH ORDINALITY AS e (id, version, topic, state, org, n)
        ORDER BY e.n;
    IF currval('public.opportunities_events_notification_id_seq') <> beginning + cardinality(ids) - 1 THEN
        RAISE EXCEPTION 'Positions were taken without the lock of the log.' USING ERRCODE = 'serialization_failure';
    END IF;
    PERFORM setval('public.log_clock', instant);
    PERFORM pg_notify('opportunities_events', '');
END $$;

-- Processes of version 0.1 know nothing of that, and call the functions of old. They may write as long as the read models are
-- those of 0.1; then the lock is refused to them, with an error that they answer with 503.
CREATE OR REPLACE FUNCTION lock_log() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock('public.opportunities_events'::regclass::oid::bigint);
    IF (SELECT string_agg(name || ' ' || version, ', ' ORDER BY name COLLATE "C") FROM public.read_models)
       IS DISTINCT FROM 'directory 1, exchange_rates 1, forecast 1, opportunities 1' THEN
        RAISE EXCEPTION 'The database is of a newer version than this process: start one of that version in its place.'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN (SELECT last_value + is_called::int FROM public.opportunities_events_notification_id_seq);
END $$;

REVOKE ALL ON FUNCTION open_log(), append_events(uuid[], bigint[], text[], bytea[], uuid[], bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION open_log(), append_events(uuid[], bigint[], text[], bytea[], uuid[], bigint, bigint)
    TO opportunities_writer;
