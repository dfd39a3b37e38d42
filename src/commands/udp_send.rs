//! `udp-send`: send datagrams, and wait for answers.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgGroup, Args};
use socket2::Type;

use crate::args::{self, SocketArgs, SourceArgs};
use crate::console::event::Level;
use crate::console::talk::Talk;
use crate::exit::Failure;
use crate::net::address::Address;
use crate::net::deadline::Deadline;
use crate::net::dial::Dial;
use crate::net::endpoint::Endpoint;
use crate::net::quantity;
use crate::net::retry::Retry;
use crate::net::signal;
use crate::net::text;
use crate::net::udp::{Datagrams, Destination, Envelope};
use crate::roles::sanitizes;
use crate::session::datagrams::ask::RESEND;
use crate::session::datagrams::frontend::{Frontend, Shown};
use crate::session::datagrams::input::Content;
use crate::session::datagrams::send::Sender;
use crate::session::pattern::Pattern;
use crate::session::seat::is_terminal;

/// How long `--talk` listens once stdin has ended.
const LINGER: Duration = Duration::from_secs(1);

/// Send datagrams: each TEXT, or each line of stdin, is one
#[derive(Args, Debug, Clone)]
#[command(override_usage = "sockctl udp-send [OPTIONS] ADDRESS [TEXT]...")]
#[command(group(ArgGroup::new("answers").args(["reply", "expect"]).multiple(true)))]
pub struct UdpSend {
    /// Where to send to (HOST:PORT, [IPV6]:PORT, unix:PATH, unix:@NAME, PORT, or HOST PORT), then the texts
    #[allow(rustdoc::broken_intra_doc_links, reason = "help text, not Markdown")]
    #[arg(value_name = "ADDRESS [TEXT]...", required = true, num_args = 1.., allow_hyphen_values = false)]
    pub words: Vec<OsString>,

    /// Send all of stdin as one datagram
    #[arg(long, group = "what", help_heading = "Data")]
    pub whole: bool,
    /// Send stdin in pieces of SIZE
    #[arg(long, value_name = "SIZE", group = "what", value_parser = args::size, help_heading = "Data")]
    pub chunk: Option<u64>,
    /// Send the bytes that HEX stands for (blanks and colons are allowed)
    #[arg(long, value_name = "HEX", group = "what", value_parser = args::hex, help_heading = "Data")]
    pub data_hex: Option<args::Bytes>,
    /// Send everything N times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = args::count::<u64>(1, u64::MAX),
        hide_default_value = true, help_heading = "Data")]
    pub count: u64,
    /// Wait this long between datagrams
    #[arg(long, value_name = "DUR", default_value = "0", value_parser = quantity::duration,
        hide_default_value = true, help_heading = "Data")]
    pub interval: Duration,
    /// Send and receive at once, as nc -u does: each line of stdin is a datagram (with --raw, each
    /// read), every datagram that comes goes to stdout; an ICMP error is reported once, ends nothing,
    /// and is the exit status if nothing was received
    #[arg(long, group = "what", conflicts_with_all = ["reply", "expect", "retries", "wait", "count", "interval"],
        help_heading = "Data")]
    pub talk: bool,
    /// How long --talk goes on without a datagram once stdin has ended [default: 1s]
    #[arg(long, value_name = "DUR", value_parser = quantity::duration,
        requires = "talk", help_heading = "Limits")]
    pub linger: Option<Duration>,

    /// Wait for N answers to each datagram and print them
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "1",
        value_parser = args::count::<u32>(1, u32::MAX.into()), help_heading = "Answers")]
    pub reply: Option<u32>,
    /// Resend up to N times while there is no answer
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        value_parser = args::count::<u32>(0, u32::MAX.into()),
        hide_default_value = true,
        requires = "answers",
        help_heading = "Answers"
    )]
    pub retries: u32,
    /// Require each answer to match REGEX (over bytes)
    #[arg(long, value_name = "REGEX", value_parser = Pattern::parse, help_heading = "Answers")]
    pub expect: Option<Pattern>,
    /// Send again, every second and for this long, until an answer comes that matches --expect,
    /// whatever ICMP says; without --reply, wait for one answer
    #[arg(long, value_name = "DUR", value_parser = quantity::duration,
        conflicts_with = "retries", help_heading = "Answers")]
    pub wait: Option<Duration>,

    /// Allow sending to a broadcast address
    #[arg(long, help_heading = "Sockets")]
    pub broadcast: bool,
    #[command(flatten)]
    pub source: SourceArgs,
    /// Time to live (hop limit) of what is sent
    #[arg(long, value_name = "N", value_parser = args::count::<u8>(1, 255), help_heading = "Sockets")]
    pub ttl: Option<u8>,

    #[command(flatten)]
    pub socket: SocketArgs,
}

impl UdpSend {
    /// Sends everything there is to send.
    pub fn run(&self, talk: &Talk) -> Result<(), Failure> {
        let family = self.socket.family.family();
        let (address, used) = Address::take(&self.words)?;
        address.check_family(family)?;
        address.check_dial()?;
        let address = address.resolve_default(family);
        let content = self.content(&self.words[used..])?;
        if let (Address::Unix(_), Some(flag)) = (&address, self.udp_flag()) {
            return Err(Failure::usage(format!("{flag} is for UDP, not {address}")));
        }
        let deadline = self.socket.end();
        let mut retry = self.wait.map(|limit| Retry::new(limit, deadline));
        let (destination, socket, to) = self.open(&address, retry.as_mut(), deadline, talk)?;
        let dumps = self.socket.dumps(false, talk)?;
        // An answer that is required is waited for line by line.
        let is_asking = self.expect.is_some() || self.wait.is_some();
        let is_prompt = matches!(content, Content::Lines) && is_terminal() && !is_asking;
        let shown = match sanitizes(self.socket.raw) {
            true if is_prompt => Shown::Line,
            true => Shown::Text,
            false => Shown::Bytes,
        };
        let talks = self.talk || is_prompt;
        let signals = talks.then(signal::defer).flatten();
        let mut frontend = Frontend::new(is_prompt, self.socket.raw, shown, signals, dumps, talk)?;
        let mut sender = Sender {
            socket,
            destination,
            to: Envelope::to(to),
            replies: self.reply.unwrap_or(0) as usize,
            retries: self.retries as usize,
            retry,
            timeout: self.socket.timeout,
            expect: self.expect.clone(),
            talks,
            deadline,
            frontend: &mut frontend,
            sent: 0,
            failure: None,
        };
        let result = if talks {
            let linger = self.linger.unwrap_or(if is_prompt { Duration::ZERO } else { LINGER });
            sender.converse(self.socket.idle(), linger)
        } else {
            sender.run(content, self.interval)
        };
        frontend.finish(result, deadline)
    }

    /// A socket for the first address that can be sent to. With `--wait` there may be none yet.
    fn open(
        &self,
        address: &Address,
        mut retry: Option<&mut Retry>,
        deadline: Deadline,
        talk: &Talk,
    ) -> Result<(Destination, Datagrams, Endpoint), Failure> {
        loop {
            let query = self.socket.family.query(Type::DGRAM, self.source.source());
            let how = Dial { query, settings: self.socket.opt.clone(), avoid: Arc::default() };
            let end = retry.as_ref().map_or(deadline, |retry| retry.end());
            let until = Deadline::after(self.socket.timeout).min(end);
            let failure = match Destination::open(address, how, self.broadcast, self.ttl, until) {
                Ok(opened) => return Ok(opened),
                Err(failure) => failure,
            };
            let may_pass = Retry::may_pass(failure.exit, failure.code);
            let Some(retry) = retry.as_mut().filter(|_| may_pass) else {
                return Err(failure);
            };
            retry.attempt();
            if let Some(notice) = retry.notice(address, &failure.cause) {
                talk.notice(Level::Verbose, &notice);
            }
            std::thread::sleep(retry.end().remaining().map_or(RESEND, |left| left.min(RESEND)));
            if retry.is_over() {
                return Err(retry.run_out(failure));
            }
        }
    }

    /// A flag that does not apply to a UNIX socket.
    fn udp_flag(&self) -> Option<&'static str> {
        [
            ("--broadcast", self.broadcast),
            ("--source", self.source.source.is_some()),
            ("--source-port", self.source.source_port.is_some()),
            ("--ttl", self.ttl.is_some()),
        ]
        .into_iter()
        .find_map(|(flag, given)| given.then_some(flag))
    }

    /// What is to be sent, from the words behind the address and the options.
    fn content(&self, words: &[OsString]) -> Result<Content, Failure> {
        let texts: Vec<Vec<u8>> =
            words.iter().map(|word| text::parse(word)).collect::<Result<_, _>>()?;
        let is_option = self.whole || self.chunk.is_some() || self.data_hex.is_some() || self.talk;
        if !texts.is_empty() && is_option {
            let cause = "TEXT cannot be used with --whole, --chunk, --data-hex or --talk";
            return Err(Failure::usage(cause));
        }
        let is_fixed = !texts.is_empty() || self.whole || self.data_hex.is_some();
        if self.count > 1 && !is_fixed {
            return Err(Failure::usage("--count repeats TEXT, --whole or --data-hex"));
        }
        Ok(match (&self.data_hex, self.chunk) {
            (Some(args::Bytes(bytes)), _) => Content::Fixed(vec![bytes.to_vec()], self.count),
            (None, Some(size)) => Content::Chunks(usize::try_from(size).unwrap_or(usize::MAX)),
            _ if self.whole => Content::Whole(self.count),
            _ if texts.is_empty() => Content::Lines,
            _ => Content::Fixed(texts, self.count),
        })
    }
}
