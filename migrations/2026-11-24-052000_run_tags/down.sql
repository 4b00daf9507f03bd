DROP TABLE ledger.run_tags;
