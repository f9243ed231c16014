-- How often a worker took an import up and neither moved it on nor gave it back, as one does not that dies, and the rows that were done
-- then: what kills every worker is not taken up for ever.
ALTER TABLE imports ADD tries int NOT NULL DEFAULT 0, ADD tried_at bigint;
