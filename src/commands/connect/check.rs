//! `connect --check`: whether the ADDRESSes are open and, with `--tls`, trusted; once, until they are
//! (`--wait`), or again and again (`--count`).
//! `probe.rs` makes a single check, `workers.rs` has the threads, `report.rs` and `tries.rs` the results,
//! `verdict.rs` what one of them means.
//!
//! Over 300 lines: the story of a check in its two forms, once and with `--count`.

use std::io::BufWriter;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::Connect;
use super::probe::{AddressPorts, Probe};
use super::report::{Output, Report};
use super::tries::Tries;
use super::verdict::CheckOptions;
use super::workers::Workers;
use crate::console::event::Level;
use crate::console::talk::Talk;
use crate::exit::{Exit, Failure, quoted};
use crate::net::address::{Address, Target};
use crate::net::deadline::{DEADLINE_GRACE, Deadline};
use crate::net::quantity;
use crate::net::retry::Retry;
use crate::net::signal::{self, Deferred};
use crate::net::stdio::{BlockingStdio, Stdio};
use crate::roles::client::ClientArgs;
use crate::roles::client::open::Opener;
use crate::session::program::Program;

/// The pause between two tries of `--count`.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often at most a notice says what is waited for.
const NOTICE: Duration = Duration::from_millis(100);

/// Checks, reports, and executes the program behind `--` in our place if all is as it should be.
pub fn run(args: &Connect, talk: &Talk) -> Result<(), Failure> {
    check_flags(args)?;
    let client = &args.client;
    let targets = targets(client)?;
    let program = match &client.program {
        words if words.is_empty() => None,
        words => Some(Program::find(words.clone())?),
    };
    let deadline = client.socket.end();
    let opener = Opener::new(client, args.tls.options(false, deadline, talk)?)?;
    for targets in &targets {
        opener.tls(&targets[0].address)?;
    }
    let probe = Arc::new(Probe { opener, expires_within: args.expires_within });
    if let Some(count) = client.repeat.count {
        return repeat(probe, targets, count, client, deadline);
    }
    let options = CheckOptions {
        any: args.any,
        closed: args.closed,
        tls: args.tls.tls,
        waits: client.wait.is_some(),
        json: client.socket.talk.json,
        verbose: client.socket.talk.verbose,
        quiet: client.socket.talk.quiet,
    };
    // The program's stdout is its own.
    let out = match program {
        Some(_) => Output::Talk(talk.clone()),
        None => Output::Stdout(stdout()),
    };
    let mut report = Report::new(options, out);
    let addresses = targets.iter().map(|targets| expect(&mut report, targets)).collect();
    let retry = client.wait.map(|wait| Retry::new(wait, deadline));
    let workers = Workers::start(report, probe.split(addresses), move |workers, ports| {
        check_until_met(workers, ports, &probe, retry.clone(), deadline)
    })?;
    wait_for_answer(&workers, client.wait, talk)?;
    match program {
        Some(program) => {
            talk.flush();
            Err(program.exec())
        }
        None => Ok(()),
    }
}

/// Refuses flags that exclude each other.
fn check_flags(args: &Connect) -> Result<(), Failure> {
    let client = &args.client;
    let why = if client.repeat.count.is_some() && client.wait.is_some() {
        "--wait cannot be used with --count: --count N tries N times, open or not"
    } else if client.repeat.count.is_some() && !client.program.is_empty() {
        "--count cannot be used with a program behind --, which waits for one success"
    } else if client.reconnect.is_some() || client.nick.is_some() {
        "--reconnect and --nick are for a conversation: -z says nothing; --wait DUR tries again"
    } else if args.closed && client.proxy.is_some() {
        "--closed cannot be used with --proxy, which does not say whether a port is closed"
    } else if args.closed && args.tls.tls {
        "--closed cannot be used with --tls: what is closed speaks no TLS"
    } else if args.expires_within.is_some() && !args.tls.tls {
        "--expires-within needs --tls, which shows the certificate"
    } else {
        return Ok(());
    };
    Err(Failure::usage(why))
}

/// The targets of each ADDRESS, in the order written. HOST PORT is an ADDRESS only where it is the only
/// one: further words could be ports of the same host as well.
fn targets(args: &ClientArgs) -> Result<Vec<Vec<Target>>, Failure> {
    let (first, used) = Address::take_list(&args.address)?;
    let rest = &args.address[used..];
    if used == 2
        && let Some(extra) = rest.first()
    {
        let extra = quoted(extra);
        return Err(Failure::usage(format!(
            "unexpected word {extra} after HOST PORT; write each of several addresses as HOST:PORT"
        )));
    }
    let mut targets = vec![first];
    for word in rest {
        targets.push(Address::take_list(std::slice::from_ref(word))?.0);
    }
    let family = args.socket.family.family();
    for target in targets.iter_mut().flatten() {
        target.address.check_family(family)?;
        target.address = target.address.clone().resolve_default(family);
        if args.repeat.count.is_some() && target.range.is_some() {
            return Err(Failure::usage("--count tries single ports: 22,80, not a range"));
        }
    }
    Ok(targets)
}

fn stdout() -> BufWriter<BlockingStdio> {
    BufWriter::new(Stdio::output().waiting(Deadline::of_run()))
}

/// Makes the report expect the results of an ADDRESS: of each port, and of each range together.
fn expect(report: &mut Report, targets: &[Target]) -> AddressPorts {
    let mut all = AddressPorts::new();
    for ports in targets.chunk_by(|a, b| a.range.is_some() && a.range == b.range) {
        let addresses = ports.iter().map(|target| target.address.to_string()).collect();
        let first = report.expect(addresses, ports[0].range.is_some());
        all.extend((first..).zip(ports.iter().map(|target| target.address.clone())));
    }
    all
}

/// Waits until the answer is known, and for a moment for the first results of the others, which are likely
/// to be under way; then reports it. Notices say meanwhile what `--wait` waits for.
/// Signals are fatal.
fn wait_for_answer(
    workers: &Workers<Report>,
    wait: Option<Duration>,
    talk: &Talk,
) -> Result<(), Failure> {
    let limit = wait.filter(|_| talk.gives_notice(Level::Verbose)).map(quantity::shown);
    let mut last_notice = String::new();
    let mut due = Instant::now() + NOTICE;
    let mut end = Deadline::NEVER;
    let mut state = loop {
        let gives_notice = limit.is_some() && end == Deadline::NEVER;
        workers.wait(None, if gives_notice { Deadline::at(due) } else { end })?;
        let mut state = workers.lock();
        if let Some(failure) = state.failure.take() {
            return Err(failure);
        }
        if state.busy == 0 || end.passed() {
            break state;
        }
        if state.results.is_decided() {
            if state.results.is_complete() {
                break state;
            }
            end = end.min(Deadline::after(DEADLINE_GRACE));
            continue;
        }
        if let Some(limit) = &limit
            && due <= Instant::now()
        {
            due = Instant::now() + NOTICE;
            let pending = state.results.pending();
            if pending != last_notice {
                talk.notice(Level::Verbose, &format!("waiting up to {limit} for {pending}"));
                last_notice = pending;
            }
        }
    };
    let result = state.results.finish();
    for range in state.results.empty_ranges() {
        talk.notice(Level::Normal, &range);
    }
    Workers::stop(state);
    result
}

/// Checks an ADDRESS once; with `--wait` until its targets are as they should be, or it makes no sense
/// any more.
fn check_until_met(
    workers: &Workers<Report>,
    mut ports: AddressPorts,
    probe: &Probe,
    mut retry: Option<Retry>,
    deadline: Deadline,
) -> Result<(), Failure> {
    loop {
        let until = retry.as_mut().map_or(deadline, Retry::attempt);
        probe.check_each(&ports, until, |index, checked| {
            let is_late = checked.code == Errno::ETIMEDOUT as i32
                && retry.as_ref().is_some_and(Retry::is_over);
            let mut state = workers.lock();
            state.results.record(index, checked, is_late);
            if state.results.is_decided() {
                workers.waker.wake();
            }
        })?;
        let Some(retry) = &mut retry else {
            return Ok(());
        };
        let state = workers.lock();
        ports.retain(|(index, _)| state.results.needs(*index));
        drop(state);
        if !ports.is_empty() {
            sleep_until(retry.pause(Instant::now()));
        }
        if ports.is_empty() || retry.is_over() {
            return Ok(());
        }
    }
}

/// `--count`: a TCP ping.
fn repeat(
    probe: Arc<Probe>,
    targets: Vec<Vec<Target>>,
    count: u64,
    client: &ClientArgs,
    deadline: Deadline,
) -> Result<(), Failure> {
    let interval = client.repeat.interval.unwrap_or(INTERVAL);
    let mut addresses = Vec::new();
    let mut number = |Target { address, .. }: Target| {
        addresses.push(address.to_string());
        (addresses.len() - 1, address)
    };
    let number = |targets: Vec<_>| targets.into_iter().map(&mut number).collect();
    let ports = targets.into_iter().map(number).collect();
    let tries = Tries::new(&client.socket.talk, addresses, stdout());
    let signals = signal::defer();
    let workers = Workers::start(tries, probe.split(ports), move |workers, ports| {
        try_often(workers, &ports, &probe, count, interval, deadline)
    })?;
    let (mut state, signal) = loop {
        workers.wait(signals.as_ref(), Deadline::NEVER)?;
        let signal = signals.as_ref().and_then(Deferred::take);
        if signal.is_some() {
            // Another one ends us at once, even where stdout is not read.
            drop(signals);
            break (workers.lock(), signal);
        }
        let state = workers.lock();
        if state.busy == 0 || state.failure.is_some() || state.results.has_failed() {
            break (state, None);
        }
    };
    match (state.failure.take(), signal) {
        (Some(failure), _) if !failure.is_silent() => Err(failure),
        (failure, signal) => {
            let interrupted = signal.map(|signal| Failure::silent(Exit::of_signal(signal)));
            let result = state.results.finish(interrupted);
            Workers::stop(state);
            result.and(failure.map_or(Ok(()), Err))
        }
    }
}

/// Checks an ADDRESS so many times.
fn try_often(
    workers: &Workers<Tries>,
    ports: &AddressPorts,
    probe: &Probe,
    count: u64,
    interval: Duration,
    deadline: Deadline,
) -> Result<(), Failure> {
    let mut next = Instant::now();
    for _ in 0..count {
        sleep_until(deadline.instant().map_or(next, |end| end.min(next)));
        if deadline.passed() {
            return Err(Failure::silent(Exit::TimedOut));
        }
        probe.check_each(ports, deadline, |index, checked| {
            let mut state = workers.lock();
            state.results.record(index, &checked);
            if state.results.has_failed() {
                workers.waker.wake();
            }
        })?;
        next = (next + interval).max(Instant::now());
    }
    Ok(())
}

fn sleep_until(when: Instant) {
    thread::sleep(when.saturating_duration_since(Instant::now()));
}
