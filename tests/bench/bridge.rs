//! Rooms of several servers, beside a Redis: lines from one server to another, how long one takes, and ten servers
//! with a thousand members each.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::Bench;
use crate::load::connect;
use crate::peer::{Server, is_installed, words};
use crate::report::{Metric, Sample, median, percentile};
use crate::room::Crowd;

const ROOM: &[(&str, &[&str])] = &[(
    "sockctl",
    &[
        "sockctl",
        "serve",
        "--room",
        "-q",
        "-m",
        "100000",
        "--bridge",
        "redis://127.0.0.1:{redis}",
        "127.0.0.1:{port}",
    ],
)];
const PATIENCE: Duration = Duration::from_secs(10);
/// The pace at which it is measured how long a line takes.
const PACE: Duration = Duration::from_millis(1);
/// Members of each of ten servers.
const CROWD: usize = 1_000;

pub fn run(bench: &mut Bench) -> Result<()> {
    if !is_installed("redis-server") {
        eprintln!("redis-server is not installed");
        return Ok(());
    }
    let lines = if bench.options.quick { 50_000 } else { 200_000 };
    let contenders = bench.contenders(ROOM, move |words| {
        let bridge = Bridge::start(words, 2)?;
        Ok(vec![bridge.crowd(2)?.burst(lines)?])
    });
    let name = format!("{lines} lines from server to server");
    bench.measure(vec![Metric::more(name, "lines/s", None)], contenders);

    let count = if bench.options.quick { 2_000 } else { 5_000 };
    let contenders = bench.contenders(ROOM, move |words| paced(words, count));
    let metric =
        |which| Metric::less(format!("a line to another server, 1,000/s, {which}"), "ms", None);
    bench.measure(vec![metric("median"), metric("p99")], contenders);

    let servers = if bench.options.quick { 3 } else { 10 };
    let contenders = bench.contenders(ROOM, move |words| many(words, servers));
    let name = |what| format!("{servers} servers of {CROWD} members, {what}");
    let metrics = vec![
        Metric::more(name("joining"), "members/s", None),
        Metric::less(name("one line to all others"), "ms", None),
        Metric::more(name("1,000 lines to all others"), "lines delivered/s", None),
    ];
    bench.measure(metrics, contenders);
    Ok(())
}

/// A Redis, and rooms that are bridged over it.
struct Bridge {
    servers: Vec<Server>,
    _redis: Server,
}

impl Bridge {
    fn start(room: &[String], servers: usize) -> Result<Self> {
        let line = ["redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--save", ""];
        let redis = Server::start(&words(&line), Stdio::null(), Stdio::null())?;
        let port = redis.port.to_string();
        let room: Vec<String> = room.iter().map(|word| word.replace("{redis}", &port)).collect();
        let start = |_| Server::start(&room, Stdio::piped(), Stdio::null());
        let servers: Vec<Server> = (0..servers).map(start).collect::<Result<_>>()?;
        let bridge = Self { servers, _redis: redis };
        bridge.is_joined()?;
        Ok(bridge)
    }

    /// Waits until all know all: each says who is there.
    fn is_joined(&self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        for server in &self.servers {
            let mut stream = connect(server.port)?;
            let mut reader = BufReader::new(stream.try_clone()?);
            let mut line = String::new();
            while !line.contains(&format!("-- {} here:", self.servers.len() + 1)) {
                ensure!(Instant::now() < until, "the servers do not know each other");
                if !line.contains(" joined") && !line.contains(" left") {
                    thread::sleep(Duration::from_millis(5));
                    stream.write_all(b"/who\n")?;
                }
                line.clear();
                reader.read_line(&mut line)?;
            }
        }
        Ok(())
    }

    /// Members, on each server in turn.
    fn crowd(&self, members: usize) -> Result<Crowd> {
        let ports: Vec<u16> = self.servers.iter().map(|server| server.port).collect();
        Crowd::gather(&ports, members)
    }
}

/// How long lines take from a member of one server to one of another, at a steady pace.
fn paced(room: &[String], count: usize) -> Result<Vec<Sample>> {
    let bridge = Bridge::start(room, 2)?;
    let mut speaker = connect(bridge.servers[0].port)?;
    let mut listener = BufReader::new(connect(bridge.servers[1].port)?);
    let start = Instant::now();
    let heard = thread::spawn(move || -> Result<Vec<f64>> {
        let (mut times, mut line) = (Vec::new(), String::new());
        while times.len() < count {
            line.clear();
            ensure!(listener.read_line(&mut line)? > 0, "cut off");
            // What is said is when it was said, in microseconds.
            if let Some((_, sent)) = line.trim_end().split_once("> ") {
                let took = start.elapsed().saturating_sub(Duration::from_micros(sent.parse()?));
                times.push(took.as_secs_f64() * 1e3);
            }
        }
        Ok(times)
    });
    thread::sleep(Duration::from_millis(100)); // the two have joined
    let mut next = Instant::now();
    for _ in 0..count {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        next += PACE;
        let line = format!("{}\n", start.elapsed().as_micros());
        speaker.write_all(line.as_bytes())?; // in one segment
    }
    let times = heard.join().ok().context("the listener")??;
    let sample = |value: Option<f64>| Sample::new(value.unwrap_or_default());
    Ok(vec![sample(median(&times)), sample(percentile(&times, 99))])
}

/// Many members on many servers.
fn many(room: &[String], servers: usize) -> Result<Vec<Sample>> {
    let bridge = Bridge::start(room, servers)?;
    let start = Instant::now();
    let members = servers * CROWD;
    let mut crowd = bridge.crowd(members)?;
    let joined = Sample::rate(members, start.elapsed());
    let mut times = Vec::new();
    for _ in 0..11 {
        let start = Instant::now();
        crowd.burst(1)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let one = Sample::new(median(&times).unwrap_or_default());
    Ok(vec![joined, one, crowd.burst(1_000)?])
}
