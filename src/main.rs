//! The program: parse, run, report the error, exit status.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use sockctl::cli;
use sockctl::console::decoration::has_color;
use sockctl::console::event::Level;
use sockctl::console::talk::Talk;
use sockctl::exit::{During, Failure};
use sockctl::net::signal;

fn main() -> ExitCode {
    let installed = signal::install().during("install", "signal handlers");
    let command = match installed.and_then(|()| cli::parse()) {
        Ok(Some(command)) => command,
        Ok(None) => return ExitCode::SUCCESS,
        Err(failure) => {
            let color = has_color() && io::stderr().is_terminal();
            return report(&failure, &Talk::new(Level::Normal, false, color));
        }
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
