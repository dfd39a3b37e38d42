//! The client's side of a handshake, driven on a connected socket.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::PollFlags;

use crate::exit::{Exit, Failure};
use crate::net::codec::Codec;
use crate::net::deadline::{Deadline, wait};
use crate::net::endpoint::Endpoint;
use crate::net::handshake::{Handshake, Progress, Refusal};
use crate::net::socket::Socket;
use crate::net::socket::would_block;

/// How long the answer has the connection to itself. A server that reads it with a plain
/// `recv(1024)`, as the notes' own does, would take payload behind it for a part of it.
const ALONE: Duration = Duration::from_millis(25);

/// Proves to the server that we hold the key, before `until`; what the connection goes on with.
/// Never reads beyond the handshake.
pub fn prove(
    socket: &Socket,
    peer: &Endpoint,
    machine: &mut dyn Handshake,
    until: Deadline,
) -> Result<Option<Box<dyn Codec>>, Failure> {
    let fail = |e| Failure::system("authenticate to", peer, &e);
    let refused = |why: Refusal| Failure::new("authenticate to", peer, why.reason, why.exit);
    send(socket, &machine.greeting(), until).map_err(fail)?;
    let mut buffer = [0; 512];
    let mut reply = Vec::new();
    loop {
        let wanted = machine.wanted().min(buffer.len());
        let count = match socket.recv(&mut buffer[..wanted]) {
            Ok(0) => return Err(refused(machine.on_eof())),
            Ok(count) => count,
            Err(e) if would_block(&e) => {
                if until.passed() {
                    return Err(refused(machine.on_timeout()));
                }
                wait([(socket.as_fd(), PollFlags::POLLIN)], until).map_err(fail)?;
                continue;
            }
            // The verdict may have come before the reset.
            Err(e) => match machine.on_eof() {
                why if why.exit == Exit::NotAuthenticated => return Err(refused(why)),
                _ => return Err(fail(e)),
            },
        };
        let progress = machine.feed(&buffer[..count], &mut reply);
        let farewell = match &progress {
            Progress::Refused(why) => why.farewell,
            _ => b"",
        };
        send(socket, &reply, until).map_err(fail)?;
        send(socket, farewell, until).map_err(fail)?;
        match progress {
            Progress::More => {}
            Progress::Refused(why) => return Err(refused(why)),
            Progress::Done(outcome) => {
                if outcome.codec.is_none() {
                    // A word or an end of the server's says that it has read the answer.
                    let alone = Deadline::after(ALONE).min(until);
                    wait([(socket.as_fd(), PollFlags::POLLIN)], alone).map_err(fail)?;
                }
                return Ok(outcome.codec);
            }
        }
        reply.clear();
    }
}

fn send(socket: &Socket, mut bytes: &[u8], until: Deadline) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match socket.send(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(e) if would_block(&e) && !until.passed() => {
                wait([(socket.as_fd(), PollFlags::POLLOUT)], until)?;
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
