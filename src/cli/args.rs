//! The arguments. What stands here as documentation is what `--help` says.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::address;
use super::place::Place;
use crate::config::{Target, units};

const AFTER: &str = "\
Examples:
  serin check                                  look for mistakes in proxy.toml
  serin run                                    serve, with proxy.toml in this directory
  serin deploy shop app-green:3000 --version 42 --wait
                                               release version 42 and wait for the end
  serin status shop --watch                    see how it goes
  serin abort shop --why 'ticket 12'           give its traffic back at once

Exit codes: 0 done or promoted, 1 failure, 10 rolled back, 11 held or timed out,
12 gate failed, 64 bad input.";

/// A reverse proxy that releases new versions by itself: it sends a new version a growing share of
/// the requests while that is proven fine, and none the moment it is proven worse.
#[derive(Debug, Parser)]
#[command(name = "serin", version, after_help = AFTER, max_term_width = 100)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// How serin is asked, and how the answer is shown.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Asking a running serin")]
pub(super) struct Global {
    /// Where its API is: http://HOST:PORT or unix:/PATH
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "SERIN_ADMIN",
        hide_env_values = true,
        default_value = address::DEFAULT
    )]
    pub(super) admin: String,
    /// The file that holds the API's token, where it needs one
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "SERIN_TOKEN_FILE",
        hide_env_values = true
    )]
    pub(super) token_file: Option<OsString>,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Serve: listen, split requests, judge releases
    Run(RunArgs),
    /// Show a release in this terminal: a proxy, two pools of servers and load, on free ports
    Demo(DemoArgs),
    /// Check a file: every mistake with its line, column and a hint, and warnings
    Check {
        /// The file
        #[arg(default_value = "proxy.toml")]
        file: PathBuf,
        /// Also warn of steps that can see nothing at so many requests a second
        #[arg(long, value_name = "N", value_parser = rps)]
        rps: Option<f64>,
    },
    /// Show what each step of a plan takes, and the smallest fault that it can see
    Plan(PlanArgs),
    /// Check a running serin against the production checklist
    #[command(
        after_help = "Exit codes: 0 every item holds, 1 one does not, or it cannot be told now."
    )]
    Ready {
        /// Only this service, and serin itself
        service: Option<String>,
    },
    /// Release a version: step by step to 100 %, or back as soon as it is proven worse
    Deploy(DeployArgs),
    /// Show services, their pools, the share of the canary and what the judge says
    Status {
        /// Only this one
        service: Option<String>,
        /// Show it again every second, until ctrl-c
        #[arg(long)]
        watch: bool,
    },
    /// Set the canary's share by hand; it is judged, and taken back when it is proven worse
    #[command(after_help = "Example: serin weight shop 5% --why 'a first look'")]
    Weight {
        /// The service
        service: String,
        /// The share, such as 5% or 0.5%
        share: String,
        #[command(flatten)]
        why: Why,
    },
    /// Go one step forward without waiting for the judge
    Promote {
        /// The service
        service: String,
        /// Skip the remaining steps; the guard at 100 % still watches
        #[arg(long)]
        full: bool,
        #[command(flatten)]
        why: Why,
    },
    /// Hold a release where it is; requests are served, and a bad verdict still rolls back
    Pause(Wish),
    /// Let a held release go on
    Resume(Wish),
    /// Give up on a release: the canary gets nothing from the next request on
    Abort(Wish),
    /// Go back to the version before, as long as its pool is kept
    Undo(Wish),
    /// Allow a release again that was rolled back
    Retry(Wish),
    /// Try the way back now: with a failure of serin's own making, and no user on it
    #[command(
        after_help = "Exit codes: 0 the way back works, 12 it does not, 11 no result in time."
    )]
    Rehearse(Wish),
    /// Let no release go forward; requests are served, and a bad verdict still rolls back
    #[command(after_help = "\
Examples:
  serin freeze --until 2h --why 'incident 7'
  serin freeze shop --until 2026-12-27T08:00:00Z --why holidays")]
    Freeze {
        /// The service; every one where none is given
        service: Option<String>,
        /// Until this moment (RFC 3339), or for this time; until `thaw` where it is not given
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        #[command(flatten)]
        why: Why,
    },
    /// Let releases go forward again
    Thaw {
        /// The service; every one where none is given
        service: Option<String>,
        #[command(flatten)]
        why: Why,
    },
    /// List the releases of a service, oldest first
    History {
        /// The service
        service: String,
    },
    /// Tell the story of one release: every decision, who took it and on what grounds
    Explain {
        /// The release's id, as `serin history` shows it
        id: String,
    },
    /// Take an endpoint out: it finishes its requests and gets no new ones
    Drain(EndpointArgs),
    /// Let a drained endpoint back in
    Enable(EndpointArgs),
    /// Read the configuration again; a bad file changes nothing
    Reload,
    /// Judge ticks from standard input, one JSON document a line, as the proxy would judge them
    Judge,
    /// Print a script that completes commands in a shell
    #[command(after_help = "Example: serin completions bash > /etc/bash_completion.d/serin")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Arguments of `run`.
#[derive(Args, Clone, Debug, Eq, PartialEq)]
pub struct RunArgs {
    /// The configuration
    #[arg(long, short, value_name = "FILE", default_value = "proxy.toml")]
    pub config: PathBuf,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  serin plan shop --rps 200                    from proxy.toml in this directory, without asking anybody
  serin plan shop                              with the traffic that a running serin sees")]
pub(super) struct PlanArgs {
    /// The service
    pub(super) service: String,
    /// Requests a second to expect; what a running serin saw in the last minute where not given
    #[arg(long, value_name = "N", value_parser = rps)]
    pub(super) rps: Option<f64>,
    /// The share of them that stable fails, such as 0.1%; what a running serin sees, or 0.1%
    #[arg(long, value_name = "SHARE", value_parser = units::share)]
    pub(super) error_rate: Option<f64>,
    /// The configuration
    #[arg(long, short, value_name = "FILE", default_value = "proxy.toml")]
    pub(super) config: PathBuf,
}

/// Reads requests per second.
fn rps(text: &str) -> Result<f64, String> {
    let rps = text.parse::<f64>().ok().filter(|rps| rps.is_finite() && *rps > 0.0 && *rps <= 1e9);
    rps.ok_or_else(|| "write a number of requests a second above 0, such as 200".to_owned())
}

/// Arguments of `demo`.
#[derive(Args, Clone, Debug, Eq, PartialEq)]
pub struct DemoArgs {
    /// What the new version does wrong
    #[arg(long, value_name = "FAULT", default_value = "none")]
    pub fault: Fault,
    /// Requests per second, 50 to 5000
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(50..=5000))]
    pub rps: u32,
    /// Whether to print one JSON document instead of text.
    #[arg(skip)]
    pub json: bool,
}

/// What the demo's new version does wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Fault {
    /// Nothing: it is promoted
    None,
    /// Half of its answers are errors
    Errors,
    /// Its answers take three times as long
    Slow,
    /// Its processes die in the middle of the release
    Crash,
    /// It stops answering in the middle, while its health check still passes
    Hang,
}

impl Fault {
    /// Its name as an argument.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Errors => "errors",
            Self::Slow => "slow",
            Self::Crash => "crash",
            Self::Hang => "hang",
        }
    }
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  serin deploy shop --version 42
      release what already runs in the canary pool
  serin deploy shop 10.0.0.7:3000 10.0.0.8:3000 --version 42 --wait --why 'ticket 12'
      release what runs on these servers, and wait for the end

With --wait the exit code tells the end: 0 promoted, 10 rolled back or undone,
11 not finished in time, 12 a gate failed. Without it, 0 means that it began.")]
pub(super) struct DeployArgs {
    /// The service
    pub(super) service: String,
    /// Where the new version runs, host:port; the canary pool's own where none is given
    #[arg(value_name = "ENDPOINT")]
    pub(super) endpoints: Vec<Target>,
    /// The version, as people call it
    #[arg(long)]
    pub(super) version: String,
    /// Identifies the release; the version where it is not given
    #[arg(long)]
    pub(super) id: Option<String>,
    /// How it moves, instead of what the file says
    #[arg(long)]
    pub(super) strategy: Option<Strategy>,
    /// Wait until it is promoted, rolled back or undone
    #[arg(long)]
    pub(super) wait: bool,
    /// Stop waiting after this time; the release goes on by itself
    #[arg(long, value_name = "TIME", default_value = "1h", requires = "wait", value_parser = units::duration)]
    pub(super) timeout: Duration,
    #[command(flatten)]
    pub(super) why: Why,
}

/// How a release moves.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Strategy {
    /// Many steps, each judged
    Canary,
    /// One short step of 1 %, then the switch
    BlueGreen,
    /// One share that lasts, reported and never promoted
    Ab,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Wish {
    /// The service
    pub(super) service: String,
    #[command(flatten)]
    pub(super) why: Why,
}

#[derive(Args, Clone, Debug)]
pub(super) struct EndpointArgs {
    /// Which one, such as shop/blue/10.0.0.5:3000
    #[arg(value_name = "SERVICE/POOL/ENDPOINT")]
    pub(super) place: Place,
    #[command(flatten)]
    pub(super) why: Why,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Why {
    /// The reason, kept in the history
    #[arg(long = "why", value_name = "TEXT")]
    pub(super) text: Option<String>,
}
