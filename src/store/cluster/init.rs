//! Makes a cluster once. initdb works in a side directory that is renamed when it is complete: a data directory is
//! therefore whole or not there, whatever was killed on the way.
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::store::cluster::ClusterError;
use crate::store::cluster::ClusterSpec;
use crate::store::cluster::RunAs;
use crate::store::cluster::no_space;

/// What is found where the cluster should be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Nothing,
    /// A complete cluster of this major version.
    Cluster(String),
    SomethingElse,
}

/// Checks the cluster's version, or makes the cluster. Blocks.
pub(super) fn ensure(spec: &ClusterSpec) -> Result<(), ClusterError> {
    let path = spec.data_dir.clone();
    let programs = version_of_programs(&spec.bin_dir)?;
    match look(&spec.data_dir).map_err(|source| spec.io("read", source))? {
        Found::Cluster(found) if found == programs => Ok(()),
        Found::Cluster(found) => Err(ClusterError::Version { path, found, programs }),
        Found::SomethingElse => Err(ClusterError::NotACluster { path }),
        Found::Nothing => make(spec),
    }
}

fn look(data_dir: &Path) -> io::Result<Found> {
    match fs::read_to_string(data_dir.join("PG_VERSION")) {
        Ok(version) => return Ok(Found::Cluster(version.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    match fs::read_dir(data_dir) {
        Ok(mut entries) => Ok(if entries.next().is_none() { Found::Nothing } else { Found::SomethingElse }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
        Err(error) => Err(error),
    }
}

/// The major version of the programs.
fn version_of_programs(bin_dir: &Path) -> Result<String, ClusterError> {
    let program = bin_dir.join("postgres");
    let output = Command::new(&program).arg("--version").env_clear().env("LC_ALL", "C").output();
    let output = output.map_err(|source| ClusterError::NoProgram { program: program.clone(), source })?;
    major(&String::from_utf8_lossy(&output.stdout)).ok_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        ClusterError::NoProgram { program, source: io::Error::other(format!("`--version` names no version: {said}")) }
    })
}

/// `postgres (PostgreSQL) 18.6` is of major version 18, `19beta1` of 19.
fn major(line: &str) -> Option<String> {
    let version = line.split("(PostgreSQL)").nth(1)?.trim();
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    (!digits.is_empty()).then_some(digits)
}

fn make(spec: &ClusterSpec) -> Result<(), ClusterError> {
    let parent = spec.data_dir.parent().unwrap_or(Path::new("/")).to_owned();
    let within = |act| {
        let path = parent.clone();
        move |source| ClusterError::Io { path, act, source }
    };
    let side = side_directory(spec);
    remove_unfinished(spec, &parent).map_err(within("clear unfinished clusters in"))?;
    fs::DirBuilder::new().mode(0o700).create(&side).map_err(within("create a directory in"))?;
    spec.hand_over(&side)?;
    initdb(spec, &side)?;
    fs::rename(&side, &spec.data_dir).map_err(|source| spec.io("move the new cluster to", source))?;
    fs::File::open(&parent).and_then(|dir| dir.sync_all()).map_err(within("sync"))?;
    tracing::info!(data_dir = %spec.data_dir.display(), "made a PostgreSQL cluster");
    Ok(())
}

/// Named by process: an initdb whose service was killed may still be at work in its own.
fn side_directory(spec: &ClusterSpec) -> PathBuf {
    spec.data_dir.with_file_name(format!("{}{}", side_prefix(spec), std::process::id()))
}

fn side_prefix(spec: &ClusterSpec) -> String {
    let name = spec.data_dir.file_name().map_or_else(|| "cluster".into(), |name| name.to_string_lossy());
    format!("{name}.unfinished-")
}

fn remove_unfinished(spec: &ClusterSpec, parent: &Path) -> io::Result<()> {
    let prefix = side_prefix(spec);
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)) {
            tracing::warn!(path = %path.display(), "removing a cluster whose initdb never finished");
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

fn initdb(spec: &ClusterSpec, side: &Path) -> Result<(), ClusterError> {
    let program = spec.bin_dir.join("initdb");
    let mut command = Command::new(&program);
    command.arg("-D").arg(side).args(["--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]);
    command.args(["--builtin-locale=C.UTF-8", "--data-checksums", "--sync-method=syncfs", "--no-instructions"]);
    // Trust reaches as far as the socket, and the socket's directory is open to its owner alone.
    command.args(["--auth-local=trust", "--auth-host=reject", "--username=dsmil"]);
    command.env_clear().env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
    if let Some(RunAs { uid, gid }) = spec.run_as {
        command.uid(uid).gid(gid);
    }
    let output = command.output().map_err(|source| ClusterError::NoProgram { program, source })?;
    if output.status.success() {
        return Ok(());
    }
    let detail = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " | ");
    let path = spec.data_dir.clone();
    Err(match no_space(&detail) {
        true => ClusterError::DiskFull { path, detail },
        false => ClusterError::Initdb { path, detail },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_the_version_line() {
        for (line, expected) in [
            ("postgres (PostgreSQL) 18.6\n", Some("18")),
            ("postgres (PostgreSQL) 19beta1", Some("19")),
            ("postgres (PostgreSQL) 17.2 (Debian 17.2-1.pgdg120+1)", Some("17")),
            ("bash 5.2", None),
        ] {
            assert_eq!(major(line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn a_directory_is_a_cluster_or_empty_or_something_else() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(look(&dir.path().join("absent")).expect("readable"), Found::Nothing);
        assert_eq!(look(dir.path()).expect("readable"), Found::Nothing);
        fs::write(dir.path().join("letter.txt"), "hello").expect("written");
        assert_eq!(look(dir.path()).expect("readable"), Found::SomethingElse);
        fs::write(dir.path().join("PG_VERSION"), "18\n").expect("written");
        assert_eq!(look(dir.path()).expect("readable"), Found::Cluster("18".into()));
    }
}
