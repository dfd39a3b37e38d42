//! A client that carries out a script instead of reading stdin: a smoke test in one command.

use std::time::{Duration, Instant};

use super::{ClientArgs, Talked};
use crate::console::event::{Event, Reason};
use crate::console::talk::Talk;
use crate::exit::{self, Exit, Failure};
use crate::net::dial::timed_out;
use crate::net::endpoint::Endpoint;
use crate::net::pump::{End, Ended, Rules};
use crate::net::quantity;
use crate::net::signal;
use crate::net::socket::Socket;
use crate::roles::judge;
use crate::session::script::Script;
use crate::session::script::drive::{self, Over};

/// Carries out the steps on the command line.
pub fn run(
    args: &ClientArgs,
    socket: &Socket,
    peer: &Endpoint,
    rules: Rules,
    talk: &Talk,
) -> Talked {
    let signals = signal::defer();
    let began = Instant::now();
    let mut script = Script::new(args.steps.0.clone());
    let patience = args.socket.timeout;
    let (received, sent, over) =
        drive::run(socket, &mut script, rules, patience, signals.as_ref(), talk);
    let by_peer = matches!(over, Over::Ended(End::Eof | End::Broken(_)));
    let unmet = unmet(&script, &over, patience, peer);
    if let (Some((pattern, _)), Some(_)) = (script.pending(), &unmet) {
        talk.say(&Event::expected(pattern, None));
    }
    let (reason, result) = match over {
        Over::Done => (Reason::Eof, Ok(())),
        Over::Late => (Reason::Error, Err(late(&script, sent, patience, peer))),
        Over::Ended(end) => {
            let ended = Ended { received, sent, end };
            judge(ended, "connection to", peer)
        }
    };
    talk.say(&Event::Closed {
        id: 1,
        peer,
        received: Some(received),
        sent: Some(sent),
        seconds: began.elapsed().as_secs_f64(),
        reason,
        left: false,
    });
    let result = unmet.map_or(result, Err);
    Talked { received, result, by_peer }
}

/// The failure of an expectation that was pending when the peer, or the time for it, ended; what
/// is our own trouble is none.
fn unmet(script: &Script, over: &Over, patience: Duration, peer: &Endpoint) -> Option<Failure> {
    let (_, named) = script.pending()?;
    let cause = match over {
        Over::Late => format!("not within {} (-w)", quantity::shown(patience)),
        Over::Ended(End::Eof) => "the peer closed the connection".into(),
        Over::Ended(End::Broken(e)) => exit::cause(e),
        Over::Ended(End::Idle) => "nothing was said for too long (-i)".into(),
        Over::Ended(End::Deadline) => "the deadline has passed (--deadline)".into(),
        Over::Ended(End::Limit) => "as much came as --max-bytes allows".into(),
        Over::Done | Over::Ended(_) => return None,
    };
    let cause = format!("{cause}; {}", script.account());
    let target = format!("{named} {peer}");
    Some(Failure::new("expect", target, cause, Exit::Expectation))
}

/// The failure of a peer that took nothing, or answered nothing, for too long.
fn late(script: &Script, sent: u64, patience: Duration, peer: &Endpoint) -> Failure {
    let patience = quantity::shown(patience);
    if script.is_done() {
        timed_out("answer from", peer).hint(&format!("nothing came within {patience} (-w)"))
    } else {
        timed_out("send to", peer)
            .hint(&format!("nothing more was taken within {patience} (-w), after {sent} bytes"))
    }
}
