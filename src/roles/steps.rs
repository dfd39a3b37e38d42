//! The steps of a script on the command line: flags, each as often as wanted, whose order among
//! each other counts. Clap's derive keeps no such order; its indices do.

use std::time::Duration;

use clap::builder::ValueParser;
use clap::error::Error;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Args, Command, FromArgMatches};

use crate::args::{self, Bytes};
use crate::exit::Failure;
use crate::net::quantity;
use crate::session::pattern::Pattern;
use crate::session::script::{Script, Step, check};

const HEADING: &str = "Scripts";

/// The flags of the steps, for what does not go with any.
pub const STEPS: [&str; 7] =
    ["send", "send-hex", "expect", "expect-eof", "pause", "starttls", "reset"];

/// The steps in the order in which they were written.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    all: Vec<Step>,
    /// `--rate`: the most bytes that are sent a second.
    pub rate: Option<u64>,
}

impl Steps {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether one of them begins TLS.
    pub fn starttls(&self) -> bool {
        self.all.iter().any(|step| matches!(step, Step::StartTls))
    }

    /// Refuses `--starttls`, for commands whose connections are secured with a key.
    pub fn refuse_starttls(&self) -> Result<(), Failure> {
        if self.starttls() {
            return Err(Failure::usage(
                "--starttls: the key secures the connection from its start; TLS is for connect and serve",
            ));
        }
        Ok(())
    }

    /// The script, if there are steps; `crlf`: it sends CRLF line ends. `opening` is sent first.
    pub fn script(&self, crlf: bool, opening: &[u8]) -> Result<Option<Script>, Failure> {
        check(&self.all)?;
        let opening = (!opening.is_empty()).then(|| Step::Send(opening.into()));
        let steps = opening.into_iter().chain(self.all.iter().cloned()).collect();
        Ok((!self.is_empty()).then(|| Script::new(steps, crlf)))
    }
}

impl FromArgMatches for Steps {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut steps = Self::default();
        steps.update_from_arg_matches(matches)?;
        Ok(steps)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        let mut found: Vec<(usize, Step)> = Vec::new();
        let send = |text: &Bytes| Step::Send(text.0.clone());
        found.extend(each(matches, "send", send));
        found.extend(each(matches, "send-hex", send));
        found.extend(each(matches, "expect", |pattern: &Pattern| Step::Expect(pattern.clone())));
        found.extend(each(matches, "expect-eof", |_: &String| Step::ExpectEof));
        found.extend(each(matches, "pause", |time: &Duration| Step::Pause(*time)));
        found.extend(each(matches, "starttls", |_: &String| Step::StartTls));
        found.extend(each(matches, "reset", |_: &String| Step::Reset));
        found.sort_by_key(|(index, _)| *index);
        self.all = found.into_iter().map(|(_, step)| step).collect();
        self.rate = matches.get_one("rate").copied();
        Ok(())
    }
}

/// The values of one flag as steps, each with its place on the command line.
fn each<T: Clone + Send + Sync + 'static>(
    matches: &ArgMatches,
    id: &str,
    step: impl Fn(&T) -> Step,
) -> Vec<(usize, Step)> {
    let values = matches.get_many::<T>(id).into_iter().flatten();
    let indices = matches.indices_of(id).into_iter().flatten();
    indices.zip(values.map(step)).collect()
}

impl Args for Steps {
    fn augment_args(command: Command) -> Command {
        let flag = |name: &'static str, help: &'static str| {
            Arg::new(name).long(name).help(help).help_heading(HEADING)
        };
        let step = |id, name, help| {
            let arg = flag(id, help)
                .action(ArgAction::Append)
                .conflicts_with_all(["recv_only", "program"]);
            match name {
                "" => arg.num_args(0).default_missing_value(""),
                _ => arg.value_name(name).allow_hyphen_values(true),
            }
            .group("steps")
        };
        let pattern = Pattern::parse as fn(&str) -> Result<Pattern, String>;
        let hex = args::hex as fn(&str) -> Result<Bytes, String>;
        let duration = quantity::duration as fn(&str) -> Result<Duration, String>;
        let size = args::size as fn(&str) -> Result<u64, String>;
        // A relay has no steps, but a rate.
        let relays = command.get_arguments().any(|arg| arg.get_id() == "to");
        let rate =
            flag("rate", "Send at most SIZE bytes a second").value_name("SIZE").value_parser(size);
        let rate = if relays {
            rate.help("Send at most SIZE bytes a second; with --to, in each direction of a pair")
        } else {
            rate.requires("steps")
        };
        command.group(ArgGroup::new("steps").multiple(true)).args([
            step(
                "send",
                "TEXT",
                "Send TEXT (escapes, or @FILE); steps are done in the order given",
            )
            .value_parser(ValueParser::from(args::text_parser())),
            step(
                "send-hex",
                "HEX",
                "Send the bytes that HEX stands for (blanks and colons are allowed)",
            )
            .value_parser(hex),
            step(
                "expect",
                "REGEX",
                "Wait until REGEX, over bytes, matches received data; else fail with 8",
            )
            .value_parser(pattern),
            step("expect-eof", "", "Wait until the peer ends; else fail with 8"),
            step("pause", "DUR", "Wait this long").value_parser(duration),
            step(
                "starttls",
                "",
                "Begin TLS (STARTTLS): the steps behind it are encrypted; see --tls-ca and --tls-cert",
            ),
            step("reset", "", "Reset the connection (RST); the last step"),
            rate,
        ])
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
