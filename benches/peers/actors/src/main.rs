//! One actor call inside one process: ours and its peers, one machine, one run.
//!
//! `cargo run --release` runs everything; names of sections pick some. Each case runs in a process of its own (this
//! program starts itself), so that no library's threads or heap touch another's figures; the best of three is printed.
mod actix_plain;
mod channels;
mod figures;
mod kameo_peer;
mod ours;
mod ractor_peer;

use std::process::{Command, ExitCode};

use figures::{Figure, on_arbiter, on_one_thread, on_threads};

type Case = (&'static str, fn() -> Figure);

/// The figure that counts comes first; smaller is better but for `tell`.
const SECTIONS: &[(&str, &str, &[Case])] = &[
    (
        "ask",
        "ns for a question and its answer, one after the other: p50, p99, p99.9",
        &[
            ("dsmil, same arbiter", || on_arbiter(ours::ask(false))),
            ("actix, same arbiter", || on_arbiter(actix_plain::ask(false))),
            ("tokio channels, one thread", || on_one_thread(channels::ask())),
            ("ractor, one thread", || on_one_thread(ractor_peer::ask())),
            ("kameo, one thread", || on_one_thread(kameo_peer::ask())),
            ("dsmil, other arbiter", || on_arbiter(ours::ask(true))),
            ("actix, other arbiter", || on_arbiter(actix_plain::ask(true))),
            ("tokio channels, two workers", || on_threads(channels::ask())),
            ("ractor, two workers", || on_threads(ractor_peer::ask())),
            ("kameo, two workers", || on_threads(kameo_peer::ask())),
        ],
    ),
    (
        "tell",
        "million messages a second, until the last was handled",
        &[
            ("dsmil, other arbiter", || on_arbiter(ours::tell(true))),
            ("actix do_send, other arbiter", || on_arbiter(actix_plain::tell(true))),
            ("tokio channel of 64, two workers", || on_threads(channels::tell())),
            ("ractor, two workers", || on_threads(ractor_peer::tell())),
            ("kameo, mailbox of 64, two workers", || on_threads(kameo_peer::tell())),
        ],
    ),
    (
        "restart",
        "us from the fatal message to the first good answer, no back-off: p50, p99, longest",
        &[
            ("dsmil, same arbiter", || on_arbiter(ours::restart(false))),
            ("ractor, one thread", || on_one_thread(ractor_peer::restart())),
            ("kameo, one thread", || on_one_thread(kameo_peer::restart())),
            ("dsmil, other arbiter", || on_arbiter(ours::restart(true))),
            ("ractor, two workers", || on_threads(ractor_peer::restart())),
            ("kameo, two workers", || on_threads(kameo_peer::restart())),
        ],
    ),
    (
        "open",
        "ns to be refused by an open breaker: p50, p99, p99.9",
        &[("dsmil", || on_arbiter(ours::refusal()))],
    ),
    (
        "memory",
        "bytes of resident memory for an idle actor",
        &[
            ("dsmil", || on_arbiter(ours::memory())),
            ("actix", || on_arbiter(actix_plain::memory())),
            ("tokio task with a channel of 16", || on_one_thread(channels::memory())),
            ("ractor", || on_one_thread(ractor_peer::memory())),
            ("kameo", || on_one_thread(kameo_peer::memory())),
        ],
    ),
    (
        "stall",
        "ms until a child that blocks its thread over a limit of 300 ms serves again: p50, longest",
        &[("dsmil", || on_arbiter(ours::stall()))],
    ),
    (
        "neighbours",
        "us for a question to agents on the other seven arbiters while one of 80 blocks its own 100 ms at a time: p50, p99",
        &[("dsmil", || on_arbiter(ours::neighbours()))],
    ),
];

const ROUNDS: usize = 3;
/// Set in the process of one case.
const ALONE: &str = "ACTOR_PEERS_CASE";

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Ok(alone) = std::env::var(ALONE) {
        std::panic::set_hook(Box::new(|_| {}));
        let (section, name) = alone.split_once('/').expect("section/case");
        let (_, _, cases) = SECTIONS.iter().find(|(known, _, _)| *known == section).expect("a section");
        let (_, run) = cases.iter().find(|(known, _)| *known == name).expect("a case");
        println!("{}", run());
        return ExitCode::SUCCESS;
    }
    let mut failed = false;
    for (section, what, cases) in
        SECTIONS.iter().filter(|(name, _, _)| wanted.is_empty() || wanted.iter().any(|w| w == name))
    {
        println!("\n{section}: {what}");
        for (name, _) in *cases {
            let figures: Vec<Figure> = (0..ROUNDS).filter_map(|_| alone(section, name)).collect();
            let best =
                figures.into_iter().reduce(|a, b| if (b.first() < a.first()) != (*section == "tell") { b } else { a });
            failed |= best.is_none();
            println!("  {name:<36} {}", best.map_or("FAILED".to_owned(), |best| best.to_string()));
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs one case in a process of its own.
fn alone(section: &str, name: &str) -> Option<Figure> {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program).env(ALONE, format!("{section}/{name}")).output().expect("started");
    if !output.status.success() {
        eprintln!("{section}, {name}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        return None;
    }
    Figure::parse(&String::from_utf8_lossy(&output.stdout))
}
