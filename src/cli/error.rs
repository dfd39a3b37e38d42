//! Errors of the command line: one line, and one of usage.

use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::hints;
use crate::exit::{Exit, Failure, USAGE, quoted};

/// The failure of a command line that was not understood.
/// Over 50 lines: a kind of error an arm.
pub fn explain(error: &clap::Error, line: &[OsString]) -> Failure {
    let command = line.get(1).map_or(OsStr::new(""), OsString::as_os_str);
    let context = |kind| error.get(kind).map(shown);
    let arg = context(ContextKind::InvalidArg).unwrap_or_default();
    let value = without_password(context(ContextKind::InvalidValue).unwrap_or_default());
    let source = std::error::Error::source(error);
    // A file that a value names was waited for until the deadline: no error of the command line.
    if let Some(failure) = source.and_then(|source| source.downcast_ref::<Failure>())
        && failure.exit == Exit::TimedOut
    {
        return failure.clone();
    }
    let reason = source.map(ToString::to_string);
    let message = match error.kind() {
        ErrorKind::InvalidValue if value.is_empty() => {
            format!("{} needs a value", name_of(&arg))
        }
        ErrorKind::ValueValidation => {
            let mut reason = reason.unwrap_or_else(|| "not accepted".into());
            if name_of(&arg) == "--opt" && value.contains(['.', '/']) {
                reason.push_str("; a dump is --hex FILE");
            }
            // Most reasons name the value themselves.
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
        ErrorKind::UnknownArgument => unknown(&arg, context(ContextKind::SuggestedArg), line),
        ErrorKind::InvalidSubcommand => {
            let word = context(ContextKind::InvalidSubcommand).unwrap_or_default();
            let near = context(ContextKind::SuggestedSubcommand);
            let hint = hints::command_hint(&word, line.get(2..).unwrap_or_default(), near);
            format!("no command {}{}", quoted(&word), behind(hint))
        }
        ErrorKind::ArgumentConflict => {
            let prior = context(ContextKind::PriorArg).unwrap_or_default();
            let (one, other) = (name_of(&arg), name_of(&prior));
            let is_program = [one, other].contains(&"PROGRAM") && is_client(command);
            let why = is_program.then_some("the program has the connection to itself");
            format!("{one} cannot be used with {other}{}", behind(why))
        }
        ErrorKind::MissingRequiredArgument => format!("{} is missing", name_of(&arg)),
        ErrorKind::TooManyValues => format!("unexpected word {}", quoted(&value)),
        ErrorKind::InvalidUtf8 => "a word is not valid UTF-8".into(),
        _ => {
            let text = error.render().to_string();
            text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_string()
        }
    };
    let usage = match error.get(ContextKind::Usage) {
        // Here clap writes the usage of the option that it suggests.
        Some(usage) if error.kind() != ErrorKind::UnknownArgument => Some(shown(usage)),
        _ => return of_command(&message, command),
    };
    with_usage(&message, usage)
}

/// Whether this command has one connection, which it dials.
fn is_client(command: &OsStr) -> bool {
    matches!(command.to_str(), Some("connect" | "auth-connect"))
}

/// A usage error of this command.
pub fn of_command(message: &str, command: &OsStr) -> Failure {
    let mut root = super::root();
    root.build();
    let usage = root.find_subcommand_mut(command).map(clap::Command::render_usage);
    with_usage(message, usage.map(|usage| usage.to_string()))
}

fn with_usage(message: &str, usage: Option<String>) -> Failure {
    let usage = usage.map(|usage| usage.replace("Usage: ", ""));
    let usage = usage.unwrap_or_else(|| "sockctl COMMAND [OPTIONS]".into());
    usage_error(message, usage.lines().next().unwrap_or_default().trim())
}

/// A hint, if there is one, behind what it is about.
fn behind(hint: Option<impl std::fmt::Display>) -> String {
    hint.map_or_else(String::new, |hint| format!("; {hint}"))
}

/// A usage error of two lines: the message, and the usage.
pub fn usage_error(message: &str, usage: &str) -> Failure {
    Failure::usage(format!("{message}{USAGE}{usage}"))
}

/// An option that the command does not have: how it is done here, or which commands have it.
fn unknown(arg: &str, near: Option<String>, line: &[OsString]) -> String {
    let command = line.get(1).and_then(|word| word.to_str()).filter(|word| !word.starts_with('-'));
    if let Some(hint) = hints::flag_hint(arg, command) {
        return format!("no option {}; {hint}", quoted(arg));
    }
    let root = super::root();
    let has = |command: &&clap::Command| hints::option_of(command, arg).is_some();
    let owners: Vec<&str> =
        root.get_subcommands().filter(has).map(clap::Command::get_name).collect();
    let hint = match (command, owners.is_empty()) {
        (None, false) => {
            let hint = hints::no_command(line).unwrap_or("use sockctl connect or sockctl serve");
            return format!("no command before {}; {hint}", quoted(&line[1]));
        }
        (Some(_), false) => Some(format!("it is an option of {}", owners.join(", "))),
        (_, true) => near.map(|near| format!("did you mean {near}?")),
    };
    format!("no option {}{}", quoted(arg), behind(hint))
}

/// `--timeout <DUR>` as `--timeout`, `<ADDRESS>` as `ADDRESS`, `[PROGRAM] [ARGS]...` as `PROGRAM`.
fn name_of(arg: &str) -> &str {
    arg.trim_start_matches(['<', '['])
        .split([' ', '[', ']', '>'])
        .next()
        .filter(|name| !name.is_empty())
        .unwrap_or(arg)
}

/// The value, without the user and the password if it is a URL that has them.
fn without_password(mut value: String) -> String {
    for (before, after) in [("://", '@'), ("pass=", '&')] {
        if let Some(at) = value.find(before).map(|at| at + before.len()) {
            let end = value.rfind(after).filter(|&end| end > at);
            let end = end.or_else(|| (after == '&').then_some(value.len()));
            value.replace_range(at..end.unwrap_or(at), if end.is_some() { "…" } else { "" });
        }
    }
    value
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
