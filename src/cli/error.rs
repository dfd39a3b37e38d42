//! Errors of the command line: one line, and one of usage.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::exit::{Failure, USAGE, quoted};

/// The failure of a command line that was not understood.
pub fn explain(error: &clap::Error) -> Failure {
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
    let usage = match error.get(ContextKind::Usage) {
        // Here clap writes the usage of the option that it suggests.
        Some(usage) if error.kind() != ErrorKind::UnknownArgument => Some(shown(usage)),
        _ => usage_of_command(),
    };
    let usage = usage.map(|usage| usage.replace("Usage: ", ""));
    let usage = usage.unwrap_or_else(|| "sockctl COMMAND [OPTIONS]".into());
    usage_error(&message, usage.lines().next().unwrap_or_default().trim())
}

/// A usage error of two lines: the message, and the usage.
pub fn usage_error(message: &str, usage: &str) -> Failure {
    Failure::usage(format!("{message}{USAGE}{usage}"))
}

/// The usage of the command on the command line, where clap does not report it with the error.
fn usage_of_command() -> Option<String> {
    let word = std::env::args_os().nth(1)?;
    let mut root = super::root();
    root.build();
    Some(root.find_subcommand_mut(word)?.render_usage().to_string())
}

/// An option clap does not know, with a hint for those of nc.
fn unknown(arg: &str, near: Option<String>) -> String {
    let hint = match arg {
        "-l" => "; use sockctl serve".into(),
        "-u" => "; use sockctl udp-send or sockctl udp-serve".into(),
        "-k" => "; sockctl serve keeps going by itself".into(),
        "--key-file" | "--key-fd" | "--keys" | "--digest" | "--python" => {
            "; keys are for auth-serve and auth-connect".into()
        }
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
