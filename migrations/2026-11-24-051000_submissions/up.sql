-- Which run an idempotency key started: written by the commit that accepts the run, deleted when its time is up.
CREATE TABLE ledger.submissions (
    node      text        NOT NULL,
    principal text        NOT NULL,
    key       text        NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    -- SHA-256 of the body as canonical JSON
    body_hash bytea       NOT NULL CHECK (octet_length(body_hash) = 32),
    run_id    uuid        NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (node, principal, key)
);

-- those whose time is up
CREATE INDEX submissions_by_time ON ledger.submissions (node, at);
