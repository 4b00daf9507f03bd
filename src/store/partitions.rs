//! Partitions are made ahead of time: runs, journal and what was learned by month, audit entries by index.
//!
//! A row that finds no partition goes to the default one and is moved when its partition is made.
use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};
use diesel::sql_types::{Bool, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection, RunQueryDsl, SimpleAsyncConnection};
use uuid::Uuid;

use crate::store::database::{Connection, Database};
use crate::store::error::from_query;
use crate::workflow::record::StoreError;

/// Audit entries per partition.
pub const SPAN: u64 = 5_000_000;

/// One partition: `from <= key < to`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Partition {
    parent: &'static str,
    key: &'static str,
    name: String,
    from: String,
    to: String,
}

/// Makes the partitions of this month and the next, and those of the audit indexes from `next_index` on.
pub async fn maintain(database: &Database, now: DateTime<Utc>, next_index: u64) -> Result<(), StoreError> {
    ensure(&mut database.connect().await?, now, next_index).await
}

pub(super) async fn ensure(connection: &mut Connection, now: DateTime<Utc>, next_index: u64) -> Result<(), StoreError> {
    for partition in wanted(now, next_index) {
        if !exists(connection, &partition).await? {
            make(connection, &partition).await.map_err(|error| from_query(&error))?;
            tracing::debug!(partition = partition.name, "made a partition");
        }
    }
    Ok(())
}

fn wanted(now: DateTime<Utc>, next_index: u64) -> Vec<Partition> {
    let this_month = now.date_naive().with_day(1).unwrap_or_default();
    let mut all = Vec::new();
    for month in [this_month, this_month + Months::new(1)] {
        let bounds = [month, month + Months::new(1)].map(|day| format!("'{}'", first_uuid_of(day)));
        for parent in ["ledger.runs", "state.journal", "ledger.run_tags"] {
            let [from, to] = bounds.clone();
            let name = format!("{parent}_{}", month.format("%Y_%m"));
            all.push(Partition { parent, key: "run_id", name, from, to });
        }
    }
    let number = next_index / SPAN;
    for number in [number, number + 1] {
        let (parent, key) = ("ledger.audit_entries", "idx");
        let bounds = [number * SPAN, (number + 1) * SPAN].map(|bound| bound.to_string());
        let [from, to] = bounds;
        all.push(Partition { parent, key, name: format!("{parent}_{number:06}"), from, to });
    }
    for month in [this_month, this_month + Months::new(1)] {
        let [from, to] = [month, month + Months::new(1)].map(|day| format!("'{day} 00:00:00+00'"));
        for (parent, key) in [("agent_performance_metrics", "timestamp"), ("system_coordination_log", "timestamp")] {
            let (from, to) = (from.clone(), to.clone());
            all.push(Partition { parent, key, name: format!("{parent}_{}", month.format("%Y_%m")), from, to });
        }
    }
    all
}

fn first_uuid_of(day: NaiveDate) -> Uuid {
    first_uuid(day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis())
}

/// The least UUID that a version-7 id of this millisecond can be above: its first 48 bits are milliseconds.
pub(super) fn first_uuid(millis: i64) -> Uuid {
    Uuid::from_u128(u128::from(millis.max(0).unsigned_abs().min((1 << 48) - 1)) << 80)
}

#[derive(QueryableByName)]
struct Exists {
    #[diesel(sql_type = Bool)]
    yes: bool,
}

async fn exists(connection: &mut Connection, partition: &Partition) -> Result<bool, StoreError> {
    let found: Result<Exists, _> = sql_query("SELECT to_regclass($1) IS NOT NULL AS yes")
        .bind::<Text, _>(&partition.name)
        .get_result(connection)
        .await;
    found.map(|exists| exists.yes).map_err(|error| from_query(&error))
}

async fn make(connection: &mut Connection, partition: &Partition) -> Result<(), diesel::result::Error> {
    let Partition { parent, key, name, from, to } = partition;
    // Rows are only ever added: vacuum early, so that index-only scans and freezing keep up.
    let sql = format!(
        "SELECT pg_advisory_xact_lock(7305448813);\n\
         CREATE TABLE IF NOT EXISTS {name} (LIKE {parent} INCLUDING ALL) \
             WITH (autovacuum_vacuum_insert_scale_factor = 0.05);\n\
         LOCK TABLE {parent}_default IN ACCESS EXCLUSIVE MODE;\n\
         WITH moved AS (DELETE FROM {parent}_default WHERE {key} >= {from} AND {key} < {to} RETURNING *)\n\
             INSERT INTO {name} SELECT * FROM moved;\n\
         DO $$ BEGIN\n\
             IF NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = '{name}'::regclass) THEN\n\
                 ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ({from}) TO ({to});\n\
             END IF;\n\
         END $$;"
    );
    connection.transaction(async |connection| connection.batch_execute(&sql).await).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn the_year_turns_over() {
        let wanted = wanted(at("2026-12-31T23:59:59Z"), 0);
        let names: Vec<_> = wanted.iter().map(|partition| partition.name.as_str()).collect();
        let expected = [
            "ledger.runs_2026_12",
            "state.journal_2026_12",
            "ledger.run_tags_2026_12",
            "ledger.runs_2027_01",
            "state.journal_2027_01",
            "ledger.run_tags_2027_01",
            "ledger.audit_entries_000000",
            "ledger.audit_entries_000001",
            "agent_performance_metrics_2026_12",
            "system_coordination_log_2026_12",
            "agent_performance_metrics_2027_01",
            "system_coordination_log_2027_01",
        ];
        assert_eq!(names, expected);
        assert_eq!(wanted[0].to, wanted[3].from, "no gap between the months");
        assert_eq!(wanted[8].to, wanted[10].from, "no gap between the months");
    }

    #[test]
    fn the_index_chooses_its_partition_and_the_next() {
        let wanted = wanted(at("2026-11-22T00:00:00Z"), 2 * SPAN);
        assert_eq!(wanted[6].from, (2 * SPAN).to_string());
        assert_eq!(wanted[7].to, (4 * SPAN).to_string());
    }

    #[test]
    fn an_id_of_the_first_moment_is_not_below_the_bound() {
        let day = NaiveDate::from_ymd_opt(2026, 12, 1).expect("a day");
        let bound = first_uuid_of(day);
        let seconds = u64::try_from(day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp()).expect("after 1970");
        let context = uuid::NoContext;
        let first = Uuid::new_v7(uuid::Timestamp::from_unix(context, seconds, 0));
        let last = Uuid::new_v7(uuid::Timestamp::from_unix(context, seconds - 1, 999_999_999));
        assert!(last < bound && bound <= first, "{last} < {bound} <= {first}");
    }
}
