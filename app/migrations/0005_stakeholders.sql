-- How many deals name a contact is asked before it is deleted. A read model that is made later, or anew, brings the index along.

DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass('opportunities') AND attname = 'stakeholder_ids') THEN
        CREATE INDEX IF NOT EXISTS opportunities_stakeholders ON opportunities USING gin (stakeholder_ids)
            WHERE valid_to = 'infinity' AND NOT deleted AND stakeholder_ids <> '{}';
    END IF;
END $$;
