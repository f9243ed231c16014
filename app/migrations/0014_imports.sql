-- Imports: what was asked for, the files in parts, what was wrong with which line, and which records came of it. Operational state
-- beside the log: a rebuild never touches it.

-- ``line`` is the last one that was dealt with, and is moved in the transaction of the events of the lines up to it. ``token_id`` is
-- the token that asked last, with whose rights the rows are written; null for the operator. ``fingerprint`` is of file, kind and
-- mapping. ``files`` are the file itself and those of the deals' history.
CREATE TABLE imports (
    id uuid PRIMARY KEY,
    org_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('opportunities', 'accounts', 'contacts', 'users')),
    state text NOT NULL,
    user_id uuid,
    token_id uuid,
    files jsonb NOT NULL DEFAULT '[]',
    options jsonb NOT NULL DEFAULT '{}',
    inspection jsonb,
    problem jsonb,
    fingerprint bytea,
    line bigint NOT NULL DEFAULT 0,
    "rows" bigint,
    done bigint NOT NULL DEFAULT 0,
    created bigint NOT NULL DEFAULT 0,
    updated bigint NOT NULL DEFAULT 0,
    skipped bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    checked boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz
);
CREATE INDEX imports_of_org ON imports (org_id, created_at DESC, id DESC);
CREATE INDEX imports_at_work ON imports (updated_at) WHERE state IN ('inspecting', 'checking', 'running', 'undoing');
CREATE INDEX imports_fingerprint ON imports (org_id, fingerprint) WHERE fingerprint IS NOT NULL;
SELECT isolate('imports');
GRANT SELECT, INSERT, UPDATE, DELETE ON imports TO opportunities_writer;

CREATE TABLE import_parts (
    import_id uuid NOT NULL REFERENCES imports ON DELETE CASCADE,
    file int NOT NULL,
    number int NOT NULL,
    org_id uuid NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (import_id, file, number)
);
ALTER TABLE import_parts ALTER data SET STORAGE EXTERNAL;
SELECT isolate('import_parts');
GRANT SELECT, INSERT, UPDATE, DELETE ON import_parts TO opportunities_writer;

-- What is wrong with a line, at most some of each line; ``file`` is 0 for the file itself.
CREATE TABLE import_faults (
    import_id uuid NOT NULL REFERENCES imports ON DELETE CASCADE,
    file int NOT NULL DEFAULT 0,
    line bigint NOT NULL,
    number int NOT NULL,
    org_id uuid NOT NULL,
    "column" text NOT NULL,
    value text NOT NULL,
    message text NOT NULL,
    PRIMARY KEY (import_id, file, line, number)
);
SELECT isolate('import_faults');
GRANT SELECT, INSERT, UPDATE, DELETE ON import_faults TO opportunities_writer;

-- The past of deals as the history files have it, by the deal's key in them.
CREATE TABLE import_history (
    import_id uuid NOT NULL REFERENCES imports ON DELETE CASCADE,
    file int NOT NULL,
    line bigint NOT NULL,
    org_id uuid NOT NULL,
    key text NOT NULL,
    entry jsonb NOT NULL,
    PRIMARY KEY (import_id, file, line)
);
CREATE INDEX import_history_key ON import_history (import_id, key);
SELECT isolate('import_history');
GRANT SELECT, INSERT, UPDATE, DELETE ON import_history TO opportunities_writer;

-- The records that an import created or changed: the versions that it found (0 for none) and left behind.
CREATE TABLE import_records (
    import_id uuid NOT NULL REFERENCES imports ON DELETE CASCADE,
    number bigint GENERATED ALWAYS AS IDENTITY,
    org_id uuid NOT NULL,
    kind text NOT NULL,
    id uuid NOT NULL,
    line bigint NOT NULL,
    version_before bigint NOT NULL,
    version_after bigint NOT NULL,
    PRIMARY KEY (import_id, number)
);
CREATE UNIQUE INDEX import_records_once ON import_records (import_id, id);
CREATE INDEX import_records_id ON import_records (id);
SELECT isolate('import_records');
GRANT SELECT, INSERT, UPDATE, DELETE ON import_records TO opportunities_writer;

-- The cells of failed rows, so that they can be given back.
CREATE TABLE import_failed (
    import_id uuid NOT NULL REFERENCES imports ON DELETE CASCADE,
    line bigint NOT NULL,
    org_id uuid NOT NULL,
    cells jsonb NOT NULL,
    PRIMARY KEY (import_id, line)
);
SELECT isolate('import_failed');
GRANT SELECT, INSERT, UPDATE, DELETE ON import_failed TO opportunities_writer;
