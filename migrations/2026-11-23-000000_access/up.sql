-- Tokens never go back with a rollback: what was revoked stays revoked.
CREATE TABLE ledger.tokens (
    token_id   text        PRIMARY KEY CHECK (token_id ~ '^[0-9a-f]{12}$'),
    node       text        NOT NULL,
    name       text        NOT NULL,
    role       text        NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    -- SHA-256 of the whole token; the token itself is nowhere
    hash       bytea       NOT NULL CHECK (octet_length(hash) = 32),
    created    timestamptz NOT NULL,
    created_by text        NOT NULL,
    expires    timestamptz,
    revoked    timestamptz,
    revoked_by text
);
