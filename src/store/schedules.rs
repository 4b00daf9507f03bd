//! Schedules and their firings. Every write is let through only for the epoch that holds the node.
use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::sql_types::{Array, BigInt, Bool, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use tracing::error;
use uuid::Uuid;

use crate::ids::{NodeId, RunId, ScheduleName};
use crate::schedules::read::read_rules;
use crate::schedules::record::{Firing, FiringState, Kept, Schedule, key, principal};
use crate::store::batch::json_text;
use crate::store::database::{Connection, Readers};
use crate::store::error::{from_query, is_duplicate};
use crate::store::nodes::{fenced, newest_epoch};
use crate::workflow::fault::Fault;
use crate::workflow::record::StoreError;

/// So many firings of a schedule are kept, those aside that are not settled or whose run is open.
const KEPT: i64 = 1_000;

/// Begins each write: no row, and so no write, unless the epoch ($2) holds the node ($1).
const ME: &str = "WITH me AS (SELECT node, epoch FROM ledger.nodes WHERE node = $1 AND epoch = $2 FOR SHARE)";

/// Who writes.
#[derive(Clone)]
pub struct Hand {
    pub database: Readers,
    pub node: NodeId,
    pub epoch: i64,
}

#[derive(QueryableByName)]
struct Written {
    #[diesel(sql_type = BigInt)]
    me: i64,
    #[diesel(sql_type = Array<Timestamptz>)]
    due: Vec<DateTime<Utc>>,
}

impl Hand {
    /// A write that begins with `ME`, and that may bind from `$3` on.
    fn write(&self, rest: &str) -> BoxedSqlQuery<'static, diesel::pg::Pg, SqlQuery> {
        let (node, epoch) = (self.node.as_str().to_owned(), self.epoch);
        sql_query(format!("{ME}, {rest}")).into_boxed().bind::<Text, _>(node).bind::<BigInt, _>(epoch)
    }

    /// Answers the times that the statement gave back.
    async fn carry_out(
        &self,
        write: BoxedSqlQuery<'static, diesel::pg::Pg, SqlQuery>,
    ) -> Result<Vec<DateTime<Utc>>, StoreError> {
        let mut connection = self.database.get().await?;
        let written: Written = write.get_result(&mut connection).await.map_err(|error| from_query(&error))?;
        self.held(written.me, &mut connection).await?;
        Ok(written.due)
    }

    async fn held(&self, me: i64, connection: &mut Connection) -> Result<(), StoreError> {
        if me > 0 {
            return Ok(());
        }
        Err(fenced(&self.node, self.epoch, newest_epoch(connection, &self.node).await?))
    }

    /// False: another schedule has its name.
    pub async fn insert(&self, schedule: &Schedule) -> Result<bool, StoreError> {
        let write = self
            .write(
                "new AS (INSERT INTO ledger.schedules (node, schedule_id, epoch, name, workflow, rules, paused, \
                    created, created_by, next_due) \
                    SELECT node, $3, epoch, $4, $5::jsonb, $6::jsonb, $7, $8, $9, $10 FROM me) \
                 SELECT (SELECT count(*) FROM me) AS me, '{}'::timestamptz[] AS due",
            )
            .bind::<SqlUuid, _>(schedule.id)
            .bind::<Text, _>(schedule.name.as_str().to_owned())
            .bind::<Text, _>(json_text(&schedule.workflow))
            .bind::<Text, _>(json_text(&schedule.rules.to_json()))
            .bind::<Bool, _>(schedule.paused)
            .bind::<Timestamptz, _>(schedule.created)
            .bind::<Text, _>(schedule.created_by.clone())
            .bind::<Nullable<Timestamptz>, _>(schedule.next_due);
        let mut connection = self.database.get().await?;
        match write.get_result::<Written>(&mut connection).await {
            Ok(written) => self.held(written.me, &mut connection).await.map(|()| true),
            Err(error) if is_duplicate(&error) => Ok(false),
            Err(error) => Err(from_query(&error)),
        }
    }

    pub async fn pause(&self, id: Uuid, paused: bool, next_due: Option<DateTime<Utc>>) -> Result<(), StoreError> {
        let write = self
            .write(
                "set AS (UPDATE ledger.schedules s SET paused = $4, next_due = $5, epoch = me.epoch FROM me \
                    WHERE s.node = me.node AND s.schedule_id = $3) \
                 SELECT (SELECT count(*) FROM me) AS me, '{}'::timestamptz[] AS due",
            )
            .bind::<SqlUuid, _>(id)
            .bind::<Bool, _>(paused)
            .bind::<Nullable<Timestamptz>, _>(next_due);
        self.carry_out(write).await.map(drop)
    }

    pub async fn delete(&self, id: Uuid, name: &ScheduleName) -> Result<(), StoreError> {
        let write = self
            .write(
                "gone AS (DELETE FROM ledger.schedules s USING me WHERE s.node = me.node AND s.schedule_id = $3), \
                 freed AS (DELETE FROM ledger.submissions s USING me WHERE s.node = me.node AND s.principal = $4) \
                 SELECT (SELECT count(*) FROM me) AS me, '{}'::timestamptz[] AS due",
            )
            .bind::<SqlUuid, _>(id)
            .bind::<Text, _>(principal(name));
        self.carry_out(write).await.map(drop)
    }

    /// Answers the times of those that are to be carried out.
    pub async fn record(
        &self,
        id: Uuid,
        firings: &[Firing],
        next_due: Option<DateTime<Utc>>,
    ) -> Result<Vec<DateTime<Utc>>, StoreError> {
        // A row that is there stays as it is; the update only makes it come back.
        let write = self
            .write(
                "new AS (INSERT INTO ledger.schedule_firings AS f (node, schedule_id, due, epoch, ordered_by, state, \
                    detail) SELECT me.node, $3, u.due, me.epoch, u.ordered_by, u.state, u.detail \
                    FROM me, unnest($4, $5, $6, $7) AS u (due, ordered_by, state, detail) \
                    ON CONFLICT (node, schedule_id, due) DO UPDATE SET state = f.state RETURNING f.due, f.state), \
                 moved AS (UPDATE ledger.schedules s SET next_due = $8, epoch = me.epoch FROM me \
                    WHERE s.node = me.node AND s.schedule_id = $3), \
                 pruned AS (DELETE FROM ledger.schedule_firings f USING me \
                    WHERE f.node = me.node AND f.schedule_id = $3 AND f.state <> 'due' \
                    AND f.due < (SELECT o.due FROM ledger.schedule_firings o WHERE o.node = $1 AND o.schedule_id = $3 \
                        ORDER BY o.due DESC OFFSET $9 LIMIT 1) \
                    AND NOT EXISTS (SELECT FROM ledger.runs r WHERE r.run_id = f.run_id AND r.finished IS NULL)) \
                 SELECT (SELECT count(*) FROM me) AS me, \
                    ARRAY(SELECT due FROM new WHERE state = 'due' ORDER BY due) AS due",
            )
            .bind::<SqlUuid, _>(id)
            .bind::<Array<Timestamptz>, _>(firings.iter().map(|firing| firing.due).collect::<Vec<_>>())
            .bind::<Array<Nullable<Text>>, _>(firings.iter().map(|f| f.ordered_by.clone()).collect::<Vec<_>>())
            .bind::<Array<Text>, _>(firings.iter().map(|f| f.state.as_str().to_owned()).collect::<Vec<_>>())
            .bind::<Array<Nullable<Text>>, _>(firings.iter().map(|f| f.detail.clone()).collect::<Vec<_>>())
            .bind::<Nullable<Timestamptz>, _>(next_due)
            .bind::<BigInt, _>(KEPT);
        self.carry_out(write).await
    }

    pub async fn settle(&self, id: Uuid, name: &ScheduleName, firing: &Firing) -> Result<(), StoreError> {
        let write = self
            .write(
                "settled AS (UPDATE ledger.schedule_firings f SET state = $5, run_id = $6, detail = $7, \
                    epoch = me.epoch FROM me WHERE f.node = me.node AND f.schedule_id = $3 AND f.due = $4), \
                 freed AS (DELETE FROM ledger.submissions s USING me \
                    WHERE s.node = me.node AND s.principal = $8 AND s.key = $9) \
                 SELECT (SELECT count(*) FROM me) AS me, '{}'::timestamptz[] AS due",
            )
            .bind::<SqlUuid, _>(id)
            .bind::<Timestamptz, _>(firing.due)
            .bind::<Text, _>(firing.state.as_str())
            .bind::<Nullable<SqlUuid>, _>(firing.run.map(|run| run.0))
            .bind::<Nullable<Text>, _>(firing.detail.clone())
            .bind::<Text, _>(principal(name))
            .bind::<Text, _>(key(id, firing.due));
        self.carry_out(write).await.map(drop)
    }
}

#[derive(QueryableByName)]
struct RawSchedule {
    #[diesel(sql_type = SqlUuid)]
    schedule_id: Uuid,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Jsonb)]
    workflow: Value,
    #[diesel(sql_type = Jsonb)]
    rules: Value,
    #[diesel(sql_type = Bool)]
    paused: bool,
    #[diesel(sql_type = Timestamptz)]
    created: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    created_by: String,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    next_due: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct RawFiring {
    #[diesel(sql_type = SqlUuid)]
    schedule_id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    due: DateTime<Utc>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    run_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    ordered_by: Option<String>,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Nullable<Text>)]
    detail: Option<String>,
}

impl TryFrom<RawSchedule> for Schedule {
    type Error = StoreError;
    fn try_from(raw: RawSchedule) -> Result<Self, StoreError> {
        let damaged = |detail: String| StoreError::Damaged { table: "ledger.schedules", detail };
        let rules = read_rules(&raw.rules, raw.created);
        let told = |faults: Vec<Fault>| {
            let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
            damaged(format!("{}: {}", raw.name, texts.join("; ")))
        };
        Ok(Schedule {
            id: raw.schedule_id,
            name: ScheduleName::new(&raw.name).map_err(|bad| damaged(bad.to_string()))?,
            workflow: raw.workflow,
            rules: rules.map_err(told)?,
            paused: raw.paused,
            created: raw.created,
            created_by: raw.created_by,
            next_due: raw.next_due,
        })
    }
}

impl TryFrom<RawFiring> for Firing {
    type Error = StoreError;
    fn try_from(raw: RawFiring) -> Result<Self, StoreError> {
        let detail = format!("a firing is in the state `{}`", raw.state);
        let damaged = StoreError::Damaged { table: "ledger.schedule_firings", detail };
        Ok(Firing {
            due: raw.due,
            run: raw.run_id.map(RunId),
            ordered_by: raw.ordered_by,
            state: FiringState::parse(&raw.state).ok_or(damaged)?,
            detail: raw.detail,
        })
    }
}

/// All schedules of the node, by name, with what is left to be done of each.
pub async fn load(database: &Readers, node: &NodeId) -> Result<Vec<Kept>, StoreError> {
    let mut connection = database.get().await?;
    let schedules: Vec<RawSchedule> = sql_query(
        "SELECT schedule_id, name, workflow, rules, paused, created, created_by, next_due \
         FROM ledger.schedules WHERE node = $1 ORDER BY name",
    )
    .bind::<Text, _>(node.as_str())
    .load(&mut connection)
    .await
    .map_err(|error| from_query(&error))?;
    let firings: Vec<RawFiring> = sql_query(
        "SELECT schedule_id, due, run_id, ordered_by, state, detail FROM ledger.schedule_firings \
            WHERE node = $1 AND state = 'due' \
         UNION ALL SELECT f.schedule_id, f.due, f.run_id, f.ordered_by, f.state, f.detail \
            FROM ledger.runs r JOIN ledger.schedule_firings f ON f.node = $1 AND f.run_id = r.run_id \
            WHERE r.node = $1 AND r.finished IS NULL ORDER BY due",
    )
    .bind::<Text, _>(node.as_str())
    .load(&mut connection)
    .await
    .map_err(|error| from_query(&error))?;
    let newest: Vec<RawFiring> = sql_query(
        "SELECT f.* FROM ledger.schedules s CROSS JOIN LATERAL (SELECT schedule_id, due, run_id, ordered_by, state, \
            detail FROM ledger.schedule_firings WHERE node = s.node AND schedule_id = s.schedule_id \
            AND state <> 'due' ORDER BY due DESC LIMIT 1) f WHERE s.node = $1",
    )
    .bind::<Text, _>(node.as_str())
    .load(&mut connection)
    .await
    .map_err(|error| from_query(&error))?;
    let (mut of, mut last) = (HashMap::<Uuid, Vec<Firing>>::new(), HashMap::new());
    for (id, firing) in firings.into_iter().filter_map(readable) {
        of.entry(id).or_default().push(firing);
    }
    last.extend(newest.into_iter().filter_map(readable));
    let mut kept = Vec::with_capacity(schedules.len());
    for raw in schedules {
        let (name, id) = (raw.name.clone(), raw.schedule_id);
        let schedule = match Schedule::try_from(raw) {
            Ok(schedule) => schedule,
            Err(fault) => {
                error!(schedule = name, "schedule {name} is left out: {fault}");
                continue;
            }
        };
        let (due, started): (Vec<Firing>, Vec<Firing>) =
            of.remove(&id).unwrap_or_default().into_iter().partition(|firing| firing.state == FiringState::Due);
        let open = started.into_iter().filter_map(|firing| firing.run).collect();
        kept.push(Kept { schedule, due, open, last: last.remove(&id) });
    }
    Ok(kept)
}

/// One that cannot be read must not keep the others from their work.
fn readable(raw: RawFiring) -> Option<(Uuid, Firing)> {
    let id = raw.schedule_id;
    match Firing::try_from(raw) {
        Ok(firing) => Some((id, firing)),
        Err(fault) => {
            error!(schedule.id = %id, "a firing of schedule {id} is left out: {fault}");
            None
        }
    }
}

/// The newest firings of a schedule.
pub async fn firings(database: &Readers, node: &NodeId, id: Uuid, limit: u32) -> Result<Vec<Firing>, StoreError> {
    let rows: Vec<RawFiring> = sql_query(
        "SELECT schedule_id, due, run_id, ordered_by, state, detail FROM ledger.schedule_firings \
         WHERE node = $1 AND schedule_id = $2 ORDER BY due DESC LIMIT $3",
    )
    .bind::<Text, _>(node.as_str())
    .bind::<SqlUuid, _>(id)
    .bind::<Integer, _>(i32::try_from(limit).unwrap_or(i32::MAX))
    .load(&mut database.get().await?)
    .await
    .map_err(|error| from_query(&error))?;
    rows.into_iter().map(Firing::try_from).collect()
}
