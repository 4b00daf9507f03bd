//! The schema and its history, carried in the program.
use diesel::Connection as _;
use diesel::connection::SimpleConnection;
use diesel::migration::MigrationSource;
use diesel::pg::Pg;
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::store::database::Database;
use crate::store::error::{from_connect, unreachable};
use crate::workflow::record::StoreError;

type Blocking = AsyncConnectionWrapper<AsyncPgConnection>;

const ALL: EmbeddedMigrations = embed_migrations!("migrations");
/// Services that start at the same moment on one database take turns. Any number, if it stays the same.
const LOCK: &str = "SELECT pg_advisory_lock(7305448812)";

/// Brings the schema up to date; returns the migrations that were run.
pub async fn run(database: &Database) -> Result<Vec<String>, StoreError> {
    on(database, |connection| {
        let known: Vec<String> = names(&ALL)?;
        let applied = connection.applied_migrations().map_err(refused)?;
        if let Some(newer) = applied.iter().map(ToString::to_string).find(|version| !known.contains(version)) {
            return Err(refused(format!(
                "its schema has migration {newer}, which this version does not know: use the newer dsmil that made it"
            )));
        }
        let run = connection.run_pending_migrations(ALL).map_err(refused)?;
        Ok(run.iter().map(ToString::to_string).collect())
    })
    .await
}

/// Takes the whole schema down, data included.
pub async fn revert_all(database: &Database) -> Result<(), StoreError> {
    on(database, |connection| connection.revert_all_migrations(ALL).map(drop).map_err(refused)).await
}

fn names(source: &EmbeddedMigrations) -> Result<Vec<String>, StoreError> {
    let migrations = MigrationSource::<Pg>::migrations(source).map_err(refused)?;
    Ok(migrations.iter().map(|migration| migration.name().version().to_string()).collect())
}

/// diesel's migrations block: they work on a thread, with a connection of their own.
async fn on<T: Send + 'static>(
    database: &Database,
    work: impl FnOnce(&mut Blocking) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let conf = database.conf().to_owned();
    let done = tokio::task::spawn_blocking(move || {
        let connected: Result<Blocking, _> = Blocking::establish(&conf);
        let mut connection = connected.map_err(from_connect)?;
        connection.batch_execute(LOCK).map_err(refused)?;
        work(&mut connection)
    });
    done.await.map_err(unreachable)?
}

fn refused(error: impl ToString) -> StoreError {
    StoreError::Refused { detail: error.to_string() }
}
