//! What an earlier service left running on our state directory, and who owns a listening port: read from /proc.
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;

/// How long an ended process may take to disappear.
const LEAVE: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

#[derive(Debug, thiserror::Error)]
pub enum OrphanError {
    #[error(
        "swtpm {pid} uses the TPM state of this data directory for process {owner} (`{program}`), which is alive: stop \
         that first, or choose another data directory"
    )]
    InUse { pid: i32, owner: i32, program: String },
    #[error("swtpm {pid}, left by an earlier service, cannot be ended: end it with `kill -9 {pid}`")]
    NotEnded {
        pid: i32,
        #[source]
        cause: Option<io::Error>,
    },
}

/// Ends each swtpm that holds `state` open and belongs to no living service. Answers how many there were.
pub async fn end_orphans(state: &Path) -> Result<usize, OrphanError> {
    let mut ended = 0;
    for pid in processes().into_iter().filter(|pid| is_swtpm_on(*pid, state)) {
        if let Some((owner, program)) = living_owner(pid) {
            return Err(OrphanError::InUse { pid, owner, program });
        }
        let gone = Pid::from_raw(pid).map(|target| kill_process(target, Signal::KILL));
        match gone {
            None | Some(Ok(()) | Err(rustix::io::Errno::SRCH)) => {}
            Some(Err(errno)) => return Err(OrphanError::NotEnded { pid, cause: Some(errno.into()) }),
        }
        let ends = async {
            while is_alive(pid) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        if tokio::time::timeout(LEAVE, ends).await.is_err() {
            return Err(OrphanError::NotEnded { pid, cause: None });
        }
        tracing::warn!(pid, "ended swtpm {pid}, which an earlier service had left on our TPM state");
        ended += 1;
    }
    Ok(ended)
}

/// Does process `pid` listen on the loopback port? Told by the socket's inode, so nobody can pretend.
pub fn listens(pid: u32, port: u16) -> bool {
    let Ok(table) = fs::read_to_string("/proc/net/tcp") else { return false };
    let wanted = format!("0100007F:{port:04X}");
    let listening = table.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, _, state) = (fields.next()?, fields.next()?, fields.next()?);
        (local == wanted && state == "0A").then(|| fields.nth(5)).flatten()
    });
    let sockets: Vec<String> = listening.map(|inode| format!("socket:[{inode}]")).collect();
    links(&format!("/proc/{pid}/fd")).iter().any(|link| sockets.contains(link))
}

fn processes() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// A swtpm that has a file of the state directory open: its lock.
fn is_swtpm_on(pid: i32, state: &Path) -> bool {
    let named = fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == "swtpm");
    let Some(state) = fs::canonicalize(state).ok().filter(|_| named) else { return false };
    links(&format!("/proc/{pid}/fd")).iter().any(|link| Path::new(link).parent() == Some(&state))
}

fn links(directory: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.filter_map(|entry| Some(fs::read_link(entry.ok()?.path()).ok()?.to_string_lossy().into_owned())).collect()
}

/// The parent of a swtpm, if it is another process that runs this very program, or one of the same name: an older
/// build. An orphan's parent is init, or whatever else adopts orphans; a child of our own is one that an earlier start
/// within this process left behind.
fn living_owner(pid: i32) -> Option<(i32, String)> {
    let owner: i32 = stat(pid)?.1;
    let ours = u32::try_from(owner).is_ok_and(|owner| owner == std::process::id());
    let (program, name) = (format!("/proc/{owner}/exe"), format!("/proc/{owner}/comm"));
    let same_file = || Some(file_id(&program)? == file_id("/proc/self/exe")?);
    let same_name = || Some(fs::read(&name).ok()? == fs::read("/proc/self/comm").ok()?);
    let another = !ours && owner > 1 && (same_file() == Some(true) || same_name() == Some(true));
    another.then(|| (owner, fs::read_link(&program).map(|path| path.display().to_string()).unwrap_or_default()))
}

fn file_id(path: &str) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

fn is_alive(pid: i32) -> bool {
    stat(pid).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

/// State and parent of a process; the program's name before them may hold anything, so the last `)` counts.
fn stat(pid: i32) -> Option<(char, i32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
