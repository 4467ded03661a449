//! `serin`: what the arguments ask for, done by the library.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use serin::app::{self, App};
use serin::cli::{self, Command, RunArgs};
use serin::config::Config;
use serin::control::Handle;
use serin::telemetry::log;

/// The configuration or the command line is at fault (`sysexits.h`).
const EX_USAGE: u8 = 64;

fn main() -> ExitCode {
    match cli::parse() {
        Err(code) => code,
        Ok(Command::Run(args)) => run(&args),
        Ok(Command::Demo(args)) => app::demo::run(&args),
        Ok(Command::Errand(errand)) => errand.run(),
    }
}

fn run(RunArgs { config: path }: &RunArgs) -> ExitCode {
    log::init();
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(EX_USAGE);
        }
    };
    for warning in &config.warnings {
        eprintln!("{}:{warning}", path.display());
    }
    match serve(config, path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("serin: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: Config, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let app = App::bind(config, Some(path.to_owned()))?;
    for (name, address) in app.addresses() {
        eprintln!("serin: listener {name} on {address}");
    }
    eprintln!("serin: admin on {}", app.admin_address());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::spawn(reload_on_hangup(app.handle()));
        app.run(shutdown_signal()).await
    })?;
    Ok(())
}

/// Reads the configuration again at every SIGHUP; control logs what came of it.
async fn reload_on_hangup(handle: Handle) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else {
        return eprintln!("serin: no SIGHUP handler; use `serin reload`");
    };
    while hangup.recv().await.is_some() {
        let _logged = handle.reload().await;
    }
}

/// Completes on SIGINT, and on the SIGTERM that `docker stop` sends.
async fn shutdown_signal() {
    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(error) => return eprintln!("serin: no SIGTERM handler: {error}"),
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
