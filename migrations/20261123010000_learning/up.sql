-- What was learned. In the schema `public`, under the names that the architecture gives them: neither restored by a
-- rollback nor part of the ledger. Rows are only ever added. Partitions of the first and the last table are by month.

CREATE TABLE agent_performance_metrics (
    id                bigserial    NOT NULL,
    agent_id          varchar(64)  NOT NULL,
    -- the id of the tool
    task_type         varchar(128) NOT NULL,
    execution_time_ms integer      NOT NULL CHECK (execution_time_ms >= 0),
    -- of this one attempt: 100.00 or 0.00
    success_rate      decimal(5,2) NOT NULL CHECK (success_rate BETWEEN 0 AND 100),
    resource_usage    jsonb,
    -- of the first attempt with the same words within an hour; the others are counted in agent_task_hours
    vector_embedding  vector(256),
    timestamp         timestamptz  NOT NULL DEFAULT now(),
    -- where the signature is that covers this row: `log#index@sha256:leaf hash` of the audit entry about the attempt
    tpm_signature     bytea,
    node              text         NOT NULL,
    run_id            uuid         NOT NULL,
    step              text         NOT NULL,
    attempt           integer      NOT NULL CHECK (attempt > 0),
    outcome           text         NOT NULL,
    PRIMARY KEY (id, timestamp)
) PARTITION BY RANGE (timestamp);

-- otherwise a row of over 2 kB would push the vector out of the table
ALTER TABLE agent_performance_metrics ALTER COLUMN vector_embedding SET STORAGE PLAIN;

CREATE TABLE agent_performance_metrics_default PARTITION OF agent_performance_metrics DEFAULT;

-- a lesson that is handed over twice is stored once
CREATE UNIQUE INDEX idx_agent_perf_attempt ON agent_performance_metrics (run_id, step, attempt, timestamp);
CREATE INDEX idx_agent_perf_time ON agent_performance_metrics (agent_id, timestamp);
CREATE INDEX idx_agent_perf_type ON agent_performance_metrics (task_type, timestamp);
CREATE INDEX idx_agent_perf_brin ON agent_performance_metrics USING brin (timestamp);
-- a query must repeat the cast
CREATE INDEX idx_vector_similarity ON agent_performance_metrics
    USING hnsw ((vector_embedding::halfvec(256)) halfvec_cosine_ops) WITH (m = 16, ef_construction = 64);

-- How often an agent did a task in the same words with the same tool within an hour, and how that went.
CREATE TABLE agent_task_hours (
    node      text         NOT NULL,
    agent_id  varchar(64)  NOT NULL,
    task_type varchar(128) NOT NULL,
    run_id    uuid         NOT NULL,
    step      text         NOT NULL,
    attempt   integer      NOT NULL,
    task_hash bytea        NOT NULL CHECK (octet_length(task_hash) = 16),
    hour      timestamptz  NOT NULL,
    task_text text         NOT NULL,
    successes integer      NOT NULL,
    failures  integer      NOT NULL,
    PRIMARY KEY (node, agent_id, task_type, task_hash, hour)
) WITH (fillfactor = 80);

-- from the row with the vector to its counts
CREATE INDEX agent_task_hours_first ON agent_task_hours (run_id, step, attempt);

CREATE TABLE dsmil_device_analytics (
    node                text         NOT NULL,
    device_id           integer      NOT NULL,
    device_name         varchar(128) NOT NULL,
    access_patterns     jsonb,
    security_events     jsonb,
    performance_metrics jsonb,
    ml_predictions      vector(128),
    tpm_attestation     bytea,
    last_updated        timestamptz  NOT NULL DEFAULT now(),
    PRIMARY KEY (node, device_id)
);

CREATE TABLE system_coordination_log (
    id                   bigserial   NOT NULL,
    -- the id of the run
    coordination_id      uuid        NOT NULL,
    participating_agents text[],
    -- the name of the workflow
    workflow_type        varchar(64),
    execution_graph      jsonb,
    timing_metrics       jsonb,
    -- as tpm_signature above, of the entry about the end of the run
    tpm_chain_signature  bytea,
    timestamp            timestamptz NOT NULL DEFAULT now(),
    node                 text        NOT NULL,
    PRIMARY KEY (id, timestamp)
) PARTITION BY RANGE (timestamp);

CREATE TABLE system_coordination_log_default PARTITION OF system_coordination_log DEFAULT;

CREATE UNIQUE INDEX idx_coordination_run ON system_coordination_log (coordination_id, timestamp);
CREATE INDEX idx_coordination_time ON system_coordination_log (workflow_type, timestamp);
CREATE INDEX idx_coordination_brin ON system_coordination_log USING brin (timestamp);
