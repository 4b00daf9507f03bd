DROP TABLE ledger.audit_entries;
