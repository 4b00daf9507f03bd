//! The statement of a group commit: one round trip that checks the pass, writes all tables and is durable when it
//! answers; and the look-up of what a repeated request has stored before.
use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Bool, Bytea, Double, Integer, Nullable, Text, Timestamptz};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, QueryResult, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::ids::NodeId;
use crate::store::batch::{Claim, Known, Leaf, NewRow, Plan, RunChange, StoredRow, Work};
use crate::store::database::Connection;
use crate::store::nodes::Pass;
use crate::store::schema::runs;
use crate::store::submissions;

/// What the database found when it checked the pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The newest pass; the group was written if it is the one shown.
    pub pass: Pass,
    /// Runs among those to be updated that exist on this node; nothing was written if one is missing.
    pub found: usize,
    pub expected: usize,
}

/// Commits the plan. An error that leaves the connection alive has written nothing. No verdict: the node is unknown.
pub(super) async fn commit(
    connection: &mut Connection,
    node: &NodeId,
    pass: Pass,
    plan: &Plan<'_>,
) -> QueryResult<Option<Verdict>> {
    let columns = Columns::of(plan);
    let expected = columns.changed.run_id.len();
    let statement = Commit { node: node.as_str(), pass, expected: as_i64(expected as u64), columns: &columns };
    let row: Option<(i64, i64, i64)> = statement.get_result(connection).await.optional()?;
    Ok(row.map(|(epoch, session, found)| {
        let found = usize::try_from(found).unwrap_or_default();
        Verdict { pass: Pass { epoch, session }, found, expected }
    }))
}

/// Finds which rows and runs of the group are stored.
pub(super) async fn look_up(
    connection: &mut Connection,
    node: &NodeId,
    works: &[&Work],
    keys_for: Duration,
) -> QueryResult<Known> {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = diesel::sql_types::Uuid)]
        run_id: Uuid,
        #[diesel(sql_type = Integer)]
        seq: i32,
        #[diesel(sql_type = Nullable<BigInt>)]
        audit_index: Option<i64>,
        #[diesel(sql_type = Bool)]
        same: bool,
    }
    let rows: Vec<_> = works.iter().flat_map(|work| work.rows()).collect();
    let found: Vec<Found> = sql_query(
        "SELECT j.run_id, j.seq, j.audit_index, j.kind = r.kind AND j.body = r.body::jsonb AS same \
         FROM unnest($1, $2, $3, $4) AS r (run_id, seq, kind, body) \
         JOIN state.journal j ON j.run_id = r.run_id AND j.seq = r.seq",
    )
    .bind::<Array<diesel::sql_types::Uuid>, _>(rows.iter().map(|(run, ..)| run.0).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(rows.iter().map(|(_, row, _)| as_i32(row.seq)).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(rows.iter().map(|(_, row, _)| row.kind.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(rows.iter().map(|(.., body)| *body).collect::<Vec<_>>())
    .load(connection)
    .await?;
    let wanted: HashSet<Uuid> = works.iter().filter_map(|work| work.run_id()).map(|run| run.0).collect();
    let present: Vec<Uuid> =
        runs::table.select(runs::run_id).filter(runs::run_id.eq_any(wanted)).load(connection).await?;
    let rows = found.into_iter().map(|row| {
        let stored = StoredRow { index: row.audit_index.and_then(|index| index.try_into().ok()), same: row.same };
        ((row.run_id, u32::try_from(row.seq).unwrap_or_default()), stored)
    });
    let claims: Vec<(&str, &str)> = works.iter().filter_map(|work| work.claim()).collect();
    let submissions = submissions::look_up(connection, node, &claims, keys_for).await?;
    Ok(Known { runs: present.into_iter().collect(), rows: rows.collect(), submissions })
}

/// The plan, column by column.
struct Columns<'a> {
    begun: RunColumns<'a>,
    changed: RunColumns<'a>,
    rows: RowColumns<'a>,
    tags: TagColumns,
    claims: ClaimColumns<'a>,
    leaves: LeafColumns<'a>,
}

#[derive(Default)]
struct RunColumns<'a> {
    run_id: Vec<Uuid>,
    name: Vec<&'a str>,
    mode: Vec<&'a str>,
    priority: Vec<&'a str>,
    labels: Vec<&'a str>,
    accepted: Vec<DateTime<Utc>>,
    status: Vec<&'a str>,
    success_rate: Vec<Option<f64>>,
    coverage: Vec<Option<f64>>,
    execution_time_ms: Vec<Option<i64>>,
    finished: Vec<Option<DateTime<Utc>>>,
}

#[derive(Default)]
struct RowColumns<'a> {
    run_id: Vec<Uuid>,
    seq: Vec<i32>,
    at: Vec<DateTime<Utc>>,
    kind: Vec<&'a str>,
    step: Vec<Option<&'a str>>,
    agent: Vec<Option<&'a str>>,
    tool: Vec<Option<&'a str>>,
    status: Vec<Option<&'a str>>,
    body: Vec<&'a str>,
    audit_index: Vec<Option<i64>>,
    leaf_hash: Vec<Option<&'a [u8]>>,
}

#[derive(Default)]
struct TagColumns {
    tag: Vec<Uuid>,
    run_id: Vec<Uuid>,
}

#[derive(Default)]
struct ClaimColumns<'a> {
    principal: Vec<&'a str>,
    key: Vec<&'a str>,
    body_hash: Vec<&'a [u8]>,
    run_id: Vec<Uuid>,
    at: Vec<DateTime<Utc>>,
}

#[derive(Default)]
struct LeafColumns<'a> {
    idx: Vec<i64>,
    at: Vec<DateTime<Utc>>,
    leaf: Vec<&'a [u8]>,
    leaf_hash: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn of(plan: &Plan<'a>) -> Self {
        let (mut begun, mut changed) = (RunColumns::default(), RunColumns::default());
        for run in &plan.runs {
            if run.header.is_some() { begun.push(run) } else { changed.push(run) }
        }
        let (mut rows, mut leaves) = (RowColumns::default(), LeafColumns::default());
        plan.rows.iter().for_each(|row| rows.push(row));
        let (tag, run_id) = plan.tags.iter().map(|(tag, run)| (*tag, run.0)).unzip();
        let mut claims = ClaimColumns::default();
        plan.claims.iter().for_each(|claim| claims.push(claim));
        plan.leaves.iter().for_each(|(index, leaf)| leaves.push(*index, leaf));
        Columns { begun, changed, rows, tags: TagColumns { tag, run_id }, claims, leaves }
    }
}

impl<'a> RunColumns<'a> {
    fn push(&mut self, change: &RunChange<'a>) {
        self.run_id.push(change.run.0);
        if let Some((header, labels)) = change.header {
            self.name.push(&header.name);
            self.mode.push(&header.mode);
            self.priority.push(&header.priority);
            self.labels.push(labels);
            self.accepted.push(header.accepted);
        }
        self.status.push(change.status);
        self.success_rate.push(change.outcome.and_then(|outcome| outcome.success_rate));
        self.coverage.push(change.outcome.and_then(|outcome| outcome.coverage));
        self.execution_time_ms.push(change.outcome.map(|outcome| as_i64(outcome.execution_time_ms)));
        self.finished.push(change.outcome.map(|outcome| outcome.finished));
    }
}

impl<'a> RowColumns<'a> {
    fn push(&mut self, new: &NewRow<'a>) {
        let row = new.row;
        self.run_id.push(new.run.0);
        self.seq.push(as_i32(row.seq));
        self.at.push(row.at);
        self.kind.push(&row.kind);
        self.step.push(row.step.as_ref().map(|id| id.as_str()));
        self.agent.push(row.agent.as_ref().map(|id| id.as_str()));
        self.tool.push(row.tool.as_ref().map(|id| id.as_str()));
        self.status.push(row.status.as_deref());
        self.body.push(new.body);
        self.audit_index.push(new.index.map(as_i64));
        self.leaf_hash.push(new.leaf.map(|leaf| leaf.hash.0.as_slice()));
    }
}

impl<'a> ClaimColumns<'a> {
    fn push(&mut self, claim: &Claim<'a>) {
        self.principal.push(claim.principal);
        self.key.push(claim.submission.key.as_str());
        self.body_hash.push(claim.submission.body.0.as_slice());
        self.run_id.push(claim.run.0);
        self.at.push(claim.at);
    }
}

impl<'a> LeafColumns<'a> {
    fn push(&mut self, index: u64, leaf: &'a Leaf) {
        self.idx.push(as_i64(index));
        self.at.push(leaf.at);
        self.leaf.push(&leaf.bytes);
        self.leaf_hash.push(leaf.hash.0.as_slice());
    }
}

// PostgreSQL has no unsigned numbers; a value that does not fit is refused by the table's checks.
fn as_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(-1)
}

fn as_i32(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(-1)
}

/// Written out as a query of its own, because diesel prepares such a query once per connection and `sql_query` each time.
#[derive(Clone, Copy)]
struct Commit<'a> {
    node: &'a str,
    pass: Pass,
    expected: i64,
    columns: &'a Columns<'a>,
}

impl QueryId for Commit<'_> {
    type QueryId = Commit<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for Commit<'_> {
    type SqlType = (BigInt, BigInt, BigInt);
}

impl QueryFragment<Pg> for Commit<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let Columns { begun, changed, rows, tags, claims, leaves } = self.columns;
        // The lock makes the start of another epoch or session wait for this commit, and this one for that.
        out.push_sql("WITH me AS (SELECT node, epoch, session FROM ledger.nodes WHERE node = ");
        out.push_bind_param::<Text, _>(self.node)?;
        out.push_sql(" FOR SHARE), changed AS (SELECT * FROM unnest(");
        out.push_bind_param::<Array<diesel::sql_types::Uuid>, _>(&changed.run_id)?;
        bind_state(&mut out, changed)?;
        out.push_sql(") AS u (run_id, status, success_rate, coverage, execution_time_ms, finished)), found AS (");
        out.push_sql("SELECT count(*) AS n FROM changed JOIN ledger.runs r USING (run_id) JOIN me ON r.node = me.node");
        out.push_sql("), gate AS (SELECT node, epoch FROM me, found WHERE epoch = ");
        out.push_bind_param::<BigInt, _>(&self.pass.epoch)?;
        out.push_sql(" AND session = ");
        out.push_bind_param::<BigInt, _>(&self.pass.session)?;
        out.push_sql(" AND n = ");
        out.push_bind_param::<BigInt, _>(&self.expected)?;

        out.push_sql("), insert_runs AS (INSERT INTO ledger.runs (node, epoch, run_id, name, mode, priority, labels, ");
        out.push_sql("accepted, status, success_rate, coverage, execution_time_ms, finished) SELECT gate.node, ");
        out.push_sql("gate.epoch, u.run_id, u.name, u.mode, u.priority, u.labels::jsonb, u.accepted, u.status, ");
        out.push_sql("u.success_rate, u.coverage, u.execution_time_ms, u.finished FROM gate, unnest(");
        out.push_bind_param::<Array<diesel::sql_types::Uuid>, _>(&begun.run_id)?;
        for column in [&begun.name, &begun.mode, &begun.priority, &begun.labels] {
            out.push_sql(", ");
            out.push_bind_param::<Array<Text>, _>(column)?;
        }
        out.push_sql(", ");
        out.push_bind_param::<Array<Timestamptz>, _>(&begun.accepted)?;
        bind_state(&mut out, begun)?;
        out.push_sql(") AS u (run_id, name, mode, priority, labels, accepted, status, success_rate, coverage, ");
        out.push_sql("execution_time_ms, finished)), ");

        // A run that ended may go on: then it has no outcome any more.
        out.push_sql("update_runs AS (UPDATE ledger.runs r SET status = u.status, success_rate = u.success_rate, ");
        out.push_sql("coverage = u.coverage, execution_time_ms = u.execution_time_ms, finished = u.finished ");
        out.push_sql("FROM gate, changed u WHERE r.run_id = u.run_id ");
        out.push_sql("AND (r.status <> u.status OR u.finished IS NOT NULL)), ");

        out.push_sql(
            "insert_rows AS (INSERT INTO state.journal (node, epoch, run_id, seq, at, kind, step, agent, tool, ",
        );
        out.push_sql("status, body, audit_index, leaf_hash) SELECT gate.node, gate.epoch, u.run_id, u.seq, u.at, ");
        out.push_sql("u.kind, u.step, u.agent, u.tool, u.status, u.body::jsonb, u.audit_index, u.leaf_hash ");
        out.push_sql("FROM gate, unnest(");
        out.push_bind_param::<Array<diesel::sql_types::Uuid>, _>(&rows.run_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Integer>, _>(&rows.seq)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Timestamptz>, _>(&rows.at)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&rows.kind)?;
        for column in [&rows.step, &rows.agent, &rows.tool, &rows.status] {
            out.push_sql(", ");
            out.push_bind_param::<Array<Nullable<Text>>, _>(column)?;
        }
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&rows.body)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<BigInt>>, _>(&rows.audit_index)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Bytea>>, _>(&rows.leaf_hash)?;
        out.push_sql(") AS u (run_id, seq, at, kind, step, agent, tool, status, body, audit_index, leaf_hash)), ");

        // A tag may come twice, with the plan and with the choice of the learner.
        out.push_sql(
            "insert_tags AS (INSERT INTO ledger.run_tags (tag, run_id) SELECT u.tag, u.run_id FROM gate, unnest(",
        );
        out.push_bind_param::<Array<diesel::sql_types::Uuid>, _>(&tags.tag)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<diesel::sql_types::Uuid>, _>(&tags.run_id)?;
        out.push_sql(") AS u (tag, run_id) ON CONFLICT DO NOTHING), ");
        bind_claims(&mut out, claims)?;

        out.push_sql("insert_entries AS (INSERT INTO ledger.audit_entries (node, idx, at, leaf, leaf_hash) ");
        out.push_sql("SELECT gate.node, u.idx, u.at, u.leaf, u.leaf_hash FROM gate, unnest(");
        out.push_bind_param::<Array<BigInt>, _>(&leaves.idx)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Timestamptz>, _>(&leaves.at)?;
        for column in [&leaves.leaf, &leaves.leaf_hash] {
            out.push_sql(", ");
            out.push_bind_param::<Array<Bytea>, _>(column)?;
        }
        out.push_sql(") AS u (idx, at, leaf, leaf_hash)) SELECT me.epoch, me.session, found.n FROM me, found");
        Ok(())
    }
}

/// A key that has started another run makes the whole statement fail: no run without its key.
fn bind_claims<'b>(out: &mut AstPass<'_, 'b, Pg>, claims: &'b ClaimColumns<'_>) -> QueryResult<()> {
    out.push_sql("insert_claims AS (INSERT INTO ledger.submissions (node, principal, key, body_hash, run_id, at) ");
    out.push_sql("SELECT gate.node, u.principal, u.key, u.body_hash, u.run_id, u.at FROM gate, unnest(");
    out.push_bind_param::<Array<Text>, _>(&claims.principal)?;
    out.push_sql(", ");
    out.push_bind_param::<Array<Text>, _>(&claims.key)?;
    out.push_sql(", ");
    out.push_bind_param::<Array<Bytea>, _>(&claims.body_hash)?;
    out.push_sql(", ");
    out.push_bind_param::<Array<diesel::sql_types::Uuid>, _>(&claims.run_id)?;
    out.push_sql(", ");
    out.push_bind_param::<Array<Timestamptz>, _>(&claims.at)?;
    out.push_sql(") AS u (principal, key, body_hash, run_id, at)), ");
    Ok(())
}

/// The columns of a run that change.
fn bind_state<'b>(out: &mut AstPass<'_, 'b, Pg>, columns: &'b RunColumns<'_>) -> QueryResult<()> {
    out.push_sql(", ");
    out.push_bind_param::<Array<Text>, _>(&columns.status)?;
    for column in [&columns.success_rate, &columns.coverage] {
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Double>>, _>(column)?;
    }
    out.push_sql(", ");
    out.push_bind_param::<Array<Nullable<BigInt>>, _>(&columns.execution_time_ms)?;
    out.push_sql(", ");
    out.push_bind_param::<Array<Nullable<Timestamptz>>, _>(&columns.finished)
}
