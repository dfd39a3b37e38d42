//! `udp-send`: send datagrams, and wait for answers.

use std::ffi::OsString;
use std::time::Duration;

use clap::{ArgGroup, Args};
use socket2::Type;

use crate::args::{self, SocketArgs, SourceArgs};
use crate::console::talk::Talk;
use crate::exit::Failure;
use crate::net::address::Address;
use crate::net::deadline::Deadline;
use crate::net::dial::Dial;
use crate::net::pattern::Pattern;
use crate::net::quantity;
use crate::net::signal;
use crate::net::text;
use crate::net::udp::{Envelope, Target};
use crate::roles::sanitizes;
use crate::session::datagrams::frontend::{Frontend, Shown};
use crate::session::datagrams::send::{Content, Sender};
use crate::session::seat::is_terminal;

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
    #[arg(long, value_name = "HEX", group = "what", value_parser = unhex, help_heading = "Data")]
    pub data_hex: Option<args::Bytes>,
    /// Send everything N times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = args::count::<u64>(1, u64::MAX),
        hide_default_value = true, help_heading = "Data")]
    pub count: u64,
    /// Wait this long between datagrams
    #[arg(long, value_name = "DUR", default_value = "0", value_parser = quantity::duration,
        allow_hyphen_values = true, hide_default_value = true, help_heading = "Data")]
    pub interval: Duration,

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

fn unhex(text: &str) -> Result<args::Bytes, String> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace() && *c != ':').collect();
    hex::decode(digits)
        .map(|bytes| args::Bytes(bytes.into()))
        .map_err(|_| "expected pairs of hex digits: 68656c6c6f or 68:65".into())
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
        let query = self.socket.family.query(Type::DGRAM, self.source.source());
        let how = Dial { query, settings: self.socket.opt.clone() };
        let until = Deadline::after(self.socket.timeout).min(deadline);
        let (target, socket, to) = Target::open(&address, how, self.broadcast, self.ttl, until)?;
        let dump = self.socket.dump(false, talk)?;
        let is_prompt = matches!(content, Content::Lines) && is_terminal();
        let shown = match sanitizes(self.socket.raw) {
            true if is_prompt => Shown::Line,
            true => Shown::Text,
            false => Shown::Bytes,
        };
        let signals = is_prompt.then(signal::defer).flatten();
        let mut frontend = Frontend::new(is_prompt, shown, signals, dump, talk)?;
        let mut sender = Sender {
            socket,
            target,
            to: Envelope::to(to),
            replies: self.reply.unwrap_or(0) as usize,
            retries: self.retries as usize,
            timeout: self.socket.timeout,
            expect: self.expect.clone(),
            interval: self.interval,
            deadline,
            frontend: &mut frontend,
            sent: 0,
            failure: None,
        };
        let result = if is_prompt { sender.converse() } else { sender.run(content) };
        frontend.finish(result, deadline)
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
        let is_option = self.whole || self.chunk.is_some() || self.data_hex.is_some();
        if !texts.is_empty() && is_option {
            let cause = "TEXT cannot be used with --whole, --chunk or --data-hex";
            return Err(Failure::usage(cause));
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
