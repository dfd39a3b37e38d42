//! A terminal as a person has one: a window of some size, keys to press, a screen to read.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::termios::{Termios, tcgetattr};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::run::{BINARY, DEADLINE, Program, Words, program};

/// The height of every window.
const ROWS: u16 = 24;

/// What says that everything before it has been read; nothing to see.
const MARK: &[u8] = b"\x1b]0;settled\x07";

/// A terminal with a program in it, which is its session's leader.
pub struct Terminal {
    child: Child,
    master: Option<File>,
    slave: Option<File>,
    before: Termios,
    screen: Arc<Screen>,
}

struct Screen {
    state: Mutex<State>,
    changed: Condvar,
    closed: AtomicBool,
    frozen: AtomicBool,
}

impl Screen {
    /// Waits until there is something to read; `false` when the window is closed.
    fn is_readable(&self, master: &File) -> bool {
        let mut ready = [PollFd::new(master.as_fd(), PollFlags::POLLIN)];
        let none = &mut [][..];
        while !self.closed.load(Ordering::SeqCst) {
            let is_frozen = self.frozen.load(Ordering::SeqCst);
            if poll(if is_frozen { none } else { &mut ready }, 20_u8) != Ok(0) {
                return true;
            }
        }
        false
    }
}

struct State {
    parser: vt100::Parser<Bells>,
    /// Every byte so far.
    raw: Vec<u8>,
}

impl State {
    /// The screen, without the blanks at the ends of its lines.
    fn text(&self) -> String {
        let text = self.parser.screen().contents();
        let lines: Vec<_> = text.lines().map(str::trim_end).collect();
        lines.join("\n")
    }
}

#[derive(Default)]
struct Bells(usize);

impl vt100::Callbacks for Bells {
    fn audible_bell(&mut self, _: &mut vt100::Screen) {
        self.0 += 1;
    }
}

/// sockctl with these words, in a terminal.
#[track_caller]
pub fn terminal(words: impl Words) -> Terminal {
    Terminal::start(sockctl_there(words), 80)
}

/// What [`Terminal::start`] starts: sockctl with these words.
pub fn sockctl_there(words: impl Words) -> Program {
    anything_there([BINARY]).args(words)
}

/// What [`Terminal::start`] starts: any program.
pub fn anything_there(words: impl Words) -> Program {
    program("setsid", "-c").args(words).env("TERM", "xterm-256color")
}

impl Terminal {
    /// A window of this width, with a program in it.
    #[track_caller]
    pub fn start(program: Program, columns: u16) -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let path = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let slave = File::options()
            .read(true)
            .write(true)
            .custom_flags(nix::libc::O_NOCTTY)
            .open(path)
            .unwrap();
        let before = tcgetattr(&slave).unwrap();
        let master = File::from(master);
        let state = State {
            parser: vt100::Parser::new_with_callbacks(
                NonZeroU16::new(ROWS).unwrap(),
                NonZeroU16::new(columns).unwrap(),
                0,
                Bells::default(),
            ),
            raw: Vec::new(),
        };
        let screen = Arc::new(Screen {
            state: Mutex::new(state),
            changed: Condvar::new(),
            closed: AtomicBool::new(false),
            frozen: AtomicBool::new(false),
        });
        size(&master, columns);
        let mut command = program.into_command();
        command
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave.try_clone().unwrap());
        let child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let (mut output, seen) = (master.try_clone().unwrap(), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while seen.is_readable(&output)
                && let Ok(count @ 1..) = output.read(&mut buffer)
            {
                let mut state = seen.state.lock().unwrap();
                state.raw.extend_from_slice(&buffer[..count]);
                state.parser.process(&buffer[..count]);
                seen.changed.notify_all();
            }
        });
        Self { child, master: Some(master), slave: Some(slave), before, screen }
    }

    /// The process at the other end.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Presses keys.
    #[track_caller]
    pub fn press(&self, keys: impl AsRef<[u8]>) -> &Self {
        let mut master = self.master.as_ref().expect("the window is open");
        master.write_all(keys.as_ref()).unwrap();
        self
    }

    /// Presses more keys than the terminal takes at once, in the background.
    pub fn press_all(&self, keys: String) {
        let mut master = self.master.as_ref().expect("the window is open").try_clone().unwrap();
        // A program that ends before it has read them all is no failure here.
        std::thread::spawn(move || drop(master.write_all(keys.as_bytes())));
    }

    /// Types a line and enters it.
    #[track_caller]
    pub fn enter(&self, line: &str) -> &Self {
        self.press(format!("{line}\r"))
    }

    /// Enters `/quit`, and ends well.
    #[track_caller]
    pub fn quits(&mut self) -> String {
        self.enter("/quit");
        self.ends(0)
    }

    /// Waits until the screen is as wanted; what it shows then.
    #[track_caller]
    pub fn until(&self, what: &str, mut holds: impl FnMut(&str) -> bool) -> String {
        let end = Instant::now() + DEADLINE;
        let mut state = self.screen.state.lock().unwrap();
        loop {
            let text = state.text();
            if holds(&text) {
                return text;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "not seen: {what}\non the screen:\n{text}\n---");
            state = self.screen.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Waits until this text is on the screen; all of the screen.
    #[track_caller]
    pub fn shows(&self, wanted: &str) -> String {
        self.until(wanted, |text| text.contains(wanted))
    }

    /// Waits until the last line on the screen is this one, with the cursor behind it.
    #[track_caller]
    pub fn awaits(&self, line: &str) -> String {
        self.until(&format!("{line:?} as the last line"), |text| {
            text.lines().next_back().unwrap_or_default() == line.trim_end()
        })
    }

    /// Waits until the last lines of the screen are these.
    #[track_caller]
    pub fn ends_in(&self, lines: &[&str]) -> String {
        let wanted: Vec<_> = lines.iter().map(|line| line.trim_end()).collect();
        self.until(&format!("{wanted:#?} at the end"), |text| {
            text.lines().collect::<Vec<_>>().ends_with(&wanted)
        })
    }

    /// Waits until this has come, wherever it is by now.
    #[track_caller]
    pub fn came(&self, wanted: &str) {
        let end = Instant::now() + DEADLINE;
        let mut state = self.screen.state.lock().unwrap();
        while !String::from_utf8_lossy(&state.raw).contains(wanted) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "never came: {wanted}\non the screen:\n{}", state.text());
            state = self.screen.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// The screen as it is.
    pub fn text(&self) -> String {
        self.screen.state.lock().unwrap().text()
    }

    /// Row and column of the cursor.
    pub fn cursor(&self) -> (u16, u16) {
        self.screen.state.lock().unwrap().parser.screen().cursor_position()
    }

    /// The colour of the first character of this text on the screen.
    #[track_caller]
    pub fn color_of(&self, wanted: &str) -> vt100::Color {
        let text = self.shows(wanted);
        let (row, line) = text.lines().enumerate().find(|(_, line)| line.contains(wanted)).unwrap();
        let column = line.split(wanted).next().unwrap().chars().count();
        let state = self.screen.state.lock().unwrap();
        let cell = state.parser.screen().cell(row.try_into().unwrap(), column.try_into().unwrap());
        cell.unwrap().fgcolor()
    }

    /// How often the bell rang.
    pub fn bells(&self) -> usize {
        self.screen.state.lock().unwrap().parser.callbacks().0
    }

    /// Every byte that came so far.
    pub fn raw(&self) -> Vec<u8> {
        let raw = self.screen.state.lock().unwrap().raw.clone();
        raw.strip_suffix(MARK).map_or(raw.clone(), Into::into)
    }

    /// The numbers that came behind this text, in their order.
    pub fn numbers(&self, before: &str) -> Vec<usize> {
        let raw = String::from_utf8(self.raw()).unwrap();
        let number = |rest: &str| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
        raw.split(before).skip(1).map(|rest| number(rest).unwrap()).collect()
    }

    /// The address in the `listening on` line.
    #[track_caller]
    pub fn address(&self) -> String {
        let text = self.until("listening on …", |text| {
            text.lines().any(|line| line.contains("listening on ")) && text.contains(">>>")
        });
        let line = text.lines().find_map(|line| line.split("listening on ").nth(1));
        line.unwrap().split(" (").next().unwrap().trim().into() // a pin may follow it
    }

    /// The port in the `listening on` line of a server without a prompt.
    #[track_caller]
    pub fn announced_port(&self) -> u16 {
        self.came("\n");
        let text = self.shows("listening on ");
        let address = text.lines().find_map(|line| line.strip_prefix("listening on "));
        address.unwrap().rsplit(':').next().unwrap().parse().unwrap()
    }

    /// The port of that address.
    #[track_caller]
    pub fn port(&self) -> u16 {
        self.address().rsplit(':').next().unwrap().parse().unwrap()
    }

    /// Makes the window this wide.
    pub fn resize(&self, columns: u16) {
        let mut state = self.screen.state.lock().unwrap();
        let (rows, columns) = (NonZeroU16::new(ROWS).unwrap(), NonZeroU16::new(columns).unwrap());
        state.parser.screen_mut().set_size(rows, columns);
        size(self.master.as_ref().expect("the window is open"), columns.get());
    }

    /// Whether the terminal's modes are as they were in the beginning.
    pub fn is_as_before(&self) -> bool {
        self.is_cooked() && !self.screen.state.lock().unwrap().parser.screen().bracketed_paste()
    }

    /// Whether those modes are that the system keeps.
    pub fn is_cooked(&self) -> bool {
        let slave = self.slave.as_ref().expect("the window is open");
        tcgetattr(slave).unwrap() == self.before
    }

    /// From now on the window shows nothing, and takes no more than its buffer holds.
    pub fn freeze(&self) {
        self.screen.frozen.store(true, Ordering::SeqCst);
    }

    /// Closes the window.
    pub fn close(&mut self) {
        self.slave = None;
        self.master = None;
        self.screen.closed.store(true, Ordering::SeqCst);
    }

    /// Sends a signal by name.
    #[track_caller]
    pub fn signal(&self, name: &str) -> &Self {
        signal(self.id(), name);
        self
    }

    /// Waits for the end; the exit status.
    #[track_caller]
    pub fn wait(&mut self) -> i32 {
        let end = Instant::now() + DEADLINE;
        let status: ExitStatus = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < end, "it does not end; on the screen:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(2)); // a poll, not a guess
        };
        status.code().unwrap_or_else(|| 1000 + status.signal().unwrap_or(0))
    }

    /// Waits for the end, which has this status and leaves the terminal as it was; the screen.
    #[track_caller]
    pub fn ends(&mut self, code: i32) -> String {
        let status = self.wait();
        let text = self.settled();
        assert_eq!(status, code, "its status; on the screen:\n{text}");
        assert!(self.is_as_before(), "modes of the terminal differ; on the screen:\n{text}");
        text
    }

    /// The screen after everything written was read: once a mark of ours has come through.
    #[track_caller]
    fn settled(&self) -> String {
        let mut slave = self.slave.as_ref().expect("the window is open");
        slave.write_all(MARK).unwrap();
        let end = Instant::now() + DEADLINE;
        let mut state = self.screen.state.lock().unwrap();
        while !state.raw.ends_with(MARK) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the screen never settles");
            state = self.screen.changed.wait_timeout(state, left).unwrap().0;
        }
        state.text()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal by name.
#[track_caller]
pub fn signal(id: u32, name: &str) {
    let signal: nix::sys::signal::Signal = format!("SIG{name}").parse().unwrap();
    let id = nix::unistd::Pid::from_raw(id.try_into().unwrap());
    nix::sys::signal::kill(id, signal).unwrap();
}

fn size(master: &File, columns: u16) {
    let size = Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master, size).unwrap();
}
