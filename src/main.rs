//! sockctl: talk, serve, authenticate, test and explain sockets.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        reason = "a test fails by panicking"
    )
)]

mod args;
mod auth;
mod cli;
mod commands;
mod console;
mod exit;
mod net;
mod roles;
mod server;
mod session;
mod visible;

use std::process::ExitCode;

use exit::{Exit, Failure};

fn main() -> ExitCode {
    let command = match cli::read() {
        Ok(cli::Asked::Run(command)) => command,
        Ok(cli::Asked::Shown(result)) => {
            return result.map_or_else(|failure| code(&failure), |()| ExitCode::SUCCESS);
        }
        Err(refusal) => {
            cli::refuse(&refusal);
            return ExitCode::from(Exit::Usage as u8);
        }
    };
    let talk = command.talk();
    let result = net::signal::install()
        .map_err(anyhow::Error::from)
        .and_then(|()| command.run(&talk));
    let status = result.map_or_else(
        |error| {
            let failure = exit::failure(error);
            talk.failure(&failure);
            code(&failure)
        },
        |()| ExitCode::SUCCESS,
    );
    talk.flush();
    status
}

fn code(failure: &Failure) -> ExitCode {
    ExitCode::from(failure.exit as u8)
}
