//! The load: connections and datagrams, in one thread, so that the other core is the program's.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrLike, recvmmsg, sendmmsg, sendmsg, setsockopt,
};
use socket2::{Domain, Socket, Type};

use crate::report::Sample;

/// How long an answer may take before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// Datagrams in one call.
pub const BATCH: usize = 64;
/// Connections from one address: there are ports for no more than twice as many.
const PER_ADDRESS: usize = 14_000;

/// A connection whose reads end in time.
pub fn connect(port: u16) -> Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// A connection of many: this one of them.
pub fn member(port: u16, index: usize) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let last = u8::try_from(1 + index / PER_ADDRESS)?;
    setsockopt(&socket, IpBindAddressNoPort, &true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)).into())?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    socket.connect_timeout(&address.into(), PATIENCE)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Many connections, each of which was answered once.
pub fn crowd(port: u16, count: usize) -> Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(count);
    let mut answered = 0;
    for index in 0..count {
        let mut stream = member(port, index)?;
        stream.write_all(b".")?;
        streams.push(stream);
        // Not too many at a time: a listener's queue has an end.
        if streams.len() - answered == 500 || streams.len() == count {
            for stream in &mut streams[answered..] {
                stream.read_exact(&mut [0]).context("an idle connection")?;
            }
            answered = streams.len();
        }
    }
    Ok(streams)
}

/// Sends a message and waits until it is back, again and again: the times, in microseconds.
pub fn ping(stream: &mut TcpStream, size: usize, time: Duration) -> Result<Vec<f64>> {
    let message = vec![b'.'; size];
    let mut answer = vec![0; size];
    let mut times = Vec::new();
    let end = Instant::now() + time;
    while Instant::now() < end {
        let start = Instant::now();
        if size > 64 << 10 {
            // Neither side may wait for the other to read first.
            let mut writer = stream.try_clone()?;
            std::thread::scope(|scope| {
                let sent = scope.spawn(|| writer.write_all(&message));
                stream.read_exact(&mut answer)?;
                sent.join().unwrap_or(Ok(()))
            })?;
        } else {
            stream.write_all(&message)?;
            stream.read_exact(&mut answer)?;
        }
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(times)
}

/// Connects, sends 64 bytes, waits until they are back, closes; that many clients at a time. How
/// often in a second.
pub fn churn(port: u16, clients: usize, time: Duration) -> Result<Sample> {
    let message = [b'.'; 64];
    let mut answer = [0; 64];
    let mut done = 0;
    let start = Instant::now();
    if clients == 1 {
        while start.elapsed() < time {
            let mut stream = TcpStream::connect(("127.0.0.1", port))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(&message)?;
            stream.read_exact(&mut answer)?;
            done += 1;
        }
        return Ok(Sample::rate(done, start.elapsed()));
    }
    let epoll = Epoll::new(EpollCreateFlags::empty())?;
    let begin = |slot: usize| -> Result<TcpStream> {
        // On loopback this is over at once, and the first bytes can follow.
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, slot as u64))?;
        stream.write_all(&message)?;
        Ok(stream)
    };
    let mut streams = (0..clients).map(begin).collect::<Result<Vec<_>>>()?;
    let mut events = vec![EpollEvent::empty(); clients];
    while start.elapsed() < time {
        let patience = EpollTimeout::try_from(PATIENCE)?;
        let count = epoll.wait(&mut events, patience)?;
        ensure!(count > 0, "no answer");
        for event in &events[..count] {
            let slot = usize::try_from(event.data())?;
            streams[slot].read_exact(&mut answer)?;
            streams[slot] = begin(slot)?;
            done += 1;
        }
    }
    Ok(Sample::rate(done, start.elapsed()))
}

/// 64 bytes from each of the connections, and again as soon as they are back. Answers a second.
pub fn chorus(streams: &mut [TcpStream], time: Duration) -> Result<Sample> {
    let message = [b'.'; 64];
    let mut answer = [0; 64];
    let epoll = Epoll::new(EpollCreateFlags::empty())?;
    for (slot, stream) in streams.iter_mut().enumerate() {
        epoll.add(&*stream, EpollEvent::new(EpollFlags::EPOLLIN, slot as u64))?;
    }
    let mut done = 0;
    let start = Instant::now();
    for stream in streams.iter_mut() {
        stream.write_all(&message)?;
    }
    let mut events = vec![EpollEvent::empty(); 1024];
    let mut waiting = streams.len();
    while waiting > 0 {
        let count = epoll.wait(&mut events, EpollTimeout::try_from(PATIENCE)?)?;
        ensure!(count > 0, "no answer");
        for event in &events[..count] {
            let stream = &mut streams[usize::try_from(event.data())?];
            stream.read_exact(&mut answer)?;
            done += 1;
            if start.elapsed() < time {
                stream.write_all(&message)?;
            } else {
                waiting -= 1;
            }
        }
    }
    Ok(Sample::rate(done, start.elapsed()))
}

/// Room for a batch of datagrams and where they came from.
pub struct Datagrams<A> {
    headers: MultiHeaders<A>,
    buffers: Vec<[u8; 2048]>,
    received: Vec<(usize, Option<A>)>,
}

impl<A: SockaddrLike + Copy> Datagrams<A> {
    pub fn new() -> Self {
        Self {
            headers: MultiHeaders::preallocate(BATCH, None),
            buffers: vec![[0; 2048]; BATCH],
            received: Vec::with_capacity(BATCH),
        }
    }

    /// Receives what is there, waiting for the first if `wait`; how many.
    pub fn receive(&mut self, socket: &UdpSocket, wait: bool) -> Result<usize> {
        let flags = if wait { MsgFlags::MSG_WAITFORONE } else { MsgFlags::MSG_DONTWAIT };
        self.received.clear();
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            self.buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        match recvmmsg(socket.as_raw_fd(), &mut self.headers, &mut slices, flags, None) {
            Ok(all) => self.received.extend(all.map(|one| (one.bytes, one.address))),
            Err(Errno::EAGAIN) => {}
            Err(e) => return Err(e.into()),
        }
        Ok(self.received.len())
    }

    /// Sends back what was received last.
    pub fn answer(&mut self, socket: &UdpSocket) -> Result<()> {
        let addresses: Vec<Option<A>> = self.received.iter().map(|one| one.1).collect();
        let slices: Vec<[IoSlice<'_>; 1]> = self
            .received
            .iter()
            .zip(&self.buffers)
            .map(|((length, _), buffer)| [IoSlice::new(&buffer[..*length])])
            .collect();
        let mut headers = MultiHeaders::preallocate(slices.len(), None);
        let fd = socket.as_raw_fd();
        sendmmsg(fd, &mut headers, &slices, addresses, [], MsgFlags::empty())?;
        Ok(())
    }
}

/// Sends these datagrams, at most [`BATCH`], on a connected socket; how many were taken.
pub fn send_batch(socket: &UdpSocket, datagrams: &[&[u8]]) -> Result<usize> {
    let slices: Vec<[IoSlice<'_>; 1]> = datagrams.iter().map(|one| [IoSlice::new(one)]).collect();
    let nowhere: Vec<Option<()>> = vec![None; slices.len()];
    let mut headers = MultiHeaders::preallocate(slices.len(), None);
    let fd = socket.as_raw_fd();
    let sent = sendmmsg(fd, &mut headers, &slices, nowhere, [], MsgFlags::empty());
    match sent {
        Ok(sent) => Ok(sent.count()),
        Err(Errno::EAGAIN | Errno::ENOBUFS) => Ok(0),
        Err(e) => Err(e.into()),
    }
}

/// Sends so many equal datagrams on a connected socket, cut by the kernel from one send, so that
/// the load costs little; how many were taken.
pub fn send_run(socket: &UdpSocket, datagram: &[u8], count: usize) -> Result<usize> {
    let pieces = vec![IoSlice::new(datagram); count];
    let size = u16::try_from(datagram.len())?;
    let cut = [ControlMessage::UdpGsoSegments(&size)];
    let fd = socket.as_raw_fd();
    match sendmsg::<()>(fd, &pieces, &cut, MsgFlags::empty(), None) {
        Ok(_) => Ok(count),
        Err(Errno::EAGAIN | Errno::ENOBUFS) => Ok(0),
        Err(e) => Err(e.into()),
    }
}

/// Reads what there is, without waiting; whether the peer has ended.
pub fn read_some(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<Option<usize>> {
    match stream.read(buffer) {
        Ok(0) => Ok(None),
        Ok(n) => Ok(Some(n)),
        Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(Some(0)),
        Err(e) => Err(e.into()),
    }
}

/// Connections are files: raises their limit.
pub fn raise_file_limit() {
    let hard = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(_, hard)| hard);
    // The superuser may have more than the limit, as a rule; otherwise what there is must do.
    let wanted = hard.max(150_000);
    if setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).is_err() {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// These numbers of connections, as far as the limit on files allows them.
pub fn allowed(counts: &[usize]) -> Vec<usize> {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    let most = usize::try_from(limit.saturating_sub(200)).unwrap_or(usize::MAX);
    let mut allowed: Vec<usize> = counts.iter().map(|&count| count.min(most)).collect();
    allowed.dedup();
    allowed
}
