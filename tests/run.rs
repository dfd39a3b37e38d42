//! The one builder of the tests: starts a program, talks to it, compares what it said. Every wait
//! has a deadline; whatever was started is killed on drop.

use std::ffi::OsStr;
use std::fmt::Display;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::stat::{Mode, SFlag, mknod};

/// How long anything may take. Far beyond what it does take; a slow machine is no failure.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A program about to be started.
pub struct Program {
    command: Command,
    input: Option<Vec<u8>>,
}

/// sockctl with these words.
pub fn sockctl<I: AsRef<OsStr>>(words: impl IntoIterator<Item = I>) -> Program {
    program(env!("CARGO_BIN_EXE_sockctl"), words)
}

/// A Python peer: the script, and its `sys.argv[1:]`.
pub fn python<I: AsRef<OsStr>>(script: &str, words: impl IntoIterator<Item = I>) -> Program {
    let mut python = program("python3", ["-u", "-c", script]);
    python.command.args(words);
    python
}

/// A shell's line, in which `"$0"` is sockctl and `$1` the first of the words.
pub fn shell<I: AsRef<OsStr>>(line: &str, words: impl IntoIterator<Item = I>) -> Program {
    program("sh", ["-c", line, env!("CARGO_BIN_EXE_sockctl")]).args(words)
}

/// A shell's line like that of [`shell`], in a network of its own (`lo` and nothing else) and
/// where mounts are its own: needs unshare, iproute2 and root.
pub fn apart<I: AsRef<OsStr>>(line: &str, words: impl IntoIterator<Item = I>) -> Program {
    let line = format!("set -e; ip link set lo up\n{line}");
    let sockctl = env!("CARGO_BIN_EXE_sockctl");
    program("unshare", ["--net", "--mount", "sh", "-c", &line, sockctl]).args(words)
}

/// Any program.
pub fn program<I: AsRef<OsStr>>(name: &str, words: impl IntoIterator<Item = I>) -> Program {
    let mut command = Command::new(name);
    command.args(words).env_clear();
    for name in ["PATH", "HOME", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    Program { command, input: None }
}

impl Program {
    /// Adds words.
    pub fn args<I: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = I>) -> Self {
        self.command.args(words);
        self
    }

    /// Sets a variable of its environment, which has only PATH, HOME and TMPDIR.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// What its stdin gives before it ends; without this it is empty for [`Program::run`].
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Anything else a command can be told.
    pub fn with(mut self, change: impl FnOnce(&mut Command)) -> Self {
        change(&mut self.command);
        self
    }

    /// The command itself, for whoever has other ideas about its streams.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Starts it; stdin stays open until [`Running::close`].
    #[track_caller]
    pub fn start(mut self) -> Running {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap_or_else(|e| panic!("{:?}: {e}", self.command));
        let stdout = Collected::from(child.stdout.take().unwrap());
        let stderr = Collected::from(child.stderr.take().unwrap());
        let stdin = child.stdin.take();
        Running { child, stdin, stdout, stderr, writer: None, words: format!("{:?}", self.command) }
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(mut self) -> Finished {
        let input = self.input.take().unwrap_or_default();
        let mut running = self.start();
        running.feed(input);
        running.finish()
    }
}

/// A program at work.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Collected,
    stderr: Collected,
    writer: Option<JoinHandle<()>>,
    words: String,
}

/// What came out of a stream so far.
#[derive(Clone)]
struct Collected(Arc<(Mutex<Stream>, Condvar)>);

/// The bytes, and whether that was all.
type Stream = (Vec<u8>, bool);

impl Collected {
    fn from(mut stream: impl Read + Send + 'static) -> Self {
        let collected = Self(Arc::new((Mutex::new((Vec::new(), false)), Condvar::new())));
        let shared = collected.clone();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            loop {
                let count = stream.read(&mut buffer).unwrap_or(0);
                let (state, changed) = &*shared.0;
                let mut state = state.lock().unwrap();
                state.0.extend_from_slice(&buffer[..count]);
                state.1 = count == 0;
                changed.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        collected
    }

    /// Waits until `enough` says so of what has come; the bytes, and whether it did.
    fn wait(&self, mut enough: impl FnMut(&[u8], bool) -> bool) -> (Vec<u8>, bool) {
        let until = Instant::now() + DEADLINE;
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        loop {
            if enough(&state.0, state.1) {
                return (state.0.clone(), true);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return (state.0.clone(), false);
            }
            state = changed.wait_timeout(state, left).unwrap().0;
        }
    }
}

impl Running {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes to its stdin.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin.write_all(bytes.as_ref()).and_then(|()| stdin.flush()).unwrap();
        self
    }

    /// Writes all of this to its stdin in the background and ends it.
    pub fn feed(&mut self, bytes: Vec<u8>) {
        let mut stdin = self.stdin.take().expect("stdin is open");
        // A program that does not want it all is no failure here.
        self.writer = Some(std::thread::spawn(move || drop(stdin.write_all(&bytes))));
    }

    /// Ends its stdin.
    pub fn close(&mut self) -> &mut Self {
        self.stdin = None;
        self
    }

    /// Waits for the `listening on` line; the address it names.
    #[track_caller]
    pub fn address(&self) -> String {
        let named = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let line = |line: &str| line.strip_prefix("listening on ").map(String::from);
            whole.lines().find_map(line)
        };
        let (bytes, _) = self.stderr.wait(|bytes, ended| ended || named(bytes).is_some());
        named(&bytes).unwrap_or_else(|| {
            let said = String::from_utf8_lossy(&bytes);
            panic!("{} did not say where it listens: {said}", self.words)
        })
    }

    /// The port of that address.
    #[track_caller]
    pub fn port(&self) -> u16 {
        self.address().rsplit(':').next().unwrap().parse().unwrap()
    }

    /// Waits for the line that says who joined first; the address it names.
    #[track_caller]
    pub fn guest(&self) -> String {
        let said = self.stderr_has(" joined\n");
        let line = said.lines().find_map(|line| line.strip_prefix("[1] "));
        line.unwrap().trim_end_matches(" joined").into()
    }

    /// A connection to that port on 127.0.0.1, whose reads and writes have a deadline.
    #[track_caller]
    pub fn connect(&self) -> TcpStream {
        connect(self.port())
    }

    /// Waits until stdout contains this; all of stdout so far.
    #[track_caller]
    pub fn stdout_has(&self, wanted: &str) -> String {
        self.has(&self.stdout, wanted, "stdout")
    }

    /// Waits until stderr contains this; all of stderr so far.
    #[track_caller]
    pub fn stderr_has(&self, wanted: &str) -> String {
        self.has(&self.stderr, wanted, "stderr")
    }

    #[track_caller]
    fn has(&self, stream: &Collected, wanted: &str, name: &str) -> String {
        let holds = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(wanted);
        let (bytes, _) = stream.wait(|bytes, ended| ended || holds(bytes));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(text.contains(wanted), "{}: no {wanted:?} on {name}: {text:?}", self.words);
        text
    }

    /// Waits until stdout has this many bytes.
    #[track_caller]
    pub fn stdout_bytes(&self, count: usize) -> Vec<u8> {
        let (bytes, enough) = self.stdout.wait(|bytes, ended| ended || bytes.len() >= count);
        assert!(enough && bytes.len() >= count, "{}: {} of {count} bytes", self.words, bytes.len());
        bytes
    }

    /// Sends a signal by name: `INT`, `TERM`, `KILL`, `STOP`, `CONT`.
    #[track_caller]
    pub fn signal(&self, name: &str) -> &Self {
        let kill =
            Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status();
        assert!(kill.unwrap().success(), "{}: kill -{name}", self.words);
        self
    }

    /// What the system counts for it now.
    #[track_caller]
    pub fn vitals(&self) -> Vitals {
        let proc = |name: &str| format!("/proc/{}/{name}", self.id());
        let status = std::fs::read_to_string(proc("status")).unwrap();
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let word = line.unwrap().split_whitespace().next().unwrap();
            word.parse().unwrap()
        };
        Vitals {
            descriptors: std::fs::read_dir(proc("fd")).unwrap().count(),
            threads: number("Threads:"),
            memory: number("VmRSS:") << 10,
            peak: number("VmHWM:") << 10,
        }
    }

    /// Waits until it takes next to no processor time: nothing spins.
    #[track_caller]
    pub fn rests(&self) {
        // utime and stime of proc(5), in hundredths of a second
        let ticks = || -> u64 {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
            let fields = stat.rsplit(')').next().unwrap().split_whitespace();
            fields.skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum()
        };
        until("the processor is idle", || {
            let before = ticks();
            std::thread::sleep(Duration::from_millis(200)); // what is measured
            ticks() - before <= 2
        });
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end (its stdin is ended first).
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        self.stdin = None;
        let until = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            let said = String::from_utf8_lossy(&self.stderr.wait(|_, _| true).0).into_owned();
            assert!(Instant::now() < until, "{} does not end; it said: {said}", self.words);
            std::thread::sleep(Duration::from_millis(2)); // a poll, not a guess
        };
        let code = status.code().unwrap_or_else(|| 1000 + status.signal().unwrap_or(0));
        let (stdout, _) = self.stdout.wait(|_, ended| ended);
        let (stderr, _) = self.stderr.wait(|_, ended| ended);
        let words = std::mem::take(&mut self.words);
        Finished { code, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned(), words }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking()
            && let Some(writer) = self.writer.take()
        {
            let _ = writer.join();
        }
    }
}

/// What the system counts for a process; memory in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Vitals {
    pub descriptors: usize,
    pub threads: usize,
    pub memory: usize,
    /// The most memory it ever had.
    pub peak: usize,
}

/// What a program came to.
pub struct Finished {
    /// Its exit status; 1000 + the signal's number, if a signal ended it.
    pub code: i32,
    /// Everything on stdout.
    pub stdout: Vec<u8>,
    /// Everything on stderr.
    pub stderr: String,
    words: String,
}

impl Finished {
    /// It was refused as a wrong command line: status 2, nothing on stdout, this message, and
    /// nothing after it but a line of usage.
    #[track_caller]
    pub fn refuses(&self, message: &str) {
        let mut lines = self.stderr.lines();
        let got = (self.code, self.stdout.as_slice(), lines.next());
        let wanted = format!("sockctl: {message}");
        assert!(
            got == (2, &b""[..], Some(wanted.as_str())),
            "{}\n   got: {got:?}\nwanted: {wanted:?}",
            self.words
        );
        let rest: Vec<&str> = lines.collect();
        assert!(
            rest.len() <= 1 && rest.iter().all(|line| line.starts_with("usage: sockctl ")),
            "{}: {rest:?}",
            self.words
        );
    }

    /// Compares all three.
    #[track_caller]
    pub fn is(&self, code: i32, stdout: impl AsRef<[u8]>, stderr: &str) {
        let wanted = (code, String::from_utf8_lossy(stdout.as_ref()), stderr);
        let got = (self.code, String::from_utf8_lossy(&self.stdout), self.stderr.as_str());
        assert!(got == wanted, "{}\n   got: {got:?}\nwanted: {wanted:?}", self.words);
        assert!(
            self.stdout == stdout.as_ref(),
            "{}: stdout differs in bytes that are no text",
            self.words
        );
    }
}

/// What the server of a single conversation says: where it listens, who joined, and how it left.
pub fn conversation(address: &str, peer: impl Display, how: &str) -> String {
    format!("listening on {address}\n[1] {peer} joined\n[1] {peer} left{how}\n")
}

/// A connection to a port on 127.0.0.1, whose reads and writes have a deadline.
#[track_caller]
pub fn connect(port: u16) -> TcpStream {
    let stream =
        TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// A peer on a port of 127.0.0.1.
pub struct Peer {
    /// The port.
    pub port: u16,
    talk: JoinHandle<()>,
}

/// A listener on a port of 127.0.0.1 (0: any) whose accept has a deadline.
#[track_caller]
pub fn listen(port: u16) -> TcpListener {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    // socket(7): accept(2) heeds it too.
    socket2::SockRef::from(&listener).set_read_timeout(Some(DEADLINE)).unwrap();
    listener
}

/// A peer that does this with the first connection it gets, whose reads and writes have a deadline.
pub fn peer(talk: impl FnOnce(TcpStream) + Send + 'static) -> Peer {
    let listener = listen(0);
    let port = listener.local_addr().unwrap().port();
    let talk = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        talk(stream);
    });
    Peer { port, talk }
}

impl Peer {
    /// Its port as a word.
    pub fn word(&self) -> String {
        self.port.to_string()
    }

    /// Waits for its end; what it found wrong is this test's failure.
    #[track_caller]
    pub fn done(self) {
        assert!(self.talk.join().is_ok(), "the peer failed");
    }
}

/// Closes a connection with a reset.
#[track_caller]
pub fn reset(stream: TcpStream) {
    let linger = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    linger.unwrap();
    drop(stream);
}

/// Whether a process runs; a zombie does not.
pub fn is_alive(id: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let rest = stat.rsplit(") ").next().unwrap_or_default();
    !rest.is_empty() && !rest.starts_with(['Z', 'X'])
}

/// Reads until the peer ends.
#[track_caller]
pub fn read_all(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Waits until `holds`, polling.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(2)); // a poll, not a guess
    }
}

/// A UNIX socket that is there and that nobody has open. One that was closed may be open for a
/// moment still, in a child of another test that is on its way to exec(2).
pub fn deserted_socket(path: &Path) {
    mknod(path, SFlag::S_IFSOCK, Mode::S_IRWXU, 0).unwrap();
}

/// A port of 127.0.0.1 that nobody has, TCP or UDP, for programs that cannot choose one themselves.
/// Below those that the kernel gives out by itself, it stays free until it is used; the one after it
/// is nobody else's either.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Several runs at a time begin at different places.
    let start = u16::try_from(std::process::id() % 500).unwrap() * 20;
    loop {
        let turn = NEXT.fetch_add(2, Ordering::Relaxed);
        let port = 20_000 + (start + turn) % 12_000;
        if !is_taken(port) {
            return port;
        }
    }
}

/// Whether any socket has this port, as the system lists them: one bound to find out could be held
/// by what another test is just starting, and be in the way itself.
fn is_taken(port: u16) -> bool {
    let end = format!(":{port:04X}");
    ["tcp", "tcp6", "udp", "udp6"].iter().any(|protocol| {
        // No IPv6, no list of it.
        let list = fs::read_to_string(format!("/proc/net/{protocol}")).unwrap_or_default();
        let mut sockets = list.lines().skip(1);
        sockets.any(|line| {
            let local = line.split_ascii_whitespace().nth(1);
            local.is_some_and(|local| local.ends_with(&end))
        })
    })
}

/// A text of the README for a test: its ports 8520 to 8529 replaced by others.
pub fn with_ports(text: &str, port: impl Fn(u16) -> u16) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, number) = rest.split_at(at);
        let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
        let (number, after) = number.split_at(end);
        out.push_str(before);
        match number.parse() {
            Ok(known @ 8520..8530) => out.push_str(&port(known).to_string()),
            _ => out.push_str(number),
        }
        rest = after;
    }
    out + rest
}
