//! The steps of a script on the command line: three flags, each as often as wanted, whose order
//! among each other counts. Clap's derive keeps no such order; its indices do.

use clap::builder::ValueParser;
use clap::error::Error;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::args::{self, Bytes};
use crate::net::pattern::Pattern;
use crate::session::script::Step;

const HEADING: &str = "Scripts";

/// The steps in the order in which they were written.
#[derive(Clone, Debug, Default)]
pub struct Steps(pub Vec<Step>);

impl FromArgMatches for Steps {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut steps = Self::default();
        steps.update_from_arg_matches(matches)?;
        Ok(steps)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        let mut found: Vec<(usize, Step)> = Vec::new();
        found.extend(each(matches, "send", |text: &Bytes| Step::Send(text.0.to_vec())));
        found.extend(each(matches, "expect", |pattern: &Pattern| Step::Expect(pattern.clone())));
        found.extend(each(matches, "expect_eof", |_: &String| Step::ExpectEof));
        found.sort_by_key(|(index, _)| *index);
        self.0 = found.into_iter().map(|(_, step)| step).collect();
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
        let step = |id: &'static str, name: &'static str, help: &'static str| {
            Arg::new(id)
                .long(name)
                .help(help)
                .help_heading(HEADING)
                .action(ArgAction::Append)
                .conflicts_with_all(["recv_only", "program"])
        };
        let send = step(
            "send",
            "send",
            "Send TEXT (escapes, or @FILE); steps are done in the order given",
        )
        .value_name("TEXT")
        .allow_hyphen_values(true)
        .value_parser(ValueParser::from(args::text_parser()));
        let expect = step(
            "expect",
            "expect",
            "Wait until REGEX, over bytes, matches received data; else exit with 8",
        )
        .value_name("REGEX")
        .allow_hyphen_values(true)
        .value_parser(Pattern::parse as fn(&str) -> Result<Pattern, String>);
        let eof = step("expect_eof", "expect-eof", "Wait until the peer ends; else exit with 8")
            .num_args(0)
            .default_missing_value("");
        command.args([send, expect, eof])
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
