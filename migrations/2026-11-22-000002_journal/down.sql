DROP TABLE state.journal;
