DROP TABLE ledger.runs;
