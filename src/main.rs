//! The program: parse, run, report the error, exit status.

use std::process::ExitCode;

use sockctl::cli::{self, Asked};
use sockctl::console::event::Level;
use sockctl::console::talk::Talk;
use sockctl::exit::{self, Failure};
use sockctl::net::signal;

fn main() -> ExitCode {
    let plain = || Talk::new(Level::Normal, false);
    let command = match cli::read() {
        Ok(Asked::Run(command)) => command,
        Ok(Asked::Shown(result)) => return finish(result.map_err(Into::into), &plain()),
        Err(refusal) => return finish(Err(refusal.into()), &plain()),
    };
    let talk = command.talk();
    let result = signal::install()
        .map_err(|e| Failure::system("install", "signal handlers", &e).into())
        .and_then(|()| command.run(&talk));
    finish(result, &talk)
}

/// Reports what went wrong, if anything did; the exit status.
fn finish(result: anyhow::Result<()>, talk: &Talk) -> ExitCode {
    let status = result.map_or_else(
        |error| {
            let failure = exit::failure(error);
            talk.failure(&failure);
            ExitCode::from(failure.exit as u8)
        },
        |()| ExitCode::SUCCESS,
    );
    talk.flush();
    status
}
