//! One name in a directory that is held against other writers, and the moves by which a file takes its place there.
//!
//! ```text
//! part: a file that is being written, worth nothing           -> a later call removes it
//! swap: a whole file, before or after it was exchanged for the one of the name
//!         its content is in the undo store -> a later call removes it
//!         else somebody else wrote it       -> kept: it goes back to its name, or a person must look
//! ```
//! What took its place is looked at only afterwards, and is put back if it is not what was expected: nobody's change is
//! lost between a look and a rename.
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

use crate::toolkit::cx::ToolCx;
use crate::tools::evidence::sha256;
use crate::tools::fs::refused::Refused;
use crate::tools::fs::state::{self, FileState, Look};
use crate::tools::fs::undo_store::UndoStore;

/// How the names of files under way begin.
pub const PREFIX: &str = ".dsmil-";

/// Between two attempts to get hold of a directory.
const RETRY: Duration = Duration::from_millis(5);

pub struct Spot {
    /// Locked for as long as this value lives.
    dir: OwnedFd,
    name: String,
    part: String,
    swap: String,
    full: PathBuf,
}

impl Spot {
    /// Waits until no other call works in the directory.
    pub fn hold(cx: &ToolCx, dir: OwnedFd, name: &str, full: &Path) -> Result<Self, Refused> {
        loop {
            match rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK | Errno::INTR) => cx.pause(RETRY).map_err(Refused::Stopped)?,
                Err(errno) => return Err(Refused::io(full, "held", errno)),
            }
        }
        let tag = &sha256(name.as_bytes()).to_string()[..16];
        let (part, swap) = (format!("{PREFIX}{tag}.part"), format!("{PREFIX}{tag}.swap"));
        Ok(Spot { dir, name: name.to_owned(), part, swap, full: full.to_owned() })
    }

    /// What the name stands for now.
    pub fn look(&self) -> Result<Option<(FileState, Vec<u8>)>, Refused> {
        state::read(&self.dir, &self.name, &self.full)
    }

    /// What lies in the place for exchanges: none unless a call was cut off.
    pub fn look_at_swap(&self) -> Result<Option<FileState>, Refused> {
        Ok(state::read(&self.dir, &self.swap, &self.swap_path())?.map(|(state, _)| state))
    }

    pub fn swap_path(&self) -> PathBuf {
        self.full.with_file_name(&self.swap)
    }

    /// Whether new files can be made here, before anything depends on it.
    pub fn writable(&self) -> Result<(), Refused> {
        let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        rustix::fs::accessat(&self.dir, ".", access, AtFlags::EACCESS)
            .map_err(|errno| Refused::io(&self.full, "written", errno))
    }

    /// Clears away what calls that were cut off left here.
    pub fn tidy(&self, store: &UndoStore) -> Result<(), Refused> {
        self.drop_part()?;
        match self.look_at_swap() {
            Ok(None) => return Ok(()),
            Ok(Some(left)) if store.has(&left.sha256) => return self.drop_swap(),
            Ok(Some(_)) | Err(Refused::NotPlain { .. } | Refused::TooLarge { .. }) => {}
            Err(refused) => return Err(refused),
        }
        // A call that was cut off had taken away what it should not have: back with it, if the name is free.
        if self.rename(&self.swap, &self.name, RenameFlags::NOREPLACE)? {
            return self.sync();
        }
        let swap = self.swap_path();
        let detail =
            format!("{} holds what somebody else wrote meanwhile; put it in place, or remove it", swap.display());
        Err(Refused::changed(&self.full, detail))
    }

    /// Writes a whole file beside the name: on disk when this returns.
    pub fn write_part(&self, content: &[u8], look: &Look<'_>) -> Result<(), Refused> {
        self.try_write_part(content, look).map_err(|refused| refused.after(self.drop_part()))
    }

    fn try_write_part(&self, content: &[u8], look: &Look<'_>) -> Result<(), Refused> {
        let failed = |errno: Errno| match errno {
            Errno::NOENT => Refused::changed(&self.full, "its directory is gone"),
            errno => Refused::io(&self.full, "written", errno),
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let mode = Mode::RUSR | Mode::WUSR;
        let fd = rustix::fs::openat2(&self.dir, self.part.as_str(), flags, mode, resolve).map_err(failed)?;
        let mut file = File::from(fd);
        let failed = |error| Refused::io(&self.full, "written", error);
        file.write_all(content).map_err(failed)?;
        state::dress(&file, look, &self.full)?;
        file.sync_all().map_err(failed)
    }

    /// Gives the name to the part, if nobody has it.
    pub fn place(&self) -> Result<(), Refused> {
        match self.rename(&self.part, &self.name, RenameFlags::NOREPLACE) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refused::changed(&self.full, "somebody else made it").after(self.drop_part())),
            Err(refused) => Err(refused.after(self.drop_part())),
        }
    }

    /// The part is whole: from here on its content is never taken for litter unless it is known.
    pub fn arm(&self) -> Result<(), Refused> {
        match self.rename(&self.part, &self.swap, RenameFlags::NOREPLACE) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refused::changed(&self.swap_path(), "somebody else made it").after(self.drop_part())),
            Err(refused) => Err(refused.after(self.drop_part())),
        }
    }

    /// Exchanges what the name stands for and what lies in `swap`, at once.
    pub fn exchange(&self) -> Result<(), Refused> {
        match self.rename(&self.swap, &self.name, RenameFlags::EXCHANGE) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refused::changed(&self.full, "somebody removed it").after(self.drop_swap())),
            Err(refused) => Err(refused.after(self.drop_swap())),
        }
    }

    /// After an exchange: removes what was taken out if it is what was expected, and puts it back otherwise.
    pub fn conclude(&self, store: &UndoStore, expected: impl Fn(&FileState) -> bool) -> Result<(), Refused> {
        let refused = match self.look_at_swap() {
            Ok(Some(out)) if expected(&out) => return self.drop_swap(),
            Ok(_) | Err(Refused::NotPlain { .. }) => Refused::changed(&self.full, "somebody else changed it meanwhile"),
            Err(refused) => refused,
        };
        let back = self.rename(&self.swap, &self.name, RenameFlags::EXCHANGE);
        // Where the name was removed meanwhile, this is what puts back what was taken out.
        Err(refused.after(back.and_then(|_| self.tidy(store))))
    }

    /// Takes the file away from its name, if it is what was expected.
    pub fn take(&self, expected: impl Fn(&FileState) -> bool) -> Result<(), Refused> {
        if !self.rename(&self.name, &self.swap, RenameFlags::NOREPLACE)? {
            return Err(Refused::changed(&self.full, "somebody removed it"));
        }
        let refused = match self.look_at_swap() {
            Ok(Some(out)) if expected(&out) => return self.drop_swap(),
            Ok(_) | Err(Refused::NotPlain { .. }) => Refused::changed(&self.full, "somebody else changed it meanwhile"),
            Err(refused) => refused,
        };
        Err(refused.after(self.rename(&self.swap, &self.name, RenameFlags::NOREPLACE).map(drop)))
    }

    pub fn unverified(&self, detail: &str) -> Refused {
        Refused::Unverified { path: self.full.display().to_string(), detail: detail.to_owned() }
    }

    pub fn drop_part(&self) -> Result<(), Refused> {
        self.unlink(&self.part)
    }

    pub fn drop_swap(&self) -> Result<(), Refused> {
        self.unlink(&self.swap)
    }

    pub fn sync(&self) -> Result<(), Refused> {
        rustix::fs::fsync(&self.dir).map_err(|errno| Refused::io(&self.full, "put on disk", errno))
    }

    /// False: the source is missing, or the target is there and must not be.
    fn rename(&self, from: &str, to: &str, flags: RenameFlags) -> Result<bool, Refused> {
        match rustix::fs::renameat_with(&self.dir, from, &self.dir, to, flags) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT | Errno::EXIST) => Ok(false),
            Err(Errno::INVAL | Errno::NOSYS) => {
                let path = self.full.display().to_string();
                Err(Refused::NoFacility { path, what: "exchange two files at once (renameat2)" })
            }
            Err(errno) => Err(Refused::io(&self.full, "put in place", errno)),
        }
    }

    fn unlink(&self, name: &str) -> Result<(), Refused> {
        match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Refused::io(&self.full.with_file_name(name), "removed", errno)),
        }
    }
}
