//! The client role: connect, talk. All of `connect`; `auth-connect` proves its key first.

mod login;
pub mod open;
mod scripted;
mod steps;

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::{Args, ValueHint};
use socket2::Type;

use super::{judge, spare_terminal, verdict};
use crate::args::{self, PromptArgs, SocketArgs};
use crate::console::event::Event;
use crate::console::progress::Meter;
use crate::console::talk::Talk;
use crate::exit::{Exit, Failure};
use crate::net::access::Access;
use crate::net::address::Address;
use crate::net::codec::Codec;
use crate::net::deadline::Deadline;
use crate::net::dial::Dial;
use crate::net::endpoint::Endpoint;
use crate::net::flow::Filter;
use crate::net::hexdump::{Dump, HexDump};
use crate::net::line::Crlf;
use crate::net::pump::{End, Report, Rules, pump};
use crate::net::quantity;
use crate::net::signal;
use crate::net::socket::Socket;
use crate::net::tcpinfo::TcpInfo;
use crate::server::{Limits, Outcome, Plan, Server};
use crate::session::conversation::prompt::{Conversation, LineFormat, Peers};
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
    #[arg(long, value_name = "URL", help_heading = "Proxies")]
    pub proxy: Option<String>,
    /// Read the proxy's password from FILE (one trailing newline is dropped); or set
    /// `SOCKCTL_PROXY_PASSWORD`
    #[arg(long, value_name = "FILE", requires = "proxy", value_hint = ValueHint::FilePath, help_heading = "Proxies")]
    pub proxy_password_file: Option<PathBuf>,
    /// Send a PROXY protocol header, with the addresses of the connection, first
    #[arg(long, value_name = "VERSION", num_args = 0..=1, require_equals = true, default_missing_value = "1",
        value_parser = clap::value_parser!(u8).range(1..=2), help_heading = "Proxies")]
    pub send_proxy: Option<u8>,
    #[command(flatten)]
    pub prompt: PromptArgs,
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// Proves to the peer that we hold the key, before the deadline.
pub type Prove<'a> =
    &'a dyn Fn(&Socket, &Endpoint, Deadline) -> Result<Option<Box<dyn Codec>>, Failure>;

/// What a talk came to, for who must know whether the peer ever said anything.
struct Talked {
    received: u64,
    result: Result<(), Failure>,
    /// It ended without a failure of ours: by the peer's end or reset.
    by_peer: bool,
}

/// Connects, proves, talks.
pub fn run(args: &ClientArgs, prove: Option<Prove<'_>>, talk: &Talk) -> Result<(), Failure> {
    let family = args.socket.family.family();
    let deadline = args.socket.end();
    let address = args::address(&args.address, family)?;
    address.check_dial()?;
    if args.tcp_info && matches!(address, Address::Unix(_)) {
        return Err(Failure::usage(format!("--tcp-info: {address} is no TCP connection")));
    }
    let dump = args.socket.dump(talk)?;
    let (socket, peer) = Opener::new(args)?.open(&address, deadline)?;
    let scripted = !args.steps.0.is_empty();
    let terminal = is_terminal() && !args.recv_only && !args.send_only && !scripted;
    if let Ok(local) = socket.local() {
        talk.say(&Event::Connected { id: 1, peer: &peer, local: &local, greet: terminal });
    }
    let until = Deadline::after(args.socket.timeout).min(deadline);
    let codec = match prove {
        Some(prove) => prove(&socket, &peer, until)?,
        None => None,
    };
    // The classic wire has no verdict: the peer's silence has to do.
    let unheard = prove.is_some() && codec.is_none();
    // A second descriptor: at the end the talk has closed its own.
    let observed = args.tcp_info.then(|| socket.as_fd().try_clone_to_owned());
    let talked = if terminal {
        at_prompt(args, socket, &peer, codec, deadline, dump, talk)?
    } else {
        let rules = args.rules(codec, deadline, dump, talk);
        if scripted {
            scripted::run(args, &socket, &peer, rules, talk)
        } else {
            in_pipe(&socket, &peer, rules, talk)
        }
    };
    let told = observed.map_or(Ok(()), |observed| tell_tcp_info(observed, &peer, talk));
    if unheard && talked.by_peer && talked.received == 0 {
        let clean_send = args.send_only && talked.result.is_ok();
        if !clean_send {
            let cause = "closed without a word: wrong key?";
            return Err(Failure::new("authenticate to", &peer, cause, Exit::NotAuthenticated));
        }
    }
    talked.result.and(told)
}

impl ClientArgs {
    /// How bytes are moved where nobody sits at a prompt.
    fn rules(
        &self,
        codec: Option<Box<dyn Codec>>,
        deadline: Deadline,
        dump: Option<Dump>,
        talk: &Talk,
    ) -> Rules {
        let meter = self.progress && io::stderr().is_terminal() && !talk.is_json();
        Rules {
            send: !self.recv_only,
            receive: !self.send_only,
            half_close: !self.no_half_close,
            linger: self.linger,
            idle: self.socket.idle_timeout,
            max: self.max_bytes,
            deadline,
            outgoing: self.crlf.then(crlf),
            incoming: spare_terminal(self.socket.raw),
            tap: dump.map(|dump| Rc::new(RefCell::new(HexDump::new(dump, None)))),
            progress: meter.then(|| {
                let mut meter = Meter::new(talk);
                Box::new(move |received, sent| meter.show(received, sent)) as Report
            }),
            codec,
        }
    }

    /// How connections are opened.
    pub fn dial(&self) -> Dial<'_> {
        Dial {
            family: self.socket.family.family(),
            numeric: self.socket.family.numeric,
            source: self.source,
            settings: &self.socket.opt,
            kind: Type::STREAM,
        }
    }
}

/// `--tcp-info`.
fn tell_tcp_info(socket: io::Result<OwnedFd>, peer: &Endpoint, talk: &Talk) -> Result<(), Failure> {
    let info = socket.and_then(|socket| TcpInfo::read(&socket));
    let info = info.map_err(|e| Failure::system("read TCP_INFO of the connection to", peer, &e))?;
    let id = 1;
    talk.say(&Event::TcpInfo { id, peer, info: &info });
    Ok(())
}

/// stdin to the peer, the peer to stdout.
fn in_pipe(socket: &Socket, peer: &Endpoint, rules: Rules, talk: &Talk) -> Talked {
    let signals = signal::defer();
    let began = Instant::now();
    let ended = pump(socket, rules, signals.as_ref());
    let by_peer = matches!(ended.end, End::Eof | End::Broken(_));
    let (received, sent) = (ended.received, ended.sent);
    let (reason, result) = judge(ended, "connection to", peer);
    talk.say(&Event::Closed {
        id: 1,
        peer,
        received: Some(received),
        sent: Some(sent),
        seconds: began.elapsed().as_secs_f64(),
        reason,
        left: false,
    });
    Talked { received, result, by_peer }
}

/// `--max-bytes`: nothing at all is not a session.
fn max_bytes(text: &str) -> Result<u64, String> {
    match quantity::size(text)? {
        0 => Err("at least 1 byte".into()),
        size => Ok(size),
    }
}

/// Adds the CR where it is missing.
fn crlf() -> Filter {
    let mut crlf = Crlf::default();
    Box::new(move |bytes, out| crlf.feed(bytes, out))
}

/// `>>>`: the readiness loop with one connection and no listener.
fn at_prompt(
    args: &ClientArgs,
    socket: Socket,
    peer: &Endpoint,
    codec: Option<Box<dyn Codec>>,
    deadline: Deadline,
    dump: Option<Dump>,
    talk: &Talk,
) -> Result<Talked, Failure> {
    let fail = |e| Failure::system("use", "the terminal", &e);
    let newline = match (args.crlf, args.no_newline) {
        (true, _) => "\r\n",
        (_, true) => "",
        _ => "\n",
    };
    let plan = Plan {
        once: true,
        hand_over: false,
        limits: Limits { max: 1, reject: false, per_ip: None, access: Access::default() },
        proxies: None,
        idle: args.socket.idle_timeout,
        grace: Duration::ZERO,
        deadline,
        settings: Vec::new(),
        dump,
        gate: None,
    };
    let signals = signal::defer();
    let inbox = Inbox::new().map_err(fail)?;
    let peers = Peers::One {
        linger: args.linger.unwrap_or(LINGER),
        max: args.max_bytes.unwrap_or(u64::MAX),
    };
    let format = LineFormat {
        newline,
        raw: args.socket.raw,
        style: args.prompt.style(args.socket.talk.color),
    };
    let history = args.prompt.history.clone();
    let mut conversation = Conversation::start(&inbox, peers, format, history, talk.clone())?;
    let outcome =
        Server::new(None, &mut conversation, &inbox, signals.as_ref(), plan, talk.clone())
            .and_then(|mut server| server.adopt(socket, peer.clone(), codec).map(|()| server))
            .map_err(fail)
            .and_then(Server::run);
    let left = conversation.left();
    let received = conversation.heard();
    conversation.finish()?;
    let by_peer = left.is_none() && matches!(&outcome, Ok(Outcome::Ended(..)));
    let result = match (left, outcome) {
        (Some(left), Ok(_)) => left,
        (_, Err(failure)) => Err(failure),
        (None, Ok(Outcome::Ended(_, reason))) => verdict(reason, "connection to", peer),
        (None, Ok(Outcome::Stopped(Some(libc::SIGINT)) | Outcome::Cut(libc::SIGINT))) => {
            Err(Failure::silent(Exit::Interrupted))
        }
        (None, Ok(_)) => Err(Failure::silent(Exit::Terminated)),
    };
    Ok(Talked { received, result, by_peer })
}
