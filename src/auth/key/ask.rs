//! Asking for the key at the terminal, without echo.
//!
//! The terminal gets its modes back on every way out. Ctrl-C is one of them: while the key is typed
//! it raises no signal but ends the line, as an interrupted run (130). The dispositions of signals
//! are left alone.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};

use nix::sys::termios::{
    InputFlags, LocalFlags, SetArg, SpecialCharacterIndices as Index, Termios, tcgetattr, tcsetattr,
};
use zeroize::Zeroizing;

use super::OP;
use crate::exit::{During, Exit, Failure};

/// The name of the terminal in errors.
pub(super) const TERMINAL: &str = "the terminal";

/// The kernel silently truncates a longer line of typed text.
const LINE_MAX: usize = 4095;

/// The line that the user types at the terminal of this run, without its newline.
pub(super) fn at_terminal() -> Result<Zeroizing<Vec<u8>>, Failure> {
    match OpenOptions::new().read(true).write(true).open("/dev/tty") {
        Ok(tty) => at(&tty),
        Err(_) => Err(Failure::usage(
            "no key, and no terminal to ask for it; give one with --key-file FILE, --keys FILE \
             (servers), --key-fd N, or in the variable SOCKCTL_KEY",
        )),
    }
}

/// [`at_terminal`], at this one.
pub(super) fn at(mut tty: &File) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let quiet = Quiet::start(tty).during(OP, TERMINAL)?;
    tty.write_all(b"key: ").during(OP, TERMINAL)?;

    let mut typed = Zeroizing::new(Vec::with_capacity(2 * LINE_MAX));
    let mut line = Zeroizing::new([0; LINE_MAX + 1]);
    // One read is one line, or the part of it before a Ctrl-D.
    while !typed.ends_with(b"\n") {
        match tty.read(line.as_mut_slice()) {
            Ok(0) => break,
            Ok(n) => typed.extend_from_slice(&line[..n]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e).during(OP, TERMINAL),
        }
        if typed.last().is_some_and(|last| Some(*last) == quiet.interrupt()) {
            // The error line starts on a line of its own.
            let _ = tty.write_all(b"\n");
            return Err(Failure::new(OP, TERMINAL, "interrupted", Exit::Interrupted));
        }
        if typed.len() > LINE_MAX {
            let cause = "the line is too long to type; put the key into a file: --key-file FILE";
            return Err(Failure::new(OP, TERMINAL, cause, Exit::Usage));
        }
    }
    if typed.ends_with(b"\n") {
        typed.pop();
    }
    Ok(typed)
}

/// A terminal without echo, until dropped.
struct Quiet<'a> {
    tty: &'a File,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn start(tty: &'a File) -> nix::Result<Self> {
        let before = tcgetattr(tty)?;
        let mut modes = before.clone();
        modes.local_flags.remove(LocalFlags::ECHO | LocalFlags::ISIG);
        // Enter ends the line even where the terminal was left raw.
        modes.input_flags.insert(InputFlags::ICRNL);
        // Enter still shows: the next output starts on a line of its own.
        modes.local_flags.insert(LocalFlags::ICANON | LocalFlags::ECHONL);
        // A second character that ends a line: the one that would have raised SIGINT.
        modes.control_chars[Index::VEOL as usize] = before.control_chars[Index::VINTR as usize];
        // Text typed ahead was echoed, so it is flushed and no part of the key.
        tcsetattr(tty, SetArg::TCSAFLUSH, &modes)?;
        Ok(Self { tty, before })
    }

    /// The character that interrupts, unless that is switched off (as 0).
    fn interrupt(&self) -> Option<u8> {
        Some(self.before.control_chars[Index::VINTR as usize]).filter(|&c| c != 0)
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // Fails only where the terminal is gone.
        let _ = tcsetattr(self.tty, SetArg::TCSANOW, &self.before);
    }
}
