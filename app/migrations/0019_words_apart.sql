-- As index_words(regclass), with an index of its own for the words of a field that has very many: where a part of a word is looked
-- for in another field, the index would find it in all of these too.
CREATE FUNCTION index_words(name regclass, apart text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    operators text;
BEGIN
    SELECT format('%I.gin_trgm_ops', n.nspname) INTO operators FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
        WHERE e.extname = 'pg_trgm' AND EXISTS (SELECT FROM pg_extension WHERE extname = 'btree_gin');
    IF operators IS NULL THEN
        EXECUTE format('CREATE INDEX ON %s (org_id, field)', name);
    ELSE
        EXECUTE format('CREATE INDEX ON %s USING gin (org_id, word %s) WHERE field <> %L', name, operators, apart);
        EXECUTE format('CREATE INDEX ON %s USING gin (org_id, word %s) WHERE field = %L', name, operators, apart);
    END IF;
END $$;

-- As opportunities_with_terms, all of them, with when they were created: of an instant of the past, those are on a list that were
-- there by then.
CREATE FUNCTION dated_opportunities_with_terms(groups jsonb) RETURNS TABLE (id uuid, created_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_bitmapscan = on SET enable_indexscan = off SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY EXECUTE
        'SELECT t.id, t.created_at FROM public.opportunity_terms t WHERE '
        || public.terms_condition('public.opportunity_terms', 'public.opportunity_words', groups, public.app_org());
END $$;

REVOKE ALL ON FUNCTION index_words(regclass, text), dated_opportunities_with_terms(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dated_opportunities_with_terms(jsonb) TO opportunities_reader;
