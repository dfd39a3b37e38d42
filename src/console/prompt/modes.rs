//! The terminal's modes: raw for as long as there is a prompt, also between two entries, so that
//! what is typed ahead is neither echoed nor acted on by the kernel; as they were found after that,
//! and while the process is suspended (Ctrl-Z).

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{
    ControlFlags, InputFlags, LocalFlags, SetArg, SpecialCharacterIndices as Index, Termios,
    tcgetattr, tcsetattr,
};
use nix::unistd::{Pid, getpgrp, tcgetpgrp};
use signal_hook::consts::SIGCONT;

use crate::console::lock;
use crate::console::printer::{stdout, stdout_has_room};

const PASTE_ON: &[u8] = b"\x1b[?2004h";
const PASTE_OFF: &[u8] = b"\x1b[?2004l";

/// How long a stop signal may take. In an orphaned process group it has no effect.
const STOPPED: Duration = Duration::from_millis(100);
/// How often a background job checks whether it is in the foreground again.
const LOOK: Duration = Duration::from_millis(100);

/// The modes of the terminal on stdin.
pub struct Modes {
    found: Mutex<Termios>,
    raw: Mutex<Termios>,
    /// We were continued after a stop.
    continued: Arc<AtomicBool>,
    /// Suspended by [`Modes::suspend`], which also sets the modes afterwards.
    suspended: AtomicBool,
    /// The prompt is at its end.
    stopping: AtomicBool,
    /// Lines are read: what is typed is for us.
    reading: AtomicBool,
}

impl Modes {
    /// Makes the terminal raw, as rustyline does for a line. `wake` gets a byte after each SIGCONT.
    pub fn start(wake: UnixStream) -> io::Result<Self> {
        let found = tcgetattr(io::stdin().as_fd())?;
        let modes = Self {
            raw: Mutex::new(raw(&found)),
            found: Mutex::new(found),
            continued: Arc::default(),
            suspended: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            reading: AtomicBool::new(true),
        };
        signal_hook::flag::register(SIGCONT, Arc::clone(&modes.continued))?;
        signal_hook::low_level::pipe::register(SIGCONT, wake)?;
        set(&modes.raw, SetArg::TCSADRAIN);
        Ok(modes)
    }

    /// The character that has this function (`VINTR`, `VSUSP`), unless that is switched off.
    pub fn key(&self, index: Index) -> Option<char> {
        let found = lock(&self.found);
        Some(found.control_chars[index as usize]).filter(|&c| c != 0).map(char::from)
    }

    /// Stops us and all of our job, as Ctrl-Z does to any program; returns when we are in the
    /// foreground again. `below` takes the cursor to where the terminal is left to others.
    pub fn suspend(&self, below: &str) {
        self.suspended.store(true, Ordering::SeqCst);
        write(PASTE_OFF);
        write(below.as_bytes());
        set(&self.found, SetArg::TCSADRAIN);
        self.continued.store(false, Ordering::SeqCst);
        let began = Instant::now();
        if kill(Pid::from_raw(0), Signal::SIGTSTP).is_ok() {
            while !self.continued.load(Ordering::SeqCst) && began.elapsed() < STOPPED {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        while !is_foreground() && !self.stopping.load(Ordering::SeqCst) {
            std::thread::sleep(LOOK);
        }
        self.continued.store(false, Ordering::SeqCst);
        while self.stopping.load(Ordering::SeqCst) {
            // The run ends in the background: if readline went on, it would touch the terminal,
            // and SIGTTOU would stop the process again.
            std::thread::park();
        }
        set(&self.raw, SetArg::TCSADRAIN);
        write(PASTE_ON);
        self.suspended.store(false, Ordering::SeqCst);
    }

    /// From now on Ctrl-C is a SIGINT: lines are no longer read, or soon will not be. What is typed from
    /// now on is for the shell.
    pub fn stop_reading(&self) {
        self.reading.store(false, Ordering::SeqCst);
        let mut raw = lock(&self.raw);
        raw.local_flags.insert(LocalFlags::ISIG);
        for index in [Index::VQUIT, Index::VSUSP] {
            raw.control_chars[index as usize] = 0;
        }
        // In the background, touching the terminal would stop us.
        if is_foreground() {
            let _ = tcsetattr(io::stdin().as_fd(), SetArg::TCSANOW, &raw);
        }
    }

    /// Makes the terminal raw again if something else stopped and continued us.
    pub fn resume(&self) {
        let continued = self.continued.swap(false, Ordering::SeqCst);
        let ours = !self.suspended.load(Ordering::SeqCst) && !self.stopping.load(Ordering::SeqCst);
        if continued && ours && is_foreground() {
            set(&self.raw, SetArg::TCSADRAIN);
            write(PASTE_ON);
        }
    }

    /// From now on the modes are left alone, until [`Modes::restore`].
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// The modes we found. What was typed and not read is dropped, if it was for us.
    pub fn restore(&self) {
        self.stop();
        // In the background, touching the terminal would stop us.
        if !is_foreground() {
            return;
        }
        if stdout_has_room() {
            write(PASTE_OFF);
            let is_ours = self.reading.swap(false, Ordering::SeqCst);
            set(&self.found, if is_ours { SetArg::TCSAFLUSH } else { SetArg::TCSADRAIN });
        } else {
            // To write, or to wait until what was written is drained, would block.
            let _ = tcsetattr(io::stdin().as_fd(), SetArg::TCSANOW, &lock(&self.found));
        }
    }
}

fn raw(found: &Termios) -> Termios {
    let mut raw = found.clone();
    raw.input_flags.remove(
        InputFlags::BRKINT
            | InputFlags::ICRNL
            | InputFlags::INPCK
            | InputFlags::ISTRIP
            | InputFlags::IXON,
    );
    raw.control_flags.insert(ControlFlags::CS8);
    raw.local_flags
        .remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::IEXTEN | LocalFlags::ISIG);
    raw.control_chars[Index::VMIN as usize] = 1;
    raw.control_chars[Index::VTIME as usize] = 0;
    raw
}

fn set(modes: &Mutex<Termios>, how: SetArg) {
    let modes = lock(modes);
    // It fails when the terminal is gone, which readline reports.
    let _ = tcsetattr(io::stdin().as_fd(), how, &modes);
}

/// Writes to the terminal, past whatever rustyline has not written yet.
pub fn write(bytes: &[u8]) {
    let _ = io::stdout().flush();
    let _ = stdout(bytes);
}

fn is_foreground() -> bool {
    // A terminal that is not our controlling one has no foreground group: it is ours.
    tcgetpgrp(io::stdin().as_fd()).map_or(true, |group| group == getpgrp())
}
