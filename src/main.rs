//! `serin`: what the arguments ask for, done by the library.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

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
        Ok(Command::Judge) => app::replay::run(),
        Ok(Command::Errand(errand)) => errand.run(app::foresight::foresee),
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Signals are heard before anybody is told that there is something to signal.
        let hangup = signal(SignalKind::hangup())?;
        let (terminate, interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        // A file that may not grow fails its write, and must not end the proxy.
        let _heard = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
        for (name, address) in app.addresses() {
            eprintln!("serin: listener {name} on {address}");
        }
        eprintln!("serin: admin on {}", app.admin_address());
        tokio::spawn(reload_on(hangup, app.handle()));
        app.run(either(terminate, interrupt)).await
    })?;
    Ok(())
}

/// Reads the configuration again at every SIGHUP; control logs what came of it.
async fn reload_on(mut hangup: Signal, handle: Handle) {
    while hangup.recv().await.is_some() {
        let _logged = handle.reload().await;
    }
}

/// Completes on SIGINT, and on the SIGTERM that `docker stop` sends.
async fn either(mut terminate: Signal, mut interrupt: Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
