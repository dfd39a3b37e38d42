//! Every step of a script against every kind of peer, in both roles: the exit status and the line.

#![expect(
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    reason = "all behaviours are called alike"
)]

use std::fmt::Display;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::run::{Folder, RESET, TIMED_OUT, is_like, peer, read_to_either, reset, sockctl};

/// The other end of a connection: what it does, and what it still holds open after that.
type Behaviour = fn(TcpStream) -> Option<TcpStream>;

/// Ends its side at once and reads to the end.
fn ends(stream: TcpStream) -> Option<TcpStream> {
    stream.shutdown(Shutdown::Write).unwrap();
    read_to_either(&stream);
    None
}

/// Resets at once.
fn resets(stream: TcpStream) -> Option<TcpStream> {
    reset(stream);
    None
}

/// Reads everything, says nothing, stays.
fn is_silent(stream: TcpStream) -> Option<TcpStream> {
    read_to_either(&stream);
    Some(stream)
}

/// Reads nothing, says nothing, stays.
fn is_deaf(stream: TcpStream) -> Option<TcpStream> {
    Some(stream)
}

/// Reads, and sends without a pause until the other side ends.
fn floods(stream: TcpStream) -> Option<TcpStream> {
    let (is_over, lines) = (AtomicBool::new(false), b"y\n".repeat(32 << 10));
    thread::scope(|scope| {
        scope.spawn(|| {
            read_to_either(&stream);
            is_over.store(true, Ordering::Relaxed);
        });
        while !is_over.load(Ordering::Relaxed) {
            if (&stream).write_all(&lines).is_err() {
                break;
            }
        }
    });
    None
}

const BEHAVIOURS: [(&str, Behaviour); 5] = [
    ("ends", ends),
    ("resets", resets),
    ("is silent", is_silent),
    ("is deaf", is_deaf),
    ("floods", floods),
];

/// What comes of a step.
#[derive(Clone, Copy)]
enum Outcome {
    /// 0, and nothing is said.
    Done,
    /// 7: the peer reset the connection.
    Reset,
    /// All was sent and there is no answer: 4 for a client; a server has nothing to wait for.
    NoAnswer,
    /// 4: what is sent is not taken.
    Stuck,
    /// 8, and why.
    Unmet(&'static str),
}
use Outcome::{Done, NoAnswer, Reset, Stuck, Unmet};

/// Against a peer that ends, resets, is silent, is deaf, floods.
const STEPS: [(&str, [Outcome; 5]); 11] = [
    ("--send x", [Done, Reset, NoAnswer, NoAnswer, Done]),
    ("--send-hex 78", [Done, Reset, NoAnswer, NoAnswer, Done]),
    ("--rate 10 --send xy", [Done, Reset, NoAnswer, NoAnswer, Done]),
    ("--send BIG", [Done, Reset, NoAnswer, Stuck, Done]),
    ("--expect z", [ENDED, RESET_8, LATE, LATE, LATE_IN_A_FLOOD]),
    ("--expect-eof", [Done, RESET_8, LATE, LATE, LATE_IN_A_FLOOD]),
    ("--pause .2", [Done, Reset, NoAnswer, NoAnswer, Done]),
    ("--pause .5 --reset", [Done, Reset, Done, Done, Done]),
    ("--send x --expect z", [ENDED, RESET_8, LATE, LATE, LATE_IN_A_FLOOD]),
    ("--send BIG --expect z", [ENDED, RESET_8, LATE, Stuck, LATE_IN_A_FLOOD]),
    ("--expect-eof --send x", [Done, RESET_8, LATE, LATE, LATE_IN_A_FLOOD]),
];
const ENDED: Outcome = Unmet("the peer closed the connection; nothing received");
const RESET_8: Outcome = Unmet("RESET; nothing received");
const LATE: Outcome = Unmet("not within 2s (-w); nothing received");
const LATE_IN_A_FLOOD: Outcome = Unmet("not within 2s (-w); received … bytes: …");

impl Outcome {
    /// The exit status and stderr of a client, or of a server.
    fn shown(self, steps: &str, is_client: bool, peer: impl Display) -> (i32, String) {
        let place = if is_client { "connection to" } else { "connection from" };
        let (code, line) = match self {
            Done => return (0, String::new()),
            NoAnswer if !is_client => return (0, String::new()),
            Reset => (7, format!("{place} {peer}: {RESET}")),
            NoAnswer => (4, format!("answer from {peer}: {TIMED_OUT}; no reply within 2s (-w)")),
            Stuck => {
                let how = "the peer read nothing for 2s (-w), after … bytes";
                (4, format!("send to {peer}: {TIMED_OUT}; {how}"))
            }
            Unmet(cause) => {
                let what = if steps.contains("--expect-eof") { "the end of" } else { "'z' from" };
                (8, format!("expect {what} {peer}: {}", cause.replace("RESET", RESET)))
            }
        };
        (code, format!("sockctl: {line}\n"))
    }
}

/// Takes a client, or a server with `--once`, through these steps; its status and stderr, and the
/// address of the peer.
fn meet(steps: &str, is_client: bool, behaviour: Behaviour) -> (i32, String, String) {
    if is_client {
        let peer = peer(behaviour);
        let done = sockctl(format!("connect {peer} -w 2 {steps}")).run();
        let name = peer.to_string();
        peer.done();
        return (done.code, done.stderr, name);
    }
    let server = sockctl(format!("serve 0 -w 2 --once {steps}")).start();
    let client = server.connect();
    let name = client.local_addr().unwrap().to_string();
    let peer = thread::spawn(move || behaviour(client));
    let done = server.finish();
    peer.join().unwrap();
    (done.code, done.stderr.split_once('\n').unwrap().1.into(), name)
}

#[test]
fn every_step_with_every_peer_in_both_roles() {
    let folder = Folder::new();
    let big = format!("@{}", folder.file("big", vec![0; 20 << 20]));
    thread::scope(|scope| {
        for (steps, outcomes) in STEPS {
            let words = steps.replace("BIG", &big);
            for is_client in [true, false] {
                let words = words.clone();
                scope.spawn(move || {
                    for ((kind, behaviour), outcome) in BEHAVIOURS.into_iter().zip(outcomes) {
                        let (code, said, peer) = meet(&words, is_client, behaviour);
                        let wanted = outcome.shown(steps, is_client, peer);
                        assert!(
                            code == wanted.0 && is_like(&wanted.1, &said),
                            "{steps}, client: {is_client}, a peer that {kind}\n   got: {code} \
                             {said:?}\nwanted: {wanted:?}"
                        );
                    }
                });
            }
        }
    });
}
