//! The server role: listen, admit, talk. All of `serve`; `auth-serve` authenticates before that.
//!
//! Over 300 lines: a third is the flags, with their help.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};
use socket2::{Domain, Type};

use super::steps::{STEPS, Steps};
use super::{Ended, sanitizes};
use crate::args::relay::RelayArgs;
use crate::args::{
    self, AccessArgs, Bytes, DataArgs, ListenArgs, ProgramArgs, PromptArgs, SocketArgs, WhenArgs,
};
use crate::console::event::Level;
use crate::console::talk::Talk;
use crate::exit::{During, Exit, Failure};
use crate::net::access::{self, AccessList, Networks};
use crate::net::address::{Address, Family, Host};
use crate::net::deadline::Deadline;
use crate::net::dump::Dump;
use crate::net::endpoint::Endpoint;
use crate::net::listen::{Listen, Listener};
use crate::net::open_files::OpenFiles;
use crate::net::quantity;
use crate::net::ready::PortFile;
use crate::net::resolve::Source;
use crate::net::role::Role;
use crate::net::signal;
use crate::net::sockopt;
use crate::net::stdio::Stdio;
use crate::server::{Bounds, Config, Limits, Proxies, Run, RunEnd, Security};
use crate::session::Handler;
use crate::session::broker::Broker;
use crate::session::discard::Discard;
use crate::session::echo::Echo;
use crate::session::pipe::{PeerEnd, Pipe, PipeOptions};
use crate::session::program::Program;
use crate::session::program::handler::ClientPrograms;
use crate::session::prompt::{Conversation, LineFormat, Peers};
use crate::session::relay::Relay;
use crate::session::reply::Reply;
use crate::session::room::{Bridge, Location, Log, Operator, Recall, Room};
use crate::session::script::Script;
use crate::session::script::handler::{ScriptOptions, Scripted};
use crate::session::seat::{Inbox, is_terminal};
use crate::session::when::{Rules, When};

/// The flags of a server.
#[derive(Args, Debug, Clone)]
#[command(group(ArgGroup::new("handler")
    .conflicts_with_all(STEPS)
    .conflicts_with_all(["crlf", "send_only", "recv_only", "no_half_close"])))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct ServerArgs {
    #[command(flatten)]
    pub listen: ListenArgs,

    /// Run a chat room, with you as the member `server`; --log FILE has what is said to all
    #[arg(long, group = "handler", help_heading = "Handlers")]
    pub room: bool,
    /// With --room: give newcomers the last N lines that were said to all, with their times; 1 MiB at
    /// most
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true,
        value_parser = args::count::<usize>(0, u64::MAX), help_heading = "Handlers")]
    pub recall: usize,
    /// With --room: share the room with other servers through Redis or Valkey.
    #[arg(long, value_name = "URL", value_parser = Location::parse, help_heading = "Handlers",
        help = "With --room: share the room with other servers through Redis or Valkey: \
            redis://[USER:PASSWORD@]HOST[:PORT][/DB][?room=NAME], rediss://… or unix:PATH")]
    pub bridge: Option<Location>,
    /// Pass the bytes of each client on to all others, as they are; one that 1 MiB waits for is cut off
    #[arg(long, group = "handler", help_heading = "Handlers")]
    pub broker: bool,
    /// Echo all input back
    #[arg(long, group = "handler", help_heading = "Handlers")]
    pub echo: bool,
    /// Discard all input
    #[arg(long, group = "handler", help_heading = "Handlers")]
    pub discard: bool,
    /// Send TEXT, then close the sending side
    #[arg(long, value_name = "TEXT", group = "handler", value_parser = args::text_parser(),
        help_heading = "Handlers")]
    pub reply: Option<Bytes>,
    #[command(flatten)]
    pub when: WhenArgs,
    #[command(flatten)]
    pub relay: RelayArgs,
    #[command(flatten)]
    pub steps: Steps,
    #[command(flatten)]
    pub program: ProgramArgs,
    #[command(flatten)]
    pub data: DataArgs,

    /// Exit with the status of the first accepted connection, with 1 if its program fails
    #[arg(long, help_heading = "Limits")]
    pub once: bool,
    /// Maximum number of connections at a time
    #[arg(short, long, value_name = "N", default_value_t = 1024, value_parser = args::count::<usize>(1, u64::MAX),
        help_heading = "Limits")]
    pub max_conns: usize,
    /// What to do with connections beyond --max-conns
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = OnFull::Wait, help_heading = "Limits")]
    pub on_full: OnFull,
    /// Maximum number of connections per address (IPv6: per /64)
    #[arg(long, value_name = "N", value_parser = args::count::<usize>(1, u64::MAX), help_heading = "Limits")]
    pub per_ip: Option<usize>,
    #[command(flatten)]
    pub access: AccessArgs,
    /// Require PROXY headers (v1, v2) from these proxies, and trust them; repeatable
    #[arg(long, value_name = "CIDR", value_parser = access::networks, help_heading = "Limits")]
    pub accept_proxy: Vec<Networks>,
    /// How long to wait for connections when stopping; 0 cuts them at once
    #[arg(long, value_name = "DUR", default_value = "5s", value_parser = quantity::duration,
        help_heading = "Limits")]
    pub grace: Duration,
    /// Length of the queue of connections not yet accepted
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = args::count::<i32>(0, args::INT_MAX),
        help_heading = "Sockets")]
    pub backlog: i32,
    /// Share the port with other servers (`SO_REUSEPORT`)
    #[arg(long, help_heading = "Sockets")]
    pub reuse_port: bool,
    /// Permissions of a UNIX path, in octal (0660); the umask decides by default
    #[arg(long, value_name = "MODE", value_parser = mode, help_heading = "Sockets")]
    pub mode: Option<u32>,
    /// Take the listening sockets from the service manager (systemd socket activation)
    #[arg(long, conflicts_with_all = ["address", "port", "backlog", "reuse_port", "mode"], help_heading = "Sockets")]
    pub systemd: bool,
    /// Write the port to FILE, which is there only while this server listens
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub port_file: Option<PathBuf>,

    #[command(flatten)]
    pub prompt: PromptArgs,
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// What to do with connections beyond `--max-conns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnFull {
    /// Keep them waiting until there is room
    Wait,
    /// Close them at once
    Reject,
}

fn mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|&mode| mode <= 0o777 && text.bytes().all(|byte| byte.is_ascii_digit()))
        .ok_or_else(|| "expected an octal mode: 0660 or 600".into())
}

/// Serves until it is stopped, or until the only connection ends; with `security` clients that pass its
/// handshake.
pub fn run(args: &ServerArgs, security: Option<Security>, talk: &Talk) -> Result<(), Failure> {
    let family = args.socket.family.family();
    let deadline = args.socket.end();
    let address = args.listen.address(family)?;
    if args.mode.is_some() && address.unix_path().is_none() {
        return Err(Failure::usage(format!("--mode is for unix:PATH, not {address}")));
    }
    args.relay.check()?;
    // clap requires nothing that is in conflict with what is there, as with --echo.
    if args.recall > 0 && !args.room {
        return Err(Failure::usage("--recall is for --room"));
    }
    if args.bridge.is_some() && !args.room {
        return Err(Failure::usage("--bridge is for --room"));
    }
    if args.steps.rate.is_some() && args.steps.is_empty() && args.relay.to.is_empty() {
        return Err(Failure::usage("--rate is for --to TARGET and for steps, as --send TEXT"));
    }
    let mut dumps = args.socket.dumps(security.is_some(), talk)?;
    let room_log = if args.room { Log::take(&mut dumps)? } else { None };
    if !args.socket.opt.is_empty() {
        // An option that would fail for every client fails before the first connects.
        sockopt::check(&args.socket.opt, domain(&address, family), Type::STREAM)?;
    }
    let access = args.access.access(&args.socket.family, deadline)?;
    let mut trusted: Networks = args.accept_proxy.iter().cloned().collect();
    trusted.look_up(args.socket.family.peers(), deadline)?;
    let choice = Choice::of(args)?;
    let is_program = matches!(choice, Choice::Program(_));
    let files = raise_file_limit(is_program.then_some(args.max_conns));
    let signals = signal::defer_with_reload().during("install", "signal handlers")?;
    let inbox = Inbox::new().during("start", "the server")?;
    let port_file = args.port_file.as_deref().map(PortFile::prepare).transpose()?;
    let listener = open(args, &address, deadline)?;
    // A program's socket shows neither its bytes nor, on UNIX sockets, its silence.
    let is_idle_unseen = !args.socket.idle().is_zero() && listener.locals().iter().any(is_unix);
    let relayed = !dumps.is_empty() || is_idle_unseen;
    let routes = args.relay.routes(listener.locals(), &args.socket, deadline, talk)?;
    let key_names = security.as_ref().map_or_else(Vec::new, Security::key_names);
    let run = Run {
        listener: Some(listener),
        routes,
        inbox: &inbox,
        signals: signals.as_ref(),
        config: args.config(security, access, trusted, deadline, dumps, port_file),
        talk: talk.clone(),
    };
    let prepared = Prepared { files, relayed, key_names, room_log };
    match choice.serve(args, prepared, run)? {
        (RunEnd::Over, Some(closed)) => closed.result(),
        (RunEnd::Expired(failure), _) => Err(failure),
        (RunEnd::Stopped(Some(libc::SIGHUP)), _) => Err(Failure::silent(Exit::HungUp)),
        (RunEnd::Stopped(_) | RunEnd::Over, _) => Ok(()),
    }
}

/// What clients talk to: the handler that a flag names, else a prompt at a terminal and a pipe
/// elsewhere.
enum Choice {
    Room,
    Broker,
    Echo,
    Discard,
    Reply(Arc<[u8]>),
    Program(Program),
    /// Each client is taken through these steps.
    Script(Script),
    /// What matches is answered.
    When(Rules),
    /// Each client is joined to a target.
    Relay,
    Prompt,
    Pipe,
}

impl Choice {
    fn of(args: &ServerArgs) -> Result<Self, Failure> {
        let program = args.program.words().map(Program::find).transpose()?;
        if let Some(script) = args.steps.script(args.data.crlf, &[])? {
            return Ok(Self::Script(script));
        }
        if let Some(rules) = args.when.rules()? {
            return Ok(Self::When(rules));
        }
        Ok(match (program, &args.reply) {
            (Some(program), _) => Self::Program(program),
            (None, Some(Bytes(text))) => Self::Reply(Arc::clone(text)),
            _ if !args.relay.to.is_empty() => Self::Relay,
            _ if args.room => Self::Room,
            _ if args.broker => Self::Broker,
            _ if args.echo => Self::Echo,
            _ if args.discard => Self::Discard,
            _ if is_terminal() && args.data.is_talk() => Self::Prompt,
            _ => Self::Pipe,
        })
    }

    /// Builds the handler, and runs the loop with it.
    /// Over 50 lines: a handler an arm.
    fn serve(self, args: &ServerArgs, prepared: Prepared, run: Run<'_>) -> Result<Ended, Failure> {
        let talk = run.talk.clone();
        let style = args.prompt.style(args.socket.talk.color);
        let history = args.prompt.history.clone();
        let raw = args.socket.raw;
        match self {
            Self::Broker => run.serve(&mut Broker),
            Self::Echo => run.serve(&mut Echo),
            Self::Discard => run.serve(&mut Discard),
            Self::Reply(text) => run.serve(&mut Reply(text)),
            Self::Program(found) => {
                let found = found.with_limit(prepared.files);
                let programs = ClientPrograms::new(found, prepared.relayed, args.once, talk);
                let mut programs = programs.during("start", "the server")?;
                let ended = run.serve(&mut programs)?;
                programs.failure().map_or(Ok(ended), Err)
            }
            Self::Relay => {
                let targets = args.relay.to.iter().map(|target| target.shown.clone()).collect();
                let (wait, until) = (args.relay.wait, run.config.deadline);
                let network = args.relay.network(args.steps.rate);
                let mut relay = Relay::new(targets, wait, network, until, talk);
                let ended = run.serve(&mut relay)?;
                match relay.into_failure().filter(|_| args.once) {
                    Some(failure) if matches!(ended.0, RunEnd::Over) => Err(failure),
                    _ => Ok(ended),
                }
            }
            Self::When(rules) => run.serve(&mut When::new(rules, talk)),
            Self::Script(script) => {
                let options = ScriptOptions {
                    role: Role::Server,
                    receive: false,
                    sanitize: false,
                    timestamps: false,
                    reports: !args.once,
                    redials: false,
                    step_limit: args.socket.timeout,
                    rate: args.steps.rate,
                };
                let mut scripted = Scripted::new(script, options, talk)?;
                let ended = run.serve(&mut scripted)?;
                match (&ended.0, scripted.verdict()) {
                    (RunEnd::Over | RunEnd::Expired(_), Some(Err(failure))) => Err(failure),
                    (RunEnd::Over, Some(Ok(()))) => Ok((RunEnd::Over, None)),
                    _ => Ok(ended),
                }
            }
            Self::Pipe => run.serve(&mut Pipe::new(PipeOptions {
                sole: args.once,
                social: true,
                send: !args.data.recv_only && !Stdio::input().is_null(),
                peer_end: if args.data.heeds_end() {
                    PeerEnd::FinishIfUnused
                } else {
                    PeerEnd::Ignore
                },
                ends_at_join: false,
                reconnects: false,
                receive: !args.data.send_only,
                crlf: args.data.crlf,
                sanitize: sanitizes(raw),
                timestamps: args.prompt.timestamps,
                stall_limit: args.socket.timeout,
            })?),
            Self::Prompt => {
                talk.notice(
                    Level::Never,
                    "/help lists the commands; clients do not see each other without --room",
                );
                let newline = if args.data.crlf { "\r\n" } else { "\n" };
                let format = LineFormat { newline, raw, style };
                let mut conversation =
                    Conversation::start(run.inbox, Peers::Many, format, history, talk)?;
                let ended = run.serve(&mut conversation);
                conversation.finish().and(ended)
            }
            Self::Room => {
                let operator = if is_terminal() {
                    talk.notice(Level::Never, "/help lists the commands");
                    Operator::at_terminal(run.inbox, history, style, talk.clone())?
                } else {
                    Operator::in_pipe(run.inbox, style.timestamps, talk.clone())?
                };
                let log = prepared.room_log.map(Log::open).transpose()?;
                let recall = Recall::new(args.recall);
                let bridge = args.bridge.as_ref();
                let bridge = bridge.map(|it| Bridge::start(it, args.recall)).transpose()?;
                let mut room = Room::new(operator, raw, recall, log, bridge, talk);
                room.reserve(&prepared.key_names);
                let ended = run.serve(&mut room);
                room.finish(args.grace).and(ended)
            }
        }
    }
}

/// What handlers take that no flag says.
struct Prepared {
    /// For programs: the limit on open files before it was raised.
    files: Option<OpenFiles>,
    /// Bytes are relayed to programs, not moved by their own calls: they must be seen on their way.
    relayed: bool,
    /// The names of the keys, which a room reserves.
    key_names: Vec<String>,
    /// Where a room logs what is said to all.
    room_log: Option<Dump>,
}

/// The listening socket: our own, or the service manager's.
fn open(args: &ServerArgs, address: &Address, until: Deadline) -> Result<Listener, Failure> {
    if args.systemd {
        return Listener::inherited(&args.socket.opt);
    }
    let how = Listen {
        query: args.socket.family.query(Type::STREAM, Source::default()),
        until,
        settings: &args.socket.opt,
        backlog: args.backlog,
        reuse_port: args.reuse_port,
        mode: args.mode,
    };
    Listener::open(address, &how)
}

fn is_unix(local: &Endpoint) -> bool {
    matches!(local, Endpoint::Unix(_))
}

/// The family of a socket that listens on this address, as far as it is known before DNS.
fn domain(address: &Address, family: Family) -> Domain {
    match address {
        Address::Unix(_) => Domain::UNIX,
        Address::Inet { host: Host::Ip(IpAddr::V6(_)) | Host::Scoped(..), .. } => Domain::IPV6,
        Address::Inet { host: Host::Wildcard, .. } if family != Family::V4 => Domain::IPV6,
        Address::Inet { .. } => Domain::IPV4,
    }
}

/// Raises the limit on open files: a connection is a file. With programs only as far as that many
/// connections need, with pending authentications, a program's end of each and our own.
pub fn raise_file_limit(programs: Option<usize>) -> Option<OpenFiles> {
    let most = programs.and_then(|most| u64::try_from(most).ok());
    OpenFiles::raise(most.map_or(u64::MAX, |most| most.saturating_mul(2).saturating_add(256)))
}

impl ServerArgs {
    fn config(
        &self,
        security: Option<Security>,
        access: AccessList,
        trusted: Networks,
        deadline: Deadline,
        dumps: Vec<Dump>,
        port_file: Option<PortFile>,
    ) -> Config {
        let proxies = Proxies { trusted, timeout: self.socket.timeout };
        Config {
            once: self.once,
            bounds: Bounds {
                idle: self.socket.idle(),
                linger: None,
                max_bytes: u64::MAX,
                half_close: self.data.half_close(),
                proves: false,
                tcp_info: false,
            },
            limits: Limits {
                max: self.max_conns,
                reject: self.on_full == OnFull::Reject,
                per_ip: self.per_ip,
                access,
            },
            proxies: (!self.accept_proxy.is_empty()).then_some(proxies),
            grace: self.grace,
            deadline,
            settings: self.socket.opt.clone(),
            port_file,
            dumps,
            labels: true,
            security,
            meter: None,
        }
    }
}
