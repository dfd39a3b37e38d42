//! The client's side of a handshake, driven on a connected socket.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::PollFlags;

use crate::auth::challenge::{Client, NoChallenge, Step};
use crate::exit::{Exit, Failure};
use crate::net::deadline::{Deadline, wait};
use crate::net::endpoint::Endpoint;
use crate::net::socket::Socket;
use crate::net::socket::would_block;

/// How long the answer has the connection to itself. A server that reads it with a plain
/// `recv(1024)`, as the notes' own does, would take payload behind it for a part of it.
const ALONE: Duration = Duration::from_millis(25);

/// Answers the server's challenge before `until`. Never reads beyond it.
pub fn answer(
    socket: &Socket,
    peer: &Endpoint,
    mut client: Client,
    until: Deadline,
) -> Result<(), Failure> {
    let refused =
        |why: NoChallenge, exit| Failure::new("authenticate to", peer, why.to_string(), exit);
    let mut buffer = [0; 64];
    loop {
        let wanted = client.wanted().min(buffer.len());
        match socket.recv(&mut buffer[..wanted]) {
            Ok(0) => return Err(refused(client.ended(), Exit::Broken)),
            Ok(n) => match client.feed(&buffer[..n]) {
                Step::More => {}
                Step::Answer(answer) => {
                    send(socket, peer, answer.as_bytes(), until)?;
                    // A word or an end of the server's says that it has read the answer.
                    let alone = Deadline::after(ALONE).min(until);
                    wait([(socket.as_fd(), PollFlags::POLLIN)], alone)
                        .map_err(|e| Failure::system("authenticate to", peer, &e))?;
                    return Ok(());
                }
                Step::Refused(why) => return Err(refused(why, Exit::Unproved)),
            },
            Err(e) if would_block(&e) => {
                if until.passed() {
                    return Err(refused(client.timed_out(), Exit::TimedOut));
                }
                wait([(socket.as_fd(), PollFlags::POLLIN)], until)
                    .map_err(|e| Failure::system("authenticate to", peer, &e))?;
            }
            Err(e) => return Err(Failure::system("authenticate to", peer, &e)),
        }
    }
}

fn send(
    socket: &Socket,
    peer: &Endpoint,
    mut bytes: &[u8],
    until: Deadline,
) -> Result<(), Failure> {
    let fail = |e| Failure::system("authenticate to", peer, &e);
    while !bytes.is_empty() {
        match socket.send(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(e) if would_block(&e) && !until.passed() => {
                wait([(socket.as_fd(), PollFlags::POLLOUT)], until).map_err(fail)?;
            }
            Err(e) => return Err(fail(e)),
        }
    }
    Ok(())
}
