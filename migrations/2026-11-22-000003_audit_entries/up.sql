-- The outbox of the audit log: the exact bytes of each leaf, in the order of the log of its node.
CREATE TABLE ledger.audit_entries (
    node      text        NOT NULL,
    idx       bigint      NOT NULL CHECK (idx >= 0),
    at        timestamptz NOT NULL,
    leaf      bytea       NOT NULL,
    leaf_hash bytea       NOT NULL CHECK (octet_length(leaf_hash) = 32),
    PRIMARY KEY (node, idx)
) PARTITION BY RANGE (idx);

CREATE TABLE ledger.audit_entries_default PARTITION OF ledger.audit_entries DEFAULT;
