-- By what else runs are found, newest first: the agents that take part and the labels. `tag` is the first half of a
-- SHA-256 (`store::run_tags` says of what), so that it has one short length whatever the label.
CREATE TABLE ledger.run_tags (
    tag    uuid NOT NULL,
    run_id uuid NOT NULL,
    PRIMARY KEY (tag, run_id)
) PARTITION BY RANGE (run_id);

CREATE TABLE ledger.run_tags_default PARTITION OF ledger.run_tags DEFAULT;

-- Only for taking the tags of given runs away; rows come in the order of the runs.
CREATE INDEX run_tags_by_run ON ledger.run_tags USING brin (run_id);

-- the runs that are there already
INSERT INTO ledger.run_tags (tag, run_id)
SELECT encode(substring(sha256('\x6167656e7400'::bytea || convert_to(agent, 'UTF8')) FROM 1 FOR 16), 'hex')::uuid, run_id
FROM (SELECT DISTINCT run_id, agent FROM state.journal WHERE agent IS NOT NULL) AS worked
UNION
SELECT encode(substring(sha256('\x6c6162656c00'::bytea || convert_to(key || ':' || value, 'UTF8')) FROM 1 FOR 16), 'hex')::uuid, run_id
FROM ledger.runs, jsonb_each_text(labels);
