//! The room beside `ncat --chat` and `ncat --broker`: fan-out, joining, memory.

use std::time::{Duration, Instant};

use crate::Options;
use crate::load::Crowd;
use crate::peer::{Server, is_installed};
use crate::report::{Samples, Table, round};

const SOCKCTL: &[&str] = &[
    env!("CARGO_BIN_EXE_sockctl"),
    "serve",
    "--room",
    "-q",
    "-m",
    "100000",
    "127.0.0.1:{port}",
];
const CHAT: &[&str] = &["ncat", "-l", "--chat", "-m", "1000", "127.0.0.1", "{port}"];
const BROKER: &[&str] = &[
    "ncat",
    "-l",
    "--broker",
    "-m",
    "1000",
    "127.0.0.1",
    "{port}",
];

/// ncat waits with select(2): descriptors end at 1024.
const NCAT_MEMBERS: usize = 900;

pub fn run(options: &Options) {
    let mut programs = vec![SOCKCTL];
    if is_installed("ncat") {
        programs.extend([CHAT, BROKER]);
    } else {
        eprintln!("ncat is not installed: sockctl alone");
    }
    fan_out(options, &programs);
    joins(options, &programs);
    idle(options, &programs);
}

/// Lines of 64 bytes from one member, delivered to all others: in a second of time, and in a
/// second of the server's processor, which other work on the machine does not change.
fn fan_out(options: &Options, programs: &[&[&str]]) {
    let columns = [
        "sockctl",
        "ncat --chat",
        "ncat --broker",
        "to chat",
        "to broker",
    ];
    let mut walls = Table::new(&[&["lines delivered a second"], &columns[..]].concat());
    let mut cpus = Table::new(&[&["lines delivered a processor second"], &columns[..]].concat());
    for &members in &options.members {
        for &lines in &options.lines {
            let mut samples: Vec<[Samples; 2]> = programs
                .iter()
                .map(|_| [Samples::new(), Samples::new()])
                .collect();
            for _ in 0..options.rounds {
                for (program, [wall, cpu]) in programs.iter().zip(&mut samples) {
                    let (by_wall, by_cpu) = delivered(program, members, lines);
                    wall.add(by_wall);
                    cpu.add(by_cpu);
                }
            }
            for (index, table) in [&mut walls, &mut cpus].into_iter().enumerate() {
                let of = |program: &[Samples; 2]| program[index].median();
                let mut cells = vec![format!("{members} members, {lines} lines")];
                cells.extend(samples.iter().map(|program| program[index].shown()));
                let others = samples[1..].iter();
                cells.extend(others.map(|other| format!("{:.2}", of(&samples[0]) / of(other))));
                table.row(&cells);
            }
        }
    }
    walls.print();
    cpus.print();
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn delivered(program: &[&str], members: usize, lines: usize) -> (f64, f64) {
    let server = Server::start(program);
    let mut crowd = gather(&server, members);
    let before = crowd.bytes.clone();
    crowd.counts_lines = false;
    let text = format!("{}\n", "x".repeat(63)).repeat(lines);
    // sockctl names the sender in every line, `ncat --chat` once for all that it reads at a time.
    let name = if program == SOCKCTL {
        "<guest1> ".len()
    } else {
        0
    };
    let wanted = text.len() + lines * name;
    let (start, cpu) = (Instant::now(), server.cpu());
    crowd.exchange(0, text.as_bytes(), |crowd| {
        // From the end: who is served last has it last.
        (1..members)
            .rev()
            .all(|member| crowd.bytes[member] - before[member] >= wanted)
    });
    let (wall, cpu) = (start.elapsed(), server.cpu().saturating_sub(cpu));
    let delivered = (lines * (members - 1)) as f64;
    (
        delivered / wall.as_secs_f64(),
        delivered / cpu.as_secs_f64(),
    )
}

/// Members who have heard all that is said about their joining.
fn gather(server: &Server, members: usize) -> Crowd {
    let mut crowd = Crowd::new();
    for _ in 0..members {
        crowd.connect(server.port);
    }
    let broker = Duration::from_millis(100);
    loop {
        let before = crowd.lines.clone();
        crowd.read_for(broker);
        if crowd.lines == before {
            return crowd;
        }
    }
}

/// Clients that connect one after the other until the first has heard of them all.
fn joins(options: &Options, programs: &[&[&str]]) {
    let mut table = Table::new(&["joins a second", "sockctl", "ncat --chat", "to chat"]);
    let programs = &programs[..programs.len().min(2)];
    let mut samples: Vec<Samples> = programs.iter().map(|_| Samples::new()).collect();
    for _ in 0..options.rounds {
        for (program, samples) in programs.iter().zip(&mut samples) {
            samples.add(joined(program, NCAT_MEMBERS));
        }
    }
    let mut cells = vec![format!("{NCAT_MEMBERS} members")];
    cells.extend(samples.iter().map(Samples::shown));
    let ratio = |other: &Samples| format!("{:.1}", samples[0].median() / other.median());
    cells.extend(samples[1..].iter().map(ratio));
    table.row(&cells);
    let many = joined(SOCKCTL, options.idle);
    table.row(&[format!("{} members", options.idle), round(many)]);
    table.print();
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn joined(program: &[&str], members: usize) -> f64 {
    let server = Server::start(program);
    let mut crowd = Crowd::new();
    let start = Instant::now();
    for _ in 0..members {
        crowd.connect(server.port);
    }
    crowd.read_until(|crowd| crowd.lines[0] >= members && crowd.lines[members - 1] >= 1);
    members as f64 / start.elapsed().as_secs_f64()
}

/// What members cost who say nothing, and what they do to those who talk.
fn idle(options: &Options, programs: &[&[&str]]) {
    let mut table = Table::new(&[
        "idle members",
        "bytes each (Pss)",
        "threads",
        "one line to all, each member",
        "a whisper and its answer",
    ]);
    for (program, members) in [
        (SOCKCTL, 10),
        (SOCKCTL, NCAT_MEMBERS),
        (SOCKCTL, options.idle),
        (CHAT, 10),
        (CHAT, NCAT_MEMBERS),
    ] {
        if programs.contains(&program) {
            table.row(&cost(program, members, options.rounds));
        }
    }
    table.print();
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn cost(program: &[&str], members: usize, rounds: usize) -> [String; 5] {
    let server = Server::start(program);
    let empty = server.memory();
    let mut crowd = gather(&server, members);
    let each = server.memory().saturating_sub(empty) / members as u64;
    let (mut to_all, mut whisper) = (Samples::new(), Samples::new());
    for _ in 0..rounds * 10 {
        let before = crowd.lines.clone();
        let start = Instant::now();
        crowd.exchange(0, b"hello\n", |now| {
            (1..members)
                .rev()
                .all(|member| now.lines[member] > before[member])
        });
        to_all.add(start.elapsed().as_secs_f64() * 1e6 / (members - 1) as f64);
        if program == SOCKCTL {
            let before = crowd.lines[1];
            let start = Instant::now();
            crowd.exchange(0, b"/msg guest2 psst\n", |now| now.lines[1] > before);
            let before = crowd.lines[0];
            crowd.exchange(1, b"/msg guest1 psst\n", |now| now.lines[0] > before);
            whisper.add(start.elapsed().as_secs_f64() * 1e6);
        }
    }
    let name = if program == SOCKCTL {
        "sockctl"
    } else {
        "ncat --chat"
    };
    [
        format!("{name}, {members}"),
        each.to_string(),
        server.threads().to_string(),
        format!("{} µs", to_all.shown()),
        if program == SOCKCTL {
            format!("{} µs", whisper.shown())
        } else {
            "–".into()
        },
    ]
}
