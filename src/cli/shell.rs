//! What every command shares: the global options made into a configuration, a client, and ways to print.
use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use serde::Serialize;

use crate::cli::args::{Format, Global};
use crate::cli::fail::Failure;
use crate::cli::render::table::Style;
use crate::client::find;
use crate::client::find::{Hints, Token};
use crate::client::http::Client;
use crate::config::Config;
use crate::config::Loaded;
use crate::config::source::{Flag, Sources};

pub struct Shell {
    pub global: Global,
}

impl Shell {
    /// The configuration with the global options and `flags` on top.
    pub fn load(&self, mut flags: Vec<Flag>) -> Result<Loaded, Failure> {
        if let Some(dir) = &self.global.data_dir {
            flags.push(Flag { key: "data.dir", flag: "--data-dir", value: dir.to_string_lossy().into_owned() });
        }
        Ok(Config::load(&Sources::of_process(self.global.config.clone(), flags))?)
    }

    pub fn data_dir(&self) -> Result<PathBuf, Failure> {
        Ok(self.load(Vec::new())?.config.data_dir)
    }

    /// A client of the service that the options name, else of the one of the data directory.
    pub fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(find::find(self.hints(), &self.data_dir()?)?))
    }

    /// What the caller was told about the service.
    pub fn hints(&self) -> Hints {
        let token = std::env::var("DSMIL_TOKEN").ok().filter(|token| !token.is_empty());
        Hints {
            url: self.global.url.clone(),
            token: token.map(|token| Token::new(&token)),
            token_file: self.global.token_file.clone(),
        }
    }

    /// Carries out what needs the client's event loop.
    pub fn wait_for<T>(&self, work: impl Future<Output = T>) -> T {
        actix_rt::System::new().block_on(work)
    }

    pub fn is_json(&self) -> bool {
        self.global.output == Format::Json
    }

    pub fn style(&self) -> Style {
        self.style_of(io::stdout().is_terminal())
    }

    /// Of messages.
    pub fn aside_style(&self) -> Style {
        self.style_of(io::stderr().is_terminal())
    }

    fn style_of(&self, terminal: bool) -> Style {
        // https://no-color.org: set and not empty.
        let refused = self.global.no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Style { colour: terminal && !refused }
    }

    /// Prints data: as the API's JSON, or as text for people.
    pub fn show<T: Serialize>(&self, data: &T, render: impl FnOnce(&T, Style) -> String) -> Result<(), Failure> {
        if self.is_json() {
            let text = serde_json::to_string_pretty(data).map_err(|cause| Failure::of(&cause))?;
            self.print(&format!("{text}\n"))
        } else {
            self.print(&render(data, self.style()))
        }
    }

    /// Writes to standard output. A reader that has gone (`| head`) is no failure.
    pub fn print(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
            Err(cause) => Err(Failure::failed(format!("cannot write to standard output: {cause}"))),
            Ok(()) => Ok(()),
        }
    }

    /// A message beside the data.
    pub fn say(&self, text: &str) {
        if !self.global.quiet {
            warn(text);
        }
    }
}

/// A message that is shown even if quiet was asked for.
pub fn warn(text: &str) {
    // Where standard error is gone there is nobody left to tell.
    writeln!(io::stderr().lock(), "{text}").unwrap_or_default();
}
