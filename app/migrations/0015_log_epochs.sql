-- A database that was restored hands out positions again that others have seen with other events. The log's epochs say which
-- events of which history are this log's: after a restore `opportunities restored` begins one, above every position that was ever
-- told to anybody.

-- Events after ``last_good_position`` are of this epoch: first those that were written after the restore and before the epoch
-- began, up to ``last_written_position``, then those from ``first_position`` on. What others have between, or with an earlier
-- epoch after ``last_good_position``, is in no log. The first epoch's id is the log's identity.
CREATE TABLE log_epochs (
    id uuid PRIMARY KEY,
    first_position bigint NOT NULL UNIQUE,
    last_good_position bigint NOT NULL,
    last_written_position bigint NOT NULL,
    began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (last_good_position <= last_written_position AND last_written_position < first_position)
);
-- The id follows from the log's first event, so that it is the same in a database restored from before this migration.
INSERT INTO log_epochs (id, first_position, last_good_position, last_written_position)
    SELECT coalesce((
        SELECT left(encode(sha256(state), 'hex'), 32)::uuid FROM opportunities_events ORDER BY notification_id LIMIT 1
    ), gen_random_uuid()), 1, 0, 0;
GRANT SELECT ON log_epochs TO opportunities_reader, opportunities_writer;

-- Begins an epoch, under the log's lock: the next event gets the position ``beginning``.
CREATE FUNCTION begin_epoch(epoch uuid, good bigint, beginning bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    written bigint;
BEGIN
    PERFORM pg_advisory_xact_lock('public.opportunities_events'::regclass::oid::bigint);
    written := coalesce((SELECT max(notification_id) FROM opportunities_events), 0);
    IF beginning < (SELECT last_value + is_called::int FROM opportunities_events_notification_id_seq) THEN
        RAISE EXCEPTION 'The epoch would begin at a position that is taken.' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO log_epochs (id, first_position, last_good_position, last_written_position)
        VALUES (epoch, beginning, least(good, written), written);
    PERFORM setval('opportunities_events_notification_id_seq', beginning, false);
END $$;
REVOKE ALL ON FUNCTION begin_epoch(uuid, bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION begin_epoch(uuid, bigint, bigint) TO opportunities_writer;

-- The mark of an event, by which a cursor knows it again.
CREATE FUNCTION event_mark(state bytea) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT left(encode(sha256(state), 'hex'), 8) $$;

-- Whether what a reader of the connection's org has read up to a position, to an event with this mark if it knows it, is not this
-- log's: the event is another one, the position is beyond the log's end, or it is one that no log has any more. If the log knows
-- up to which position all is well, that too.
CREATE FUNCTION lost_history(after bigint, mark text, OUT lost boolean, OUT last_good_position bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF after <= 0 THEN
        lost := false;
    ELSIF mark <> '' THEN
        lost := NOT EXISTS (
            SELECT FROM opportunities_events e
            WHERE e.notification_id = after AND e.org_id = app_org() AND event_mark(e.state) = mark
        );
    ELSE
        lost := after > coalesce((SELECT max(e.notification_id) FROM opportunities_events e), 0)
            OR EXISTS (SELECT FROM log_epochs p WHERE after > p.last_written_position AND after < p.first_position);
    END IF;
    IF lost THEN
        last_good_position := (SELECT min(p.last_good_position) FROM log_epochs p
                               WHERE after > p.last_good_position AND after < p.first_position);
    END IF;
END $$;
REVOKE ALL ON FUNCTION lost_history(bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lost_history(bigint, text) TO opportunities_reader;

-- What Prometheus is told of the log: where its epoch began, and which parts have stopped because it went back.
CREATE FUNCTION log_gauges() RETURNS TABLE (name text, label text, value double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN QUERY
        SELECT 'epoch_position', '', max(p.first_position)::double precision FROM log_epochs p
        UNION ALL
        SELECT 'went_back', p.part, count(c.name)::double precision
        FROM (VALUES ('relay', 'relay'), ('consumer', 'webhooks/%')) p (part, pattern)
        LEFT JOIN checkpoints c ON c.name LIKE p.pattern AND c.detail ? 'went_back' GROUP BY p.part;
END $$;
REVOKE ALL ON FUNCTION log_gauges() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log_gauges() TO opportunities_reader, opportunities_writer;
