//! One look at the host and at this process. What the kernel does not tell is left out, never made up.
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};

use crate::alerts::metric as m;
use crate::alerts::metric::Sample;
use crate::host::pressure::{Pressure, parse};

/// Keeps what shares are reckoned from: the counters of the last look.
pub struct Looker {
    system: System,
    proc_root: PathBuf,
    data_dir: PathBuf,
    cores: f64,
    own: Pid,
    looked: Option<Instant>,
}

impl Looker {
    pub fn new(proc_root: PathBuf, data_dir: PathBuf) -> Self {
        let kind = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_cpu_usage())
            .with_memory(MemoryRefreshKind::everything());
        let system = System::new_with_specifics(kind);
        let cores = system.cpus().len().max(1) as f64;
        Looker { system, proc_root, data_dir, cores, own: Pid::from_u32(std::process::id()), looked: None }
    }

    /// Reads a few small files of the kernel: to be called on a thread that may block.
    pub fn look(&mut self, now: Instant) -> Vec<Sample> {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory();
        let own = ProcessRefreshKind::nothing().with_cpu().with_memory();
        self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&[self.own]), false, own);
        let mut samples = Vec::with_capacity(16);
        // Shares need two looks.
        if self.looked.replace(now).is_some() {
            samples.push(Sample::new(m::CPU, f64::from(self.system.global_cpu_usage()) / 100.0));
            if let Some(process) = self.system.process(self.own) {
                samples.push(Sample::new(m::SERVICE_CPU, f64::from(process.cpu_usage()) / 100.0));
            }
        }
        if let Some(process) = self.system.process(self.own) {
            samples.push(Sample::new(m::SERVICE_RSS, process.memory() as f64));
        }
        samples.push(Sample::new(m::LOAD, System::load_average().one / self.cores));
        let (total, available) = (self.system.total_memory(), self.system.available_memory());
        if total > 0 {
            let used = total.saturating_sub(available) as f64;
            samples.push(Sample::new(m::MEMORY_BYTES, used));
            samples.push(Sample::new(m::MEMORY, used / total as f64));
        }
        if self.system.total_swap() > 0 {
            let used = self.system.used_swap() as f64 / self.system.total_swap() as f64;
            samples.push(Sample::new(m::SWAP, used));
        }
        let pressure = |file: &str| pressure(&self.proc_root, file);
        let shares = [
            (m::PSI_CPU, pressure("cpu").some),
            (m::PSI_MEMORY, pressure("memory").full),
            (m::PSI_IO, pressure("io").full),
        ];
        samples.extend(shares.into_iter().filter_map(|(metric, share)| Some(Sample::new(metric, share?))));
        samples.extend(disk_used(&self.data_dir).map(|used| Sample::new(m::DISK, used)));
        samples
    }
}

/// A kernel without PSI has no such file.
fn pressure(proc_root: &Path, file: &str) -> Pressure {
    fs::read_to_string(proc_root.join("pressure").join(file)).map(|text| parse(&text)).unwrap_or_default()
}

/// As `df` reckons it: of the room that is there for ordinary users.
fn disk_used(dir: &Path) -> Option<f64> {
    let answer = rustix::fs::statvfs(dir).ok()?;
    let used = answer.f_blocks.saturating_sub(answer.f_bfree) as f64;
    let room = used + answer.f_bavail as f64;
    (room > 0.0).then_some(used / room)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn shares_lie_between_nothing_and_all_and_need_two_looks() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut looker = Looker::new("/proc".into(), dir.path().to_owned());
        let first = looker.look(clock::now());
        assert!(first.iter().all(|sample| sample.metric != m::CPU), "one look gives no share");
        let second = looker.look(clock::now());
        for wanted in [m::CPU, m::MEMORY, m::SERVICE_RSS, m::DISK, m::LOAD] {
            let sample = second.iter().find(|sample| sample.metric == wanted);
            let value = sample.unwrap_or_else(|| panic!("no {wanted}")).value;
            assert!(value.is_finite() && value >= 0.0, "{wanted} {value}");
            if m::find(wanted).expect("known").unit == "ratio" && wanted != m::LOAD {
                assert!(value <= 1.0, "{wanted} {value}");
            }
        }
        let rss = second.iter().find(|sample| sample.metric == m::SERVICE_RSS).expect("rss").value;
        assert!(rss > 1e6, "{rss}");
    }

    #[test]
    fn a_host_without_pressure_files_gives_none() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut looker = Looker::new(dir.path().to_owned(), dir.path().to_owned());
        let psi = [m::PSI_CPU, m::PSI_MEMORY, m::PSI_IO];
        assert!(looker.look(clock::now()).iter().all(|sample| !psi.contains(&sample.metric)));
    }
}
