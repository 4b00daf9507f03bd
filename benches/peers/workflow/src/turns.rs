//! Subjects take turns at one workload, so that what the machine does meanwhile falls on all of them.
use std::time::Duration;

use crate::Result;
use crate::client::{Client, Workload};
use crate::load::{Figures, Span, turn};
use crate::process::{family, processor_time};

const ROUNDS: usize = 3;
/// What the last one left to be done in the background must not fall on the next.
const BETWEEN: Duration = Duration::from_millis(500);

/// Who takes turns.
pub struct Subject {
    pub name: &'static str,
    pub client: Client,
    /// The processes that do its work, with all that descend from them.
    pub processes: Vec<i32>,
}

/// What a turn was like, and the processor time of one workflow in milliseconds, its database included.
struct Taken {
    figures: Figures,
    cpu_ms: f64,
}

impl Subject {
    async fn turn(&self, case: &Case) -> Result<Taken> {
        let all: Vec<i32> = self.processes.iter().flat_map(|first| family(*first)).collect();
        let before = processor_time(&all)?;
        let taken = turn(&self.client, case.workload, case.clients, case.span).await;
        let figures = taken.map_err(|fault| format!("{}: {fault}", self.name))?;
        let cpu = processor_time(&all)?.saturating_sub(before);
        let cpu_ms = cpu.as_secs_f64() * 1e3 / figures.all as f64;
        Ok(Taken { figures, cpu_ms })
    }
}

#[derive(Clone, Copy)]
pub struct Case {
    pub what: &'static str,
    pub workload: Workload,
    pub clients: usize,
    pub span: Span,
}

impl Case {
    /// The first of the subjects is compared with the second.
    pub async fn take_turns(&self, subjects: &[Subject]) -> Result<()> {
        println!("\n{}; the median of {ROUNDS} turns", self.what);
        println!("  {:<26} {:>9} {:>9} {:>9} {:>9}", "", "a second", "p50 ms", "p99 ms", "cpu ms");
        let mut turns: Vec<Vec<Taken>> = subjects.iter().map(|_| Vec::new()).collect();
        for _ in 0..ROUNDS {
            for (subject, turns) in subjects.iter().zip(&mut turns) {
                turns.push(subject.turn(self).await?);
                tokio::time::sleep(BETWEEN).await;
            }
        }
        for (subject, turns) in subjects.iter().zip(&turns) {
            let [rate, p50, p99, cpu] = PARTS.map(|part| median(turns.iter().map(part).collect()));
            let rates: Vec<String> = turns.iter().map(|turn| format!("{:.0}", turn.figures.per_second)).collect();
            let rates = rates.join(", ");
            println!("  {:<26} {rate:>9.0} {p50:>9.2} {p99:>9.2} {cpu:>9.2}   (a second: {rates})", subject.name);
        }
        if let [ours, peer, ..] = turns.as_slice() {
            let ratio = |part: fn(&Taken) -> f64| {
                median(ours.iter().zip(peer).map(|(ours, peer)| part(ours) / part(peer)).collect())
            };
            let [rate, p50, p99, cpu] = PARTS.map(ratio);
            println!("  {:<26} {rate:>9.2} {p50:>9.2} {p99:>9.2} {cpu:>9.2}", "ratio of the first two");
        }
        Ok(())
    }
}

const PARTS: [fn(&Taken) -> f64; 4] =
    [|turn| turn.figures.per_second, |turn| turn.figures.p50_ms, |turn| turn.figures.p99_ms, |turn| turn.cpu_ms];

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
