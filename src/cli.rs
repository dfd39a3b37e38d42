//! The command line: one table of commands, and everything generated from it.
//!
//! Over 300 lines: the table of commands has examples for each.

mod error;
mod hints;

use std::io::{self, IsTerminal, Write};

use clap::builder::StyledStr;
use clap::{Arg, ArgMatches, Args, Command as Clap, FromArgMatches, ValueEnum};
use clap_complete::{Generator, Shell};
use clap_complete_nushell::Nushell;

use crate::args::TalkArgs;
use crate::commands::auth_connect::AuthConnect;
use crate::commands::auth_serve::AuthServe;
use crate::commands::connect::Connect;
use crate::commands::opts::{Listing, Opts};
use crate::commands::serve::Serve;
use crate::commands::udp_send::UdpSend;
use crate::commands::udp_serve::UdpServe;
use crate::console::talk::Talk;
use crate::exit::{Exit, Failure, STATUSES};
use crate::net::deadline::Deadline;
use crate::net::quantity;
use crate::net::stdio::Stdio;

/// One subcommand, a file each in `commands/`.
struct Subcommand {
    name: &'static str,
    /// Describes its arguments to clap.
    describe: fn(Clap) -> Clap,
    /// Makes it from them.
    read: fn(&ArgMatches) -> Result<Command, clap::Error>,
    /// Ends its help, and is in the man page.
    examples: &'static str,
}

/// All subcommands.
const COMMANDS: &[Subcommand] = &[
    Subcommand {
        name: "serve",
        describe: Serve::augment_args,
        read: |matches| Command::new(matches, |it: &Serve| &it.server.socket.talk, Serve::run),
        examples: "\
sockctl serve                            # talk with the clients that connect to port 8520
sockctl serve --room '*:8520'            # a chat room, also for other machines
sockctl serve --room --recall 50 --log +room.log   # newcomers get the last lines; all are logged
sockctl serve --room --bridge redis://db.example.org   # one room with all servers that name the same
sockctl serve 8520 --broker              # what one client sends goes to all others, as it is
sockctl serve 7000 --echo -v             # an echo server
sockctl serve 8080 -- cat                # a program for each client
sockctl serve 8443 --tls --reply 'hello\\n'   # encrypted; shows its pin
sockctl serve --create-cert=db.example.org --tls-cert db.pem    # a certificate for keeps
sockctl serve 7000 --log 'talk-%i.log'   # what each client said and heard, with times
sockctl serve 6379 --when '^PING\\r\\n' '+PONG\\r\\n'   # answers by content
sockctl serve '*:8443' --tls --to 127.0.0.1:8080   # relays each client: TLS in front of a server
sockctl serve 5432 --to tls:db.example.org:5432 --wait 30s   # the other way round, once it is there
sockctl serve 5433 --to 5432 --delay 100ms --rate 1M --cut 64k   # a bad network, for a test
sockctl serve 2525 --send '220 x\\r\\n' --expect '^STARTTLS\\r\\n' --send '220 go\\r\\n' --starttls --expect '^QUIT'
sockctl serve 6379 --once --expect PING --send +PO --reset  # breaks in mid-answer, for a test
",
    },
    Subcommand {
        name: "connect",
        describe: Connect::augment_args,
        read: |matches| Command::new(matches, |it: &Connect| &it.client.socket.talk, Connect::run),
        examples: "\
sockctl connect 8520                     # talk with a server on this machine; q or Ctrl-D leaves
sockctl connect chat:8520 --nick ann --reconnect   # in a room (/help is its command), also after restarts
tail -f log | sockctl connect logs:5140 --reconnect -q   # sends lines for as long as there are any
sockctl connect db 5432 -z --wait 30s    # wait until a port is open
sockctl connect -z db:5432 unix:/run/app.sock --wait 30s -- ./server   # wait for both, then run it
sockctl connect -z example.org:443 --count 5                           # TCP ping
sockctl connect example.org:80 --send 'HEAD / HTTP/1.0\\r\\n\\r\\n' --expect ' 200 '
sockctl connect --tls example.org:443 --send 'HEAD / HTTP/1.0\\r\\n\\r\\n'   # the certificate is checked
sockctl connect -z --tls example.org:443 --expires-within 14d -q   # in cron: says what is wrong
sockctl connect --tls db:8443 --tls-pin sha256//…      # trust that server's key alone
sockctl connect db:5432 --send-hex 0000000804d2162f --expect '^S' --starttls -v   # PostgreSQL's TLS
sockctl connect mail:25 --expect '^220 .*\\n' --send 'EHLO me\\r\\n' --expect '^250 .*\\n' \\
    --send 'STARTTLS\\r\\n' --expect '^220 .*\\n' --starttls --send 'EHLO me\\r\\n' --expect '^250 '
sockctl connect backup:9000 < file       # send a file
sockctl connect 8520 -- ./client         # a program talks: the connection is its stdin and stdout
sockctl connect mail:25 --log -          # see what goes over the connection, with times
sockctl connect redis:6379 --send 'PING\\r\\n' --expect PONG --count 10000 --parallel 8
",
    },
    Subcommand {
        name: "udp-serve",
        describe: UdpServe::augment_args,
        read: |matches| Command::new(matches, |it: &UdpServe| &it.socket.talk, UdpServe::run),
        examples: "\
sockctl udp-serve 5140                   # show datagrams, and answer them at the prompt
sockctl udp-serve 7000 --echo            # an echo server
sockctl udp-serve 7000 --when '^ping' 'pong\\n'        # answers by content
sockctl udp-serve 5140 --talk < lines    # send them to the peer heard last, as nc -u -l
sockctl udp-serve '*:53' --to 192.0.2.1:53 -i 10s   # relays each client from a socket of its own
sockctl udp-serve '*:5353' --join 224.0.0.251
",
    },
    Subcommand {
        name: "udp-send",
        describe: UdpSend::augment_args,
        read: |matches| Command::new(matches, |it: &UdpSend| &it.socket.talk, UdpSend::run),
        examples: "\
sockctl udp-send 5140 'a line'           # one datagram
sockctl udp-send 7000 ping --reply -w 1  # send, and print the answer
sockctl udp-send 5140 < file             # each line is a datagram
sockctl udp-send db:9 ping --wait 30s --expect pong   # wait until a service answers
tail -f log | sockctl udp-send 5140 --talk --raw      # both ways at once, as nc -u
",
    },
    Subcommand {
        name: "auth-serve",
        describe: AuthServe::augment_args,
        read: |matches| {
            Command::new(matches, |it: &AuthServe| &it.server.socket.talk, AuthServe::run)
        },
        examples: "\
sockctl auth-serve --create-key=alice --key-file key
sockctl auth-serve '*:8520' --key-file key           # encrypted, for holders of the key
sockctl auth-serve 7000 --keys team.keys --room      # members have the names of their keys
sockctl auth-serve 7000 --key-file key --broker      # what one sends goes to all others, encrypted
",
    },
    Subcommand {
        name: "auth-connect",
        describe: AuthConnect::augment_args,
        read: |matches| {
            Command::new(matches, |it: &AuthConnect| &it.client.socket.talk, AuthConnect::run)
        },
        examples: "\
sockctl auth-connect server:8520 --key-file key
sockctl auth-connect server:8520 --key-file key < file
sockctl auth-connect server:8520 --key-file key -- ./client
sockctl auth-connect 6000 --python --key-file key    # a Listener of Python's multiprocessing
",
    },
    Subcommand {
        name: "opts",
        describe: Opts::augment_args,
        read: |matches| Command::new(matches, |it: &Opts| &it.talk, opts),
        examples: "\
sockctl opts SO_RCVBUF=1000              # what the kernel makes of it, and why
sockctl opts --changed --port 22         # what sshd has set on its socket
sockctl opts --connect example.org:80 TCP_INFO
",
    },
];

/// A command with its arguments, ready to run.
pub struct Command {
    talk: TalkArgs,
    run: Box<Action>,
}

type Action = dyn FnOnce(&Talk) -> Result<(), Failure>;

impl Command {
    fn new<C: FromArgMatches + 'static>(
        matches: &ArgMatches,
        talk: fn(&C) -> &TalkArgs,
        run: fn(&C, &Talk) -> Result<(), Failure>,
    ) -> Result<Self, clap::Error> {
        let command = C::from_arg_matches(matches)?;
        let talk = talk(&command).clone();
        Ok(Self { talk, run: Box::new(move |talk| run(&command, talk)) })
    }

    /// Where its events go.
    pub fn talk(&self) -> Talk {
        self.talk.start()
    }

    /// Runs it.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        (self.run)(talk)
    }
}

fn opts(opts: &Opts, _talk: &Talk) -> Result<(), Failure> {
    let terminal = io::stdout().is_terminal();
    let width = terminal_size::terminal_size().map(|(width, _)| width.0.into());
    let mut out = io::BufWriter::new(Stdio::output().waiting(Deadline::of_run()));
    let color = opts.talk.color.is_on(terminal);
    let (json, width) = (opts.talk.json, width.filter(|_| terminal));
    let done = opts.run(Listing { json, color, width, out: &mut out });
    out.flush().map_err(Failure::output).and(done)
}

/// Names of values that are numbers.
const NUMBERS: &[&str] = &["N", "M", "DUR", "SIZE", "PORT", "PID"];

/// The widest that help is set.
const WIDTH: usize = 100;

/// Options without a command.
#[derive(Args, Debug)]
struct RootArgs {
    /// Write the man page, or completions for a shell, to stdout
    #[arg(long, value_enum, value_name = "KIND", exclusive = true)]
    generate: Option<Generated>,
}

/// What `--generate` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Generated {
    Man,
    CompleteBash,
    CompleteZsh,
    CompleteFish,
    CompleteNushell,
}

impl Subcommand {
    fn describe(&self) -> Clap {
        let help = format!("Examples:\n{}", self.examples.trim_end());
        let help = help.replace('\n', "\n  ");
        (self.describe)(Clap::new(self.name)).after_help(help).mut_args(takes_numbers)
    }
}

/// An option whose value is a number takes a negative one, too, and refuses it with what it expects.
fn takes_numbers(arg: Arg) -> Arg {
    let names = arg.get_value_names().unwrap_or_default();
    let is_number = matches!(names, [name] if NUMBERS.contains(&name.as_str()));
    let is_open = is_number && !arg.is_require_equals_set() && !arg.is_positional();
    if is_open { arg.allow_hyphen_values(true) } else { arg }
}

fn bare_root() -> Clap {
    // Otherwise help and errors would name us as argv[0] does, control characters and all.
    let root = Clap::new("sockctl").bin_name("sockctl");
    root.version(env!("CARGO_PKG_VERSION")).max_term_width(WIDTH)
}

/// The whole command line.
fn root() -> Clap {
    RootArgs::augment_args(bare_root())
        .about("Talk, serve, authenticate, test and explain sockets from the shell")
        .disable_help_subcommand(true)
        .subcommands(COMMANDS.iter().map(Subcommand::describe))
        .after_help(STATUSES)
}

/// Reads the command line. `None`: it asked for help, the version or a generated file, which is
/// written to stdout by now.
pub fn parse() -> Result<Option<Command>, Failure> {
    bound_run();
    let words = hints::rewrite(std::env::args_os().collect());
    let word = words.get(1).cloned().unwrap_or_default();
    // Only the given command is described: all of them take 0.3 ms, a quarter of a short run.
    let line = match COMMANDS.iter().find(|subcommand| subcommand.name == word) {
        Some(subcommand) => bare_root().subcommand(subcommand.describe()),
        None if word == "-V" || word == "--version" => bare_root(),
        None => root(),
    };
    let refused =
        |message: Option<String>| message.map_or(Ok(()), |m| Err(error::of_command(&m, &word)));
    if let Some(command) = line.get_subcommands().find(|command| *command.get_name() == *word) {
        refused(hints::check(command, &words))?;
    }
    let explained = |error: clap::Error| error::explain(&error, &words);
    let matches = match line.try_get_matches_from(&words) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => return show(&error.render()).map(|()| None),
        Err(error) => return Err(explained(error)),
    };
    if let Some((name, matches)) = matches.subcommand() {
        refused(hints::check_values(name, matches, &words))?;
        let subcommand = COMMANDS.iter().find(|subcommand| subcommand.name == name);
        let command = subcommand.map(|subcommand| (subcommand.read)(matches));
        return command.transpose().map_err(explained);
    }
    if let Some(kind) = RootArgs::from_arg_matches(&matches).map_err(explained)?.generate {
        return print(&generate(kind)).map(|()| None);
    }
    let names: Vec<&str> = COMMANDS.iter().map(|subcommand| subcommand.name).collect();
    Err(error::usage_error(
        &format!("which command? {}", names.join(", ")),
        "sockctl COMMAND [OPTIONS]; see sockctl --help",
    ))
}

/// Makes `--deadline` the end of the run before any value is read, as values name files, which may
/// be FIFOs. What is wrong with it is reported later.
fn bound_run() {
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let mut words = words.take_while(|word| word != "--");
    while let Some(word) = words.next() {
        let value = match word.split_once('=') {
            Some(("--deadline", value)) => Some(value.to_owned()),
            _ if word == "--deadline" => words.next(),
            _ => None,
        };
        if let Some(Ok(limit)) = value.map(|value| quantity::duration(&value)) {
            Deadline::after(limit).bound_run();
        }
    }
}

fn generate(kind: Generated) -> Vec<u8> {
    match kind {
        Generated::Man => man(),
        Generated::CompleteBash => complete(Shell::Bash),
        Generated::CompleteZsh => complete(Shell::Zsh),
        Generated::CompleteFish => complete(Shell::Fish),
        Generated::CompleteNushell => complete(Nushell),
    }
}

fn complete(shell: impl Generator) -> Vec<u8> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut root(), "sockctl", &mut out);
    out
}

/// One page: the command, then a section for each subcommand.
fn man() -> Vec<u8> {
    let mut out = Vec::new();
    let mut root = root();
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
    let examples: String = COMMANDS.iter().map(|subcommand| subcommand.examples).collect();
    let examples = examples.replace('\\', "\\e").replace('-', "\\-");
    let _ = writeln!(out, ".SH EXAMPLES\n.nf\n{examples}.fi");
    let _ = writeln!(out, ".SH \"EXIT STATUS\"\n{STATUSES}");
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
    Stdio::output().waiting(Deadline::of_run()).write_all(bytes).map_err(Failure::output)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::root().debug_assert();
    }
}
