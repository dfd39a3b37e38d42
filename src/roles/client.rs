//! The client role: connect, talk. All of `connect`; `auth-connect` proves its key first.

mod login;
pub mod open;
mod steps;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};
use socket2::Type;

use super::{Run, result, sanitizes};
use crate::args::{self, PromptArgs, SocketArgs};
use crate::console::event::Reason;
use crate::console::progress::Meter;
use crate::console::talk::Talk;
use crate::exit::{Exit, Failure};
use crate::net::address::Address;
use crate::net::deadline::Deadline;
use crate::net::dial::Dial;
use crate::net::endpoint::Endpoint;
use crate::net::hexdump::Dump;
use crate::net::quantity;
use crate::net::retry::Retry;
use crate::net::signal;
use crate::server::{Bounds, Closed, Config, Limits, NewHandshake, Outcome, Role};
use crate::session::pipe::{self, Pipe};
use crate::session::prompt::{Conversation, LineFormat, Peers};
use crate::session::script::Script;
use crate::session::script::handler::{Ending, Scripted};
use crate::session::seat::{Inbox, is_terminal};

use open::Opener;
pub use steps::Steps;

/// After we left a prompt, how long what still comes is shown.
const LINGER: Duration = Duration::from_secs(1);

/// The flags of a client.
#[derive(Args, Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct ClientArgs {
    /// Where to connect: HOST:PORT, [IPV6]:PORT, unix:PATH, unix:@NAME, PORT, or HOST PORT
    #[allow(rustdoc::broken_intra_doc_links, reason = "help text, not Markdown")]
    #[arg(value_name = "ADDRESS", num_args = 0..=2)]
    pub address: Vec<OsString>,

    /// Send CRLF line ends: add the CR where it is missing
    #[arg(short = 'C', long, help_heading = "Data")]
    pub crlf: bool,
    /// Send the lines of the prompt without a newline
    #[arg(long, conflicts_with = "crlf", help_heading = "Data")]
    pub no_newline: bool,
    /// Only send: drop received data
    #[arg(long, conflicts_with = "recv_only", help_heading = "Data")]
    pub send_only: bool,
    /// Only receive: do not read stdin
    #[arg(long, help_heading = "Data")]
    pub recv_only: bool,
    /// Exit after receiving SIZE bytes
    #[arg(long, value_name = "SIZE", value_parser = max_bytes, help_heading = "Limits")]
    pub max_bytes: Option<u64>,
    /// Do not close the sending side when stdin ends
    #[arg(long, help_heading = "Data")]
    pub no_half_close: bool,
    /// How long to keep receiving after we are done [default: 1s at the prompt, else no limit]
    #[arg(long, value_name = "DUR", value_parser = quantity::duration, allow_hyphen_values = true,
        help_heading = "Limits")]
    pub linger: Option<Duration>,
    /// Retry for this long while connecting fails (refused, unreachable, no such name)
    #[arg(long, value_name = "DUR", value_parser = quantity::duration, allow_hyphen_values = true,
        help_heading = "Scripts")]
    pub wait: Option<Duration>,
    #[command(flatten)]
    pub steps: Steps,
    /// Show a progress line, if stderr is a terminal
    #[arg(long, help_heading = "Output")]
    pub progress: bool,
    /// Report TCP statistics at the end: round trips, retransmits, window, rate
    #[arg(long, help_heading = "Output")]
    pub tcp_info: bool,
    /// Connect from this address
    #[arg(short, long, value_name = "ADDR[:PORT]", value_parser = args::source, help_heading = "Sockets")]
    pub source: Option<SocketAddr>,
    /// Connect through a proxy, which resolves the name: socks5://[USER@]HOST:PORT or
    /// http://[USER@]HOST:PORT
    #[allow(rustdoc::broken_intra_doc_links, reason = "help text, not Markdown")]
    #[arg(long, value_name = "URL", help_heading = "Proxies")]
    pub proxy: Option<String>,
    /// Read the proxy's password from FILE (one trailing newline is dropped); or set
    /// `SOCKCTL_PROXY_PASSWORD`
    #[arg(long, value_name = "FILE", requires = "proxy", value_hint = ValueHint::FilePath, help_heading = "Proxies")]
    pub proxy_password_file: Option<PathBuf>,
    /// Send a PROXY protocol header, with the addresses of the connection, first
    #[arg(long, value_name = "VERSION", num_args = 0..=1, require_equals = true, default_missing_value = "1",
        value_parser = args::count::<u8>(1, 2), help_heading = "Proxies")]
    pub send_proxy: Option<u8>,
    #[command(flatten)]
    pub prompt: PromptArgs,
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// Connects, proves our key where `login` is given, talks.
pub fn run(args: &ClientArgs, login: Option<NewHandshake>, talk: &Talk) -> Result<(), Failure> {
    let deadline = args.socket.end();
    let address = args::address(&args.address, args.socket.family.family())?;
    address.check_dial()?;
    if args.tcp_info && matches!(address, Address::Unix(_)) {
        return Err(Failure::usage(format!("--tcp-info: {address} is no TCP connection")));
    }
    let dump = args.socket.dump(talk)?;
    let is_scripted = !args.steps.0.is_empty();
    let has_prompt = is_terminal() && !args.recv_only && !args.send_only && !is_scripted;
    let proves = login.is_some();
    let retry = args.wait.map(|limit| Retry::new(limit, deadline));
    let opener = Opener::new(args)?;
    let route = opener.route(address, retry, login, has_prompt, deadline)?;
    let signals = signal::defer();
    let inbox = Inbox::new().map_err(|e| Failure::system("start", "the event loop", &e))?;
    let run = Run {
        listener: None,
        route: Some(route),
        inbox: &inbox,
        signals: signals.as_ref(),
        config: args.config(has_prompt, deadline, dump, talk),
        talk: talk.clone(),
    };
    let end = if has_prompt {
        at_prompt(args, run)?
    } else if is_scripted {
        scripted(args, run)?
    } else {
        let mut pipe = Pipe::new(pipe::Options {
            sole: true,
            social: false,
            send: !args.recv_only,
            receive: !args.send_only,
            crlf: args.crlf,
            sanitize: sanitizes(args.socket.raw),
            stall_limit: Duration::ZERO,
        })?;
        End::of(run.serve(&mut pipe)?)
    };
    // The classic protocol has no verdict: the peer's silence must do.
    if let Some(peer) = end.silent_peer.filter(|_| proves)
        && !(args.send_only && end.result.is_ok())
    {
        let cause = "closed without a word: wrong key?";
        return Err(Failure::new("authenticate to", peer, cause, Exit::NotAuthenticated));
    }
    end.result
}

/// How a run ended.
struct End {
    result: Result<(), Failure>,
    /// The peer, if it ended the connection without having sent anything, not even the verdict
    /// that a codec has.
    silent_peer: Option<Endpoint>,
}

impl End {
    fn of(outcome: Outcome) -> Self {
        let failed = |failure| Self { result: Err(failure), silent_peer: None };
        match outcome {
            Outcome::Ended(closed) => {
                let is_silent = closed.by_peer && closed.received == 0 && !closed.has_codec;
                let silent_peer = is_silent.then(|| closed.peer.clone());
                Self { result: result(closed, Role::Client), silent_peer }
            }
            Outcome::Expired(failure, _) => failed(failure),
            Outcome::Stopped(Some(libc::SIGINT)) => failed(Failure::silent(Exit::Interrupted)),
            Outcome::Stopped(Some(_)) => failed(Failure::silent(Exit::Terminated)),
            Outcome::Stopped(None) => Self { result: Ok(()), silent_peer: None },
        }
    }
}

impl ClientArgs {
    fn config(
        &self,
        has_prompt: bool,
        deadline: Deadline,
        dump: Option<Dump>,
        talk: &Talk,
    ) -> Config {
        let has_meter = self.progress && io::stderr().is_terminal() && !talk.is_json();
        Config {
            once: true,
            bounds: Bounds {
                idle: self.socket.idle_timeout,
                linger: self.linger.or(has_prompt.then_some(LINGER)),
                max_bytes: self.max_bytes.unwrap_or(u64::MAX),
                half_close: !self.no_half_close && !self.recv_only,
                role: Role::Client,
            },
            limits: Limits::default(),
            proxies: None,
            grace: Duration::ZERO,
            deadline,
            settings: Vec::new(),
            dump: dump.map(|dump| (dump, false)),
            auth: None,
            meter: (has_meter && !has_prompt).then(|| Meter::new(talk)),
            tcp_info: self.tcp_info,
        }
    }

    /// How connections are opened.
    pub fn dial(&self) -> Dial {
        Dial {
            family: self.socket.family.family(),
            numeric: self.socket.family.numeric,
            source: self.source,
            settings: self.socket.opt.clone(),
            kind: Type::STREAM,
        }
    }
}

/// The prompt.
fn at_prompt(args: &ClientArgs, run: Run<'_>) -> Result<End, Failure> {
    let newline = match (args.crlf, args.no_newline) {
        (true, _) => "\r\n",
        (_, true) => "",
        _ => "\n",
    };
    let format = LineFormat {
        newline,
        raw: args.socket.raw,
        style: args.prompt.style(args.socket.talk.color),
    };
    let history = args.prompt.history.clone();
    let mut conversation =
        Conversation::start(run.inbox, Peers::One, format, history, run.talk.clone())?;
    let outcome = run.serve(&mut conversation);
    let left = conversation.left();
    conversation.finish()?;
    Ok(match (left, outcome?) {
        (Some(result), _) => End { result, silent_peer: None },
        (None, outcome) => End::of(outcome),
    })
}

/// A script instead of stdin: a smoke test in one command.
fn scripted(args: &ClientArgs, run: Run<'_>) -> Result<End, Failure> {
    let mut scripted = Scripted::new(
        Script::new(args.steps.0.clone()),
        !args.send_only,
        args.crlf,
        sanitizes(args.socket.raw),
        args.socket.timeout,
        run.talk.clone(),
    )?;
    let outcome = run.serve(&mut scripted)?;
    let verdict = match &outcome {
        Outcome::Ended(closed) => scripted.verdict(&ending(closed), &closed.peer, closed.sent),
        Outcome::Expired(_, Some(closed)) => {
            scripted.verdict(&Ending::Deadline, &closed.peer, closed.sent)
        }
        _ => None,
    };
    let mut end = End::of(outcome);
    if let Some(failure) = verdict {
        end.result = Err(failure);
    }
    Ok(end)
}

/// What the end of the connection means for an expectation that is pending.
fn ending(closed: &Closed) -> Ending<'_> {
    match closed.reason {
        Reason::Limit => Ending::Limit,
        Reason::Idle => Ending::Idle,
        Reason::Reset | Reason::Error => Ending::Broken(closed.error.as_ref()),
        _ => Ending::Eof,
    }
}

/// `--max-bytes`: nothing at all is not a session.
fn max_bytes(text: &str) -> Result<u64, String> {
    match quantity::size(text)? {
        0 => Err("at least 1 byte".into()),
        size => Ok(size),
    }
}
