//! `udp-serve`: show datagrams with their peers, and answer everyone.

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::PathBuf;
use std::rc::Rc;

use clap::Args;

use crate::args::{self, AccessArgs, Bytes, SocketArgs};
use crate::console::printer::{self, Queue};
use crate::console::prompt::Prompt;
use crate::console::talk::Talk;
use crate::exit::Failure;
use crate::net::hexdump::HexDump;
use crate::net::listen::Listen;
use crate::net::signal;
use crate::net::udp::Datagrams;
use crate::roles::{is_terminal, server::announce};
use crate::session::conversation::pipe::output_failed;
use crate::session::datagrams::Shown;
use crate::session::datagrams::serve::{Answer, Service};
use crate::session::feed::{Inbox, Input};

/// Receive datagrams and answer everyone
#[derive(Args, Debug, Clone)]
pub struct UdpServe {
    /// Where to listen: HOST:PORT, [IPV6]:PORT, *:PORT, PORT, or HOST PORT
    #[arg(value_name = "ADDRESS", num_args = 0..=2)]
    pub address: Vec<OsString>,

    /// Return each datagram to its sender
    #[arg(long, group = "handler", help_heading = "What a peer talks to")]
    pub echo: bool,
    /// Swallow datagrams
    #[arg(long, group = "handler", help_heading = "What a peer talks to")]
    pub discard: bool,
    /// Answer each datagram with TEXT
    #[arg(long, value_name = "TEXT", group = "handler", value_parser = args::text_parser(),
        help_heading = "What a peer talks to")]
    pub reply: Option<Bytes>,
    /// Exit after N datagrams
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub count: Option<u64>,
    #[command(flatten)]
    pub access: AccessArgs,
    /// Write the port to FILE once it is bound
    #[arg(long, value_name = "FILE", help_heading = "Talk")]
    pub port_file: Option<PathBuf>,

    #[command(flatten)]
    pub socket: SocketArgs,
}

impl UdpServe {
    /// Serves until it is stopped.
    pub fn run(&self, talk: &Talk) -> anyhow::Result<()> {
        let family = self.socket.family.family();
        let deadline = self.socket.end();
        let address = args::address(&self.address, family)?;
        let dump = self.socket.dump(talk)?;
        let signals = signal::defer();
        let how = Listen {
            family,
            numeric: self.socket.family.numeric,
            until: deadline,
            settings: &self.socket.opt,
            backlog: 0,
            reuse_port: false,
            mode: None,
        };
        let (socket, local) = Datagrams::bind(&address, &how)?;
        announce(&local, self.port_file.as_deref(), talk)?;
        let fail = |e| Failure::system("start", "the server", &e);
        let inbox = Inbox::new().map_err(fail)?;
        let waker = inbox.waker.clone();
        let shows = !(self.echo || self.discard || self.reply.is_some());
        let (prompt, out) = if shows && is_terminal() {
            let deliver = inbox.entry();
            let (prompt, out) =
                Prompt::start(None, move |typed| deliver(Input::Typed(typed))).map_err(fail)?;
            talk.share_terminal(&out);
            (Some(prompt), out)
        } else {
            (None, Queue::new("stdout", printer::stdout()).map_err(fail)?)
        };
        out.on_room(move || waker.wake());
        let service = Service {
            socket,
            answer: self.answer(prompt.is_some()),
            out: out.clone(),
            prompt: prompt.as_ref(),
            inbox: &inbox,
            signals: signals.as_ref(),
            count: self.count,
            access: self.access.access(),
            idle: self.socket.idle_timeout,
            deadline,
            tap: dump.map(|dump| Rc::new(RefCell::new(HexDump::new(dump, None)))),
            talk: talk.clone(),
        };
        let result = service.run();
        if let Some(line) = prompt.and_then(|prompt| prompt.stop(&out)) {
            out.push(format!("not sent: {line}\n").as_bytes());
        }
        out.flush(std::time::Duration::ZERO);
        if let (Ok(()), Some(e)) = (&result, out.failure()) {
            return Err(output_failed(&e).into());
        }
        Ok(result?)
    }

    fn answer(&self, terminal: bool) -> Answer {
        match &self.reply {
            Some(Bytes(text)) => Answer::Reply(text.clone()),
            None if self.echo => Answer::Echo,
            None if self.discard => Answer::Discard,
            None if self.socket.raw => Answer::Show(Shown::Bytes),
            None if terminal => Answer::Show(Shown::Line),
            None => Answer::Show(Shown::Record),
        }
    }
}
