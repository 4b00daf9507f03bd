-- Alerts that fired, one row for each time: what happened is not rolled back.
CREATE TABLE ledger.alerts (
    node        text             NOT NULL,
    fingerprint text             NOT NULL,
    fired       timestamptz      NOT NULL,
    rule        text             NOT NULL,
    severity    text             NOT NULL,
    state       text             NOT NULL,
    resolved    timestamptz,
    body        jsonb            NOT NULL,
    PRIMARY KEY (node, fingerprint, fired)
);

-- what a starting service takes up
CREATE INDEX alerts_firing ON ledger.alerts (node) WHERE state = 'firing';
-- lists, newest first
CREATE INDEX alerts_by_time ON ledger.alerts (node, fired DESC);
