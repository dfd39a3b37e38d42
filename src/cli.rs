//! The command line: what can be asked for, everything generated from it, and how a mistake in it
//! is told.

use std::io::{self, IsTerminal, Write};

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Command as Clap, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::{Generator, Shell};
use clap_complete_nushell::Nushell;

use crate::commands::auth_connect::AuthConnect;
use crate::commands::auth_serve::AuthServe;
use crate::commands::connect::Connect;
use crate::commands::opts::Opts;
use crate::commands::serve::Serve;
use crate::commands::udp_send::UdpSend;
use crate::commands::udp_serve::UdpServe;
use crate::console::talk::Talk;
use crate::exit::{Exit, Failure, USAGE, quoted};

/// Talk, serve, authenticate, test and explain sockets from the shell
#[derive(Parser, Debug)]
#[command(
    name = "sockctl",
    version,
    max_term_width = WIDTH,
    disable_help_subcommand = true
)]
#[command(after_help = EXIT_STATUS)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Write the man page, or completions for a shell, to stdout
    #[arg(long, value_enum, value_name = "KIND", exclusive = true)]
    generate: Option<Kind>,
}

/// The widest that help is set.
const WIDTH: usize = 100;

/// Told under every help.
const EXIT_STATUS: &str = "Exit status: 0 done, 1 other failure, 2 usage, 3 refused, 4 timed out, \
5 unreachable, 6 not resolved, 7 reset or broken, 8 expectation not met, 9 not authenticated, \
10 address in use or not available, 11 permission denied, 12 output failed, \
130/141/143 interrupted / reader gone / terminated";

/// One subcommand, a file each in `commands/`.
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "clap takes a variant's help from its type")]
pub enum Command {
    Serve(Serve),
    Connect(Connect),
    UdpServe(UdpServe),
    UdpSend(UdpSend),
    AuthServe(AuthServe),
    AuthConnect(AuthConnect),
    Opts(Opts),
}

/// What `--generate` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Man,
    CompleteBash,
    CompleteZsh,
    CompleteFish,
    CompletePowershell,
    CompleteElvish,
    CompleteNushell,
}

/// What the command line asks for.
pub enum Asked {
    /// A command.
    Run(Box<Command>),
    /// Something that was shown: help, the version, a generated file.
    Shown(Result<(), Failure>),
}

impl Command {
    /// Where its events go.
    pub fn talk(&self) -> Talk {
        match self {
            Self::Serve(serve) => &serve.server.socket.talk,
            Self::Connect(connect) => &connect.client.socket.talk,
            Self::UdpServe(serve) => &serve.socket.talk,
            Self::UdpSend(send) => &send.socket.talk,
            Self::AuthServe(serve) => &serve.server.socket.talk,
            Self::AuthConnect(connect) => &connect.client.socket.talk,
            Self::Opts(opts) => &opts.talk,
        }
        .start()
    }

    /// Runs it.
    pub fn run(&self, talk: &Talk) -> anyhow::Result<()> {
        match self {
            Self::Serve(serve) => serve.run(talk),
            Self::Connect(connect) => connect.run(talk),
            Self::UdpServe(serve) => serve.run(talk),
            Self::UdpSend(send) => send.run(talk),
            Self::AuthServe(serve) => serve.run(talk),
            Self::AuthConnect(connect) => connect.run(talk),
            Self::Opts(opts) => {
                let color = opts.talk.color.is_on(io::stdout().is_terminal());
                let mut out = io::BufWriter::new(io::stdout().lock());
                opts.run(opts.talk.json, color, width(), &mut out)
            }
        }
    }
}

/// The width of the terminal on stdout, if it is one.
fn width() -> Option<usize> {
    io::stdout()
        .is_terminal()
        .then(|| terminal_size::terminal_size().map(|(width, _)| width.0.into()))
        .flatten()
}

/// Reads the command line.
pub fn read() -> Result<Asked, Failure> {
    let one = wanted();
    let is_one = one.is_some();
    let matches = match one.unwrap_or_else(command).try_get_matches() {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => return Ok(Asked::Shown(show(&error.render()))),
        Err(error) => return Err(refusal(&error)),
    };
    if is_one {
        let command = Command::from_arg_matches(&matches).map_err(|error| refusal(&error))?;
        return Ok(Asked::Run(Box::new(command)));
    }
    let cli = Cli::from_arg_matches(&matches).map_err(|error| refusal(&error))?;
    match (cli.command, cli.generate) {
        (_, Some(kind)) => Ok(Asked::Shown(print(&generate(kind)))),
        (Some(command), None) => Ok(Asked::Run(Box::new(command))),
        (None, None) => Err(told(
            "which command? serve, connect, udp-serve, udp-send, auth-serve, auth-connect or opts",
            "sockctl COMMAND [OPTIONS]; sockctl --help tells more",
        )),
    }
}

/// The command line of the one command that is asked for: to describe all the others takes longer
/// than many a run.
fn wanted() -> Option<Clap> {
    let word = std::env::args_os().nth(1)?;
    let root = Clap::new("sockctl").version(env!("CARGO_PKG_VERSION")).max_term_width(WIDTH);
    let command = match word.to_str()? {
        "-V" | "--version" => return Some(root),
        "serve" => Serve::augment_args(Clap::new("serve")),
        "connect" => Connect::augment_args(Clap::new("connect")),
        "udp-serve" => UdpServe::augment_args(Clap::new("udp-serve")),
        "udp-send" => UdpSend::augment_args(Clap::new("udp-send")),
        "auth-serve" => AuthServe::augment_args(Clap::new("auth-serve")),
        "auth-connect" => AuthConnect::augment_args(Clap::new("auth-connect")),
        "opts" => Opts::augment_args(Clap::new("opts")),
        _ => return None,
    };
    Some(root.subcommand(command))
}

/// The whole command line, for parsing and for what is generated from it.
fn command() -> Clap {
    Cli::command()
}

fn generate(kind: Kind) -> Vec<u8> {
    match kind {
        Kind::Man => man(),
        Kind::CompleteBash => complete(Shell::Bash),
        Kind::CompleteZsh => complete(Shell::Zsh),
        Kind::CompleteFish => complete(Shell::Fish),
        Kind::CompletePowershell => complete(Shell::PowerShell),
        Kind::CompleteElvish => complete(Shell::Elvish),
        Kind::CompleteNushell => complete(Nushell),
    }
}

fn complete(shell: impl Generator) -> Vec<u8> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut command(), "sockctl", &mut out);
    out
}

/// One page: the command, then a section for each subcommand.
fn man() -> Vec<u8> {
    let mut out = Vec::new();
    let mut root = command();
    root.build();
    let page = clap_mangen::Man::new(root.clone());
    // Writing to memory does not fail.
    let _ = page.render_title(&mut out);
    let _ = page.render_name_section(&mut out);
    let _ = page.render_synopsis_section(&mut out);
    let _ = page.render_description_section(&mut out);
    let _ = page.render_options_section(&mut out);
    for sub in root.get_subcommands() {
        let heading = sub.get_name().to_uppercase();
        let _ = writeln!(out, ".SH {}", heading.replace('-', "\\-"));
        let sub = clap_mangen::Man::new(sub.clone());
        let mut section = Vec::new();
        let _ = sub.render_synopsis_section(&mut section);
        let _ = sub.render_description_section(&mut section);
        let _ = sub.render_options_section(&mut section);
        // The page has one section a subcommand; what was a section there is a part of it here.
        let text = String::from_utf8_lossy(&section).replace(".SH ", ".SS ");
        out.extend_from_slice(text.as_bytes());
    }
    out.extend_from_slice(include_bytes!("cli/manual.roff"));
    let _ = writeln!(out, ".SH \"EXIT STATUS\"\n{EXIT_STATUS}");
    out
}

/// Shows help or the version. A reader that has seen enough is no failure.
fn show(text: &StyledStr) -> Result<(), Failure> {
    let text = if io::stdout().is_terminal() { text.ansi().to_string() } else { text.to_string() };
    match print(text.as_bytes()) {
        Err(failure) if failure.exit == Exit::ReaderGone => Ok(()),
        result => result,
    }
}

fn print(bytes: &[u8]) -> Result<(), Failure> {
    io::stdout()
        .lock()
        .write_all(bytes)
        .and_then(|()| io::stdout().flush())
        .map_err(|e| Failure::output(&e))
}

/// A command line that was not understood: one line, and one of usage.
fn refusal(error: &clap::Error) -> Failure {
    let context = |kind| error.get(kind).map(shown);
    let arg = context(ContextKind::InvalidArg).unwrap_or_default();
    let value = context(ContextKind::InvalidValue).unwrap_or_default();
    let reason = std::error::Error::source(error).map(ToString::to_string);
    let message = match error.kind() {
        ErrorKind::InvalidValue if value.is_empty() => {
            format!("{} needs a value", name_of(&arg))
        }
        ErrorKind::ValueValidation => {
            let reason = reason.unwrap_or_else(|| "not accepted".into());
            // What was refused below says by itself what it was.
            if reason.contains(&quoted(&value)) {
                format!("{}: {reason}", name_of(&arg))
            } else {
                format!("{} {}: {reason}", name_of(&arg), quoted(&value))
            }
        }
        ErrorKind::InvalidValue => {
            let valid = context(ContextKind::ValidValue).unwrap_or_default();
            format!("{} {}: expected one of {valid}", name_of(&arg), quoted(&value))
        }
        ErrorKind::UnknownArgument => unknown(&arg, context(ContextKind::SuggestedArg)),
        ErrorKind::InvalidSubcommand => {
            let word = context(ContextKind::InvalidSubcommand).unwrap_or_default();
            let near = context(ContextKind::SuggestedSubcommand);
            let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            format!("no command {}{near}", quoted(&word))
        }
        ErrorKind::ArgumentConflict => {
            let prior = context(ContextKind::PriorArg).unwrap_or_default();
            format!("{} cannot be used with {}", name_of(&arg), name_of(&prior))
        }
        ErrorKind::MissingRequiredArgument => format!("{} is missing", name_of(&arg)),
        ErrorKind::TooManyValues => format!("unexpected word {}", quoted(&value)),
        ErrorKind::InvalidUtf8 => "a word is not valid UTF-8".into(),
        _ => {
            let text = error.render().to_string();
            text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_string()
        }
    };
    let usage = error.get(ContextKind::Usage).map(|usage| shown(usage).replace("Usage: ", ""));
    let usage =
        usage.or_else(usage_of_command).unwrap_or_else(|| "sockctl COMMAND [OPTIONS]".into());
    told(&message, usage.lines().next().unwrap_or_default().trim())
}

fn told(message: &str, usage: &str) -> Failure {
    Failure::usage(format!("{message}{USAGE}{usage}"))
}

/// The usage of the command that was asked for, where clap does not tell it with the error.
fn usage_of_command() -> Option<String> {
    let word = std::env::args_os().nth(1)?;
    let mut root = command();
    root.build();
    let usage = root.find_subcommand_mut(word)?.render_usage();
    Some(usage.to_string().replace("Usage: ", ""))
}

/// An option clap does not know; habits from nc get a helping hand.
fn unknown(arg: &str, near: Option<String>) -> String {
    let hint = match arg {
        "-l" => "; use sockctl serve".into(),
        "-u" => "; use sockctl udp-send or sockctl udp-serve".into(),
        "-k" => "; sockctl serve keeps going by itself".into(),
        _ => near.map_or_else(String::new, |near| format!("; did you mean {near}?")),
    };
    format!("no option {}{hint}", quoted(arg))
}

/// `--timeout <DUR>` as `--timeout`, `<ADDRESS>` as `ADDRESS`, `[PROGRAM] [ARGS]...` as `PROGRAM`.
fn name_of(arg: &str) -> &str {
    arg.trim_start_matches(['<', '['])
        .split([' ', '[', ']', '>'])
        .next()
        .filter(|name| !name.is_empty())
        .unwrap_or(arg)
}

fn shown(value: &ContextValue) -> String {
    match value {
        ContextValue::Strings(list) => list.join(", "),
        ContextValue::StyledStrs(list) => {
            list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
