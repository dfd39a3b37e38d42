//! What the kernel allows: minimal loops of system calls, without limits, deadlines or options.
//! Run as a process of its own, as the programs they are compared with.

use std::hint::spin_loop;
use std::io::{BufRead, Read, Write, stdin, stdout};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::process::parent_id;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SpliceFFlags, fcntl, splice};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::sendfile::sendfile;
use nix::sys::socket::SockaddrStorage;
use nix::sys::stat::{SFlag, fstat};
use socket2::{Domain, Socket, Type};

use crate::load::{BATCH, Datagrams};

const CHUNK: usize = 1 << 20;

/// Runs the loop that the words name.
pub fn run(words: &[String]) -> Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let port = |text: &str| text.parse::<u16>().context("a port");
    match words[..] {
        ["connect", to] => exchange(&TcpStream::connect(("127.0.0.1", port(to)?))?),
        ["serve", at] => exchange(&TcpListener::bind(("127.0.0.1", port(at)?))?.accept()?.0),
        ["echo", at] => echo(port(at)?, 0),
        // A challenge, and an answer of the same length.
        ["greet", at] => echo(port(at)?, 32),
        ["udp-echo", at] => udp_echo(port(at)?),
        ["udp-send", to] => udp_send(port(to)?),
        ["scan"] => scan(),
        ["spin"] => spin(),
        _ => bail!("no reference {words:?}"),
    }
}

/// stdin to the socket, the socket to stdout.
fn exchange(stream: &TcpStream) -> Result<()> {
    std::thread::scope(|scope| {
        let up = scope.spawn(|| up(stream));
        down(stream)?;
        up.join().unwrap_or(Ok(()))
    })
}

fn up(stream: &TcpStream) -> Result<()> {
    let input = stdin();
    match kind(input.as_fd())? {
        SFlag::S_IFIFO => {
            grow(input.as_fd());
            while splice(&input, None, stream, None, CHUNK, SpliceFFlags::SPLICE_F_MOVE)? > 0 {}
        }
        SFlag::S_IFREG => while sendfile(stream, &input, None, CHUNK)? > 0 {},
        _ => {}
    }
    Ok(stream.shutdown(Shutdown::Write)?)
}

fn down(stream: &TcpStream) -> Result<()> {
    let output = stdout();
    let flags = SpliceFFlags::SPLICE_F_MOVE;
    if kind(output.as_fd())? == SFlag::S_IFIFO {
        grow(output.as_fd());
        while splice(stream, None, &output, None, CHUNK, flags)? > 0 {}
        return Ok(());
    }
    let (reader, writer) = std::io::pipe()?;
    grow(writer.as_fd());
    loop {
        let mut inside = splice(stream, None, &writer, None, CHUNK, flags)?;
        if inside == 0 {
            return Ok(());
        }
        while inside > 0 {
            inside -= splice(&reader, None, &output, None, inside, flags)?;
        }
    }
}

fn kind(fd: BorrowedFd<'_>) -> Result<SFlag> {
    let mode = SFlag::from_bits_truncate(fstat(fd)?.st_mode);
    Ok(mode & SFlag::S_IFMT)
}

fn grow(pipe: BorrowedFd<'_>) {
    // A pipe that stays small is slower, no more.
    let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(1 << 20));
}

/// Sends `greeting` zeros, drops as many bytes that come with the first read, returns the rest.
fn echo(port: u16, greeting: usize) -> Result<()> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    listener.set_reuse_address(true)?;
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    listener.listen(4096)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from(listener);
    let epoll = Epoll::new(EpollCreateFlags::empty())?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, u64::MAX))?;
    let mut streams: Vec<Option<(TcpStream, usize)>> = Vec::new();
    let mut events = vec![EpollEvent::empty(); 256];
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..count] {
            if event.data() == u64::MAX {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    if greeting > 0 {
                        stream.write_all(&[0; 64][..greeting])?;
                    }
                    let slot = usize::try_from(stream.as_raw_fd())?;
                    epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, slot as u64))?;
                    streams.resize_with(streams.len().max(slot + 1), || None);
                    streams[slot] = Some((stream, greeting));
                }
                continue;
            }
            let slot = usize::try_from(event.data())?;
            let Some((stream, answer)) = &mut streams[slot] else {
                continue;
            };
            match stream.read(&mut buffer) {
                Ok(n @ 1..) => {
                    // Large messages may have to wait: here for the only client that sends them.
                    let mut rest = &buffer[std::mem::take(answer).min(n)..n];
                    while !rest.is_empty() {
                        match stream.write(rest) {
                            Ok(n) => rest = &rest[n..],
                            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                                let mut fd = [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)];
                                poll(&mut fd, PollTimeout::NONE)?;
                            }
                            Err(_) => break,
                        }
                    }
                }
                _ => streams[slot] = None,
            }
        }
    }
}

fn udp_echo(port: u16) -> Result<()> {
    let socket = UdpSocket::bind(("127.0.0.1", port))?;
    let mut datagrams: Datagrams<SockaddrStorage> = Datagrams::new();
    loop {
        datagrams.receive(&socket, true)?;
        datagrams.answer(&socket)?;
    }
}

fn udp_send(port: u16) -> Result<()> {
    let socket = UdpSocket::bind(("127.0.0.1", 0))?;
    socket.connect(("127.0.0.1", port))?;
    let mut input = std::io::BufReader::with_capacity(64 << 10, stdin().lock());
    loop {
        let block = input.fill_buf()?;
        let Some(end) = block.iter().rposition(|&byte| byte == b'\n') else {
            return Ok(());
        };
        let lines: Vec<&[u8]> = block[..end].split(|&byte| byte == b'\n').collect();
        for lines in lines.chunks(BATCH) {
            crate::load::send_batch(&socket, lines)?;
        }
        input.consume(end + 1);
    }
}

/// Connects to every port, one after the other: a refusal comes at once on loopback.
fn scan() -> Result<()> {
    let mut open = 0;
    for port in 1..=u16::MAX {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        match socket.connect(&address.into()) {
            Ok(()) => open += 1,
            Err(e) if e.raw_os_error() == Some(Errno::ECONNREFUSED as i32) => {}
            Err(e) => bail!("{e}"),
        }
    }
    writeln!(stdout(), "{open} open")?;
    Ok(())
}

/// Keeps a processor awake until its parent is gone.
fn spin() -> Result<()> {
    let parent = parent_id();
    while parent_id() == parent {
        (0..100_000).for_each(|_| spin_loop());
    }
    Ok(())
}
