//! The room beside `ncat --chat` and `ncat --broker`: lines of one member, delivered to the others;
//! joining; and a line now and then in a large one.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use memchr::memchr_iter;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::Bench;
use crate::load::{connect, read_some};
use crate::peer::Server;
use crate::report::{Metric, Sample, median};

const SERVERS: &[(&str, &[&str])] = &[
    ("sockctl", &["sockctl", "serve", "--room", "-q", "-m", "100000", "127.0.0.1:{port}"]),
    (CHAT, &["ncat", "-l", "--chat", "-m", "1000", "127.0.0.1", "{port}"]),
    (BROKER, &["ncat", "-l", "--broker", "-m", "1000", "127.0.0.1", "{port}"]),
];
const CHAT: &str = "ncat --chat";
const BROKER: &str = "ncat --broker";
/// ncat waits with select(2): descriptors end at 1024.
const NCAT_MEMBERS: usize = 900;
const PATIENCE: Duration = Duration::from_secs(20);
/// One line of the load, its newline included.
const LINE: usize = 64;
/// Those who join one after the other.
const NEWCOMERS: usize = 400;
/// Bursts that one server gets.
const BURSTS: usize = 41;

pub fn run(bench: &mut Bench) -> Result<()> {
    let sizes: &[(usize, usize)] = if bench.options.quick {
        &[(10, 20_000), (100, 20_000)]
    } else {
        &[(10, 200_000), (100, 200_000), (500, 200_000), (2_000, 20_000)]
    };
    for &(members, lines) in sizes {
        for stuck in [false, true] {
            // With a member that reads nothing, ncat delivers to no member.
            let servers = rooms(members, |who| who == "sockctl" || !stuck);
            let contenders = bench.contenders(&servers, move |words| {
                let server = Server::start(words, Stdio::piped(), Stdio::null())?;
                Ok(vec![fan_out(server.port, members, lines, stuck)?])
            });
            let with = if stuck { ", one stuck" } else { "" };
            let name = format!("room of {members}, {lines} lines{with}");
            bench.measure(vec![delivered(name)], contenders);
        }
    }
    for &(members, _) in sizes.iter().filter(|(members, _)| *members <= NCAT_MEMBERS) {
        bursts(bench, members, 1_000);
    }
    let _awake = bench.keep_awake();
    joins(bench, 100);
    newcomers(bench, 100);
    joins(bench, NCAT_MEMBERS);
    now_and_then(bench, NCAT_MEMBERS);
    if !bench.options.quick {
        joins(bench, 10_000);
        newcomers(bench, 10_000);
        now_and_then(bench, 10_000);
    }
    Ok(())
}

/// Lines that one member sends at once, again as soon as all others have them: the first time,
/// when the server has seen no line yet, and later.
fn bursts(bench: &mut Bench, members: usize, lines: usize) {
    let contenders = bench.contenders(&rooms(members, |_| true), move |words| {
        let server = Server::start(words, Stdio::piped(), Stdio::null())?;
        let mut crowd = Crowd::gather(&[server.port], members)?;
        let mut rates = Vec::new();
        for _ in 0..BURSTS {
            rates.push(crowd.burst(lines)?);
        }
        let first = rates.remove(0);
        let later: Vec<f64> = rates.iter().map(|rate| rate.value).collect();
        let later = Sample {
            value: median(&later).unwrap_or_default(),
            ..Sample::rate(lines * (members - 1) * BURSTS, Duration::ZERO)
        };
        Ok(vec![Sample::new(first.value), later])
    });
    let metric = |which| delivered(format!("room of {members}, {which} burst of {lines} lines"));
    bench.measure(vec![metric("the first"), metric("a later")], contenders);
}

/// Lines a second, beside each way that ncat has.
fn delivered(name: String) -> Metric {
    Metric::more(name, "lines delivered/s", None).beside(CHAT, 1.5).beside(BROKER, 1.0)
}

/// Joining, until the first member has heard of all.
fn joins(bench: &mut Bench, members: usize) {
    let contenders = bench.contenders(&rooms(members, |who| who != BROKER), move |words| {
        let server = Server::start(words, Stdio::piped(), Stdio::null())?;
        let start = Instant::now();
        let mut crowd = Crowd::connect(&[server.port], members)?;
        // The greeting is one line more.
        crowd.exchange(&[], |lines| lines[0] > members && lines[members - 1] > 1)?;
        Ok(vec![Sample::rate(members, start.elapsed())])
    });
    let name = format!("joining a room, up to {members}");
    bench.measure(vec![Metric::more(name, "1/s", Some(5.0))], contenders);
}

/// Joining a room that is large already, each once the one before is greeted.
fn newcomers(bench: &mut Bench, members: usize) {
    let contenders = bench.contenders(&rooms(members, |who| who != BROKER), move |words| {
        let server = Server::start(words, Stdio::piped(), Stdio::null())?;
        let _crowd = Crowd::gather(&[server.port], members)?;
        let mut newcomers = Vec::new();
        let start = Instant::now();
        for _ in 0..NEWCOMERS {
            let mut newcomer = connect(server.port)?;
            newcomer.read_exact(&mut [0])?;
            newcomers.push(newcomer);
        }
        Ok(vec![Sample::rate(NEWCOMERS, start.elapsed())])
    });
    let name = format!("joining a room of {members}, one after the other");
    bench.measure(vec![Metric::more(name, "1/s", Some(5.0))], contenders);
}

/// One short line to all members, who have said nothing for a while.
fn now_and_then(bench: &mut Bench, members: usize) {
    let contenders = bench.contenders(&rooms(members, |_| true), move |words| {
        let server = Server::start(words, Stdio::piped(), Stdio::null())?;
        let mut crowd = Crowd::gather(&[server.port], members)?;
        let mut times = Vec::new();
        for _ in 0..20 {
            let before = crowd.lines.clone();
            let start = Instant::now();
            crowd
                .exchange(b"hello\n", |now| (1..members).rev().all(|one| now[one] > before[one]))?;
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let others = (members - 1) as f64;
            times.push(start.elapsed().as_secs_f64() * 1e6 / others);
        }
        Ok(vec![Sample::new(median(&times).unwrap_or_default())])
    });
    let name = format!("one line to a room of {members}, each member's part");
    bench.measure(vec![Metric::less(name, "µs", None)], contenders);
}

/// The programs that hold so many members, and these only.
fn rooms(
    members: usize,
    which: impl Fn(&str) -> bool,
) -> Vec<(&'static str, &'static [&'static str])> {
    let fits = |who: &str| who == "sockctl" || members <= NCAT_MEMBERS;
    SERVERS.iter().copied().filter(|(who, _)| fits(who) && which(who)).collect()
}

/// Lines of 64 bytes from the first member until all others have them: how many were delivered in
/// a second. A stuck member reads nothing, and does not count.
fn fan_out(port: u16, members: usize, lines: usize, stuck: bool) -> Result<Sample> {
    let mut crowd = Crowd::gather(&[port], members)?;
    let _stuck = if stuck { Some(connect(port)?) } else { None };
    crowd.burst(lines)
}

/// Connections to a server, or to several in turn, all of them read.
pub struct Crowd {
    epoll: Epoll,
    streams: Vec<TcpStream>,
    /// Line ends that each has received.
    lines: Vec<usize>,
    buffer: Vec<u8>,
}

impl Crowd {
    /// Connects the members; some may not be admitted yet.
    fn connect(ports: &[u16], members: usize) -> Result<Self> {
        let mut crowd = Self {
            epoll: Epoll::new(EpollCreateFlags::empty())?,
            streams: Vec::new(),
            lines: vec![0; members],
            buffer: vec![0; 256 << 10],
        };
        let until = Instant::now() + PATIENCE;
        for token in 0..members {
            ensure!(Instant::now() < until, "not all are let in");
            let stream = connect(ports[token % ports.len()])?;
            stream.set_nonblocking(true)?;
            crowd.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, token as u64))?;
            crowd.streams.push(stream);
        }
        Ok(crowd)
    }

    /// Members who have heard all that is said about their joining.
    pub fn gather(ports: &[u16], members: usize) -> Result<Self> {
        let mut crowd = Self::connect(ports, members)?;
        loop {
            let before = crowd.lines.clone();
            crowd.read(100)?;
            if crowd.lines == before {
                return Ok(crowd);
            }
        }
    }

    /// The first sends so many lines until all others have them.
    pub fn burst(&mut self, lines: usize) -> Result<Sample> {
        let before = self.lines.clone();
        let members = before.len();
        let text = format!("{}\n", "x".repeat(LINE - 1)).repeat(lines);
        let start = Instant::now();
        self.exchange(text.as_bytes(), |now| {
            // From the end: who is served last has it last.
            (1..members).rev().all(|member| now[member] - before[member] >= lines)
        })?;
        Ok(Sample::rate(lines * (members - 1), start.elapsed()))
    }

    /// The first sends `bytes` while all read, until `enough`.
    fn exchange(&mut self, mut bytes: &[u8], enough: impl Fn(&[usize]) -> bool) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while !bytes.is_empty() || !enough(&self.lines) {
            ensure!(Instant::now() < until, "not all is delivered");
            if !bytes.is_empty() {
                match self.streams[0].write(bytes) {
                    Ok(n) => bytes = &bytes[n..],
                    Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(e) => return Err(e.into()),
                }
            }
            self.read(if bytes.is_empty() { 1000 } else { 0 })?;
        }
        Ok(())
    }

    fn read(&mut self, wait: u16) -> Result<()> {
        let mut events = vec![EpollEvent::empty(); 1024];
        let count = self.epoll.wait(&mut events, EpollTimeout::from(wait))?;
        for event in &events[..count] {
            let member = usize::try_from(event.data())?;
            let read = read_some(&mut self.streams[member], &mut self.buffer)?;
            ensure!(read.is_some(), "member {member} was cut off");
            let text = &self.buffer[..read.unwrap_or_default()];
            self.lines[member] += memchr_iter(b'\n', text).count();
        }
        Ok(())
    }
}
