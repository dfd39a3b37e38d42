//! `udp-serve`: show datagrams with their peers, or answer them.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use socket2::Type;

use crate::args::relay::{Target, check_source, target_parser};
use crate::args::{self, AccessArgs, Bytes, ListenArgs, SocketArgs, WhenArgs};
use crate::console::talk::Talk;
use crate::exit::{During, Failure, quoted};
use crate::net::address::{Address, Host};
use crate::net::dial::Dial;
use crate::net::dump::{self, Dump};
use crate::net::endpoint::Endpoint;
use crate::net::listen::Listen;
use crate::net::ready::PortFile;
use crate::net::resolve::Source;
use crate::net::signal;
use crate::net::sockopt::Setting;
use crate::net::udp::{self, Datagrams};
use crate::roles::server::raise_file_limit;
use crate::server::announce;
use crate::session::datagrams::frontend::{Frontend, Shown};
use crate::session::datagrams::programs::DatagramPrograms;
use crate::session::datagrams::relay::{DatagramRelay, RelayOptions};
use crate::session::datagrams::serve::{Answer, Bounds, Service};
use crate::session::program::Program;
use crate::session::seat::is_terminal;
use crate::session::when::Rules;

/// How long a client of a relay is kept that is silent.
const IDLE: Duration = Duration::from_secs(60);

/// Receive datagrams and answer everyone
#[derive(Args, Debug, Clone)]
#[command(mut_arg("idle_timeout", |arg| arg.help("Exit after this long without a datagram; with --to: forget a \
    client after this long without one in either direction [default: 60s]; 0 disables it")))]
pub struct UdpServe {
    #[command(flatten)]
    pub listen: ListenArgs,

    /// Echo each datagram back to its sender
    #[arg(long, group = "handler", help_heading = "Handlers")]
    pub echo: bool,
    /// Discard all datagrams
    #[arg(long, group = "handler", help_heading = "Handlers")]
    pub discard: bool,
    /// Answer each datagram with TEXT
    #[arg(long, value_name = "TEXT", group = "handler", value_parser = args::text_parser(),
        help_heading = "Handlers")]
    pub reply: Option<Bytes>,
    #[command(flatten)]
    pub when: WhenArgs,
    /// Show each datagram, and send each line of stdin to the peer heard last (with --raw, each
    /// read); before that stdin is not read
    #[arg(long, group = "handler", help_heading = "Handlers")]
    pub talk: bool,
    /// Relay each client's datagrams to TARGET, an ADDRESS, from a socket of its own, and what TARGET sends
    /// back to the client
    #[arg(long, value_name = "TARGET", value_parser = target_parser(), group = "handler", help_heading = "Handlers")]
    pub to: Vec<Target>,
    /// With --to: send to the target from this address
    #[arg(short, long, value_name = "ADDR", help_heading = "Relay")]
    pub source: Option<IpAddr>,
    /// Answer each datagram with what COMMAND writes, run with /bin/sh; the datagram is its stdin
    #[arg(long, value_name = "COMMAND", group = "handler", help_heading = "Handlers")]
    pub sh: Option<OsString>,
    /// Answer each datagram with what this program writes; the datagram is its stdin
    #[arg(last = true, value_names = ["PROGRAM", "ARGS"], num_args = 1.., group = "handler")]
    pub program: Vec<OsString>,
    /// Maximum number of programs at a time, further datagrams wait; with --to: maximum number of clients;
    /// datagrams from further clients are dropped
    #[arg(short, long, value_name = "N", default_value_t = 1024, value_parser = args::count::<usize>(1, u64::MAX),
        help_heading = "Limits")]
    pub max_conns: usize,
    /// Join a multicast group; repeatable
    #[arg(long, value_name = "GROUP[%IFACE]", value_parser = group, help_heading = "Sockets")]
    pub join: Vec<Setting>,
    /// Exit after N datagrams
    #[arg(long, value_name = "N", value_parser = args::count::<u64>(0, u64::MAX), help_heading = "Limits")]
    pub count: Option<u64>,
    #[command(flatten)]
    pub access: AccessArgs,
    /// Write the port to FILE, which is there only while this server listens
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub port_file: Option<PathBuf>,

    #[command(flatten)]
    pub socket: SocketArgs,
}

/// `GROUP[%IFACE]`; without an interface the kernel chooses one by its routes.
fn group(text: &str) -> Result<Setting, String> {
    let (group, interface) = match text.split_once('%') {
        Some((group, interface)) => (group, Some(interface)),
        None => (text, None),
    };
    let option = match group.parse() {
        Ok(IpAddr::V4(ip)) if ip.is_multicast() => "IP_ADD_MEMBERSHIP",
        Ok(IpAddr::V6(ip)) if ip.is_multicast() => "IPV6_ADD_MEMBERSHIP",
        _ => return Err("expected a multicast group: 239.1.2.3, ff02::1%eth0".into()),
    };
    Setting::parse(&format!("{option}={text}")).map_err(|_| {
        let interface = quoted(interface.unwrap_or_default());
        format!("no network interface {interface}; `ip link` lists them")
    })
}

/// Refuses a TEXT that no datagram from this address holds.
fn check_length(answer: &Answer, local: &Endpoint) -> Result<(), Failure> {
    let length = answer.longest();
    match udp::limit(local) {
        Some(limit) if length > limit => Err(Failure::usage(format!(
            "a TEXT of {length} bytes is longer than a datagram ({limit} bytes)"
        ))),
        _ => Ok(()),
    }
}

impl UdpServe {
    /// Serves until it is stopped.
    pub fn run(&self, talk: &Talk) -> Result<(), Failure> {
        check_source(self.source.is_some(), &self.to)?;
        let family = self.socket.family.family();
        let deadline = self.socket.end();
        let address = self.listen.address(family)?;
        let dumps = self.socket.dumps(false, talk)?;
        // A relay dumps each client by itself.
        let (dumps, relayed) = match self.to[..] {
            [] => (dumps, Rc::default()),
            _ => (Vec::new(), Rc::from(dumps)),
        };
        let access = self.access.access(&self.socket.family, deadline)?;
        let rules = self.when.rules()?;
        let program = args::program(self.sh.as_ref(), &self.program);
        let program = program.map(Program::find).transpose()?;
        let signals = signal::defer_with_reload().during("install", "signal handlers")?;
        self.check_groups(&address)?;
        let settings: Vec<Setting> = self.socket.opt.iter().chain(&self.join).cloned().collect();
        let how = Listen {
            query: self.socket.family.query(Type::DGRAM, Source::default()),
            until: deadline,
            settings: &settings,
            backlog: 0,
            reuse_port: false,
            mode: None,
        };
        let mut port_file = self.port_file.as_deref().map(PortFile::prepare).transpose()?;
        let (socket, local) = Datagrams::bind(&address, &how)?;
        let answer = match self.relay(&local, &relayed)? {
            Some(options) => {
                let relay = DatagramRelay::new(options, talk.clone());
                Answer::Relay(Box::new(relay.during("start", "the server")?))
            }
            None => self.answer(program, rules, talk)?,
        };
        check_length(&answer, &local)?;
        let is_prompt = matches!(answer, Answer::Show | Answer::Talk) && is_terminal();
        let answer = if is_prompt { Answer::Talk } else { answer };
        let raw = self.socket.raw;
        let shown = match answer {
            Answer::Show | Answer::Talk if raw => Shown::Bytes,
            Answer::Talk if is_prompt => Shown::Line,
            Answer::Show | Answer::Talk => Shown::Record,
            _ => Shown::Nothing,
        };
        let mut frontend = Frontend::new(is_prompt, raw, shown, signals, dumps, talk)?;
        let bounds = Bounds {
            count: self.count,
            access,
            idle: if self.to.is_empty() { self.socket.idle() } else { Duration::ZERO },
            timeout: self.socket.timeout,
            deadline,
        };
        let service = Service::new(socket, answer, bounds, &mut frontend);
        let service = service.during("start", "the server")?;
        announce(&[local], None, port_file.as_mut(), talk)?;
        let result = service.run();
        frontend.finish(result, deadline).and(dump::finish(&relayed))
    }

    /// `--to`, for a server that listens at `own`.
    fn relay(&self, own: &Endpoint, dumps: &Rc<[Dump]>) -> Result<Option<RelayOptions>, Failure> {
        let target = match &self.to[..] {
            [] => return Ok(None),
            [target] => target.datagrams(own, self.socket.family.family())?,
            _ => {
                let why = "datagrams have no connection to tell which target is up";
                return Err(Failure::usage(format!("--to may be given once: {why}")));
            }
        };
        let source = Source { ip: self.source, port: 0 };
        raise_file_limit(None);
        Ok(Some(RelayOptions {
            target,
            dial: Dial {
                query: self.socket.family.query(Type::DGRAM, source),
                settings: self.socket.opt.clone(),
                avoid: [own.clone()].into(),
            },
            most: self.max_conns,
            idle: self.socket.idle_timeout.unwrap_or(IDLE),
            timeout: self.socket.timeout,
            dumps: Rc::clone(dumps),
        }))
    }

    /// Refuses `--join` on a socket that is bound to one address: it receives nothing for a group.
    fn check_groups(&self, address: &Address) -> Result<(), Failure> {
        let Some(first) = self.join.first() else {
            return Ok(());
        };
        let group = first.requested();
        let Address::Inet { host, port } = address else {
            return Err(Failure::usage(format!("--join {group} is for UDP, not {address}")));
        };
        match host {
            Host::Loopback => {}
            Host::Ip(ip) if !ip.is_unspecified() && !ip.is_multicast() => {}
            _ => return Ok(()),
        }
        Err(Failure::usage(format!(
            "--join {group}: {address} does not hear a group; listen on *:{port}"
        )))
    }

    fn answer(
        &self,
        program: Option<Program>,
        rules: Option<Rules>,
        talk: &Talk,
    ) -> Result<Answer, Failure> {
        if let Some(program) = program {
            let program = program.with_limit(raise_file_limit(Some(self.max_conns)));
            let (count, timeout) = (self.max_conns, self.socket.timeout);
            let programs = DatagramPrograms::new(program, count, timeout, talk.clone());
            return Ok(Answer::Program(Box::new(programs.during("start", "the server")?)));
        }
        Ok(match (rules, &self.reply) {
            (Some(rules), _) => Answer::When(rules),
            (None, Some(Bytes(text))) => Answer::Reply(Arc::clone(text)),
            (None, None) if self.echo => Answer::Echo,
            (None, None) if self.discard => Answer::Discard,
            (None, None) if self.talk => Answer::Talk,
            (None, None) => Answer::Show,
        })
    }
}
