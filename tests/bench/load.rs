//! The load: many connections in one thread, so that the other core is the server's.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{MsgFlags, recv};

/// How long anything may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(120);

/// Connections to one server, all of them read.
pub struct Crowd {
    epoll: Epoll,
    streams: Vec<TcpStream>,
    /// Bytes that each has received.
    pub bytes: Vec<usize>,
    /// Line ends among them, where they are counted.
    pub lines: Vec<usize>,
    /// Lines are counted; otherwise the kernel drops what comes without copying it, and the load
    /// costs as little as it can.
    pub counts_lines: bool,
    buffer: Vec<u8>,
}

impl Crowd {
    /// Nobody yet.
    pub fn new() -> Self {
        Self {
            epoll: Epoll::new(EpollCreateFlags::empty()).unwrap(),
            streams: Vec::new(),
            bytes: Vec::new(),
            lines: Vec::new(),
            counts_lines: true,
            buffer: vec![0; 256 << 10],
        }
    }

    /// One connection more.
    pub fn connect(&mut self, port: u16) {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        let token = self.streams.len() as u64;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, token);
        self.epoll.add(&stream, event).unwrap();
        self.streams.push(stream);
        self.lines.push(0);
        self.bytes.push(0);
    }

    /// Reads what comes until `enough` says so; what each has received is counted.
    pub fn read_until(&mut self, mut enough: impl FnMut(&Self) -> bool) {
        self.exchange(0, &[], &mut enough);
    }

    /// One of them sends `bytes` while all read, until `enough`.
    pub fn exchange(
        &mut self,
        sender: usize,
        mut bytes: &[u8],
        mut enough: impl FnMut(&Self) -> bool,
    ) {
        let until = Instant::now() + PATIENCE;
        let mut events = vec![EpollEvent::empty(); 1024];
        while !bytes.is_empty() || !enough(self) {
            assert!(
                Instant::now() < until,
                "stuck: {:?}",
                &self.lines[..self.lines.len().min(20)]
            );
            if !bytes.is_empty() {
                match self.streams[sender].write(bytes) {
                    Ok(n) => bytes = &bytes[n..],
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                    Err(e) => panic!("send: {e}"),
                }
            }
            let wait = if bytes.is_empty() { 1000u16 } else { 0 };
            let count = self
                .epoll
                .wait(&mut events, EpollTimeout::from(wait))
                .unwrap();
            for event in &events[..count] {
                self.read(usize::try_from(event.data()).unwrap());
            }
        }
    }

    /// Reads for this long.
    pub fn read_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        let mut events = vec![EpollEvent::empty(); 1024];
        while Instant::now() < until {
            let count = self
                .epoll
                .wait(&mut events, EpollTimeout::from(10u16))
                .unwrap();
            for event in &events[..count] {
                self.read(usize::try_from(event.data()).unwrap());
            }
        }
    }

    fn read(&mut self, index: usize) {
        let stream = &mut self.streams[index];
        let result = if self.counts_lines {
            stream.read(&mut self.buffer)
        } else {
            let dropped = recv(stream.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_TRUNC);
            dropped.map_err(std::io::Error::from)
        };
        match result {
            Ok(0) => panic!("connection {index} was closed"),
            Ok(n) => {
                self.bytes[index] += n;
                if self.counts_lines {
                    let ends = self.buffer[..n].iter().filter(|&&byte| byte == b'\n');
                    self.lines[index] += ends.count();
                }
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => panic!("receive: {e}"),
        }
    }
}

/// Connections are files.
pub fn raise_file_limit() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}
