//! The program: parse, run, report the error, exit status.

use std::process::ExitCode;

use sockctl::cli;
use sockctl::console::event::Level;
use sockctl::console::talk::Talk;
use sockctl::exit::{During, Failure};
use sockctl::net::signal;

fn main() -> ExitCode {
    let installed = signal::install().during("install", "signal handlers");
    let command = match installed.and_then(|()| cli::parse()) {
        Ok(Some(command)) => command,
        Ok(None) => return ExitCode::SUCCESS,
        Err(failure) => return report(&failure, &Talk::new(Level::Normal, false)),
    };
    let talk = command.talk();
    let status = match command.run(&talk) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure, &talk),
    };
    talk.flush();
    status
}

fn report(failure: &Failure, talk: &Talk) -> ExitCode {
    talk.failure(failure);
    talk.flush();
    ExitCode::from(failure.exit as u8)
}
