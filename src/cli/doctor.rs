//! `dsmil doctor`: what the service needs on this host, what is there, and how to mend the rest.
use std::fs::OpenOptions;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, User, access, geteuid};

use crate::api::health::Readiness;
use crate::cli::fail::Failure;
use crate::cli::render::check::{Check, Grade, checks};
use crate::cli::shell::Shell;
use crate::client::find;
use crate::client::find::Target;
use crate::client::http::Client;
use crate::config::Config;
use crate::config::postgres::PostgresConfig;
use crate::toolkit::tpm_choice::TpmChoice;

/// The user that a service becomes that was started as root.
const SERVICE_USER: &str = "dsmil";
const TPM_DEVICE: &str = "/dev/tpmrm0";

pub fn doctor(shell: &Shell) -> Result<(), Failure> {
    let found = match shell.load(Vec::new()) {
        Ok(loaded) => {
            let from = loaded.file.map_or_else(|| "defaults".to_owned(), |file| file.display().to_string());
            let mut found = vec![Check::ok("configuration", from)];
            found.extend(examine(shell, &loaded.config));
            found
        }
        Err(failure) => {
            let mend = "correct the named places; `dsmil config check` checks again";
            vec![Check::fail("configuration", failure.message.replace("\n  ", "; "), mend)]
        }
    };
    shell.show(&found, |found, style| checks(found, style))?;
    let failed = found.iter().filter(|check| check.grade == Grade::Fail).count();
    if failed == 0 { Ok(()) } else { Err(Failure::failed(format!("{failed} of {} checks failed", found.len()))) }
}

fn examine(shell: &Shell, config: &Config) -> Vec<Check> {
    let service = find::running_service(&config.data_dir).map(|service| service.url);
    let readiness = service.as_ref().map(|url| {
        let target = Target { url: url.clone(), token: None };
        shell.wait_for(async { Client::new(target).readiness().await })
    });
    let runs = matches!(readiness, Some(Ok(_)));
    let mut found = vec![
        data_dir(&config.data_dir, runs),
        postgres(&config.postgres),
        tpm(&config.tpm.choice),
        privileges(),
        port(config.web.listen, runs),
    ];
    match (service, readiness) {
        (Some(url), Some(Ok(readiness))) => found.push(service_check(&url, &readiness)),
        (Some(url), Some(Err(_))) => found.push(Check::warn(
            "service",
            format!("the data directory names one at {url}, which does not answer"),
            "it was killed or is starting; start it with `dsmil serve`, which cleans up after the old one",
        )),
        _ => found.push(Check::ok("service", "not running")),
    }
    found
}

fn data_dir(dir: &Path, runs: bool) -> Check {
    const WHAT: &str = "data directory";
    let shown = dir.display();
    let mend = "name another with --data-dir, or give it to the user that runs the service";
    // Only root can tell whether the service's user may use it; the service itself does so at its start.
    let nearest = dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    if runs {
        Check::ok(WHAT, format!("{shown}, in use"))
    } else if dir.exists() && !dir.is_dir() {
        Check::fail(WHAT, format!("{shown} is not a directory"), mend)
    } else if access(nearest, AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
        Check::fail(WHAT, format!("{shown} cannot be written: no right to write {}", nearest.display()), mend)
    } else if dir.exists() {
        Check::ok(WHAT, shown.to_string())
    } else {
        Check::ok(WHAT, format!("{shown} will be created"))
    }
}

fn postgres(config: &PostgresConfig) -> Check {
    const WHAT: &str = "postgresql";
    if config.url.is_some() {
        return Check::ok(WHAT, "the server of DATABASE_URL or postgres.url");
    }
    match config.server_dir() {
        Ok(dir) => Check::ok(WHAT, dir.display().to_string()),
        Err(cause) => {
            let mend = "run scripts/setup (`make run` does), or set postgres.bin_dir or DATABASE_URL";
            Check::fail(WHAT, cause.to_string(), mend)
        }
    }
}

fn tpm(choice: &TpmChoice) -> Check {
    const WHAT: &str = "tpm";
    let usable = |path: &Path| OpenOptions::new().read(true).write(true).open(path).map_err(|cause| cause.to_string());
    let emulator = |why: String| match program("swtpm") {
        Some(path) => Check::ok(WHAT, format!("{why}emulator {}: signatures are marked `emulator`", path.display())),
        None => Check::fail(WHAT, format!("{why}no swtpm in PATH"), "apt-get install swtpm"),
    };
    match choice {
        TpmChoice::Swtpm => emulator(String::new()),
        TpmChoice::Tcti(tcti) => Check::ok(WHAT, format!("TCTI `{tcti}`, not tried")),
        TpmChoice::Device(path) => match usable(path) {
            Ok(_) => Check::ok(WHAT, format!("hardware {}", path.display())),
            // A device in use answers busy, which is what it should be while the service runs.
            Err(cause) => {
                let mend = "add the user to the group `tss`, or start as root; DSMIL_TPM=swtpm uses an emulator";
                Check::fail(WHAT, format!("{}: {cause}", path.display()), mend)
            }
        },
        TpmChoice::Auto => match usable(Path::new(TPM_DEVICE)) {
            Ok(_) => Check::ok(WHAT, format!("hardware {TPM_DEVICE}")),
            Err(_) if !Path::new(TPM_DEVICE).exists() => emulator(String::new()),
            Err(cause) => emulator(format!("{TPM_DEVICE} cannot be opened ({cause}); ")),
        },
    }
}

fn privileges() -> Check {
    const WHAT: &str = "privileges";
    if !geteuid().is_root() {
        return Check::warn(
            WHAT,
            "ordinary user: no broker, so what needs root answers `unavailable`",
            "start it as root to have a broker; the service itself then runs as the user `dsmil`",
        );
    }
    match User::from_name(SERVICE_USER) {
        Ok(Some(_)) => Check::ok(WHAT, format!("root: the service will run as `{SERVICE_USER}`")),
        _ => Check::fail(
            WHAT,
            format!("root, but there is no user `{SERVICE_USER}` for the service to become"),
            "run scripts/setup, or `useradd --system --no-create-home --shell /usr/sbin/nologin dsmil`",
        ),
    }
}

fn port(listen: SocketAddr, runs: bool) -> Check {
    match TcpListener::bind(listen) {
        Ok(_) => Check::ok("port", format!("{listen} is free")),
        Err(_) if runs => Check::ok("port", format!("{listen} is in use by the service")),
        Err(cause) => {
            let mend = "stop what listens there (`ss -ltnp` shows it), or set web.listen to another port";
            Check::fail("port", format!("{listen}: {cause}"), mend)
        }
    }
}

fn service_check(url: &str, readiness: &Readiness) -> Check {
    let failing: Vec<&str> = readiness.parts.iter().filter(|part| !part.ok).map(|part| part.name.as_str()).collect();
    if failing.is_empty() {
        Check::ok("service", format!("ready at {url}"))
    } else {
        let detail = format!("{url} is not ready: {}", failing.join(", "));
        Check::fail("service", detail, "`dsmil supervision` shows what restarts, and the service's log tells why")
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| access(file, AccessFlags::X_OK).is_ok())
}
