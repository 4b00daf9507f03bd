-- state: what a rollback restores. ledger: what never goes back.
CREATE SCHEMA state;
CREATE SCHEMA ledger;

CREATE EXTENSION IF NOT EXISTS vector;

-- One row per machine. `epoch` counts the starts of its service, `session` the connections of its writer: a commit
-- that was sent under an earlier one of either writes nothing.
CREATE TABLE ledger.nodes (
    node       text        PRIMARY KEY,
    epoch      bigint      NOT NULL,
    session    bigint      NOT NULL,
    epoch_at   timestamptz NOT NULL,
    enrolled   timestamptz NOT NULL DEFAULT now()
);
