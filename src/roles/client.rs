//! The client role: connect, talk. All of `connect`; `auth-connect` proves its key first.
//!
//! Over 300 lines: a third is the flags, with their help.

mod login;
pub mod open;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueHint};
use socket2::Type;

use super::steps::Steps;
use super::{Ended, sanitizes};
use crate::args::{self, DataArgs, PromptArgs, SocketArgs, SourceArgs};
use crate::auth::proof::Proof;
use crate::auth::tls::client::ClientOptions;
use crate::console::decoration::Style;
use crate::console::event::Level;
use crate::console::json;
use crate::console::meter::Meter;
use crate::console::talk::Talk;
use crate::exit::{During, Exit, Failure};
use crate::net::address::{Address, Host};
use crate::net::deadline::Deadline;
use crate::net::dial::Dial;
use crate::net::dump::Dump;
use crate::net::quantity;
use crate::net::role::Role;
use crate::net::signal;
use crate::net::stdio::Stdio;
use crate::server::{Bounds, Config, Limits, Run, RunEnd};
use crate::session::pipe::{PeerEnd, Pipe, PipeOptions};
use crate::session::program::Program;
use crate::session::program::handler::ClientPrograms;
use crate::session::prompt::{Conversation, LineFormat, Peers};
use crate::session::script::Script;
use crate::session::script::handler::{ScriptOptions, Scripted};
use crate::session::script::repeat::{Repeated, Schedule, Summary};
use crate::session::seat::{Inbox, is_terminal};

use open::Opener;

/// After we left a prompt, how long what still comes is shown.
const LINGER: Duration = Duration::from_secs(1);

/// The flags of a client.
#[derive(Args, Debug, Clone)]
pub struct ClientArgs {
    /// Where to connect: HOST:PORT, [IPV6]:PORT, unix:PATH, unix:@NAME, PORT, or HOST PORT
    #[allow(rustdoc::broken_intra_doc_links, reason = "help text, not Markdown")]
    #[arg(value_name = "ADDRESS", num_args = 0..)]
    pub address: Vec<OsString>,

    #[command(flatten)]
    pub data: DataArgs,
    /// Send the lines of the prompt without a newline
    #[arg(long, conflicts_with = "crlf", help_heading = "Data")]
    pub no_newline: bool,
    /// Exit after receiving SIZE bytes
    #[arg(long, value_name = "SIZE", value_parser = args::size, help_heading = "Limits")]
    pub max_bytes: Option<u64>,
    /// How long to keep receiving after we are done [default: 1s at the prompt, until a second of silence
    /// behind a program, else no limit]
    #[arg(long, value_name = "DUR", value_parser = quantity::duration,
        help_heading = "Limits")]
    pub linger: Option<Duration>,
    /// Retry for this long while connecting fails (refused, unreachable, no such name) or, with steps,
    /// while the connection ends before its first byte; a certificate that is not trusted ends it at once
    #[arg(long, value_name = "DUR", value_parser = quantity::duration,
        help_heading = "Scripts")]
    pub wait: Option<Duration>,
    /// Connect again whenever the connection ends, breaks or fails, pausing 1s, 2s, 4s and so on, at most DUR
    /// [default: 30s]; --wait bounds each absence. In a pipe stdin waits meanwhile, and its end is the end. A
    /// key or certificate that is rejected (9) ends it
    #[arg(long, value_name = "DUR", num_args = 0..=1, require_equals = true, default_missing_value = "30s",
        value_parser = quantity::duration, help_heading = "Limits")]
    pub reconnect: Option<Duration>,
    /// Send `/nick NAME` first on every connection: our name in a room
    #[arg(long, value_name = "NAME", value_parser = args::nick, help_heading = "Prompt")]
    pub nick: Option<String>,
    #[command(flatten)]
    pub steps: Steps,
    #[command(flatten)]
    pub repeat: RepeatArgs,
    /// Show a progress line, if stderr is a terminal
    #[arg(long, help_heading = "Output")]
    pub progress: bool,
    /// Report TCP statistics at the end: round trips, retransmits, window, rate
    #[arg(long, help_heading = "Output")]
    pub tcp_info: bool,
    #[command(flatten)]
    pub source: SourceArgs,
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
    /// Run this program once connected, with the connection as its stdin and stdout; with -z in our place,
    /// once the check has succeeded
    #[arg(last = true, value_names = ["PROGRAM", "ARGS"], num_args = 1..,
        conflicts_with_all = ["crlf", "no_newline", "send_only", "recv_only", "no_half_close", "max_bytes"])]
    pub program: Vec<OsString>,
}

/// Repetitions of the steps.
#[derive(Args, Debug, Clone)]
pub struct RepeatArgs {
    /// Repeat the steps N times, each time on a connection of its own, and print a summary of their
    /// times; with -z: check N times, with a line each and a summary at the end (with --tls the times
    /// include the handshake)
    #[arg(long, value_name = "N", value_parser = args::count::<u64>(1, u64::MAX), help_heading = "Scripts")]
    pub count: Option<u64>,
    /// Keep M of them under way at a time
    #[arg(long, value_name = "M", default_value_t = 1, value_parser = args::count::<usize>(1, 100_000),
        hide_default_value = true, requires = "count", help_heading = "Scripts")]
    pub parallel: usize,
    /// Begin one at most every DUR [default: 1s with -z]
    #[arg(long, value_name = "DUR", value_parser = quantity::duration,
        requires = "count", help_heading = "Scripts")]
    pub interval: Option<Duration>,
}

impl RepeatArgs {
    fn schedule(&self) -> Option<Schedule> {
        let interval = self.interval.unwrap_or_default();
        self.count.map(|count| Schedule { count, parallel: self.parallel, interval })
    }
}

/// Connects, proves our key or speaks TLS where that is given, talks.
/// Over 50 lines: the story of a client, in its order.
pub fn run(
    args: &ClientArgs,
    proof: Option<Proof>,
    tls: Option<ClientOptions>,
    talk: &Talk,
) -> Result<(), Failure> {
    let deadline = args.socket.end();
    let hint = "; it talks to one, and -z checks several";
    let address = args::address(&args.address, args.socket.family.family(), hint)?;
    address.check_dial()?;
    if args.tcp_info && matches!(address, Address::Unix(_)) {
        return Err(Failure::usage(format!("--tcp-info: {address} is not a TCP connection")));
    }
    let dumps = args.socket.dumps(proof.is_some() || tls.is_some(), talk)?;
    let relayed = !dumps.is_empty()
        || args.progress
        || !args.socket.idle().is_zero() && matches!(address, Address::Unix(_));
    if args.repeat.count.is_some() && args.steps.is_empty() {
        let cause = "--count repeats steps (--send, --expect, …) or, with -z, checks";
        return Err(Failure::usage(cause));
    }
    if args.reconnect.is_some() && (!args.steps.is_empty() || !args.program.is_empty()) {
        let cause = "--reconnect is for a prompt or a pipe; --count repeats steps";
        return Err(Failure::usage(cause));
    }
    if args.nick.is_some() && (args.repeat.count.is_some() || !args.program.is_empty()) {
        let cause = "--nick is for a conversation: with --count or a program, send it there";
        return Err(Failure::usage(cause));
    }
    let choice = Choice::of(args, &address, relayed)?;
    let (has_prompt, is_script) =
        (matches!(choice, Choice::Prompt), matches!(choice, Choice::Script(_)));
    let proves = proof.is_some();
    let is_plain = !proves && tls.is_none();
    let opener = Opener::new(args, tls)?;
    let mut route = opener.route(address, args.wait, proof, has_prompt, deadline)?;
    route.reconnect = args.reconnect;
    route.redials = args.wait.is_some() && is_script && !args.data.send_only;
    let signals = signal::defer();
    let inbox = Inbox::new().during("start", "the event loop")?;
    let mut config = args.config(has_prompt, deadline, dumps, talk);
    config.bounds.proves = proves;
    let run = Run {
        listener: None,
        routes: vec![route],
        inbox: &inbox,
        signals: signals.as_ref(),
        config,
        talk: talk.clone(),
    };
    let (ended, own_result) = choice.serve(args, is_plain, run)?;
    let mut unanswered = None;
    let result = match ended {
        (RunEnd::Over, Some(closed)) => {
            let is_unanswered = closed.rejection().is_some() && !args.data.send_only;
            unanswered = (is_unanswered && own_result.is_none()).then(|| closed.peer.clone());
            own_result.unwrap_or_else(|| closed.result())
        }
        (end, _) => own_result.unwrap_or(match end {
            RunEnd::Expired(failure) => Err(failure),
            RunEnd::Stopped(Some(signal)) => Err(Failure::silent(Exit::of_signal(signal))),
            RunEnd::Stopped(None) | RunEnd::Over => Ok(()),
        }),
    };
    if let Some(peer) = unanswered.filter(|_| result.is_ok()) {
        talk.notice(Level::Normal, &format!("{peer} took all and closed without a reply"));
    }
    result
}

/// How a client talks, as its flags and its terminal choose.
enum Choice {
    Prompt,
    /// stdin and stdout, byte-exact.
    Pipe,
    /// Steps instead of stdin.
    Script(Script),
    /// A program, and whether what it says is relayed.
    Program(Program, bool),
}

impl Choice {
    fn of(args: &ClientArgs, address: &Address, relayed: bool) -> Result<Self, Failure> {
        if !args.program.is_empty() {
            let found = Program::find(args.program.clone())?;
            let found = match address {
                Address::Inet { host: Host::Name(name), .. } => found.with_remote_host(name),
                _ => found,
            };
            return Ok(Self::Program(found, relayed));
        }
        Ok(match args.steps.script(args.data.crlf, &args.opening())? {
            Some(script) => Self::Script(script),
            None if is_terminal() && args.data.is_talk() => Self::Prompt,
            None => Self::Pipe,
        })
    }

    /// Builds the handler, and runs the loop with it; `is_plain`: nothing secures the connection. The second is a result that
    /// comes before the connection's: the user left the prompt, an expectation was not met, or a program
    /// failed.
    /// Over 50 lines: a handler an arm.
    fn serve(
        self,
        args: &ClientArgs,
        is_plain: bool,
        run: Run<'_>,
    ) -> Result<(Ended, Option<Result<(), Failure>>), Failure> {
        let raw = args.socket.raw;
        match self {
            Self::Prompt => {
                let newline = match (args.data.crlf, args.no_newline) {
                    (true, _) => "\r\n",
                    (_, true) => "",
                    _ => "\n",
                };
                let style = Style { marks: true, ..args.prompt.style(args.socket.talk.color) };
                let format = LineFormat { newline, raw, style };
                let (history, talk) = (args.prompt.history.clone(), run.talk.clone());
                let mut conversation =
                    Conversation::start(run.inbox, Peers::One, format, history, talk)?;
                conversation = conversation.connecting(args.reconnect.is_some(), args.nick.clone());
                if is_plain {
                    conversation = conversation.hinting_at_keys();
                }
                let ended = run.serve(&mut conversation);
                let left = conversation.result();
                conversation.finish()?;
                Ok((ended?, left))
            }
            Self::Pipe => {
                let mut pipe = Pipe::new(PipeOptions {
                    sole: true,
                    social: false,
                    send: !args.data.recv_only,
                    peer_end: if args.data.heeds_end() {
                        PeerEnd::AbortWhenIdle
                    } else {
                        PeerEnd::Ignore
                    },
                    ends_at_join: args.data.recv_only,
                    reconnects: args.reconnect.is_some(),
                    receive: !args.data.send_only,
                    crlf: args.data.crlf,
                    sanitize: sanitizes(raw),
                    timestamps: args.prompt.timestamps,
                    stall_limit: Duration::ZERO,
                })?
                .opening(args.opening());
                Ok((run.serve(&mut pipe)?, None))
            }
            Self::Script(script) => {
                let schedule = args.repeat.schedule();
                let receive = !args.data.send_only && schedule.is_none();
                let options = ScriptOptions {
                    role: Role::Client,
                    receive,
                    sanitize: sanitizes(raw),
                    timestamps: args.prompt.timestamps,
                    reports: false,
                    redials: args.wait.is_some() && !args.data.send_only,
                    step_limit: args.socket.timeout,
                    rate: args.steps.rate,
                };
                let mut scripted = Scripted::new(script, options, run.talk.clone())?;
                let Some(schedule) = schedule else {
                    let ended = run.serve(&mut scripted)?;
                    return Ok((ended, scripted.verdict()));
                };
                let mut repeated = Repeated::new(scripted, schedule);
                let (end, _) = run.serve(&mut repeated)?;
                let summary = repeated.into_summary();
                print(&summary, args.socket.talk.json)?;
                let result = matches!(end, RunEnd::Over).then(|| summary.result());
                Ok(((end, None), result))
            }
            Self::Program(found, relayed) => {
                let programs = ClientPrograms::new(found, relayed, true, run.talk.clone());
                let mut programs = programs.during("start", "the event loop")?;
                let ended = run.serve(&mut programs)?;
                Ok((ended, programs.failure().map(Err)))
            }
        }
    }
}

/// Writes a summary to stdout.
fn print(summary: &Summary, is_json: bool) -> Result<(), Failure> {
    let text = if is_json {
        format!("{}\n", json::line(summary).map_err(Failure::output)?)
    } else {
        summary.to_string()
    };
    let mut out = Stdio::output().waiting(Deadline::of_run());
    out.write_all(text.as_bytes()).map_err(Failure::output)
}

impl ClientArgs {
    fn config(
        &self,
        has_prompt: bool,
        deadline: Deadline,
        dumps: Vec<Dump>,
        talk: &Talk,
    ) -> Config {
        let has_meter = self.progress && io::stderr().is_terminal() && !talk.is_json();
        Config {
            once: true,
            bounds: Bounds {
                idle: self.socket.idle(),
                linger: self.linger.or(has_prompt.then_some(LINGER)),
                max_bytes: self.max_bytes.unwrap_or(u64::MAX),
                half_close: self.data.half_close(),
                proves: false,
                tcp_info: self.tcp_info,
            },
            limits: Limits::default(),
            proxies: None,
            grace: Duration::ZERO,
            deadline,
            settings: Vec::new(),
            dumps,
            labels: self.repeat.count.is_some() || self.reconnect.is_some(),
            security: None,
            port_file: None,
            meter: (has_meter && !has_prompt).then(|| Meter::new(talk)),
        }
    }

    /// What is sent first on every connection.
    fn opening(&self) -> Vec<u8> {
        let newline = if self.data.crlf { "\r\n" } else { "\n" };
        self.nick.as_ref().map_or_else(Vec::new, |nick| format!("/nick {nick}{newline}").into())
    }

    /// How connections are opened.
    pub fn dial(&self) -> Dial {
        let query = self.socket.family.query(Type::STREAM, self.source.source());
        Dial { query, settings: self.socket.opt.clone(), avoid: Arc::default() }
    }
}
