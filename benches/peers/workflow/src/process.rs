//! Processes that this program started: what they cost, and their end. No other process is ever touched.
use std::fs;
use std::io::{Error, Result};
use std::path::Path;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, sysconf};

use crate::http::bad;

/// A child process; ended when dropped.
pub struct Process(Child);

impl Process {
    pub fn of(child: Child) -> Self {
        Process(child)
    }

    pub fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    /// An error once it has ended.
    pub fn check(&mut self, what: &str) -> Result<()> {
        match self.0.try_wait()? {
            None => Ok(()),
            Some(status) => Err(bad(format!("{what} ended with {status}"))),
        }
    }

    /// SIGKILL: no clean-up of any kind.
    pub fn kill(&mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait().map(drop)
    }

    /// This signal, and SIGKILL if that is not enough.
    pub fn end(&mut self, signal: Signal) -> Result<()> {
        if self.0.try_wait()?.is_some() {
            return Ok(());
        }
        kill(Pid::from_raw(self.pid()), signal).map_err(Error::from)?;
        let patience = Instant::now() + Duration::from_secs(20);
        while self.0.try_wait()?.is_none() {
            if Instant::now() > patience {
                return self.kill();
            }
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(fault) = self.end(Signal::SIGTERM) {
            eprintln!("process {} could not be ended: {fault}", self.pid());
        }
    }
}

/// Processes of this name whose command line names this place: children of a service that was killed on purpose.
pub fn at_work_in(place: &Path, name: &str) -> Vec<i32> {
    let place = place.display().to_string();
    let read = |pid: i32, file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let ours = |pid: &i32| {
        String::from_utf8_lossy(&read(*pid, "comm")).trim() == name
            && String::from_utf8_lossy(&read(*pid, "cmdline")).contains(&place)
    };
    all().filter(ours).collect()
}

/// Ends what a service that was killed on purpose left behind in this place.
pub fn end_orphans(place: &Path) {
    for pid in ["postgres", "swtpm"].into_iter().flat_map(|name| at_work_in(place, name)) {
        // It may have ended by itself meanwhile.
        if let Err(fault) = kill(Pid::from_raw(pid), Signal::SIGKILL) {
            eprintln!("process {pid} was not ended: {fault}");
        }
    }
}

/// A process and all that descend from it.
pub fn family(first: i32) -> Vec<i32> {
    let parents: Vec<(i32, i32)> = all().filter_map(|pid| Some((pid, stat(pid)?.get(1)?.parse().ok()?))).collect();
    let mut family = vec![first];
    let mut next = 0;
    while next < family.len() {
        let parent = family[next];
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    family
}

/// Resident memory, in bytes.
pub fn resident(pid: i32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| bad(format!("process {pid} has no VmRSS")))
}

/// Processor time that these have used so far.
pub fn processor_time(pids: &[i32]) -> Result<Duration> {
    let per_second = sysconf(SysconfVar::CLK_TCK)?.unwrap_or(100) as f64;
    let ticks = |pid: &i32| {
        let fields = stat(*pid).unwrap_or_default();
        let field = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        field(11) + field(12)
    };
    Ok(Duration::from_secs_f64(pids.iter().map(ticks).sum::<u64>() as f64 / per_second))
}

fn all() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The fields of `/proc/PID/stat` after the name: the state comes first.
fn stat(pid: i32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}
