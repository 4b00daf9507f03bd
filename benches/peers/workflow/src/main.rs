//! Durable workflows over loopback HTTP, end to end: ours and its nearest peer, on one machine, in one run, in turns.
//!
//! `cargo run --release -- [--dsmil PROGRAM] [--alone] [SECTION..]`; without a section all of them, with `--alone` no
//! peer, for a profiler. Each answer is looked into: a workflow that did not do all its steps ends the run.
mod client;
mod crash;
mod dbos;
mod dbos_server;
mod dsmil;
mod http;
mod listing;
mod load;
mod process;
mod turns;
mod waiting;

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use client::{Trips, Workload};
use dbos::Dbos;
use dsmil::Dsmil;
use load::Span;
use turns::{Case, Subject};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ONE: Case = Case {
    what: "three steps in a row, 1 client",
    workload: Workload::Sequence,
    clients: 1,
    span: Span { warm_up: Duration::from_secs(1), measured: Duration::from_secs(3) },
};
const MANY: Case = Case { what: "three steps in a row, 64 clients", clients: 64, ..ONE };
const FAN_OUT: Case = Case { what: "sixteen steps at once, 1 client", workload: Workload::FanOut, ..ONE };
const MANY_FAN_OUT: Case = Case { what: "sixteen steps at once, 16 clients", clients: 16, ..FAN_OUT };
const SECTIONS: [&str; 6] = ["one", "many", "fan-out", "crash", "waiting", "list"];

fn main() -> ExitCode {
    let done = match env::var(dbos::ROLE) {
        Ok(database) => serve(database),
        Err(_) => arguments().and_then(|asked| measure(&asked)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

fn serve(database: String) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(dbos_server::serve(database))
}

struct Asked {
    program: PathBuf,
    alone: bool,
    sections: Vec<String>,
}

fn arguments() -> Result<Asked> {
    let (mut program, mut alone, mut sections) = (None, false, Vec::new());
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--dsmil" {
            program = Some(words.next().ok_or("--dsmil needs the path of the program")?.into());
        } else if word == "--alone" {
            alone = true;
        } else if SECTIONS.contains(&word.as_str()) {
            sections.push(word);
        } else {
            return Err(format!("`{word}` is no section; there are {}", SECTIONS.join(", ")).into());
        }
    }
    // The two share a target directory when `make bench` runs them.
    let beside = env::current_exe()?.with_file_name("dsmil");
    let program: PathBuf = program.unwrap_or(beside);
    if !program.is_file() {
        return Err(format!("there is no {}; name the release binary with --dsmil", program.display()).into());
    }
    Ok(Asked { program, alone, sections })
}

fn measure(asked: &Asked) -> Result<()> {
    let Asked { program, alone, sections } = asked;
    let wanted = |section: &str| sections.is_empty() || sections.iter().any(|word| word == section);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../scripts");
    runtime.block_on(async {
        if ["one", "many", "fan-out", "crash"].into_iter().any(wanted) {
            let mut dsmil = Dsmil::start(program)?;
            let mut peer = match alone {
                true => None,
                false => Some(Dbos::start(&dbos::programs(&scripts)?, &dsmil.postgres_settings()?)?),
            };
            let ours = |name, trips| {
                let processes = dsmil.pid().into_iter().collect();
                Ok::<_, Box<dyn Error>>(Subject { name, client: dsmil.client(trips)?, processes })
            };
            let mut subjects = vec![ours("dsmil", Trips::One)?];
            if let Some(peer) = &peer {
                subjects.push(Subject { name: "DBOS for Rust", client: peer.client(), processes: peer.pids() });
                subjects.push(ours("dsmil, submit then wait", Trips::Two)?);
            }
            for (section, case) in [("one", ONE), ("many", MANY), ("fan-out", FAN_OUT), ("fan-out", MANY_FAN_OUT)] {
                if wanted(section) {
                    case.take_turns(&subjects).await?;
                }
            }
            if wanted("crash") {
                crash::survive(&mut dsmil, peer.as_mut()).await?;
            }
        }
        if wanted("waiting") {
            waiting::wait(&Dsmil::start(program)?).await?;
        }
        if wanted("list") {
            listing::list(&Dsmil::start(program)?).await?;
        }
        Ok(())
    })
}
