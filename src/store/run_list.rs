//! Pages of runs, newest first, by any filters together.
//!
//! Each filter is a list in the order of the runs: an index on status, on name, or on a tag. One alone is read from its
//! end. Several are intersected, one month at a time: within one partition PostgreSQL merges such lists from their
//! indexes alone, while over many it would have to merge the partitions first. The months that are looked at are those
//! in which all of the lists have something.
use std::collections::HashMap;

use chrono::{DateTime, Datelike, Months, Utc};
use diesel::pg::Pg;
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::sql_types::{Nullable, Text, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::ids::RunId;
use crate::store::database::{Connection, Readers};
use crate::store::error::from_query;
use crate::store::journal;
use crate::store::partitions::first_uuid;
use crate::store::run_tags;
use crate::store::runs;
use crate::workflow::record::{RunPage, RunSummary, StoreError};
use crate::workflow::run_filter::RunFilter;

const LONGEST_PAGE: u32 = 500;

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = SqlUuid)]
    run_id: Uuid,
}

#[derive(QueryableByName)]
struct Ends {
    #[diesel(sql_type = Nullable<SqlUuid>)]
    oldest: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    newest: Option<Uuid>,
}

/// One list of runs: all rows of a table whose column has this value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum List {
    Status(String),
    Name(String),
    Tag(Uuid),
}

/// Runs with `from <= run_id < to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: Uuid,
    to: Uuid,
}

type Query<'q> = BoxedSqlQuery<'q, Pg, SqlQuery>;

/// A page of runs of all nodes, newest first.
pub async fn page(readers: &Readers, filter: &RunFilter) -> Result<RunPage, StoreError> {
    let limit = filter.limit.clamp(1, LONGEST_PAGE) as usize;
    let (lists, span) = (lists(filter), span(filter));
    let mut connection = readers.get().await?;
    // One more tells whether there is a next page.
    let mut ids = match lists.as_slice() {
        [] | [_] => read(&mut connection, &lists, span, limit + 1).await?,
        _ => walk(&mut connection, &lists, span, limit + 1).await?,
    };
    let more = ids.len() > limit;
    ids.truncate(limit);
    let runs = summaries(&mut connection, &ids).await?;
    Ok(RunPage { runs, next: ids.last().copied().filter(|_| more) })
}

/// Intersects the lists, from the newest month in which all have something to the oldest.
async fn walk(
    connection: &mut Connection,
    lists: &[List],
    whole: Span,
    wanted: usize,
) -> Result<Vec<RunId>, StoreError> {
    let Some(span) = common(connection, lists, whole).await? else { return Ok(Vec::new()) };
    let mut ids = Vec::new();
    for month in months(span) {
        ids.extend(read(connection, lists, month, wanted - ids.len()).await?);
        if ids.len() >= wanted {
            break;
        }
    }
    Ok(ids)
}

/// From the newest of the oldest runs of the lists to the oldest of their newest; none: there is nothing between.
async fn common(connection: &mut Connection, lists: &[List], span: Span) -> Result<Option<Span>, StoreError> {
    let mut sql = Sql::default();
    let ends: Vec<String> = lists
        .iter()
        .map(|list| {
            let (table, condition) = (list.table(), sql.condition("l", list, span));
            let end = |order: &str| {
                format!("(SELECT l.run_id FROM {table} l WHERE {condition} ORDER BY l.run_id {order} LIMIT 1)")
            };
            format!("SELECT {} AS oldest, {} AS newest", end("ASC"), end("DESC"))
        })
        .collect();
    let text = ends.join(" UNION ALL ");
    let found: Vec<Ends> = sql.load(connection, &text).await?;
    let mut common = span;
    for Ends { oldest, newest } in found {
        let (Some(oldest), Some(newest)) = (oldest, newest) else { return Ok(None) };
        common.from = common.from.max(oldest);
        common.to = common.to.min(Uuid::from_u128(newest.as_u128().saturating_add(1)));
    }
    Ok((common.from < common.to).then_some(common))
}

/// The newest runs of the span that are in all of the lists.
async fn read(
    connection: &mut Connection,
    lists: &[List],
    span: Span,
    wanted: usize,
) -> Result<Vec<RunId>, StoreError> {
    let mut sql = Sql::default();
    let mut from = Vec::new();
    let mut conditions = Vec::new();
    for (at, list) in lists.iter().enumerate() {
        from.push(format!("{} l{at}", list.table()));
        conditions.push(sql.condition(&format!("l{at}"), list, span));
        if at > 0 {
            conditions.push(format!("l{at}.run_id = l0.run_id"));
        }
    }
    if lists.is_empty() {
        from.push("ledger.runs l0".to_owned());
        conditions.push(sql.within("l0", span));
    }
    let (from, conditions) = (from.join(", "), conditions.join(" AND "));
    let text = format!("SELECT l0.run_id FROM {from} WHERE {conditions} ORDER BY l0.run_id DESC LIMIT {wanted}");
    let found: Vec<Found> = sql.load(connection, &text).await?;
    Ok(found.into_iter().map(|found| RunId(found.run_id)).collect())
}

/// The runs in the order of the ids; one that was deleted meanwhile is left out.
async fn summaries(connection: &mut Connection, ids: &[RunId]) -> Result<Vec<RunSummary>, StoreError> {
    let newest: HashMap<_, _> = journal::newest_indexes(connection, ids).await?.into_iter().collect();
    let runs = runs::headers(connection, ids).await?.into_iter();
    Ok(runs.map(|run| RunSummary { audit_index: newest.get(&run.header.run).copied().flatten(), ..run }).collect())
}

fn lists(filter: &RunFilter) -> Vec<List> {
    let mut lists: Vec<List> = filter.agent.iter().map(|agent| List::Tag(run_tags::of_agent(agent))).collect();
    lists.extend(filter.labels.iter().map(|label| List::Tag(run_tags::of_label(label))));
    lists.extend(filter.name.iter().cloned().map(List::Name));
    lists.extend(filter.status.iter().cloned().map(List::Status));
    lists
}

/// The id of a run begins with the millisecond at which it was accepted.
fn span(filter: &RunFilter) -> Span {
    let from = filter.since.map_or(Uuid::nil(), first_of);
    let to = filter.until.map_or(Uuid::max(), first_of);
    Span { from, to: filter.before.map_or(to, |before| to.min(before.0)) }
}

/// The least id of a run that was accepted then or later.
fn first_of(moment: DateTime<Utc>) -> Uuid {
    let millis = moment.timestamp_millis();
    let begun = !moment.timestamp_subsec_nanos().is_multiple_of(1_000_000);
    first_uuid(millis + i64::from(begun))
}

/// The span month by month, the newest first.
fn months(span: Span) -> Vec<Span> {
    let moment = |id: Uuid| {
        let millis = i64::try_from(id.as_u128() >> 80).unwrap_or(i64::MAX);
        DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::<Utc>::MAX_UTC)
    };
    let first_day = |moment: DateTime<Utc>| moment.date_naive().with_day(1).unwrap_or_default();
    let oldest = first_day(moment(span.from));
    let mut month = first_day(moment(span.to));
    let mut months = Vec::new();
    let mut to = span.to;
    while month > oldest {
        let from = first_uuid(month.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis());
        if from < to {
            months.push(Span { from, to });
        }
        to = to.min(from);
        month = month.checked_sub_months(Months::new(1)).unwrap_or(oldest);
    }
    months.push(Span { from: span.from, to });
    months
}

impl List {
    fn table(&self) -> &'static str {
        match self {
            List::Status(_) | List::Name(_) => "ledger.runs",
            List::Tag(_) => "ledger.run_tags",
        }
    }
}

/// The values of a statement, in the order of their numbers.
#[derive(Default)]
struct Sql {
    values: Vec<Bound>,
}

enum Bound {
    Text(String),
    Id(Uuid),
}

impl Sql {
    fn bind(&mut self, value: Bound) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    fn within(&mut self, alias: &str, span: Span) -> String {
        let (from, to) = (self.bind(Bound::Id(span.from)), self.bind(Bound::Id(span.to)));
        format!("{alias}.run_id >= {from} AND {alias}.run_id < {to}")
    }

    fn condition(&mut self, alias: &str, list: &List, span: Span) -> String {
        let (column, value) = match list {
            List::Status(status) => ("status", Bound::Text(status.clone())),
            List::Name(name) => ("name", Bound::Text(name.clone())),
            List::Tag(tag) => ("tag", Bound::Id(*tag)),
        };
        let value = self.bind(value);
        format!("{alias}.{column} = {value} AND {}", self.within(alias, span))
    }

    async fn load<T>(self, connection: &mut Connection, text: &str) -> Result<Vec<T>, StoreError>
    where
        T: QueryableByName<Pg> + Send + 'static,
    {
        let mut query: Query = sql_query(text).into_boxed();
        for value in self.values {
            query = match value {
                Bound::Text(text) => query.bind::<Text, _>(text),
                Bound::Id(id) => query.bind::<SqlUuid, _>(id),
            };
        }
        query.load(connection).await.map_err(|error| from_query(&error))
    }
}
