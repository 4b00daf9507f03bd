DROP TABLE ledger.tokens;
