//! The conversation of a server in a pipe: stdin goes to every client that is there, their bytes
//! to stdout as they arrive.

use std::time::{Duration, Instant};

use crate::console::event::Reason;
use crate::console::talk::Talk;
use crate::exit::Failure;
use crate::net::deadline::Deadline;
use crate::session::seat::{Inbox, Input, Seat};
use crate::session::{Clients, Handler, Id};

/// A client with this much queued makes stdin wait.
const FULL: usize = 256 << 10;
/// How often a stdin that waits for a client looks again.
const PATIENCE: Duration = Duration::from_millis(50);
/// A client that ended its side hears us for as long as stdin is never quiet for longer.
const QUIET: Duration = Duration::from_millis(500);

/// stdin and stdout, shared by all clients.
pub struct Pipe {
    seat: Seat,
    /// `-w`: how long a client may take nothing while another waits; zero: for ever.
    patience: Duration,
    stdin_ended: bool,
    /// Somebody's queue is full: stdin waits, and this is when to look again.
    waits: Option<Instant>,
    last_chunk: Instant,
    /// Clients that ended their side, and when.
    ended: Vec<(Id, Instant)>,
}

impl Pipe {
    /// Takes over stdin and stdout.
    pub fn start(inbox: &Inbox, patience: Duration, talk: Talk) -> Result<Self, Failure> {
        Ok(Self {
            seat: Seat::in_pipe(inbox, talk)?,
            patience,
            stdin_ended: false,
            waits: None,
            last_chunk: Instant::now(),
            ended: Vec::new(),
        })
    }

    /// Waits until everything is on stdout, or until `limit` has passed (zero: no limit).
    pub fn finish(self, limit: Duration) -> Result<(), Failure> {
        self.seat.finish(limit)
    }

    /// Asks stdin for more if there is somebody to hear it and nobody's queue is full.
    fn ask(&mut self, clients: &mut dyn Clients) {
        if !self.seat.can_ask() {
            self.waits = None;
            return;
        }
        let all = clients.all();
        if all.is_empty() {
            self.waits = None;
            return;
        }
        let full: Vec<Id> =
            all.iter().copied().filter(|&id| clients.queued(id).0 >= FULL).collect();
        if full.is_empty() {
            self.waits = None;
            self.seat.ask();
            return;
        }
        self.waits = Some(Instant::now() + PATIENCE);
        if self.patience.is_zero() {
            return;
        }
        let is_stuck = |id: &Id| clients.queued(*id).1 >= self.patience;
        let stuck: Vec<Id> = full.into_iter().filter(is_stuck).collect();
        // Where all are stuck nobody waits for another.
        if stuck.len() < all.len() {
            for id in stuck {
                clients.close(id, Reason::Slow);
            }
        }
    }

    /// Lets go of clients that ended their side once stdin has nothing more for them.
    fn let_go(&mut self, clients: &mut dyn Clients) {
        let last = self.last_chunk;
        self.ended.retain(|&(id, at)| {
            let over = at.max(last).elapsed() >= QUIET && clients.queued(id).0 == 0;
            if over {
                clients.finish(id);
            }
            !over
        });
    }
}

impl Handler for Pipe {
    fn joined(&mut self, client: Id, clients: &mut dyn Clients) {
        if self.stdin_ended {
            clients.finish(client);
        }
        self.ask(clients);
    }

    fn received(&mut self, _client: Id, bytes: &[u8], clients: &mut dyn Clients) {
        self.seat.show(bytes);
        if self.seat.is_full() {
            clients.hold(true);
        }
    }

    fn ended(&mut self, client: Id, _clients: &mut dyn Clients) {
        if !self.stdin_ended {
            self.ended.push((client, Instant::now()));
        }
    }

    fn left(&mut self, client: Id, clients: &mut dyn Clients) {
        self.ended.retain(|(id, _)| *id != client);
        self.ask(clients);
    }

    fn drained(&mut self, _client: Id, clients: &mut dyn Clients) {
        self.ask(clients);
    }

    fn input(&mut self, input: Input, clients: &mut dyn Clients) {
        self.seat.came(&input);
        match input {
            Input::Chunk(bytes) => {
                self.last_chunk = Instant::now();
                clients.send_all(&bytes, None);
                self.ask(clients);
            }
            Input::End => {
                self.stdin_ended = true;
                clients.all().into_iter().for_each(|id| clients.finish(id));
            }
            Input::Failed(e) => clients.quit(Err(Failure::system("read", "stdin", &e))),
            Input::Typed(_) => {}
        }
    }

    fn deadline(&self) -> Deadline {
        let quiet = self.ended.iter().map(|&(_, at)| at.max(self.last_chunk) + QUIET).min();
        quiet
            .map_or(Deadline::NEVER, Deadline::at)
            .min(self.waits.map_or(Deadline::NEVER, Deadline::at))
    }

    fn is_social(&self) -> bool {
        true
    }

    fn tick(&mut self, clients: &mut dyn Clients) {
        if let Some(failure) = self.seat.failure() {
            return clients.quit(Err(failure));
        }
        clients.hold(self.seat.is_full());
        self.let_go(clients);
        self.ask(clients);
    }
}
