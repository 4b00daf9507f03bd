//! How a database is reached, and the pool of connections that readers share.
use std::fmt;
use std::path::Path;
use std::time::Duration;

use diesel::sql_query;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use tokio::time::timeout;

use crate::store::error::{from_connect, from_pool, from_query, is_duplicate, text, unreachable};
use crate::workflow::record::StoreError;

/// A server that does not answer a connection in this time counts as not reachable.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long a reader waits for one of the pool's connections.
const POOL_WITHIN: Duration = Duration::from_secs(10);

pub(super) type Connection = AsyncPgConnection;

/// One database: everything needed to connect to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Database {
    conf: String,
}

/// May hold a password.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Database(..)")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("DATABASE_URL must begin with `postgres://` or `postgresql://`, such as `postgres://user@host:5432/dsmil`")]
pub struct BadUrl;

impl Database {
    /// An operator's own server.
    pub fn from_url(url: &str) -> Result<Self, BadUrl> {
        let url = url.trim();
        let known = url.starts_with("postgres://") || url.starts_with("postgresql://");
        if known { Ok(Database { conf: url.to_owned() }) } else { Err(BadUrl) }
    }

    /// A database of our own cluster.
    pub fn on_socket(socket_dir: &Path, port: u16, name: &str) -> Self {
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
        let host = quoted(&socket_dir.to_string_lossy());
        let name = quoted(name);
        Database { conf: format!("host='{host}' port={port} user=dsmil dbname='{name}' application_name=dsmil") }
    }

    /// The connection text or URL as PostgreSQL's own programs take it. May hold a password.
    pub fn conf(&self) -> &str {
        &self.conf
    }

    pub(super) async fn connect(&self) -> Result<Connection, StoreError> {
        match timeout(CONNECT_WITHIN, AsyncPgConnection::establish(&self.conf)).await {
            Ok(connected) => connected.map_err(from_connect),
            Err(_) => Err(unreachable(format!("no connection within {CONNECT_WITHIN:?}"))),
        }
    }

    /// Connects and asks for nothing.
    pub async fn check(&self) -> Result<(), StoreError> {
        let mut connection = self.connect().await?;
        sql_query("SELECT 1").execute(&mut connection).await.map(drop).map_err(|error| from_query(&error))
    }

    /// Creates a database on the same server, unless it is there.
    pub async fn create_database(&self, name: &str) -> Result<(), StoreError> {
        let mut connection = self.connect().await?;
        let name = name.replace('"', "\"\"");
        match sql_query(format!("CREATE DATABASE \"{name}\"")).execute(&mut connection).await {
            Ok(_) => Ok(()),
            Err(error) if is_duplicate(&error) || text(&error).ends_with("already exists") => Ok(()),
            Err(error) => Err(from_query(&error)),
        }
    }

    /// A pool of connections; none is made before it is needed.
    pub fn readers(&self, connections: usize) -> Result<Readers, StoreError> {
        let manager = AsyncDieselConnectionManager::new(self.conf.as_str());
        let pool = Pool::builder(manager).max_size(connections).build().map_err(unreachable)?;
        Ok(Readers { pool })
    }
}

/// A pool of connections for reading.
#[derive(Clone)]
pub struct Readers {
    pool: Pool<AsyncPgConnection>,
}

impl Readers {
    pub(super) async fn get(&self) -> Result<Object<AsyncPgConnection>, StoreError> {
        match timeout(POOL_WITHIN, self.pool.get()).await {
            Ok(got) => got.map_err(from_pool),
            Err(_) => Err(unreachable(format!("no free connection within {POOL_WITHIN:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let database = Database::from_url("postgres://u:secret@h/db").expect("a URL");
        assert!(!format!("{database:?}").contains("secret"));
    }

    #[test]
    fn only_a_postgres_url_is_one() {
        assert_eq!(Database::from_url("mysql://h/db"), Err(BadUrl));
        assert!(Database::from_url(" postgresql://h/db\n").is_ok());
    }
}
