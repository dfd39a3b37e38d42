//! The seat of who runs sockctl: the prompt of a terminal, or stdin and stdout in a pipe. Input
//! arrives one piece at a time and only when asked for; output leaves through a bounded queue.

use std::io::{self, IsTerminal, Read};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use crate::console::decoration::{self, Decoration};
use crate::console::printer::{self, Queue};
use crate::console::prompt::{Options, Prompt, Typed};
use crate::console::talk::Talk;
use crate::exit::{During, Exit, Failure};
use crate::net::deadline::Deadline;
use crate::net::line::LinePrefix;
use crate::net::poller::Waker;
use crate::net::signal;
use crate::net::stdio::Stdio;
use crate::sanitize;

/// How much of stdin is read at a time.
const CHUNK: usize = 64 << 10;
/// How long the end of a run waits for a terminal that does not take its output.
const TERMINAL_FLUSH: Duration = Duration::from_secs(1);

/// Whether stdin and stdout are a terminal: then there is a prompt. Anything else is a byte-exact
/// pipe.
pub fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

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

/// How the user left a prompt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// `/quit`, or the end of input.
    Quit,
    /// Ctrl-C.
    Interrupted,
}

impl Leave {
    /// What that means for a client's run.
    pub fn result(self) -> Result<(), Failure> {
        match self {
            Self::Quit => Ok(()),
            Self::Interrupted => Err(Failure::silent(Exit::Interrupted)),
        }
    }
}

/// The channel from the threads that read input to the event loop.
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

    /// The next piece, if there is one.
    pub fn take(&self) -> Option<Input> {
        self.receiver.try_recv().ok()
    }

    /// Puts input into it, from another thread.
    fn sender(&self) -> impl Fn(Input) + Send + use<> {
        let (sender, waker) = (self.sender.clone(), self.waker.clone());
        move |input| {
            // A loop that has ended takes no more input.
            let _ = sender.send(input);
            waker.wake();
        }
    }
}

/// Where input comes from and output goes to.
pub struct Seat {
    source: InputSource,
    output: Queue,
    talk: Talk,
    /// A piece of input was asked for and has not come.
    asked: bool,
    /// There is no more input.
    ended: bool,
}

enum InputSource {
    Prompt(Prompt, Box<Decoration>),
    /// Each request makes a thread read one piece: not every run reads stdin. `--timestamps` go before
    /// lines.
    Stdin(Sender<()>, Option<LinePrefix>),
}

impl Seat {
    /// Takes over the terminal. The prompt reads its first entry without being asked.
    pub fn at_prompt(inbox: &Inbox, options: Options, talk: Talk) -> Result<Self, Failure> {
        let put = inbox.sender();
        let decoration = Decoration::new(options.style, options.words.clone(), options.name);
        let prompt = Prompt::start(options, &talk, move |typed| put(Input::Typed(typed)))
            .during("use", "the terminal")?;
        let output = prompt.queue().clone();
        Ok(Self::new(InputSource::Prompt(prompt, Box::new(decoration)), output, inbox, talk))
    }

    /// Takes over stdout, and stdin once it is asked for input. `timestamps`: the time stands before each
    /// line.
    pub fn in_pipe(inbox: &Inbox, timestamps: bool, talk: Talk) -> Result<Self, Failure> {
        let output = Queue::new("stdout", printer::stdout).during("use", "stdout")?;
        let (requests, requested) = mpsc::channel();
        let put = inbox.sender();
        let reader = thread::Builder::new().name("stdin".into());
        reader.spawn(move || read_stdin(&requested, put)).during("use", "stdin")?;
        let stamps = timestamps.then(LinePrefix::default);
        Ok(Self::new(InputSource::Stdin(requests, stamps), output, inbox, talk))
    }

    fn new(source: InputSource, output: Queue, inbox: &Inbox, talk: Talk) -> Self {
        let waker = inbox.waker.clone();
        output.on_room(move || waker.wake());
        let asked = matches!(source, InputSource::Prompt(..));
        Self { source, output, talk, asked, ended: false }
    }

    /// Whether a person sits at a prompt.
    pub fn is_prompt(&self) -> bool {
        matches!(self.source, InputSource::Prompt(..))
    }

    /// Asks for one piece of input, unless it was asked for already or input has ended.
    pub fn ask(&mut self) {
        if self.asked || self.ended {
            return;
        }
        self.asked = true;
        match &mut self.source {
            InputSource::Prompt(prompt, _) => prompt.again(),
            InputSource::Stdin(requests, _) => {
                // A thread that has ended has delivered the end.
                let _ = requests.send(());
            }
        }
    }

    /// Whether a line is being typed.
    pub fn is_typing(&self) -> bool {
        matches!(&self.source, InputSource::Prompt(prompt, _) if prompt.is_typing())
    }

    /// The peer has gone: at a prompt Ctrl-C and Ctrl-D leave from now on, whatever is being typed.
    pub fn disconnect(&self) {
        if let InputSource::Prompt(prompt, _) = &self.source {
            prompt.disconnect();
        }
    }

    /// No more input is asked for: at a prompt, Ctrl-C is a signal from now on.
    pub fn stop_reading(&self) {
        if let InputSource::Prompt(prompt, _) = &self.source {
            prompt.stop_reading();
        }
    }

    /// This piece of input has come.
    pub fn came(&mut self, input: &Input) {
        self.asked = false;
        self.ended = !matches!(input, Input::Typed(Typed::Lines(_)) | Input::Chunk(_));
    }

    /// Our name in a room, as far as it is known.
    pub fn me(&self) -> Option<&str> {
        match &self.source {
            InputSource::Prompt(_, decoration) => decoration.me(),
            InputSource::Stdin(..) => None,
        }
    }

    /// Appends whole lines to `out` as they are to be shown: with the time, and at a prompt with colour
    /// and bell.
    pub fn decorate(&mut self, lines: &[u8], out: &mut Vec<u8>) {
        match &mut self.source {
            InputSource::Prompt(_, decoration) => {
                let lines = lines.strip_suffix(b"\n").unwrap_or(lines);
                for line in lines.split(|&byte| byte == b'\n') {
                    decoration.line(line, out);
                }
            }
            InputSource::Stdin(_, None) => out.extend_from_slice(lines),
            InputSource::Stdin(_, Some(prefix)) => {
                out.extend_from_slice(&prefix.insert(&decoration::stamp(false), lines));
            }
        }
    }

    /// Shows these bytes. Who makes more asks [`Seat::is_full`] before.
    pub fn show(&self, bytes: &[u8]) {
        self.output.push(bytes);
    }

    /// Shows a line of ours, which may quote what was typed: it is sanitized.
    pub fn note(&self, line: &str) {
        let line = sanitize::text(line.as_bytes());
        self.show(
            match &self.source {
                InputSource::Prompt(_, decoration) => decoration.note(&line),
                InputSource::Stdin(..) => line + "\n",
            }
            .as_bytes(),
        );
    }

    /// Whether output waits for a reader; the inbox's waker reports room.
    pub fn is_full(&self) -> bool {
        self.output.is_full()
    }

    /// Waits until everything shown is written, writing failed, or the deadline has passed.
    pub fn flush(&self, until: Deadline) {
        self.output.flush(until);
    }

    /// What writing failed with, if it did.
    pub fn failure(&self) -> Option<Failure> {
        self.output.failure().map(Failure::output)
    }

    /// Gives terminal or stdout back, after everything shown is written or, in a pipe, the deadline
    /// has passed or a signal has come. What was typed but not entered is reported as not sent.
    pub fn finish(self, until: Deadline) -> Result<(), Failure> {
        match self.source {
            InputSource::Prompt(prompt, _) => {
                if prompt.stop() {
                    self.talk.flush();
                    self.output.flush(Deadline::after(TERMINAL_FLUSH));
                }
                Ok(())
            }
            InputSource::Stdin(..) => {
                let is_written = self.output.drain(until);
                match (self.output.failure(), signal::pending()) {
                    (Some(e), _) => Err(Failure::output(e)),
                    (None, Some(signal)) if !is_written => {
                        Err(Failure::silent(Exit::of_signal(signal)))
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

/// Reads one piece of stdin for each request.
fn read_stdin(requested: &Receiver<()>, put: impl Fn(Input)) {
    while requested.recv().is_ok() {
        let mut chunk = vec![0; CHUNK];
        put(match Stdio::input().waiting(Deadline::NEVER).read(&mut chunk) {
            Ok(0) => Input::End,
            Ok(count) => {
                chunk.truncate(count);
                Input::Chunk(chunk)
            }
            Err(e) => Input::Failed(e),
        });
    }
}
