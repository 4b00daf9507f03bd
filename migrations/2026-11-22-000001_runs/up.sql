-- Run ids are version-7 UUIDs: they sort by time, so a range of ids is a range of time.
CREATE TABLE ledger.runs (
    run_id            uuid             NOT NULL,
    node              text             NOT NULL,
    epoch             bigint           NOT NULL,
    name              text             NOT NULL,
    mode              text             NOT NULL,
    priority          text             NOT NULL,
    labels            jsonb            NOT NULL,
    accepted          timestamptz      NOT NULL,
    status            text             NOT NULL,
    success_rate      double precision,
    coverage          double precision,
    execution_time_ms bigint,
    finished          timestamptz,
    PRIMARY KEY (run_id)
) PARTITION BY RANGE (run_id);

CREATE TABLE ledger.runs_default PARTITION OF ledger.runs DEFAULT;

-- what a starting service carries on with
CREATE INDEX runs_open ON ledger.runs (node, run_id) WHERE finished IS NULL;
-- lists, newest first
CREATE INDEX runs_by_status ON ledger.runs (status, run_id DESC);
CREATE INDEX runs_by_name ON ledger.runs (name, run_id DESC);
