//! The tables as diesel sees them; the migrations are what makes them.

diesel::table! {
    ledger.runs (run_id) {
        run_id -> Uuid,
        node -> Text,
        epoch -> Int8,
        name -> Text,
        mode -> Text,
        priority -> Text,
        labels -> Jsonb,
        accepted -> Timestamptz,
        status -> Text,
        success_rate -> Nullable<Float8>,
        coverage -> Nullable<Float8>,
        execution_time_ms -> Nullable<Int8>,
        finished -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    state.journal (run_id, seq) {
        run_id -> Uuid,
        seq -> Int4,
        node -> Text,
        epoch -> Int8,
        at -> Timestamptz,
        kind -> Text,
        step -> Nullable<Text>,
        agent -> Nullable<Text>,
        tool -> Nullable<Text>,
        status -> Nullable<Text>,
        body -> Jsonb,
        audit_index -> Nullable<Int8>,
        leaf_hash -> Nullable<Bytea>,
    }
}

diesel::table! {
    ledger.audit_entries (node, idx) {
        node -> Text,
        idx -> Int8,
        at -> Timestamptz,
        leaf -> Bytea,
        leaf_hash -> Bytea,
    }
}
