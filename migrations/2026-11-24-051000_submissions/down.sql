DROP TABLE ledger.submissions;
