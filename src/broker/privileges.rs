//! Root keeps a broker and becomes the system user `dsmil`; anybody else stays who they are.
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, User, geteuid, getresgid, getresuid, initgroups, setresgid, setresuid};

use crate::broker::handle::{AskError, BrokerHandle};
use crate::config::Config;
use crate::config::data_dir::{self, DataDirError};
use crate::toolkit::cx::Roots;

/// Who the service is when root starts it; `scripts/setup` creates it.
pub const SERVICE_USER: &str = "dsmil";

/// What the service may do from now on.
#[derive(Debug)]
pub struct Privileges {
    pub user: String,
    pub broker: Option<BrokerHandle>,
    /// Facilities of this host that the service cannot use.
    pub lost: Vec<&'static str>,
}

#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    #[error(
        "the system user `{SERVICE_USER}` does not exist; create it with scripts/setup, or start dsmil as an ordinary user"
    )]
    NoUser,
    #[error("cannot look up the user {user}")]
    LookUp { user: String, source: Errno },
    #[error("privileges must be given up before there is a second thread, and there are {threads}")]
    Threads { threads: usize },
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error("the data directory {} holds files and belongs to user {owner}; the service runs as `{user}`: give it over with `chown -R {user}: {}`, or name another with --data-dir", path.display(), path.display())]
    NotGiven { path: PathBuf, owner: u32, user: String },
    #[error("cannot hand the data directory {} to `{user}`", path.display())]
    Give { path: PathBuf, user: String, source: io::Error },
    #[error("cannot keep a broker")]
    Broker(#[from] AskError),
    #[error("cannot become the user `{user}` ({step})")]
    Become { user: String, step: &'static str, source: Errno },
    #[error("root could be regained after becoming `{user}` ({how}); refusing to go on")]
    NotGone { user: String, how: String },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
}

impl Privileges {
    /// The reason a tool gives when it needs more than the service has.
    pub fn why_unprivileged(&self) -> String {
        match self.broker {
            Some(_) => format!("the service runs as `{}`, and its broker answers no reads in this release", self.user),
            None => format!("the service was started as `{}`, an ordinary user, and so has no broker", self.user),
        }
    }
}

/// To be called on the main thread before there is any other, and after the log is open.
pub fn enter(config: &Config) -> Result<Privileges, PrivilegeError> {
    // Some of what is given up belongs to a thread and not to the process, and so would stay with the others.
    let threads = count_threads()?;
    if geteuid().is_root() && threads != 1 {
        return Err(PrivilegeError::Threads { threads });
    }
    enter_with(config, BrokerHandle::command())
}

/// `enter` with another way to start a broker, for the thread that calls it: tests have others.
pub fn enter_with(config: &Config, broker: Command) -> Result<Privileges, PrivilegeError> {
    let me = geteuid();
    if !me.is_root() {
        let user = User::from_uid(me).ok().flatten().map_or_else(|| me.to_string(), |u| u.name);
        return Ok(Privileges { user, broker: None, lost: lost(&config.roots) });
    }
    let user = match User::from_name(SERVICE_USER) {
        Ok(Some(user)) => user,
        Ok(None) => return Err(PrivilegeError::NoUser),
        Err(source) => return Err(PrivilegeError::LookUp { user: SERVICE_USER.to_owned(), source }),
    };
    give_data_dir(&config.data_dir, &user)?;
    let broker = BrokerHandle::spawn(broker)?;
    become_user(&user)?;
    Ok(Privileges { user: user.name, broker: Some(broker), lost: lost(&config.roots) })
}

fn read(path: &Path) -> impl Fn(io::Error) -> PrivilegeError + use<'_> {
    |source| PrivilegeError::Read { path: path.to_owned(), source }
}

fn count_threads() -> Result<usize, PrivilegeError> {
    let tasks = Path::new("/proc/self/task");
    fs::read_dir(tasks).map(Iterator::count).map_err(read(tasks))
}

/// Creates the directory if need be and makes the user its owner. Only an empty one is taken from root: whoever
/// else put files there must say that they are the service's.
fn give_data_dir(path: &Path, user: &User) -> Result<(), PrivilegeError> {
    data_dir::create(path)?;
    let give = |source| PrivilegeError::Give { path: path.to_owned(), user: user.name.clone(), source };
    let meta = fs::metadata(path).map_err(give)?;
    if !meta.is_dir() {
        return Err(DataDirError::NotADirectory { path: path.to_owned() }.into());
    }
    let owner = meta.uid();
    if owner == user.uid.as_raw() {
        return Ok(());
    }
    if owner != 0 || !data_dir::is_vacant(path)? {
        return Err(PrivilegeError::NotGiven { path: path.to_owned(), owner, user: user.name.clone() });
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(give)?;
    chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).map_err(give)
}

fn become_user(user: &User) -> Result<(), PrivilegeError> {
    let failed = |step| move |source| PrivilegeError::Become { user: user.name.clone(), step, source };
    let name = CString::new(user.name.clone()).map_err(|_| failed("name")(Errno::EINVAL))?;
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    // The working directory may be one that the user cannot enter, such as root's home.
    nix::unistd::chdir("/").map_err(failed("chdir"))?;
    initgroups(&name, user.gid).map_err(failed("initgroups"))?;
    setresgid(user.gid, user.gid, user.gid).map_err(failed("setresgid"))?;
    setresuid(user.uid, user.uid, user.uid).map_err(failed("setresuid"))?;
    prctl::set_no_new_privs().map_err(failed("no_new_privs"))?;
    verify_gone(user)
}

/// Tries the ways back to root; each must fail.
fn verify_gone(user: &User) -> Result<(), PrivilegeError> {
    let not_gone = |how: &str| PrivilegeError::NotGone { user: user.name.clone(), how: how.to_owned() };
    let failed = |source| PrivilegeError::Become { user: user.name.clone(), step: "verify", source };
    let (root, root_group) = (Uid::from_raw(0), Gid::from_raw(0));
    if setresuid(root, root, root).is_ok() || nix::unistd::setuid(root).is_ok() {
        return Err(not_gone("user id"));
    }
    if setresgid(root_group, root_group, root_group).is_ok() || nix::unistd::setgid(root_group).is_ok() {
        return Err(not_gone("group id"));
    }
    let users = getresuid().map_err(failed)?;
    let groups = getresgid().map_err(failed)?;
    if [users.real, users.effective, users.saved] != [user.uid; 3] {
        return Err(not_gone("a left-over user id"));
    }
    if [groups.real, groups.effective, groups.saved] != [user.gid; 3] {
        return Err(not_gone("a left-over group id"));
    }
    let path = Path::new("/proc/thread-self/status");
    let status = fs::read_to_string(path).map_err(read(path))?;
    match held_capabilities(&status) {
        Some(set) => Err(not_gone(&format!("capabilities {set}"))),
        None => Ok(()),
    }
}

/// The first capability set that is not empty, of those that give power. Inheritable bits alone do not: they need a
/// file that grants them, and `no_new_privs` bars it.
fn held_capabilities(status: &str) -> Option<&str> {
    let is_empty = |bits: &str| u64::from_str_radix(bits.trim(), 16) == Ok(0);
    status.lines().find(|line| {
        let Some((set, bits)) = line.split_once(':') else { return false };
        ["CapPrm", "CapEff", "CapAmb"].contains(&set) && !is_empty(bits)
    })
}

/// Files of the host that only root may read.
fn guarded(roots: &Roots) -> [(&'static str, PathBuf); 8] {
    [
        ("SMBIOS tables", roots.sys.join("firmware/dmi/tables/DMI")),
        ("serial numbers of the hardware", roots.sys.join("class/dmi/id/product_serial")),
        ("Dell SMBIOS tokens", roots.sys.join("devices/platform/dell-smbios.0/tokens")),
        ("TPM event log", roots.sys.join("kernel/security/tpm0/binary_bios_measurements")),
        ("EFI variables", roots.efi.join("efivars")),
        ("password ageing and hashes (shadow)", roots.etc.join("shadow")),
        ("kernel log (kmsg)", roots.dev.join("kmsg")),
        ("processor registers (msr)", roots.dev.join("cpu/0/msr")),
    ]
}

/// What needs a capability, whatever the host has.
const NEEDS_CAPABILITY: &[&str] =
    &["firewall rules (nft)", "open files and sockets of other users' processes", "health of disks (SMART)"];

/// The facilities that this host has and this process cannot use.
pub fn lost(roots: &Roots) -> Vec<&'static str> {
    if geteuid().is_root() {
        return Vec::new();
    }
    let barred = guarded(roots).into_iter().filter(|(_, path)| is_barred(path)).map(|(name, _)| name);
    barred.chain(NEEDS_CAPABILITY.iter().copied()).collect()
}

/// There, and not for us. Opening is the only honest question: some files admit by capability, not by mode.
fn is_barred(path: &Path) -> bool {
    File::open(path).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_that_is_left_is_seen() {
        let none = "Name:\tdsmil\nCapInh:\t0000000000000400\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\n";
        assert_eq!(held_capabilities(none), None);
        let some = none.replace("CapPrm:\t0000000000000000", "CapPrm:\t0000000000000400");
        assert_eq!(held_capabilities(&some), Some("CapPrm:\t0000000000000400"));
        assert!(held_capabilities("CapEff:\tnonsense\n").is_some());
    }
}
