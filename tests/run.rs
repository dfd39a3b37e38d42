//! The one builder of the tests: starts a program, talks to it, compares what it said. Every wait
//! has a deadline; whatever was started is killed on drop.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Display};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, recv};
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::mkfifo;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

/// The program under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_sockctl");

/// The system's words for what happens to connections.
pub const REFUSED: &str = "connection refused (ECONNREFUSED 111)";
pub const RESET: &str = "connection reset by peer (ECONNRESET 104)";
pub const IN_USE: &str = "address already in use (EADDRINUSE 98)";
pub const NOT_THERE: &str = "no such file or directory (ENOENT 2)";
pub const TIMED_OUT: &str = "connection timed out (ETIMEDOUT 110)";

/// How long anything may take. Far beyond what it does take; a slow machine is no failure.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A program about to be started.
pub struct Program {
    command: Command,
    input: Option<Vec<u8>>,
}

/// Words of a command line: one string, split at blanks except between single quotes, or a list of
/// words that stay as they are.
pub trait Words {
    /// Each word.
    fn words(self) -> Vec<OsString>;
}

impl Words for &str {
    fn words(self) -> Vec<OsString> {
        let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
        for c in self.chars() {
            match c {
                '\'' => {
                    quoted = !quoted;
                    word.get_or_insert_default();
                }
                ' ' if !quoted => words.extend(word.take().map(OsString::from)),
                c => word.get_or_insert_default().push(c),
            }
        }
        assert!(!quoted, "a quote without its end: {self}");
        words.extend(word.map(OsString::from));
        words
    }
}

impl Words for String {
    fn words(self) -> Vec<OsString> {
        self.as_str().words()
    }
}

impl Words for &String {
    fn words(self) -> Vec<OsString> {
        self.as_str().words()
    }
}

impl<T: AsRef<OsStr>, const N: usize> Words for [T; N] {
    fn words(self) -> Vec<OsString> {
        self.iter().map(OsString::from).collect()
    }
}

/// sockctl with these words.
pub fn sockctl(words: impl Words) -> Program {
    program(BINARY, words)
}

/// Command lines, and the message with which each is refused.
#[track_caller]
pub fn refused(cases: &[(&str, &str)]) {
    for (words, message) in cases {
        sockctl(*words).run().refuses(message);
    }
}

/// A Python peer: the script, and its `sys.argv[1:]`.
pub fn python(script: &str, words: impl Words) -> Program {
    program("python3", ["-u", "-c", script]).args(words)
}

/// A Python peer that says where it listens, and that address.
pub fn listening(script: &str, words: impl Words) -> (Running, String) {
    let server = python(script, words).start();
    let address = server.address();
    (server, address)
}

/// A shell's line, in which `"$0"` is sockctl and `$1` the first of the words.
pub fn shell(line: &str, words: impl Words) -> Program {
    program("sh", ["-c", line, BINARY]).args(words)
}

/// A shell's line like that of [`shell`], in a network of its own (`lo` and nothing else) and
/// where mounts are its own: needs unshare, iproute2 and root.
pub fn apart(line: &str, words: impl Words) -> Program {
    let line = format!("set -e; ip link set lo up\n{line}");
    program("unshare", ["--net", "--mount", "sh", "-c", &line, BINARY]).args(words)
}

/// strace(1), where these calls are injected with something else; the program follows. That is what
/// is started (`-D`): ending it ends the program.
pub fn strace(calls: &str) -> Program {
    let strace = program("strace", "-D -f -qq -o /dev/null -e signal=none -e");
    strace.arg(format!("inject={calls}"))
}

/// sockctl under it.
pub fn injected(calls: &str, words: impl Words) -> Program {
    strace(calls).arg(BINARY).args(words)
}

/// Any program.
pub fn program(name: &str, words: impl Words) -> Program {
    let mut command = Command::new(name);
    command.args(words.words()).env_clear();
    for name in ["PATH", "HOME", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    Program { command, input: None }
}

impl Program {
    /// Adds words.
    pub fn args(mut self, words: impl Words) -> Self {
        self.command.args(words.words());
        self
    }

    /// Adds one word as it is.
    pub fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.command.arg(word);
        self
    }

    /// The folder it is started in.
    pub fn within(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
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

    /// The command itself, for tests that set its streams themselves.
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

    /// Its stdin, to be written by another thread.
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().expect("stdin is open")
    }

    /// Ends its stdin.
    pub fn close(&mut self) -> &mut Self {
        self.stdin = None;
        self
    }

    /// Waits for the `listening on` line or event; the address it names.
    #[track_caller]
    pub fn address(&self) -> String {
        let line = |line: &str| {
            let event = || -> Option<String> {
                let event: Value = serde_json::from_str(line).ok()?;
                (event["event"] == "listening").then(|| Some(event["local"].as_str()?.into()))?
            };
            let address = line.strip_prefix("listening on ");
            // A pin may follow it.
            address.map(|it| it.split(" (").next().unwrap().into()).or_else(event)
        };
        let named = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            text.rsplit_once('\n')?.0.lines().find_map(line)
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

    /// Waits for the line about the first client that joined; the address it names.
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

    /// The pin that a TLS server shows.
    #[track_caller]
    pub fn tls_pin(&self) -> String {
        let said = self.stderr_has("=)\n");
        let (_, pin) = said.split_once("(--tls-pin ").unwrap();
        pin.split_once(')').unwrap().0.into()
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
        let status = fs::read_to_string(proc("status")).unwrap();
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let word = line.unwrap().split_whitespace().next().unwrap();
            word.parse().unwrap()
        };
        Vitals {
            descriptors: fs::read_dir(proc("fd")).unwrap().count(),
            threads: number("Threads:"),
            memory: number("VmRSS:") << 10,
            peak: number("VmHWM:") << 10,
        }
    }

    /// How many children it has, zombies included.
    pub fn children(&self) -> usize {
        let path = format!("/proc/{0}/task/{0}/children", self.id());
        fs::read_to_string(path).unwrap().split_whitespace().count()
    }

    /// Waits until it takes next to no processor time: nothing spins.
    #[track_caller]
    pub fn rests(&self) {
        // utime and stime of proc(5), in hundredths of a second
        let ticks = || -> u64 {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
            let fields = stat.rsplit(')').next().unwrap().split_whitespace();
            fields.skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum()
        };
        until("the processor is idle", || {
            let before = ticks();
            std::thread::sleep(Duration::from_millis(200)); // what is measured
            ticks() - before <= 2
        });
    }

    /// Stops a server; compares all that it said, on stderr after the `listening on` line.
    #[track_caller]
    pub fn stops(self, stdout: impl AsRef<[u8]>, said: &str) {
        let address = self.address();
        self.signal("TERM");
        self.finish().is(0, stdout, format!("listening on {address}\n{said}"));
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end (its stdin is ended first).
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        self.stdin = None;
        self.ends()
    }

    /// Waits for its end, while its stdin stays open.
    #[track_caller]
    pub fn ends(mut self) -> Finished {
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

/// A server stands for the address at which it listens.
impl Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address())
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

/// Whether a text has the wanted lines, in which `…` stands for anything.
pub fn is_like(wanted: &str, text: &str) -> bool {
    let is_line = |wanted: &str, line: &str| {
        let Some((start, parts)) = wanted.split_once('…') else {
            return wanted == line;
        };
        let Some(mut rest) = line.strip_prefix(start) else {
            return false;
        };
        let (parts, end) = parts.rsplit_once('…').unwrap_or(("", parts));
        for part in parts.split('…') {
            let Some(at) = rest.find(part) else {
                return false;
            };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(end)
    };
    let (wanted, lines) = (wanted.split('\n'), text.split('\n'));
    wanted.clone().count() == lines.clone().count()
        && wanted.zip(lines).all(|(wanted, line)| is_line(wanted, line))
}

/// The lines of a text without the time before each, which has this shape: `99:99:99`.
#[track_caller]
pub fn untimed(text: &str, shape: &str) -> String {
    let lines = text.split_inclusive('\n').map(|line| {
        let (time, rest) = line.split_once(' ').unwrap_or((line, ""));
        let digit = |c: char| if c.is_ascii_digit() { '9' } else { c };
        assert_eq!(time.chars().map(digit).collect::<String>(), shape, "{text}");
        rest
    });
    lines.collect()
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
    pub fn refuses(&self, message: impl Display) {
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

    /// Compares all three; `…` stands for anything in a line of stderr.
    #[track_caller]
    pub fn is(&self, code: i32, stdout: impl AsRef<[u8]>, stderr: impl AsRef<str>) {
        let (stdout, stderr) = (stdout.as_ref(), stderr.as_ref());
        let shown = |code: i32, stdout: &[u8], stderr: &str| {
            let start = stdout[..stdout.len().min(2000)].escape_ascii();
            format!("{code}, {} bytes '{start}', {stderr:?}", stdout.len())
        };
        assert!(
            (self.code, &self.stdout[..]) == (code, stdout) && is_like(stderr, &self.stderr),
            "{}\n   got: {}\nwanted: {}",
            self.words,
            shown(self.code, &self.stdout, &self.stderr),
            shown(code, stdout, stderr),
        );
    }

    /// It failed with this status and this one line, and nothing on stdout.
    #[track_caller]
    pub fn fails(&self, code: i32, message: impl Display) {
        self.is(code, "", format!("sockctl: {message}\n"));
    }

    /// Compares its status and its stdout; what it said on stderr.
    #[track_caller]
    pub fn gives(self, code: i32, stdout: impl AsRef<[u8]>) -> String {
        self.is(code, stdout, &self.stderr);
        self.stderr
    }

    /// What it wrote to stdout, as text; it ended well and said nothing on stderr.
    #[track_caller]
    pub fn output(self) -> String {
        self.is(0, &self.stdout, "");
        self.text()
    }

    /// All of stdout, which is text.
    #[track_caller]
    pub fn text(self) -> String {
        String::from_utf8(self.stdout).unwrap()
    }
}

/// The events of a `--json` run, without their times, which never go back.
#[track_caller]
pub fn events(text: &str) -> Vec<Value> {
    let mut last = 0.0;
    let event = |line: &str| {
        let mut event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        let t = event.as_object_mut().unwrap().remove("t").unwrap().as_f64().unwrap();
        assert!(t >= last, "{line}");
        last = t;
        event
    };
    text.lines().map(event).collect()
}

/// Those events of a `--json` run that have this name.
#[track_caller]
pub fn events_of(text: &str, name: &str) -> Vec<Value> {
    events(text).into_iter().filter(|event| event["event"] == name).collect()
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

/// A connection from this address of ours to a port on 127.0.0.1, whose reads and writes have a deadline.
#[track_caller]
pub fn connect_from(source: &str, port: u16) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&format!("{source}:0").parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.set_write_timeout(Some(DEADLINE)).unwrap();
    socket.into()
}

/// A listener on a port of 127.0.0.1 (0: any) whose accept has a deadline.
#[track_caller]
pub fn listen(port: u16) -> TcpListener {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    // socket(7): accept(2) heeds it too.
    socket2::SockRef::from(&listener).set_read_timeout(Some(DEADLINE)).unwrap();
    listener
}

/// Such a listener on any port, and its address.
#[track_caller]
pub fn listener() -> (TcpListener, String) {
    let listener = listen(0);
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// The next connection, whose reads and writes have a deadline.
#[track_caller]
pub fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// A peer on a port of 127.0.0.1; shown as its address.
pub struct Peer<T = ()> {
    /// The port.
    pub port: u16,
    talk: JoinHandle<T>,
}

/// A peer that does this with the first connection it gets, whose reads and writes have a deadline.
pub fn peer<T: Send + 'static>(talk: impl FnOnce(TcpStream) -> T + Send + 'static) -> Peer<T> {
    let listener = listen(0);
    let port = listener.local_addr().unwrap().port();
    Peer { port, talk: std::thread::spawn(move || talk(accept(&listener))) }
}

impl<T> Peer<T> {
    /// Waits for its end, and gives what it came to; what it found wrong is this test's failure.
    #[track_caller]
    pub fn done(self) -> T {
        self.talk.join().expect("the peer is content")
    }
}

impl<T> Display for Peer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "127.0.0.1:{}", self.port)
    }
}

/// A datagram socket on a port of 127.0.0.1 whose reads have a deadline.
#[track_caller]
pub fn datagrams() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

/// Such a socket that is connected to this port.
#[track_caller]
pub fn datagrams_to(port: u16) -> UdpSocket {
    let socket = datagrams();
    socket.connect(("127.0.0.1", port)).unwrap();
    socket
}

/// The next datagram.
#[track_caller]
pub fn datagram(socket: &impl AsRawFd) -> Vec<u8> {
    let mut buffer = vec![0; 70_000];
    let count = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).unwrap();
    buffer.truncate(count);
    buffer
}

/// Closes a connection with a reset.
#[track_caller]
pub fn reset(stream: TcpStream) {
    let linger = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    linger.unwrap();
    drop(stream);
}

/// Waits until connections to this port of 127.0.0.1 are refused.
#[track_caller]
pub fn until_refused(port: u16) {
    until("connections are refused", || TcpStream::connect(("127.0.0.1", port)).is_err());
}

/// Whether a process runs; a zombie does not.
pub fn is_alive(id: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let rest = stat.rsplit(") ").next().unwrap_or_default();
    !rest.is_empty() && !rest.starts_with(['Z', 'X'])
}

/// Reads until the peer ends.
#[track_caller]
pub fn read_all(mut stream: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Reads to the end or the reset: what came, and whether it was an end.
#[track_caller]
pub fn read_to_either(mut stream: impl Read) -> (Vec<u8>, bool) {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (bytes, true),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return (bytes, false),
            Err(e) => panic!("{e}"),
        }
    }
}

/// Reads until the peer resets the connection.
#[track_caller]
pub fn read_to_reset(stream: impl Read) -> Vec<u8> {
    let (bytes, is_end) = read_to_either(stream);
    assert!(!is_end, "an end behind {} bytes", bytes.len());
    bytes
}

/// Reads until the peer ends or resets: silent itself, and open as long.
pub fn hold(mut stream: TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

/// Sends lines of `y` until the peer closes the connection.
pub fn flood(mut stream: TcpStream) {
    let lines = b"y\n".repeat(32 << 10);
    while stream.write_all(&lines).is_ok() {}
}

/// Sends these bytes and ends the write side, and meanwhile reads the answer to its end.
#[track_caller]
pub fn ask<S: AsFd + Sync>(stream: &S, bytes: impl AsRef<[u8]>) -> Vec<u8>
where
    for<'a> &'a S: Read + Write,
{
    let bytes = bytes.as_ref();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            { stream }.write_all(bytes).unwrap();
            socket2::SockRef::from(stream).shutdown(Shutdown::Write).unwrap();
        });
        read_all(stream)
    })
}

/// Sends these bytes and reads them back.
#[track_caller]
pub fn echoes<S>(stream: &S, bytes: impl AsRef<[u8]>)
where
    for<'a> &'a S: Read + Write,
{
    { stream }.write_all(bytes.as_ref()).unwrap();
    assert_eq!(take(stream, bytes.as_ref().len()), bytes.as_ref());
}

/// Reads exactly so many bytes.
#[track_caller]
pub fn take(mut stream: impl Read, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Bytes in which every shift shows.
pub fn pattern(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..count.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(count);
    bytes
}

/// A folder of the test's own.
pub struct Folder(TempDir);

impl Folder {
    /// An empty one.
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of a name in it.
    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The same as text.
    pub fn text(&self, name: &str) -> String {
        self.at(name).to_str().unwrap().into()
    }

    /// A file in it of mode 0600; its path as text.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.at(name), content).unwrap();
        fs::set_permissions(self.at(name), fs::Permissions::from_mode(0o600)).unwrap();
        self.text(name)
    }

    /// A FIFO in it, open for reading and writing: no program that opens it waits for the other end.
    pub fn fifo(&self, name: &str) -> File {
        mkfifo(&self.at(name), Mode::S_IRWXU).unwrap();
        File::options().read(true).write(true).open(self.at(name)).unwrap()
    }

    /// How many names it holds.
    pub fn count(&self) -> usize {
        fs::read_dir(&self.0).unwrap().count()
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        self.0.path()
    }
}

/// Waits for a `--port-file`; the port in it.
#[track_caller]
pub fn port_in(file: impl AsRef<Path>) -> u16 {
    until("the port file", || file.as_ref().exists());
    fs::read_to_string(file).unwrap().trim().parse().unwrap()
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

/// A UNIX socket that no process has open. One that was closed may still be open for a moment, in a
/// child of another test between fork(2) and exec(2).
pub fn deserted_socket(path: &Path) {
    mknod(path, SFlag::S_IFSOCK, Mode::S_IRWXU, 0).unwrap();
}

/// A port of 127.0.0.1 that is free, TCP or UDP, for programs that cannot choose one themselves.
/// Below those that the kernel gives out by itself, it stays free until it is used; the one after it
/// is free, too.
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

/// What waits at this port of 127.0.0.1, as proc(5) has it (`rx_queue`): bytes to be read on its
/// connections, or connections to be accepted.
pub fn unread(port: u16, is_listening: bool) -> u64 {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!("0100007F:{port:04X}");
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let rows = rows.filter(|row| row[1] == local && (row[3] == "0A") == is_listening);
    rows.map(|row| u64::from_str_radix(row[4].split(':').nth(1).unwrap(), 16).unwrap()).sum()
}

/// Whether any socket has this port, as the system lists them: one bound to find out could be held
/// by what another test is just starting, and be in the way itself.
pub fn is_taken(port: u16) -> bool {
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
