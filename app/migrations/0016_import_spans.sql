-- Where in the log the events of an import are, those of its undo too: positions from the first one to the last, of one transaction or
-- of several that followed each other. No others are in between, but for imports of users.
CREATE TABLE import_spans (
    import_id uuid NOT NULL REFERENCES imports ON DELETE CASCADE,
    beginning bigint NOT NULL,
    ending bigint NOT NULL,
    org_id uuid NOT NULL,
    PRIMARY KEY (import_id, beginning)
);
SELECT isolate('import_spans');
GRANT SELECT, INSERT, UPDATE, DELETE ON import_spans TO opportunities_writer;
