-- What ids mean in a file with history: by id in the file, the record here. Written in the transaction that makes it, unless it was
-- there before.
CREATE TABLE import_ids (
    import_id uuid NOT NULL REFERENCES imports ON DELETE CASCADE,
    old_id uuid NOT NULL,
    org_id uuid NOT NULL,
    kind text NOT NULL,
    new_id uuid NOT NULL,
    made boolean NOT NULL,
    PRIMARY KEY (import_id, old_id)
);
SELECT isolate('import_ids');
GRANT SELECT, INSERT, UPDATE, DELETE ON import_ids TO opportunities_writer;
