-- The events of runs: `body` is the event, the columns beside it are for finding.
CREATE TABLE state.journal (
    run_id      uuid        NOT NULL,
    seq         integer     NOT NULL CHECK (seq >= 0),
    node        text        NOT NULL,
    epoch       bigint      NOT NULL,
    at          timestamptz NOT NULL,
    kind        text        NOT NULL,
    step        text,
    agent       text,
    tool        text,
    status      text,
    body        jsonb       NOT NULL,
    -- the audit entry of the same transaction
    audit_index bigint,
    leaf_hash   bytea,
    PRIMARY KEY (run_id, seq),
    CHECK ((audit_index IS NULL) = (leaf_hash IS NULL))
) PARTITION BY RANGE (run_id);

CREATE TABLE state.journal_default PARTITION OF state.journal DEFAULT;

-- the newest good attempt of an agent with a tool
CREATE INDEX journal_good_attempts ON state.journal (node, agent, tool, at DESC) WHERE status IN ('ok', 'degraded');
