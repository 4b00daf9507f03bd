//! Subjects take turns at one workload, so that what the machine does meanwhile falls on all of them.
use std::time::Duration;

use crate::Result;
use crate::client::{Client, Workload};
use crate::load::{Figures, Span, turn};

const ROUNDS: usize = 3;
/// What the last one left to be done in the background must not fall on the next.
const BETWEEN: Duration = Duration::from_millis(500);

#[derive(Clone, Copy)]
pub struct Case {
    pub what: &'static str,
    pub workload: Workload,
    pub clients: usize,
    pub span: Span,
}

impl Case {
    /// The first of the subjects is compared with the second.
    pub async fn take_turns(&self, subjects: &[(&str, Client)]) -> Result<()> {
        println!("\n{}: workflows a second, p50 ms, p99 ms; the median of {ROUNDS} turns", self.what);
        let mut figures: Vec<Vec<Figures>> = subjects.iter().map(|_| Vec::new()).collect();
        for _ in 0..ROUNDS {
            for ((name, client), figures) in subjects.iter().zip(&mut figures) {
                let taken = turn(client, self.workload, self.clients, self.span).await;
                figures.push(taken.map_err(|fault| format!("{name}: {fault}"))?);
                tokio::time::sleep(BETWEEN).await;
            }
        }
        for ((name, _), figures) in subjects.iter().zip(&figures) {
            let of = |part: fn(&Figures) -> f64| median(figures.iter().map(part).collect());
            let (rate, p50, p99) = (of(|f| f.per_second), of(|f| f.p50_ms), of(|f| f.p99_ms));
            let rates: Vec<String> = figures.iter().map(|f| format!("{:.0}", f.per_second)).collect();
            println!("  {name:<26} {rate:>8.0} {p50:>8.2} {p99:>8.2}   (a second: {})", rates.join(", "));
        }
        if let [ours, peer, ..] = figures.as_slice() {
            let ratio = |part: fn(&Figures) -> f64| {
                median(ours.iter().zip(peer).map(|(ours, peer)| part(ours) / part(peer)).collect())
            };
            let (rate, p50, p99) = (ratio(|f| f.per_second), ratio(|f| f.p50_ms), ratio(|f| f.p99_ms));
            println!("  {:<26} {rate:>8.2} {p50:>8.2} {p99:>8.2}", "ratio of the first two");
        }
        Ok(())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
