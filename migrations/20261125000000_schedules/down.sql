DROP TABLE ledger.schedule_firings;
DROP TABLE ledger.schedules;
