DROP TABLE ledger.alerts;
