//! The README stays true: every `console` block is run in a shell, and must print what it shows.
//!
//! A line after `$ ` is a command, one after `> ` goes on with it; the lines below are what it
//! prints on stdout and stderr, where `…` stands for anything. Behind a command that ends in `&`
//! the block goes on once it has printed as many lines as are shown. The ports 8520 to 8529 are
//! replaced by free ones, so that nothing is in the way. A block that opens with
//! ```` ```console needs PROGRAM ```` is run where the tests with other programs are.

use std::fmt::Write as _;
use std::path::Path;

use crate::run::{
    BINARY, Folder, Program, REFUSED, free_port, is_like, program, sockctl, with_ports,
};

const README: &str = include_str!("../README.md");

/// One command, and the lines it is shown to print.
struct Step {
    command: String,
    shown: Vec<String>,
}

/// The blocks that open like this, each with the line it begins at.
fn blocks(opening: &str) -> Vec<(usize, Vec<Step>)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, Vec<Step>)> = None;
    for (number, line) in README.lines().enumerate() {
        match &mut open {
            None if line == opening => open = Some((number + 1, Vec::new())),
            None => {}
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some((_, steps)) => match (line.strip_prefix("$ "), line.strip_prefix("> ")) {
                (Some(command), _) => {
                    steps.push(Step { command: command.into(), shown: Vec::new() });
                }
                (_, Some(more)) if steps.last().is_some_and(|step| step.shown.is_empty()) => {
                    let step = steps.last_mut().unwrap();
                    write!(step.command, "\n{more}").unwrap();
                }
                _ => steps
                    .last_mut()
                    .unwrap_or_else(|| panic!("line {}: output before a command", number + 1))
                    .shown
                    .push(line.into()),
            },
        }
    }
    assert!(open.is_none(), "a block without an end");
    blocks
}

/// A shell script that runs the commands and writes what each prints to `0`, `1`, `2`, …
fn script(steps: &[Step]) -> String {
    let mut script = String::from("status=0\n");
    for (index, Step { command, shown }) in steps.iter().enumerate() {
        match command.strip_suffix(" &") {
            Some(command) => write!(
                script,
                ": >{index}; >{index} 2>&1 </dev/null {command} &\n\
                 for ((turn = 0; turn < 3000; turn++)); do\n\
                 [ \"$(wc -l <{index})\" -ge {} ] && break; sleep 0.01\n\
                 done\nstatus=0\n",
                shown.len()
            ),
            None => write!(
                script,
                "{{ (exit $status)\n{command}\n}} >{index} 2>&1 </dev/null; status=$?\n"
            ),
        }
        .unwrap();
    }
    script + "kill $(jobs -p) 2>/dev/null; wait\nexit 0\n"
}

/// Replaces the README's ports by free ones.
fn with_free_ports(mut steps: Vec<Step>) -> Vec<Step> {
    let free: Vec<u16> = (0..10).map(|_| free_port()).collect();
    let port = |known: u16| free[usize::from(known - 8520)];
    for step in &mut steps {
        step.command = with_ports(&step.command, port);
        for line in &mut step.shown {
            *line = with_ports(line, port);
        }
    }
    steps
}

/// A program with sockctl in its PATH.
fn beside_sockctl(name: &str, words: &[&str]) -> Program {
    let (binary, path) = (Path::new(BINARY).parent().unwrap(), std::env::var("PATH").unwrap());
    let path = format!("{}:{path}", binary.display());
    words.iter().fold(program(name, ""), Program::arg).env("PATH", path)
}

#[test]
fn every_console_block_prints_what_it_shows() {
    let blocks = blocks("```console");
    assert!(blocks.len() > 5, "only {} blocks found", blocks.len());
    print_what_they_show(blocks);
}

#[test]
#[ignore = "needs redis-server"]
fn blocks_with_a_redis_print_what_they_show() {
    let blocks = blocks("```console needs redis-server");
    assert_eq!(blocks.len(), 1);
    print_what_they_show(blocks);
}

/// A health check, as a container is asked: 0 is healthy, all else is not.
#[test]
fn the_health_check_is_one() {
    let (_, rest) = README.split_once("```dockerfile\nHEALTHCHECK ").unwrap();
    let words = rest.lines().next().unwrap().split_once(" CMD ").unwrap().1;
    let server = sockctl("serve 0 --when '^PING\r\n' '+PONG\\r\\n'").start();
    let port = server.port();
    let words: Vec<String> = serde_json::from_str(&with_ports(words, |_| port)).unwrap();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let check = || beside_sockctl(words[0], &words[1..]).run();
    check().is(0, "+PONG\r\n", "");
    server.stops("", "");
    check().fails(3, format!("connect to 127.0.0.1:{port}: {REFUSED}"));
}

fn print_what_they_show(blocks: Vec<(usize, Vec<Step>)>) {
    for (line, steps) in blocks {
        let steps = with_free_ports(steps);
        let folder = Folder::new();
        beside_sockctl("bash", &["-c", &script(&steps)]).within(&folder).run().is(0, "", "");
        for (index, step) in steps.iter().enumerate() {
            let bytes = std::fs::read(folder.path().join(index.to_string())).unwrap();
            let printed = String::from_utf8_lossy(&bytes);
            let mut lines: Vec<&str> = printed.lines().collect();
            if step.command.ends_with('&') {
                lines.truncate(step.shown.len()); // it went on meanwhile
            }
            assert!(
                is_like(&step.shown.join("\n"), &lines.join("\n")),
                "README.md, block at line {line}: $ {}\nshown:\n{}\nprinted:\n{printed}",
                step.command,
                step.shown.join("\n")
            );
        }
    }
}

/// The rows of the exit-status table are those of `exit.rs`, as the help tells them.
#[test]
fn the_exit_statuses_are_those_of_the_help() {
    let help = sockctl("--help").run().output();
    for code in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] {
        assert!(README.contains(&format!("| {code} | ")), "README: no row {code}");
        assert!(help.contains(&format!("{code} ")), "help: no status {code}");
    }
    assert!(README.contains("| 130, 141, 143 | "));
}
