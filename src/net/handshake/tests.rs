//! Drives handshakes in tests as a connection would: bytes come in any split, and never more of
//! them are read than are wanted.

use std::collections::VecDeque;

use super::{Driver, Handshake, Next, Outcome, Progress, Refusal, Stop};

/// The result of a handshake; `None` where it waits for more.
pub type Ended = Option<Result<Outcome, Refusal>>;

/// What a handshake came to that was fed.
pub struct Run {
    /// What it has sent; without its greeting.
    pub sent: Vec<u8>,
    /// Its result.
    pub result: Ended,
    /// How many bytes it has read.
    pub read: usize,
}

impl Run {
    /// The refusal it came to.
    pub fn refusal(self) -> Refusal {
        match self.result {
            Some(Err(why)) => why,
            Some(Ok(_)) => panic!("it succeeded"),
            None => panic!("it waits for more"),
        }
    }

    /// The outcome it came to.
    pub fn outcome(self) -> Outcome {
        match self.result {
            Some(Ok(outcome)) => outcome,
            Some(Err(why)) => panic!("{}", why.reason),
            None => panic!("it waits for more"),
        }
    }
}

/// A handshake that has begun.
pub fn begun(handshake: impl Handshake + 'static) -> Driver {
    Driver::start(Box::new(handshake)).0
}

/// Feeds `stream` in pieces of these sizes in turn (none: as large as wanted), to the end of it or
/// of the handshake.
pub fn feed(driver: &mut Driver, stream: &[u8], sizes: &[usize]) -> Run {
    let mut run = Run { sent: Vec::new(), result: None, read: 0 };
    let mut sizes = sizes.iter().cycle();
    while run.result.is_none() && run.read < stream.len() {
        let wanted = driver.wanted();
        assert!(wanted > 0, "it waits for nothing and is not over");
        let size = sizes.next().copied().unwrap_or(wanted);
        let rest = &stream[run.read..];
        let piece = &rest[..size.min(wanted).min(rest.len())];
        run.read += piece.len();
        run.result = driver.feed(piece, &mut run.sent).transpose();
    }
    run
}

/// A peer without a machine: sends these bytes first, and takes whatever comes.
pub struct Script(pub Vec<u8>);

impl Handshake for Script {
    fn start(&mut self) -> (Vec<u8>, usize) {
        (std::mem::take(&mut self.0), usize::MAX)
    }

    fn receive(&mut self, _: &[u8], _: &mut Vec<u8>) -> Progress {
        Ok(Next::Message(usize::MAX))
    }

    fn stopped(&self, _: Stop, _: &[u8]) -> Refusal {
        unreachable!()
    }
}

/// One end of a connection.
struct End {
    driver: Driver,
    result: Ended,
    /// What it has to send.
    queue: VecDeque<u8>,
    /// What can be read from it.
    pipe: VecDeque<u8>,
    /// What came behind its handshake.
    rest: Vec<u8>,
}

/// A connection whose pipes hold 8 bytes in either direction, on which both sides send `payload`
/// once they may; `sizes` are the most read at a time. Returns what each side came to, and the
/// payload it received.
pub fn connect(
    handshakes: [Box<dyn Handshake>; 2],
    sizes: &[usize],
    payload: &[u8],
) -> [(Ended, Vec<u8>); 2] {
    let mut ends = handshakes.map(|handshake| {
        let (driver, greeting) = Driver::start(handshake);
        let queue = greeting.into();
        End { driver, result: None, queue, pipe: VecDeque::new(), rest: Vec::new() }
    });
    let mut sizes = sizes.iter().cycle();
    let mut idle = 0;
    while idle < 2 {
        idle += 1;
        for here in [0, 1] {
            let there = 1 - here;
            let room = 8 - ends[here].pipe.len();
            let sent: Vec<u8> = {
                let end = &mut ends[here];
                let count = room.min(end.queue.len());
                end.queue.drain(..count).collect()
            };
            ends[here].pipe.extend(&sent);
            let wanted = match ends[here].result {
                None => ends[here].driver.wanted(),
                Some(_) => 8,
            };
            let size = sizes.next().copied().unwrap_or(8).min(wanted).min(ends[there].pipe.len());
            let bytes: Vec<u8> = ends[there].pipe.drain(..size).collect();
            if !sent.is_empty() || !bytes.is_empty() {
                idle = 0;
            }
            if !bytes.is_empty() {
                ends[here].take(&bytes, payload);
            }
        }
    }
    ends.map(|mut end| {
        let received = match &mut end.result {
            Some(Ok(Outcome { codec: Some(codec), .. })) => {
                let mut payload = Vec::new();
                codec.decode(&mut end.rest.clone(), &mut payload, &mut Vec::new()).unwrap();
                payload
            }
            _ => end.rest,
        };
        (end.result, received)
    })
}

impl End {
    fn take(&mut self, bytes: &[u8], payload: &[u8]) {
        if self.result.is_some() {
            self.rest.extend(bytes);
            return;
        }
        let mut reply = Vec::new();
        match self.driver.feed(bytes, &mut reply) {
            Ok(None) => {}
            Ok(Some(mut outcome)) => {
                match &mut outcome.codec {
                    None => reply.extend(payload),
                    Some(codec) => {
                        codec.accept(&mut reply);
                        codec.encode(payload, &mut reply).unwrap();
                    }
                }
                self.result = Some(Ok(outcome));
            }
            Err(why) => {
                reply.extend(why.farewell);
                self.result = Some(Err(why));
            }
        }
        self.queue.extend(reply);
    }
}
