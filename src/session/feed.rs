//! What feeds a conversation from our side: the prompt's lines, or stdin's bytes, one piece at a
//! time and only when asked for.

use std::io::{self, Read};
use std::sync::mpsc::{self, Receiver, Sender};

use crate::console::prompt::Typed;
use crate::net::poller::Waker;

/// How much of stdin is read at a time.
const CHUNK: usize = 64 << 10;

/// One piece of input.
#[derive(Debug)]
pub enum Input {
    /// From the prompt.
    Typed(Typed),
    /// From stdin.
    Chunk(Vec<u8>),
    /// stdin ended.
    End,
    /// stdin could not be read.
    Failed(io::Error),
}

/// Where a loop takes its input from; the waker tells that there is some.
pub struct Inbox {
    /// Readable when there is input, or when a queue has room again.
    pub waker: Waker,
    receiver: Receiver<Input>,
    sender: Sender<Input>,
}

impl Inbox {
    /// An empty one.
    pub fn new() -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        Ok(Self { waker: Waker::new()?, receiver, sender })
    }

    /// Puts input in, from another thread.
    pub fn entry(&self) -> impl Fn(Input) + Send + 'static + use<> {
        let (sender, waker) = (self.sender.clone(), self.waker.clone());
        move |input| {
            // A loop that has ended takes no more input.
            let _ = sender.send(input);
            waker.wake();
        }
    }

    /// The next piece, if there is one.
    pub fn take(&self) -> Option<Input> {
        self.receiver.try_recv().ok()
    }
}

/// A thread that reads stdin, one piece for each time it is asked.
pub struct Stdin {
    ask: Sender<()>,
    asked: bool,
}

impl Stdin {
    /// Starts the thread; nothing is read yet.
    pub fn start(deliver: impl Fn(Input) + Send + 'static) -> io::Result<Self> {
        let (ask, asked) = mpsc::channel();
        std::thread::Builder::new().name("stdin".into()).spawn(move || {
            let mut stdin = io::stdin().lock();
            while asked.recv().is_ok() {
                let mut chunk = vec![0; CHUNK];
                let count = loop {
                    match stdin.read(&mut chunk) {
                        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                        result => break result,
                    }
                };
                match count {
                    Ok(0) => return deliver(Input::End),
                    Ok(n) => {
                        chunk.truncate(n);
                        deliver(Input::Chunk(chunk));
                    }
                    Err(e) => return deliver(Input::Failed(e)),
                }
            }
        })?;
        Ok(Self { ask, asked: false })
    }

    /// Asks for one piece, unless one is on its way already.
    pub fn ask(&mut self) {
        if !std::mem::replace(&mut self.asked, true) {
            // After its end stdin is asked in vain.
            let _ = self.ask.send(());
        }
    }

    /// Whether a piece is on its way.
    pub fn is_asked(&self) -> bool {
        self.asked
    }

    /// The piece asked for has come.
    pub fn came(&mut self) {
        self.asked = false;
    }
}
