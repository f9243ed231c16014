-- The log, its append, the roles and what every read model builds on.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['opportunities_writer', 'opportunities_reader'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- roles belong to the cluster: another database made it
        END;
        BEGIN
            EXECUTE format('GRANT %I TO %I', name, current_user);
        EXCEPTION WHEN insufficient_privilege THEN
            NULL;  -- somebody else made it and must have granted it: SET ROLE will tell
        END;
    END LOOP;
END $$;

-- The form of the library's table, with the org beside it.
CREATE TABLE opportunities_events (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    notification_id bigserial,
    org_id uuid NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
);
CREATE UNIQUE INDEX opportunities_events_notification_id_idx ON opportunities_events (notification_id);
CREATE INDEX opportunities_events_org_idx ON opportunities_events (org_id, notification_id);

CREATE FUNCTION lock_log() RETURNS void LANGUAGE sql VOLATILE
    AS $$ SELECT pg_advisory_xact_lock('public.opportunities_events'::regclass::oid::bigint) $$;

-- Rows get their positions in the order of the arrays; under the lock that is the order of commits.
CREATE FUNCTION append_events(ids uuid[], versions bigint[], topics text[], states bytea[], orgs uuid[])
RETURNS SETOF bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM lock_log();
    RETURN QUERY
        INSERT INTO public.opportunities_events (originator_id, originator_version, topic, state, org_id)
        SELECT e.id, e.version, e.topic, e.state, e.org
        FROM unnest(ids, versions, topics, states, orgs) WITH ORDINALITY AS e (id, version, topic, state, org, n)
        ORDER BY e.n
        RETURNING notification_id;
    PERFORM pg_notify('opportunities_events', '');
END $$;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The log is append-only: % on % is refused.', TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON opportunities_events FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON opportunities_events FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The org of the connection; '' and not NULL on a connection that was used before.
CREATE FUNCTION app_org() RETURNS uuid LANGUAGE sql STABLE
    AS $$ SELECT nullif(current_setting('app.org_id', true), '')::uuid $$;

-- Two belts on a table with an org_id: the reader sees one org's rows, the writer works for all.
CREATE FUNCTION isolate(name regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY one_org ON %s FOR SELECT TO opportunities_reader USING (org_id = (SELECT app_org()))', name);
    EXECUTE format('CREATE POLICY all_orgs ON %s TO opportunities_writer USING (true) WITH CHECK (true)', name);
    -- The owner migrates and rebuilds.
    EXECUTE format('CREATE POLICY owner ON %s TO %I USING (true) WITH CHECK (true)', name, current_user);
    EXECUTE format('GRANT SELECT ON %s TO opportunities_reader', name);
END $$;

SELECT isolate('opportunities_events');
GRANT SELECT, INSERT ON opportunities_events TO opportunities_writer;
GRANT USAGE ON SEQUENCE opportunities_events_notification_id_seq TO opportunities_writer;

-- The first answer to a request with an Idempotency-Key, written in the transaction of its events.
CREATE TABLE idempotency (
    org_id uuid NOT NULL,
    actor_id uuid NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    stream_id uuid NOT NULL,
    version bigint NOT NULL,
    body text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (org_id, actor_id, key)
);
CREATE INDEX idempotency_created_at_idx ON idempotency (created_at);
SELECT isolate('idempotency');
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency TO opportunities_writer;

-- Which version of each read model the tables hold.
CREATE TABLE read_models (
    name text PRIMARY KEY,
    version int NOT NULL,
    built_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT ON read_models TO opportunities_reader, opportunities_writer;

-- Who holds a token, whatever the org: for the reader, who knows the org only by this.
CREATE FUNCTION identity_of(hash text)
RETURNS TABLE (org_id uuid, user_id uuid, role text, email text, token_id uuid, expires_at timestamptz, epoch bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN QUERY
        SELECT t.org_id, u.id, u.role, u.lookup, t.id, t.expires_at,
               coalesce((SELECT e.position FROM identity_epochs e WHERE e.org_id = t.org_id), 0)
        FROM directory t
        JOIN directory u ON u.id = t.parent_id AND u.valid_to = 'infinity' AND u.active AND NOT u.deleted
        WHERE t.kind = 'token' AND t.lookup = hash AND t.valid_to = 'infinity' AND t.active AND NOT t.deleted;
END $$;
REVOKE ALL ON FUNCTION identity_of(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION identity_of(text) TO opportunities_reader;
