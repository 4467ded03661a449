//! The command line: arguments, questions to a running serin, answers as text or JSON.
//!
//! Nothing here decides about a release. `run` and `demo` are handed to whoever composes the
//! program; every other command asks the API, or reads a file, and ends with an exit code that a
//! script can act on.

mod address;
mod args;
mod ask;
mod check;
mod client;
mod deploy;
mod exit;
mod explain;
#[cfg(test)]
mod fixture;
mod history;
mod out;
mod place;
mod plan;
mod progress;
mod ready;
mod rehearse;
mod status;
mod table;
mod wait;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::config::Config;
use address::Address;
use args::{Cli, Global, Verb};
use client::Client;
use exit::Failure;
use out::Out;

pub use args::{DemoArgs, Fault, RunArgs};
pub use plan::{Foresee, Foreseen, Traffic};

/// What the arguments ask for.
#[derive(Debug)]
pub enum Command {
    /// Run the proxy.
    Run(RunArgs),
    /// Show a release in the terminal.
    Demo(DemoArgs),
    /// Judge recorded ticks.
    Judge,
    /// Anything that this module does by itself.
    Errand(Errand),
}

/// A command that asks a running serin, or reads a file.
#[derive(Debug)]
pub struct Errand {
    global: Global,
    verb: Verb,
}

/// Reads the arguments of the process.
///
/// # Errors
/// When there is nothing to do: help was printed, or what is wrong with the arguments. The code
/// says which.
pub fn parse() -> Result<Command, ExitCode> {
    parse_from(std::env::args_os()).map_err(|error| {
        // Nobody may be left to read it.
        let _ = error.print();
        ExitCode::from(exit::of_usage(&error))
    })
}

fn parse_from(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<Command, clap::Error> {
    let Cli { global, verb } = Cli::try_parse_from(arguments)?;
    Ok(match verb {
        Verb::Run(args) => Command::Run(args),
        Verb::Judge => Command::Judge,
        Verb::Demo(args) => Command::Demo(DemoArgs { json: global.json, ..args }),
        verb => Command::Errand(Errand { global, verb }),
    })
}

impl Errand {
    /// Does it, and says how it ended. What a plan comes to, `foresee` knows.
    pub fn run(self, foresee: Foresee) -> ExitCode {
        let out = Out::new(self.global.json);
        let code = self.attempt(&out, foresee).unwrap_or_else(|failure| {
            out.failure(&failure);
            failure.code()
        });
        ExitCode::from(code)
    }

    fn attempt(self, out: &Out, foresee: Foresee) -> Result<u8, Failure> {
        match self.verb {
            Verb::Check { file, rps } => {
                let warnings = |config: &Config| {
                    rps.map(|rps| plan::warnings(config, rps, foresee)).unwrap_or_default()
                };
                return Ok(check::check(out, &file, warnings));
            }
            Verb::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "serin", &mut script);
                out.raw(&String::from_utf8_lossy(&script));
                return Ok(exit::DONE);
            }
            _ => {}
        }
        let address: Result<Address, String> = self.global.admin.parse();
        let address = address.map_err(|bad| Failure::Usage(format!("--admin: {bad}")))?;
        // A variable that is set to nothing names no file.
        let token_file = self.global.token_file.filter(|path| !path.is_empty());
        let client = Client::new(address, token_file.map(Into::into));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Other(format!("cannot start: {error}")))?;
        let done = runtime.block_on(ask::ask(&client, out, self.verb, foresee));
        // A look-up of a name that hangs must not hold the end back.
        runtime.shutdown_background();
        done
    }
}

#[cfg(test)]
mod tests;
