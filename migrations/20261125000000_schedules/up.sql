-- Schedules never go back with a rollback: what was deleted does not begin to fire again.
CREATE TABLE ledger.schedules (
    node        text        NOT NULL,
    schedule_id uuid        NOT NULL,
    epoch       bigint      NOT NULL,
    name        text        NOT NULL,
    -- what is to run: checked when it was handed in, and again at each firing
    workflow    jsonb       NOT NULL,
    -- when it is to run: the keys of the document, without `name`, `workflow` and `paused`
    rules       jsonb       NOT NULL,
    paused      boolean     NOT NULL,
    created     timestamptz NOT NULL,
    created_by  text        NOT NULL,
    -- all that was due before has a row among the firings; none: it is never due again
    next_due    timestamptz,
    PRIMARY KEY (node, schedule_id),
    UNIQUE (node, name)
);

-- One row per moment at which a schedule was due, stored before anything is done about it.
CREATE TABLE ledger.schedule_firings (
    node        text        NOT NULL,
    schedule_id uuid        NOT NULL,
    due         timestamptz NOT NULL,
    epoch       bigint      NOT NULL,
    -- what it started
    run_id      uuid,
    -- whom a person's order came from; none: it was due
    ordered_by  text,
    state       text        NOT NULL CHECK (state IN ('due', 'started', 'skipped', 'missed', 'failed')),
    detail      text,
    PRIMARY KEY (node, schedule_id, due),
    FOREIGN KEY (node, schedule_id) REFERENCES ledger.schedules ON DELETE CASCADE,
    CHECK ((run_id IS NOT NULL) = (state = 'started'))
);

-- what a starting service carries on with
CREATE INDEX schedule_firings_due ON ledger.schedule_firings (node, schedule_id) WHERE state = 'due';
