//! `dsmil cpu`: what the processor can do, which code is chosen by that, and how fast it is here. Needs no service.
use std::time::Duration;

use serde::Serialize;

use crate::cli::fail::Failure;
use crate::cli::render;
use crate::cli::shell::Shell;
use crate::clock;
use crate::compute::cpu::{self, Kernel};
use crate::compute::digests::{Job, Operation};

/// For one figure.
const SAMPLE: Duration = Duration::from_millis(60);
const ROUNDS: usize = 5;
/// Sizes of a message, in bytes: a node of a tree, a log entry, a small file, a large one.
const SIZES: &[usize] = &[64, 1 << 10, 16 << 10, 1 << 20];

#[derive(Debug, Serialize)]
pub struct Report {
    pub level: String,
    pub features: Vec<String>,
    pub missing: Vec<String>,
    pub kernels: Vec<Kernel>,
    pub measured: Vec<Measured>,
}

/// The best of some rounds, on one core.
#[derive(Debug, Serialize)]
pub struct Measured {
    pub operation: String,
    pub message_bytes: usize,
    pub gb_per_s: f64,
}

pub fn cpu(shell: &Shell) -> Result<(), Failure> {
    let features = cpu::usable();
    let names = |wanted: bool| -> Vec<String> {
        features.iter().filter(|(_, usable)| *usable == wanted).map(|(name, _)| (*name).to_owned()).collect()
    };
    let report = Report {
        level: cpu::level(&features).to_owned(),
        features: names(true),
        missing: names(false),
        kernels: cpu::kernels(&features),
        measured: SIZES.iter().map(|size| measure(*size)).collect(),
    };
    shell.show(&report, render::cpu::report)
}

fn measure(size: usize) -> Measured {
    // About a megabyte, so that memory has little to do with it.
    let job = Job::new(Operation::Sha256, vec![vec![0xa5; size]; ((1 << 20) / size).max(1)]);
    let rate = || {
        let (began, mut bytes) = (clock::now(), 0);
        while began.elapsed() < SAMPLE {
            std::hint::black_box(job.digests());
            bytes += job.bytes();
        }
        bytes as f64 / began.elapsed().as_secs_f64() / 1e9
    };
    let best = (0..ROUNDS).map(|_| rate()).fold(0.0, f64::max);
    Measured { operation: "sha256".to_owned(), message_bytes: size, gb_per_s: (best * 1000.0).round() / 1000.0 }
}
