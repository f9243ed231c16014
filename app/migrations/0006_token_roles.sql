-- A token is worth its user's role, or less where it has a role of its own.

CREATE FUNCTION weaker(role text, cap text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN array_position(r.ranks, cap) < array_position(r.ranks, role) THEN cap ELSE role END
    FROM (SELECT ARRAY['read_only', 'rep', 'manager', 'admin']) AS r (ranks)
$$;

DROP FUNCTION identity_of(text);

CREATE FUNCTION identity_of(hash text)
RETURNS TABLE (org_id uuid, user_id uuid, role text, email text, token_id uuid, expires_at timestamptz, epoch bigint, cap text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN QUERY
        SELECT t.org_id, u.id, weaker(u.role, t.role), u.lookup, t.id, t.expires_at,
               coalesce((SELECT e.position FROM identity_epochs e WHERE e.org_id = t.org_id), 0), t.role
        FROM directory t
        JOIN directory u ON u.id = t.parent_id AND u.valid_to = 'infinity' AND u.active AND NOT u.deleted
        WHERE t.kind = 'token' AND t.lookup = hash AND t.valid_to = 'infinity' AND t.active AND NOT t.deleted;
END $$;
REVOKE ALL ON FUNCTION identity_of(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION identity_of(text) TO opportunities_reader;
