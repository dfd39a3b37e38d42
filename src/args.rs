//! Flags that several commands share.
//!
//! The rules for writing one: its name is the field's (nc, ssh, curl); the first line of its doc
//! comment is its help, one sentence without a full stop; a value is read by a parser that names
//! the accepted forms; zero and absence mean what the manual says in one place, here.
//!
//! Over 300 lines: each flag stands here once, and its help is most of it.

pub mod relay;
pub mod tls;

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::{
    OsStringValueParser, PossibleValue, PossibleValuesParser, StringValueParser, TypedValueParser,
};
use clap::{ArgAction, Args, ValueEnum, ValueHint};

use socket2::Type;

use crate::auth::digest::Digest;
use crate::auth::key::{Keyring, create_key, load, read_keys_file};
use crate::auth::noise;
use crate::auth::proof::Proof;
use crate::auth::python::Secrets;
use crate::auth::security::ServerSecurity;
use crate::codec::python::Unit;
use crate::console::decoration::{Style, has_color};
use crate::console::event::{Event, Level};
use crate::console::file::{self, OutputFile};
use crate::console::talk::Talk;
use crate::exit::{Failure, quoted};
use crate::net::access::{self, AccessList, Networks};
use crate::net::address::{Address, Family};
use crate::net::deadline::Deadline;
use crate::net::dump::{Dump, Format};
use crate::net::options;
use crate::net::quantity;
use crate::net::resolve::{Query, Source};
use crate::net::sockopt::Setting;
use crate::net::text;
use crate::net::trace;
use crate::sanitize::names;
use crate::session::pattern::Pattern;
use crate::session::when::Rules;

/// The largest int: of a descriptor, a process id, a backlog.
pub const INT_MAX: u64 = i32::MAX as u64;

/// The verbosity and format of output.
#[derive(Args, Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct TalkArgs {
    /// Show connection details
    #[arg(
        short,
        long,
        conflicts_with = "quiet",
        overrides_with = "verbose",
        help_heading = "Output"
    )]
    pub verbose: bool,
    /// Show errors only
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
    /// Show every socket call
    #[arg(long, help_heading = "Output")]
    pub trace: bool,
    /// Write events and results as JSON, one object per line
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// When to use colour
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Color::Auto, help_heading = "Output")]
    pub color: Color,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// At a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// Whether output to a terminal (or not) is coloured.
    pub fn is_on(self, terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => terminal && has_color(),
        }
    }
}

impl TalkArgs {
    /// Starts this run's talk, and its trace if `--trace` is given.
    pub fn start(&self) -> Talk {
        let level = match (self.quiet, self.verbose) {
            (true, _) => Level::Quiet,
            (_, true) => Level::Verbose,
            _ => Level::Normal,
        };
        let talk = Talk::new(level, self.json, self.color.is_on(io::stderr().is_terminal()));
        if self.trace {
            let talk = talk.clone();
            trace::start(move |call| talk.say(&Event::Call(call)));
        }
        talk
    }
}

/// Which addresses a host may have.
#[derive(Args, Debug, Clone)]
pub struct FamilyArgs {
    /// Use IPv4 only
    #[arg(short = '4', long = "ipv4", conflicts_with = "v6", help_heading = "Sockets")]
    pub v4: bool,
    /// Use IPv6 only
    #[arg(short = '6', long = "ipv6", help_heading = "Sockets")]
    pub v6: bool,
    /// Do not resolve names: numeric addresses only
    #[arg(short, long, help_heading = "Sockets")]
    pub numeric: bool,
}

impl FamilyArgs {
    /// The family asked for.
    pub fn family(&self) -> Family {
        match (self.v4, self.v6) {
            (true, _) => Family::V4,
            (_, true) => Family::V6,
            _ => Family::Any,
        }
    }

    /// What is asked for besides the name of a peer, which may be of any family.
    pub fn peers(&self) -> Query {
        Query { family: Family::Any, ..self.query(Type::STREAM, Source::default()) }
    }

    /// What is asked for besides a name.
    pub fn query(&self, kind: Type, source: Source) -> Query {
        Query { family: self.family(), numeric: self.numeric, source, kind }
    }
}

/// Where to listen.
#[derive(Args, Debug, Clone)]
pub struct ListenArgs {
    /// Where to listen: HOST:PORT, [IPV6]:PORT, *:PORT, unix:PATH, unix:@NAME, PORT, or HOST PORT
    #[allow(rustdoc::broken_intra_doc_links, reason = "help text, not Markdown")]
    #[arg(value_name = "ADDRESS", num_args = 0..)]
    pub address: Vec<OsString>,
    /// Listen on this port; the ADDRESS is a HOST then, or left out
    #[arg(short, long, value_name = "PORT", value_parser = count::<u16>(0, 65535), help_heading = "Sockets")]
    pub port: Option<u16>,
}

impl ListenArgs {
    /// The address.
    pub fn address(&self, family: Family) -> Result<Address, Failure> {
        let mut words = self.address.clone();
        words.extend(self.port.map(|port| port.to_string().into()));
        address(&words, family, "")
    }
}

/// Where connections and datagrams come from.
#[derive(Args, Debug, Clone)]
pub struct SourceArgs {
    /// Connect or send from this address
    #[arg(short, long, value_name = "ADDR[:PORT]", value_parser = source, help_heading = "Sockets")]
    pub source: Option<SocketAddr>,
    /// Connect or send from this port
    #[arg(short = 'p', long, value_name = "PORT", value_parser = count::<u16>(1, 65535), help_heading = "Sockets")]
    pub source_port: Option<u16>,
}

impl SourceArgs {
    /// Both.
    pub fn source(&self) -> Source {
        let port = self.source_port.or(self.source.map(|source| source.port()));
        Source { ip: self.source.map(|source| source.ip()), port: port.unwrap_or(0) }
    }
}

/// What every command takes that opens a socket.
#[derive(Args, Debug, Clone)]
pub struct SocketArgs {
    #[command(flatten)]
    pub family: FamilyArgs,
    /// Set a socket option (see `sockctl opts`); repeatable
    #[arg(short, long = "opt", value_name = "NAME[=VALUE]", value_parser = OptionNames(setting), hide_possible_values = true,
        help_heading = "Sockets")]
    pub opt: Vec<Setting>,
    /// Timeout for connecting, for a handshake and for each reply; 0 disables it
    #[arg(short = 'w', long, value_name = "DUR", default_value = "10s", value_parser = quantity::duration,
        help_heading = "Limits")]
    pub timeout: Duration,
    /// Close a connection after this long without data in either direction; 0 disables it
    #[arg(short, long, value_name = "DUR", value_parser = quantity::duration, help_heading = "Limits")]
    pub idle_timeout: Option<Duration>,
    /// Exit after this long, whatever is going on; 0 disables it
    #[arg(long, value_name = "DUR", default_value = "0", value_parser = quantity::duration,
        hide_default_value = true, help_heading = "Limits")]
    pub deadline: Duration,
    /// Write a hex dump of both directions to FILE; +FILE appends, %i is the connection's number, `-`
    /// is stderr
    #[arg(short = 'x', long, value_name = "FILE", help_heading = "Output")]
    pub hex: Option<PathBuf>,
    /// Write both directions to FILE as text, with the time and `<` or `>` before each line; +FILE
    /// appends, %i is the connection's number, `-` is stderr
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub log: Option<PathBuf>,
    /// Print received text unescaped, control characters included
    #[arg(long, help_heading = "Output")]
    pub raw: bool,
    #[command(flatten)]
    pub talk: TalkArgs,
}

impl SocketArgs {
    /// The end of the run, which was set when the command line was read.
    pub fn end(&self) -> Deadline {
        Deadline::after(self.deadline).bound_run();
        Deadline::of_run()
    }

    /// The idle timeout; zero: none.
    pub fn idle(&self) -> Duration {
        self.idle_timeout.unwrap_or_default()
    }

    /// The destinations of `--hex` and `--log`, as far as they are given; their files are private where
    /// the session is encrypted. They are not opened yet, but what would be in the way is reported.
    pub fn dumps(&self, is_private: bool, talk: &Talk) -> Result<Vec<Dump>, Failure> {
        let hex = self.hex.iter().map(|path| (Format::Hex, path));
        let log = self.log.iter().map(|path| (Format::Text, path));
        hex.chain(log).map(|(format, path)| dump(format, path, is_private, talk)).collect()
    }
}

/// One of them.
fn dump(format: Format, path: &Path, is_private: bool, talk: &Talk) -> Result<Dump, Failure> {
    if path == Path::new("-") {
        let talk = talk.clone();
        let open = move |_: &Path| Ok((Box::new(talk.clone()) as Box<dyn Write>, true));
        return Ok(Dump::new(format, path.to_owned(), Box::new(open)));
    }
    let name = path.as_os_str().as_bytes();
    let (append, path) = match name.strip_prefix(b"+") {
        Some(rest) => (true, Path::new(OsStr::from_bytes(rest))),
        None => (false, path),
    };
    file::check(path).map_err(|e| Failure::file(format.op(), path.display(), &e))?;
    let mode = file::Mode { append, private: is_private };
    let open = move |path: &Path| {
        let file = OutputFile::open(path, mode)?;
        let is_queued = matches!(file, OutputFile::Queued { .. });
        Ok((Box::new(file) as Box<dyn Write>, is_queued))
    };
    Ok(Dump::new(format, path.to_owned(), Box::new(open)))
}

/// Answers by content.
#[derive(Args, Debug, Clone)]
pub struct WhenArgs {
    /// Answer each match of REGEX, over bytes, in what comes with TEXT; repeatable: the leftmost match
    /// counts, and of equals the first rule
    #[arg(long, value_names = ["REGEX", "TEXT"], num_args = 2, action = ArgAction::Append,
        allow_hyphen_values = true, group = "handler", help_heading = "Handlers")]
    pub when: Vec<OsString>,
}

impl WhenArgs {
    /// The rules, if there are any.
    pub fn rules(&self) -> Result<Option<Rules>, Failure> {
        let rule = |pair: &[OsString]| {
            let regex =
                pair[0].to_str().ok_or_else(|| "expected UTF-8; other bytes are \\xHH".into());
            let pattern = regex.and_then(Pattern::parse);
            let pattern = pattern
                .map_err(|why| Failure::usage(format!("--when {}: {why}", quoted(&pair[0]))))?;
            if pattern.matches_nothing() {
                let cause = format!(
                    "--when {}: it matches the empty string, which is everywhere",
                    quoted(&pair[0])
                );
                return Err(Failure::usage(cause));
            }
            Ok((pattern, text::parse(&pair[1])?.into()))
        };
        let rules = self.when.chunks_exact(2).map(rule).collect::<Result<Vec<_>, Failure>>()?;
        if rules.is_empty() {
            return Ok(None);
        }
        Rules::new(rules).map(Some).map_err(|why| Failure::usage(format!("--when: {why}")))
    }
}

/// Which bytes are sent and received, and how.
#[derive(Args, Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct DataArgs {
    /// Send CRLF line ends: add the CR where it is missing
    #[arg(short = 'C', long, help_heading = "Data")]
    pub crlf: bool,
    /// Only send: drop received data
    #[arg(long, conflicts_with = "recv_only", help_heading = "Data")]
    pub send_only: bool,
    /// Only receive: do not read stdin
    #[arg(long, help_heading = "Data")]
    pub recv_only: bool,
    /// Do not close the sending side when stdin ends
    #[arg(long, help_heading = "Data")]
    pub no_half_close: bool,
}

impl DataArgs {
    /// Whether the end of our input is passed on.
    pub fn half_close(&self) -> bool {
        !self.no_half_close && !self.recv_only
    }

    /// Whether the peer's end means something for ours: otherwise stdin is sent to its end.
    pub fn heeds_end(&self) -> bool {
        !self.send_only && !self.no_half_close
    }

    /// Whether bytes go both ways, as at a prompt.
    pub fn is_talk(&self) -> bool {
        !self.recv_only && !self.send_only
    }
}

/// A name in a room, for a flag.
pub fn nick(text: &str) -> Result<String, String> {
    names::name(text)
        .map_err(|_| "a name has 1 to 32 letters and digits of any script, _, - and .".into())
}

/// The appearance and history of the prompt.
#[derive(Args, Debug, Clone)]
pub struct PromptArgs {
    /// Show the local time before each line; in a pipe, before each line that is received
    #[arg(long, help_heading = "Prompt")]
    pub timestamps: bool,
    /// Ring the bell on private messages, mentions, and in one-to-one chats
    #[arg(long, help_heading = "Prompt")]
    pub bell: bool,
    /// Keep the prompt's history in FILE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Prompt")]
    pub history: Option<PathBuf>,
}

impl PromptArgs {
    /// How lines are shown at a terminal.
    pub fn style(&self, color: Color) -> Style {
        Style {
            timestamps: self.timestamps,
            bell: self.bell,
            color: color.is_on(true),
            marks: false,
            numbers: false,
        }
    }
}

/// The addresses that a server accepts clients from.
#[derive(Args, Debug, Clone)]
pub struct AccessArgs {
    /// Accept only these clients: a CIDR, an address, a host name, or @FILE with one per line;
    /// repeatable; SIGHUP has them read again
    #[arg(long, value_name = "CIDR", value_parser = access::networks, help_heading = "Limits")]
    pub allow: Vec<Networks>,
    /// Refuse these clients, even if --allow names them; repeatable
    #[arg(long, value_name = "CIDR", value_parser = access::networks, help_heading = "Limits")]
    pub deny: Vec<Networks>,
}

impl AccessArgs {
    /// The rules, together; names have the addresses of now.
    pub fn access(&self, family: &FamilyArgs, until: Deadline) -> Result<AccessList, Failure> {
        let mut access = AccessList {
            allow: (!self.allow.is_empty()).then(|| self.allow.iter().cloned().collect()),
            deny: self.deny.iter().cloned().collect(),
        };
        access.look_up(family.peers(), until)?;
        Ok(access)
    }
}

/// A program as the handler of each client.
#[derive(Args, Debug, Clone)]
pub struct ProgramArgs {
    /// Run COMMAND with /bin/sh for each client, as its stdin and stdout
    #[arg(long, value_name = "COMMAND", group = "handler", help_heading = "Handlers")]
    pub sh: Option<OsString>,
    /// Run this program for each client, as its stdin and stdout, without a shell
    #[arg(last = true, value_names = ["PROGRAM", "ARGS"], num_args = 1.., group = "handler")]
    pub program: Vec<OsString>,
}

impl ProgramArgs {
    /// The words to run, if any.
    pub fn words(&self) -> Option<Vec<OsString>> {
        program(self.sh.as_ref(), &self.program)
    }
}

/// The words to run for `--sh COMMAND` or `-- PROGRAM ARGS…`, if any.
pub fn program(sh: Option<&OsString>, program: &[OsString]) -> Option<Vec<OsString>> {
    match sh {
        Some(command) => Some(vec!["/bin/sh".into(), "-c".into(), command.clone()]),
        None => (!program.is_empty()).then(|| program.to_vec()),
    }
}

/// The one ADDRESS that `words` are; `hint` says what else takes several.
pub fn address(words: &[OsString], family: Family, hint: &str) -> Result<Address, Failure> {
    let (address, used) = Address::take(words)?;
    if let Some(extra) = words.get(used) {
        let extra = quoted(extra);
        let message = format!("unexpected word {extra} after the address {address}{hint}");
        return Err(Failure::usage(message));
    }
    address.check_family(family)?;
    Ok(address.resolve_default(family))
}

/// `-s ADDR[:PORT]`; an IPv6 address may stand in brackets.
pub fn source(text: &str) -> Result<SocketAddr, String> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let ip = match bracketed {
        Some(v6) => v6.parse().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    };
    text.parse().ok().or_else(|| Some(SocketAddr::new(ip?, 0))).ok_or_else(|| {
        "expected an address of this machine: 192.0.2.1, 192.0.2.1:5000, ::1 or [::1]:5000".into()
    })
}

/// A whole number within bounds, in digits alone: no sign.
pub fn count<T: TryFrom<u64> + Clone + Send + Sync + 'static>(
    least: u64,
    most: u64,
) -> impl TypedValueParser<Value = T> {
    StringValueParser::new().try_map(move |text| {
        let number = quantity::count(&text).filter(|number| (least..=most).contains(number));
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| match most {
            u64::MAX => format!("expected a whole number from {least} on"),
            _ => format!("expected a whole number from {least} to {most}"),
        })
    })
}

/// A SIZE of one byte at least.
pub fn size(text: &str) -> Result<u64, String> {
    match quantity::size(text)? {
        0 => Err("expected at least 1 byte".into()),
        size => Ok(size),
    }
}

/// A TEXT with its escapes, or `@FILE`.
pub fn text_parser() -> impl TypedValueParser<Value = Bytes> {
    OsStringValueParser::new().try_map(|word| text::parse(&word).map(|text| Bytes(text.into())))
}

/// Bytes in pairs of hex digits; blanks and colons between them are allowed.
pub fn hex(text: &str) -> Result<Bytes, String> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace() && *c != ':').collect();
    hex::decode(digits)
        .map(|bytes| Bytes(bytes.into()))
        .map_err(|_| "expected pairs of hex digits: 68656c6c6f or 68:65".into())
}

/// Bytes of a TEXT; a type of its own, as clap would read a `Vec` as many values.
#[derive(Clone, Debug)]
pub struct Bytes(pub Arc<[u8]>);

/// A value that begins with a socket option's name, which shells can complete; `parse` may accept
/// more.
#[derive(Clone)]
pub struct OptionNames<T>(pub fn(&str) -> Result<T, String>);

impl<T: Clone + Send + Sync + 'static> TypedValueParser for OptionNames<T> {
    type Value = T;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<T, clap::Error> {
        let parse = self.0;
        StringValueParser::new().try_map(move |text| parse(&text)).parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let names = options::all().map(|option| PossibleValue::new(option.name.as_ref()));
        Some(Box::new(names))
    }
}

/// The name of a digest.
fn digest() -> impl TypedValueParser<Value = Digest> {
    PossibleValuesParser::new(Digest::ALL.map(Digest::name)).try_map(|name| name.parse::<Digest>())
}

fn setting(text: &str) -> Result<Setting, String> {
    Setting::parse(text).map_err(|failure| failure.to_string())
}

/// Where the key comes from, and how it is proved.
#[derive(Args, Debug, Clone)]
pub struct KeyArgs {
    /// Prove the key with HMAC over this digest, unencrypted: the challenge-response of Python's hmac
    /// examples
    #[arg(long, value_name = "NAME", value_parser = digest(), help_heading = "Keys")]
    pub digest: Option<Digest>,
    /// Speak the protocol of Python's multiprocessing.connection: each line is one `send_bytes` (with
    /// --raw, each chunk)
    #[arg(long, help_heading = "Keys")]
    pub python: bool,
    /// Bind the encrypted session to TEXT, which both sides must give
    #[arg(long, value_name = "TEXT", value_parser = text_parser(), conflicts_with_all = ["digest", "python"],
        help_heading = "Keys")]
    pub context: Option<Bytes>,
    /// Read the key from FILE (one trailing newline is dropped), or a sockctl-key-1 line
    #[arg(long, value_name = "FILE", group = "key-source", help_heading = "Keys")]
    pub key_file: Option<PathBuf>,
    /// Read the key from this descriptor
    #[arg(long, value_name = "N", group = "key-source", value_parser = count::<i32>(0, INT_MAX),
        help_heading = "Keys")]
    pub key_fd: Option<i32>,
    /// Write a new random key to --key-file and exit
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, requires = "key_file",
        help_heading = "Keys")]
    #[expect(clippy::option_option, reason = "absent, without a value, with one")]
    pub create_key: Option<Option<String>>,
}

impl KeyArgs {
    /// Creates a key, if `--create-key` is given.
    pub fn create(&self, talk: &Talk) -> Result<bool, Failure> {
        let (Some(name), Some(path)) = (&self.create_key, &self.key_file) else {
            return Ok(false);
        };
        create_key(path, name.as_deref())?;
        let file = path.display();
        for notice in [
            format!("wrote a new key to {file}, which only you can read"),
            "copy it to the other machine (scp), then use it on both:".into(),
            format!("  sockctl auth-serve --key-file {file}"),
            format!("  sockctl auth-connect HOST:PORT --key-file {file}"),
        ] {
            talk.notice(Level::Never, &notice);
        }
        Ok(true)
    }

    /// How the key is proved, with the keys ready for it: those of a passphrase take their time
    /// here, once. `keys` is a server's `--keys` file; a message of `--python` is a `unit`.
    pub fn proof(&self, keys: Option<&Path>, unit: Unit, talk: &Talk) -> Result<Proof, Failure> {
        let keyring = load(self.key_file.as_deref(), keys, self.key_fd)?;
        self.proof_of(keyring, unit, None, talk)
    }

    /// The same for a `--keys` file that is read again: those of its keys that were there `before` are
    /// ready already.
    pub fn reread(
        &self,
        keys: &Path,
        unit: Unit,
        before: &ServerSecurity,
        until: Deadline,
        talk: &Talk,
    ) -> Result<Proof, Failure> {
        let before = match before {
            ServerSecurity::Key(proof) => Some(proof),
            ServerSecurity::Tls(_) => None,
        };
        self.proof_of(read_keys_file(keys, until)?, unit, before, talk)
    }

    fn proof_of(
        &self,
        keyring: Keyring,
        unit: Unit,
        before: Option<&Proof>,
        talk: &Talk,
    ) -> Result<Proof, Failure> {
        let keyring = Rc::new(keyring);
        if self.python {
            let md5 = Secrets::allows_md5(self.digest)?;
            return Ok(Proof::Python(Rc::new(Secrets { keyring, md5, unit })));
        }
        if let Some(digest) = self.digest {
            return Ok(Proof::Challenge(digest, keyring));
        }
        let context = self.context.as_ref().map_or(&[][..], |Bytes(text)| text);
        let before = match before {
            Some(Proof::Noise(identity)) => Some(&**identity),
            _ => None,
        };
        let (identity, warnings) = noise::Identity::derive(&keyring, context, before)?;
        for warning in warnings {
            talk.warn(&warning);
        }
        Ok(Proof::Noise(identity))
    }
}
