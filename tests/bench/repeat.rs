//! Conversations that are repeated, each on a connection of its own: how many a second, against a
//! redis and against a server of a line; and the memory of many at a time.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use socket2::{Domain, Socket, Type};

use crate::Bench;
use crate::load::crowd;
use crate::peer::{PATIENCE, Process, Server, is_installed, with_port, words};
use crate::place::elsewhere;
use crate::report::{Metric, Sample};

/// A loop written by hand: how often, and by how many threads.
const LOOP: &str = "
import socket, sys, threading
port, count, parallel = map(int, sys.argv[1:])
def talk():
    for _ in range(count // parallel):
        with socket.create_connection(('127.0.0.1', port)) as s:
            s.sendall(b'PING\\r\\n')
            assert s.recv(64) == b'+PONG\\r\\n'
threads = [threading.Thread(target=talk) for _ in range(parallel)]
for thread in threads: thread.start()
for thread in threads: thread.join()
";

/// Many conversations in a thread, which never get their answer.
const HELD: &str = "
import asyncio, sys
async def talk():
    reader, writer = await asyncio.open_connection('127.0.0.1', int(sys.argv[1]))
    writer.write(b'PING\\r\\n')
    await reader.readuntil(b'PONG')
async def main(): await asyncio.gather(*(talk() for _ in range(int(sys.argv[2]))))
asyncio.run(main())
";

/// Conversations at a time whose memory is measured.
const MANY: usize = 1_000;

/// What is asked, and what is expected.
const STEPS: [&str; 4] = ["--send", "PING\\r\\n", "--expect", "^\\+PONG"];

pub fn run(bench: &mut Bench) -> Result<()> {
    let redis = words(&["redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--save", ""]);
    // What redis-benchmark asks first is refused: it goes on without.
    let scripted = ["serve", "-q", "{port}", "--when", "^PING\\r\\n", "+PONG\\r\\n"];
    let scripted = [&[bench.sockctl.as_str()], &scripted[..], &["--when", "CONFIG", "-ERR\\r\\n"]];
    for (name, server) in [("redis", redis), ("serve --when", words(&scripted.concat()))] {
        if !is_installed(&server[0]) {
            continue;
        }
        let server = Server::start(&server, Stdio::null(), Stdio::null())?;
        for parallel in [1, 8] {
            speed(bench, name, server.port, parallel);
        }
    }
    memory(bench);
    Ok(())
}

/// How many a second.
fn speed(bench: &mut Bench, name: &str, port: u16, parallel: usize) {
    let count = if bench.options.quick { 2_000 } else { 8_000 };
    let [all, at_once] = [count, parallel].map(|number| number.to_string());
    let ours = ["sockctl", "connect", "{port}"];
    let ours = [&ours[..], &STEPS, &["--count", &all, "--parallel", &at_once]].concat();
    let theirs = ["redis-benchmark", "-p", "{port}", "-P", "1", "-k", "0", "-t", "ping_inline"];
    let theirs = [&theirs[..], &["-n", &all, "-c", &at_once]].concat();
    let contenders = bench.contenders(
        &[
            ("sockctl", &ours[..]),
            ("redis-benchmark", &theirs[..]),
            ("Python", &["python", "-c", LOOP, "{port}", &all, &at_once][..]),
        ],
        move |words| {
            let words = with_port(words, port);
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]).stdin(Stdio::null());
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let start = Instant::now();
            let status = elsewhere(|| command.status())?;
            ensure!(status.success(), "{status}");
            Ok(vec![Sample::rate(count, start.elapsed())])
        },
    );
    let name = format!("PING to {name}, a connection each, {parallel} at a time");
    bench.measure(vec![Metric::more(name, "1/s", None)], contenders);
}

/// What each conversation costs while it waits: a client's, and a server's.
fn memory(bench: &mut Bench) {
    let many = MANY.to_string();
    let ours = ["sockctl", "connect", "{port}", "-w", "0"];
    let ours = [&ours[..], &STEPS, &["--count", &many, "--parallel", "{parallel}"]].concat();
    let theirs = ["redis-benchmark", "-p", "{port}", "-t", "ping_inline", "-n", &many];
    let theirs = [&theirs[..], &["-c", "{parallel}"]].concat();
    let clients = bench.contenders(
        &[
            ("sockctl", &ours[..]),
            ("redis-benchmark", &theirs[..]),
            ("Python", &["python", "-c", HELD, "{port}", "{parallel}"][..]),
        ],
        |words| {
            let [one, all] = [1, MANY].map(|parallel| memory_of(words, parallel));
            Ok(vec![Sample::new((all? - one?) / f64::from(u32::try_from(MANY - 1)?))])
        },
    );
    let name = format!("memory of each of {MANY} conversations at a time: connect --parallel");
    bench.measure(vec![Metric::less(name, "bytes", None)], clients);
    let line = ["sockctl", "serve", "-q", "{port}", "-w", "0", "--expect", ".", "--send", "."];
    let line = [&line[..], &["--expect", "never"]].concat();
    let servers = bench.contenders(
        &[("sockctl", &line[..]), ("Python", &["python", "-c", crate::echo::PYTHON, "{port}"][..])],
        |words| {
            let server = Server::start(words, Stdio::null(), Stdio::null())?;
            let empty = server.process.group_memory()?;
            let _waiting = crowd(server.port, MANY)?;
            let all = server.process.group_memory()? - empty;
            Ok(vec![Sample::new(all / f64::from(u32::try_from(MANY)?))])
        },
    );
    let name = format!("memory of each of {MANY} conversations at a time: serve in its steps");
    bench.measure(vec![Metric::less(name, "bytes", None)], servers);
}

/// The memory of a client once so many of its conversations have asked, and wait for the answer.
fn memory_of(words: &[String], parallel: usize) -> Result<f64> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(4096)?;
    // socket(7): accept(2) heeds it too.
    socket.set_read_timeout(Some(PATIENCE))?;
    let listener = TcpListener::from(socket);
    let words: Vec<String> = with_port(words, listener.local_addr()?.port())
        .iter()
        .map(|word| word.replace("{parallel}", &parallel.to_string()))
        .collect();
    let client = Process::start(&words, Stdio::null(), Stdio::null())?;
    let mut held: Vec<TcpStream> = Vec::new();
    while held.len() < parallel {
        let (mut stream, _) = listener.accept().context("a conversation")?;
        let mut question = [0; 256];
        let count = stream.read(&mut question)?;
        if question[..count].starts_with(b"*") {
            stream.write_all(b"-ERR\r\n-ERR\r\n")?; // redis-benchmark asks for two settings first
        } else {
            held.push(stream);
        }
    }
    client.group_memory()
}
