//! How figures are taken: the same for all.
use std::fmt;
use std::time::{Duration, Instant};

pub const ASKS: usize = 100_000;
pub const TELLS: usize = 1_000_000;
pub const RESTARTS: usize = 300;
pub const IDLE: usize = 20_000;

pub struct Figure(Vec<f64>);

impl Figure {
    pub fn one(value: f64) -> Self {
        Figure(vec![value])
    }

    pub fn first(&self) -> f64 {
        self.0[0]
    }

    pub fn parse(text: &str) -> Option<Self> {
        let values: Option<Vec<f64>> = text.split_whitespace().map(|word| word.parse().ok()).collect();
        values.filter(|values| !values.is_empty()).map(Figure)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self
            .0
            .iter()
            .map(|value| match value.fract() == 0.0 {
                true => format!("{value:>9.0}"),
                false => format!("{value:>9.2}"),
            })
            .collect();
        f.write_str(&words.join(" "))
    }
}

/// These shares of the times, in units of so many nanoseconds.
pub fn quantiles(mut times: Vec<Duration>, shares: &[f64], unit: f64) -> Figure {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_nanos() as f64;
    Figure(shares.iter().map(|share| (at(*share) / unit * 100.0).round() / 100.0).collect())
}

/// The times of questions that are asked one after the other; the first tenth is left out.
pub struct Asks(Vec<Duration>);

impl Asks {
    pub fn new() -> Self {
        Asks(Vec::with_capacity(ASKS + ASKS / 10))
    }

    pub fn wants_more(&self) -> bool {
        self.0.len() < ASKS + ASKS / 10
    }

    pub fn took(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub fn figure(mut self) -> Figure {
        quantiles(self.0.split_off(ASKS / 10), &[0.5, 0.99, 0.999], 1.0)
    }
}

pub fn rate(began: Instant) -> Figure {
    Figure::one((TELLS as f64 / began.elapsed().as_secs_f64() / 1e4).round() / 100.0)
}

pub fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("procfs");
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("pages") * 4096
}

pub fn each(before: usize) -> Figure {
    Figure::one(((resident() - before) / IDLE) as f64)
}

/// The one who asks is a task like the others: the future of `block_on` goes by way of the kernel at each turn.
pub fn on_arbiter(work: impl Future<Output = Figure> + 'static) -> Figure {
    actix_rt::System::new().block_on(async { actix_rt::spawn(work).await.expect("it ends") })
}

pub fn on_one_thread(work: impl Future<Output = Figure> + Send + 'static) -> Figure {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::spawn(work).await.expect("it ends") })
}

/// The one who asks is a task too: `block_on` would add a third thread.
pub fn on_threads(work: impl Future<Output = Figure> + Send + 'static) -> Figure {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::spawn(work).await.expect("it ends") })
}
