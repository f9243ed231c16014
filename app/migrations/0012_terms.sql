-- Records are found by terms: numbers that stand for a tag, a value, an account or a word (see projections/terms.py). Row-level
-- security does not let a filter on an array or a pattern use an index, so these functions look in the index for the reader: with
-- the owner's rights, and only ever in the org of the connection, which they read themselves.

-- Patterns of words have an index where these can be had; without them all words of the org are read, which is slower.
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE EXTENSION IF NOT EXISTS btree_gin;
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE 'Without pg_trgm and btree_gin: %', SQLERRM;
END $$;

-- The index of a table of words (org_id, field, word), made again by a rebuild.
CREATE FUNCTION index_words(name regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    operators text;
BEGIN
    SELECT format('%I.gin_trgm_ops', n.nspname) INTO operators FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
        WHERE e.extname = 'pg_trgm' AND EXISTS (SELECT FROM pg_extension WHERE extname = 'btree_gin');
    IF operators IS NULL THEN
        EXECUTE format('CREATE INDEX ON %s (org_id, field)', name);
    ELSE
        EXECUTE format('CREATE INDEX ON %s USING gin (org_id, word %s)', name, operators);
    END IF;
END $$;

-- The terms of an org's words like a pattern, in one of the tables of words.
CREATE FUNCTION terms_like(words regclass, org uuid, field text, pattern text) RETURNS bigint[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    found bigint[];
BEGIN
    -- A statement of its own each time, so that the planner sees the pattern.
    EXECUTE format('SELECT coalesce(array_agg(w.term), ''{}'') FROM %s w WHERE w.org_id = %L AND w.field = %L AND w.word LIKE %L',
                   words, org, field, pattern) INTO found;
    RETURN found;
END $$;

-- The condition on a table of terms t that a record has one of these. An index compares every record found with all that are asked
-- for together, so many are asked for one by one.
CREATE FUNCTION terms_match(records regclass, found bigint[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN cardinality(found) = 0 THEN 'false'
                WHEN cardinality(found) <= 200 THEN format('t.terms && %L::bigint[]', found)
                ELSE format('t.id IN (SELECT u.id FROM unnest(%L::bigint[]) x (term),'
                            ' LATERAL (SELECT s.id FROM %s s WHERE s.terms && ARRAY[x.term] OFFSET 0) u)', found, records) END
$$;

-- The statement for the ids of an org's accounts, deleted ones too, in whose name there is a word like a pattern.
CREATE FUNCTION terms_accounts(org uuid, pattern text) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN format('SELECT t.id FROM public.directory_terms t WHERE t.org_id = %L AND t.kind = ''account'' AND ', org)
        || public.terms_match('public.directory_terms', public.terms_like('public.directory_words', org, 'account', pattern));
END $$;

-- The condition on a table of terms t that groups stand for: one term of each. A group is {"terms": [...], "field": ...,
-- "word": pattern, "account": pattern}: with a word, also the terms of words like it in that field; with an account, also the deals
-- of accounts in whose name such a word is.
CREATE FUNCTION terms_condition(records regclass, words regclass, groups jsonb, org uuid) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    one jsonb;
    alternatives bigint[];
    accounts uuid[];
    named text;
    condition text := format('t.org_id = %L', org);
BEGIN
    FOR one IN SELECT * FROM jsonb_array_elements(groups) LOOP
        alternatives := ARRAY(SELECT e::bigint FROM jsonb_array_elements_text(one -> 'terms') e);
        IF one ->> 'word' IS NOT NULL THEN
            alternatives := alternatives || public.terms_like(words, org, one ->> 'field', one ->> 'word');
        END IF;
        condition := condition || ' AND (' || public.terms_match(records, alternatives);
        IF one ->> 'account' IS NOT NULL THEN
            named := public.terms_accounts(org, one ->> 'account');
            EXECUTE format('SELECT coalesce(array_agg(n.id), ''{}'') FROM (%s LIMIT 201) n', named) INTO accounts;
            IF cardinality(accounts) <= 200 THEN
                condition := condition || format(' OR t.account_id = ANY(%L::uuid[])', accounts);
            ELSE
                condition := condition || format(' OR t.account_id IN (%s)', named);
                PERFORM set_config('enable_seqscan', 'on', true);  -- until the function that has it off ends
            END IF;
        END IF;
        condition := condition || ')';
    END LOOP;
    RETURN condition;
END $$;

-- The live deals of the connection's org that have one term of each group; with ``most`` the newest, or oldest, so many.
CREATE FUNCTION opportunities_with_terms(groups jsonb, most bigint, newest boolean) RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_bitmapscan = on SET enable_indexscan = off SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY EXECUTE
        'SELECT t.id FROM public.opportunity_terms t WHERE '
        || public.terms_condition('public.opportunity_terms', 'public.opportunity_words', groups, public.app_org())
        || CASE WHEN most IS NULL THEN ''
                ELSE format(' ORDER BY t.created_at %s, t.id %1$s LIMIT %s', CASE WHEN newest THEN 'DESC' ELSE 'ASC' END, most) END;
END $$;

CREATE FUNCTION count_opportunities_with_terms(groups jsonb) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_bitmapscan = on SET enable_indexscan = off SET enable_seqscan = off AS $$
DECLARE
    found bigint;
BEGIN
    EXECUTE 'SELECT count(*) FROM public.opportunity_terms t WHERE '
        || public.terms_condition('public.opportunity_terms', 'public.opportunity_words', groups, public.app_org()) INTO found;
    RETURN found;
END $$;

-- The accounts of the connection's org, deleted ones too, in whose name there is a word like a pattern.
CREATE FUNCTION accounts_with_word(pattern text) RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_bitmapscan = on SET enable_indexscan = off SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY EXECUTE public.terms_accounts(public.app_org(), pattern);
END $$;

-- As of deals, for live records of the directory of one kind.
CREATE FUNCTION directory_with_terms(kind text, groups jsonb, most bigint, newest boolean) RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_bitmapscan = on SET enable_indexscan = off SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY EXECUTE
        'SELECT t.id FROM public.directory_terms t WHERE '
        || public.terms_condition('public.directory_terms', 'public.directory_words', groups, public.app_org()) || format(' AND t.kind = %L AND NOT t.deleted', kind)
        || CASE WHEN most IS NULL THEN ''
                ELSE format(' ORDER BY t.created_at %s, t.id %1$s LIMIT %s', CASE WHEN newest THEN 'DESC' ELSE 'ASC' END, most) END;
END $$;

CREATE FUNCTION count_directory_with_terms(kind text, groups jsonb) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_bitmapscan = on SET enable_indexscan = off SET enable_seqscan = off AS $$
DECLARE
    found bigint;
BEGIN
    EXECUTE 'SELECT count(*) FROM public.directory_terms t WHERE '
        || public.terms_condition('public.directory_terms', 'public.directory_words', groups, public.app_org()) || format(' AND t.kind = %L AND NOT t.deleted', kind)
        INTO found;
    RETURN found;
END $$;

REVOKE ALL ON FUNCTION index_words(regclass), terms_like(regclass, uuid, text, text), terms_match(regclass, bigint[]),
    terms_condition(regclass, regclass, jsonb, uuid),
    terms_accounts(uuid, text), accounts_with_word(text), opportunities_with_terms(jsonb, bigint, boolean),
    count_opportunities_with_terms(jsonb), directory_with_terms(text, jsonb, bigint, boolean), count_directory_with_terms(text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accounts_with_word(text), opportunities_with_terms(jsonb, bigint, boolean),
    count_opportunities_with_terms(jsonb),
    directory_with_terms(text, jsonb, bigint, boolean), count_directory_with_terms(text, jsonb) TO opportunities_reader;
