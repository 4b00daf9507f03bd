//! Secrets that the first start makes: the bootstrap token and the node's key. Files of mode 0600 in the data directory.
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}; its file system must have room", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} does not hold what it should; remove it, and the next start makes a new one", path.display())]
    Damaged { path: PathBuf },
    #[error("the system gives no random bytes: {0}")]
    NoRandom(String),
}

/// SHA-256 of the admin token, which is made if there is none. The token itself is in `admin.token` alone.
pub fn admin_token_hash(data_dir: &Path) -> Result<[u8; 32], SecretError> {
    let path = data_dir.join("admin.token");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let token = format!("dsmil_{}\n", URL_SAFE_NO_PAD.encode(random::<32>()?));
            keep(&path, token.as_bytes())?;
            token
        }
        Err(source) => return Err(SecretError::Read { path, source }),
    };
    let token = text.trim();
    if token.len() < 32 {
        return Err(SecretError::Damaged { path });
    }
    Ok(Sha256::digest(token).into())
}

/// There is an administrator now: the bootstrap token goes. It may have gone before.
pub fn remove_admin_token(data_dir: &Path) -> Result<(), SecretError> {
    let path = data_dir.join("admin.token");
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(SecretError::Write { path, source }),
        _ => Ok(()),
    }
}

/// The key under which serial numbers are hashed, so that they can be compared on this node and nowhere else.
pub fn node_key(data_dir: &Path) -> Result<[u8; 32], SecretError> {
    let path = data_dir.join("node.key");
    match fs::read(&path) {
        Ok(bytes) => bytes.try_into().map_err(|_| SecretError::Damaged { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = random()?;
            keep(&path, &key)?;
            Ok(key)
        }
        Err(source) => Err(SecretError::Read { path, source }),
    }
}

/// Random bytes of the system.
pub fn random<const N: usize>() -> Result<[u8; N], SecretError> {
    let mut bytes = [0; N];
    rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut bytes)
        .map_err(|error| SecretError::NoRandom(error.to_string()))?;
    Ok(bytes)
}

/// Written beside its place and renamed: a start that is killed leaves no half secret.
fn keep(path: &Path, bytes: &[u8]) -> Result<(), SecretError> {
    let part = path.with_extension("part");
    let written = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    written().map_err(|source| SecretError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secrets_are_made_once_and_kept_from_others() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (token, key) = (admin_token_hash(dir.path()).expect("token"), node_key(dir.path()).expect("key"));
        assert_eq!(admin_token_hash(dir.path()).expect("token"), token);
        assert_eq!(node_key(dir.path()).expect("key"), key);
        for name in ["admin.token", "node.key"] {
            let mode = fs::metadata(dir.path().join(name)).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_damaged_secret_is_named() {
        let dir = tempfile::tempdir().expect("temp dir");
        fs::write(dir.path().join("admin.token"), "\n").expect("write");
        assert!(admin_token_hash(dir.path()).expect_err("too short").to_string().contains("admin.token"));
    }
}
