//! sockctl: talk, serve, authenticate, test and explain sockets.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")
)]

mod args;
mod auth;
mod cli;
mod commands;
mod console;
mod exit;
mod layer;
mod net;
mod roles;
mod server;
mod session;
mod visible;

use std::process::ExitCode;

use console::event::Level;
use console::talk::Talk;

fn main() -> ExitCode {
    let plain = || Talk::new(Level::Normal, false);
    let command = match cli::read() {
        Ok(cli::Asked::Run(command)) => command,
        Ok(cli::Asked::Shown(result)) => return finish(result.map_err(Into::into), &plain()),
        Err(refusal) => return finish(Err(refusal.into()), &plain()),
    };
    let talk = command.talk();
    let result = net::signal::install()
        .map_err(|e| exit::Failure::system("install", "signal handlers", &e).into())
        .and_then(|()| command.run(&talk));
    finish(result, &talk)
}

/// Tells what went wrong, if anything did; the exit status.
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
