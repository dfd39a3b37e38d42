//! The room without a socket: bytes in whatever pieces, and what each member gets.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::net::line::{Lines, Overlong};
use crate::session::room::commands::{LINE, LIST, OPERATOR_HELP, READ};

/// Members with their line splitters, and everything each has got.
struct World {
    members: Members,
    incoming: BTreeMap<u64, Lines>,
    got: Got,
}

#[derive(Default)]
struct Got {
    here: BTreeSet<u64>,
    lines: BTreeMap<u64, String>,
    said: String,
    published: Vec<Record>,
    claims: Vec<(u64, String)>,
    waits_for_names: bool,
    closed: Vec<(u64, Reason)>,
    stopped: bool,
}

impl Output for Got {
    fn broadcast(&mut self, line: &[u8], except: &[Id]) {
        let line = std::str::from_utf8(line).unwrap();
        assert!(line.ends_with('\n') && line.matches('\n').count() == 1, "{line:?}");
        for number in &self.here {
            if except.iter().all(|id| id.number != *number) {
                self.lines.get_mut(number).unwrap().push_str(line);
            }
        }
    }

    fn broadcast_later(&mut self, line: &[u8], except: &[Id]) {
        self.broadcast(line, except);
    }

    fn send(&mut self, to: Id, lines: &[u8]) {
        self.lines.get_mut(&to.number).unwrap().push_str(std::str::from_utf8(lines).unwrap());
    }

    fn send_shared(&mut self, to: Id, lines: &Arc<[u8]>) {
        self.send(to, lines);
    }

    fn said(&mut self, _from: Option<Id>, name: &str, text: &[u8], line: &[u8]) {
        assert!(line.starts_with(b"<") || line.starts_with(b"* "));
        self.said.extend([name, ": ", &String::from_utf8_lossy(text), "\n"]);
    }

    fn is_slow(&self, _member: Id) -> bool {
        false
    }

    /// Members 1 and 2 have one address, 3 and 4 a key, 6 an IPv6 network, the others none.
    fn identity(&self, member: Id) -> Option<Identity> {
        match member.number {
            1 | 2 => Some(Identity::Address([192, 0, 2, 1].into())),
            3 | 4 => Some(Identity::Key("ann".into())),
            6 => Some(Identity::Address([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0].into())),
            _ => None,
        }
    }

    fn close(&mut self, member: Id, reason: Reason) {
        self.closed.push((member.number, reason));
    }

    fn stop(&mut self) {
        self.stopped = true;
    }

    fn publish(&mut self, record: &Record) {
        self.published.push(record.clone());
    }

    fn tell_server(&mut self, _server: &str, record: Record) -> bool {
        self.published.push(record);
        true
    }

    fn claim(&mut self, member: Id, name: &str, _is_wish: bool) -> bool {
        self.claims.push((member.number, name.into()));
        self.waits_for_names
    }

    fn member_left(&mut self, _member: Id) {}

    fn guest(&mut self) -> Option<u64> {
        None
    }
}

fn id(number: u64) -> Id {
    Id { number, slot: usize::try_from(number).unwrap() }
}

impl World {
    fn new(reserved: &[&str]) -> Self {
        let mut members = Members::new(false, Recall::new(3));
        members.reserve(reserved);
        let mut world = Self { members, incoming: BTreeMap::new(), got: Got::default() };
        world.enter(0);
        world
    }

    fn enter(&mut self, number: u64) {
        self.incoming.insert(number, Lines::new(READ, Overlong::Cut));
        self.got.here.insert(number);
        self.got.lines.insert(number, String::new());
    }

    fn join(&mut self, number: u64, key: Option<&str>) {
        self.enter(number);
        self.members.join(id(number), key, &mut self.got);
    }

    fn leave(&mut self, number: u64) {
        self.got.here.remove(&number);
        self.members.leave(id(number), &mut self.got);
    }

    fn send(&mut self, number: u64, mut bytes: &[u8]) {
        let lines = self.incoming.get_mut(&number).expect("only who is here can say something");
        let from = if number == 0 { OPERATOR } else { id(number) };
        while let Some(line) = lines.next(&mut bytes) {
            self.members.receive(from, &line, &mut self.got);
        }
    }

    /// What a member has got since the last time.
    fn got(&mut self, number: u64) -> String {
        std::mem::take(self.got.lines.get_mut(&number).unwrap())
    }

    /// A world with members 1 and 2, who know of each other.
    fn of_two() -> Self {
        let mut world = Self::new(&[]);
        world.join(1, None);
        world.join(2, None);
        for number in 0..3 {
            world.got(number);
        }
        world
    }

    /// What member 1 gets for a line of its own.
    fn answer(&mut self, line: &str) -> String {
        self.got(1);
        self.send(1, format!("{line}\n").as_bytes());
        self.got(1)
    }
}

#[test]
fn lines_go_to_all_but_their_sender() {
    let mut world = World::of_two();
    world.send(1, b"hello\r\n//slash\n\n");
    world.send(0, b"good morning\n");
    assert_eq!(world.got(0), "<guest1> hello\n<guest1> /slash\n<guest1> \n");
    assert_eq!(world.got(1), "<server> good morning\n");
    assert_eq!(world.got(2), "<guest1> hello\n<guest1> /slash\n<guest1> \n<server> good morning\n");
}

#[test]
fn commands_do_what_help_says() {
    let mut world = World::of_two();
    world.send(1, b"/me waves\n/MSG Guest2 for you\n/msg server and you\n");
    assert_eq!(world.got(0), "* guest1 waves\n[guest1] and you\n");
    assert_eq!(world.got(2), "* guest1 waves\n[guest1] for you\n");
    assert_eq!(world.got(1), "");
    assert_eq!(world.answer("/who"), "-- 3 here: server guest1 guest2\n");
    assert_eq!(world.answer("/help"), HELP);
    world.send(0, b"/help\n");
    assert_eq!(world.got(0), [HELP, OPERATOR_HELP].concat());
    world.send(1, b"/quit\nnot said any more\n");
    assert_eq!(world.got.closed, [(1, Reason::Eof)]);
    assert_eq!(world.got(2), "");
    world.leave(1);
    assert_eq!(world.got(2), "-- guest1 left\n");
    world.send(0, b"/quit\n");
    assert!(world.got.stopped);
}

#[test]
fn a_mistake_is_answered_to_its_sender_alone() {
    let mut world = World::of_two();
    for (line, answer) in [
        ("/nosuch x", "! no command 'nosuch'; /help lists them\n"),
        ("/", "! no command ''; /help lists them\n"),
        ("/me", "! /me TEXT\n"),
        ("/msg guest2", "! @NAME TEXT, or /msg NAME TEXT\n"),
        ("@guest2", "! @NAME TEXT, or /msg NAME TEXT\n"),
        ("@ann a secret", "! no 'ann' here; /who lists all\n"),
        ("/reply", "! /reply TEXT\n"),
        ("/reply hi", "! no private message has come to reply to\n"),
        ("/ignore", "! /ignore NAME; you ignore no member\n"),
        ("/ignore guest1", "! that is you\n"),
        ("/ignore ann", "! no 'ann' here; /who lists all\n"),
        ("/ban guest2", "! only the server can ban\n"),
        ("/msg ann hi", "! no 'ann' here; /who lists all\n"),
        ("/kick guest2", "! only the server can kick\n"),
        ("/nick", "! /nick NAME: 1 to 32 characters\n"),
        ("/nick a b", "! 'a b': letters, digits, _ - . only\n"),
        ("/nick \x1b[2J", "! '\\x1b[2J': letters, digits, _ - . only\n"),
        ("/nick SERVER", "! SERVER is taken\n"),
        ("/nick GUEST2", "! GUEST2 is taken\n"),
        ("/nick guest1", "! you are guest1\n"),
    ] {
        assert_eq!(world.answer(line), answer, "{line:?}");
    }
    assert_eq!(world.got(2) + &world.got(0), "");
}

#[test]
fn a_new_name_is_told_to_all_and_the_old_one_is_free() {
    let mut world = World::of_two();
    assert_eq!(world.answer("/nick Ann"), "-- guest1 is now Ann\n");
    assert_eq!(world.answer("/nick ANN"), "-- Ann is now ANN\n");
    assert_eq!(world.got(2), "-- guest1 is now Ann\n-- Ann is now ANN\n");
    world.send(2, b"/nick ann\n/nick guest1\n");
    assert_eq!(world.got(2), "! ann is taken\n-- guest2 is now guest1\n");
}

#[test]
fn the_operator_throws_out() {
    let mut world = World::of_two();
    world.send(0, b"/kick zoe\n/kick server\n/kick \n/kick GUEST2\n");
    assert_eq!(
        world.got(0),
        "! no 'zoe' here; /who lists all\n! that is you; /quit ends the room\n! /kick NAME\n"
    );
    assert_eq!(world.got(2), "! kicked\n");
    assert_eq!(world.got.closed, [(2, Reason::Kicked)]);
    world.send(2, b"one last word\n");
    assert_eq!(world.got(1), "");
}

#[test]
fn the_operator_bans_a_key_or_else_an_address() {
    let mut world = World::of_two();
    world.send(0, b"/ban guest1\n/ban server\n/ban\n");
    assert_eq!(
        world.got(0),
        "-- 192.0.2.1 is banned until the server ends\n! that is you; /quit ends the room\n! /ban NAME\n"
    );
    assert_eq!(world.got.closed, [(1, Reason::Kicked), (2, Reason::Kicked)]);
    assert_eq!(world.got(2), "! you are banned\n");
    world.leave(1);
    world.join(1, None);
    assert_eq!(world.got(1), "! you are banned\n");
    world.send(1, b"one last word\n");
    world.join(3, Some("ann"));
    world.got(0);
    world.send(0, b"/ban ann\n");
    world.leave(3);
    world.join(4, Some("ann"));
    assert_eq!(world.got(4), "! you are banned\n");
    world.join(5, None);
    world.got(0);
    world.send(0, b"/ban guest5\n");
    assert_eq!(world.got(0), "! guest5 has no key and no address to ban\n");
    world.join(6, None);
    world.got(0);
    world.send(0, b"/ban guest6\n");
    assert_eq!(world.got(0), "-- 2001:db8::/64 is banned until the server ends\n");
}

#[test]
fn a_newcomer_is_greeted_and_recalls_what_was_said_to_all() {
    let mut world = World::of_two();
    for number in 1..5 {
        world.send(1, format!("{number}\n/msg guest2 secret\n@guest2 secret\n").as_bytes());
    }
    world.join(3, None);
    let got = world.got(3);
    let lines: Vec<&str> = got.lines().collect();
    assert_eq!(
        lines[0],
        "-- you are guest3; here: server, guest1, guest2; /help lists the commands"
    );
    let said: Vec<&str> = lines[1..4].iter().map(|line| &line["-- 00:00:00 ".len()..]).collect();
    assert_eq!(said, ["<guest1> 2", "<guest1> 3", "<guest1> 4"]);
    assert_eq!(lines[4..], ["-- guest3 joined"]);
    assert_eq!(world.got.said, "guest1: 1\nguest1: 2\nguest1: 3\nguest1: 4\n");
    (4..20).for_each(|number| world.join(number, None));
    let greeting = world.got(19);
    let wanted = "-- you are guest19; here: server, guest1, guest2, guest3, guest4, guest5, guest6, guest7, \
                  guest8, guest9 and 9 more; /help lists the commands\n";
    assert!(greeting.starts_with(wanted), "{greeting}");
}

#[test]
fn a_private_line_is_replied_to() {
    let mut world = World::of_two();
    world.send(1, b"@guest2 psst\n@ all\n");
    world.send(2, b"/nick Bob\n/reply what?\n");
    assert_eq!(world.got(2), "[guest1] psst\n<guest1> @ all\n-- guest2 is now Bob\n");
    assert_eq!(world.got(1), "-- guest2 is now Bob\n[Bob] what?\n");
    assert_eq!(world.answer("/reply nothing"), "");
    assert_eq!(world.got(2), "[guest1] nothing\n");
    world.leave(2);
    assert_eq!(world.answer("/reply hello?"), "! Bob has left: not sent\n");
}

#[test]
fn a_private_line_of_another_server_comes_to_that_very_member_or_is_refused() {
    let mut world = World::of_two();
    let private = |to_name: &str| {
        let (name, to_name) = ("carl".into(), to_name.into());
        Record::Private { member: 7, name, to: 1, to_name, text: b"secret".into() }
    };
    let carl = |name: &str| Record::Named { member: 7, name: name.into() };
    world.members.apply("s", carl("zoe"), &mut world.got);
    world.members.apply("s", carl("carl"), &mut world.got);
    world.send(1, b"/nick eve\n");
    world.got(1);
    world.members.apply("s", private("ann"), &mut world.got); // as it was called by then
    assert_eq!(world.got(1), "[carl] secret\n");
    world.leave(1);
    world.send(2, b"/nick ann\n");
    world.got(2);
    world.got.published.clear();
    world.members.apply("s", private("ann"), &mut world.got);
    let refused = Record::Refused { member: 7, name: "ann".into(), why: b"has left".into() };
    assert_eq!(world.got(2), "");
    assert_eq!(world.got.published, std::slice::from_ref(&refused));
    let refused = Record::Refused { member: 2, name: "carl".into(), why: b"has left".into() };
    world.members.apply("s", refused, &mut world.got);
    assert_eq!(world.got(2), "! carl has left: not sent\n");
    world.got(0);
    world.send(0, b"/ban carl\n");
    assert_eq!(world.got(0), "! carl is on another server: only its operator can ban carl\n");
}

#[test]
fn a_member_wishes_for_one_name_at_a_time() {
    let mut world = World::of_two();
    world.got.waits_for_names = true;
    assert_eq!(world.answer("/nick eve"), "");
    assert_eq!(world.answer("/nick zoe"), "! wait for the answer to /nick eve\n");
    world.members.claimed(1, "eve", Some("éve"), &mut world.got);
    assert_eq!(world.answer("/nick zoe"), "");
    world.members.claimed(1, "zoe", None, &mut world.got);
    assert_eq!(world.answer("/nick eve"), "");
    assert_eq!(world.got.claims.last(), Some(&(1, "eve".into())));
}

#[test]
fn one_who_is_ignored_is_not_heard_by_that_member_alone() {
    let mut world = World::of_two();
    let hidden = "-- what guest2 says is hidden; /ignore guest2 shows it again\n";
    assert_eq!(world.answer("/ignore GUEST2"), hidden);
    assert_eq!(world.answer("/ignore"), "-- you ignore guest2\n");
    world.send(2, b"spam\n/me spams\n@guest1 spam\n/nick Bob\n");
    assert_eq!(world.got(0), "<guest2> spam\n* guest2 spams\n-- guest2 is now Bob\n");
    assert_eq!(world.got(1), "-- guest2 is now Bob\n");
    assert_eq!(world.got(2), "! guest1 ignores you: not sent\n-- guest2 is now Bob\n");
    assert_eq!(world.answer("/ignore bob"), "-- what Bob says is shown again\n");
    world.send(2, b"sorry\n");
    assert_eq!(world.got(1), "<Bob> sorry\n");
}

#[test]
fn a_quiet_member_gets_no_joins_and_leaves() {
    let mut world = World::of_two();
    assert_eq!(world.answer("/quiet"), "-- joins and leaves are hidden; /quiet shows them again\n");
    world.join(3, None);
    world.leave(3);
    assert_eq!(
        (world.got(1), world.got(2)),
        (String::new(), "-- guest3 joined\n-- guest3 left\n".into())
    );
    assert_eq!(world.answer("/quiet"), "-- joins and leaves are shown again\n");
    world.join(4, None);
    assert_eq!(world.got(1), "-- guest4 joined\n");
}

#[test]
fn the_name_of_a_key_is_reserved_and_stays() {
    let mut world = World::new(&["ann", "bob"]);
    world.join(1, None);
    assert_eq!(world.answer("/nick Bob"), "! Bob is taken\n");
    for number in 2..5 {
        world.join(number, Some("ann"));
    }
    assert_eq!(world.answer("/who"), "-- 5 here: server guest1 ann ann~2 ann~3\n");
    world.got(2);
    world.send(2, b"/nick else\n");
    assert_eq!(world.got(2), "! ann is the name of your key: it cannot be changed\n");
    assert_eq!(world.answer("/nick ann~4"), "! 'ann~4': letters, digits, _ - . only\n");
    world.leave(3);
    world.join(5, Some("ann"));
    world.join(6, Some("ann"));
    assert_eq!(world.answer("/who"), "-- 6 here: server guest1 ann ann~3 ann~2 ann~4\n");
}

#[test]
fn a_guest_whose_name_is_taken_gets_a_number() {
    let mut world = World::of_two();
    world.send(1, b"/nick guest3\n");
    world.join(3, None);
    assert_eq!(world.answer("/who"), "-- 4 here: server guest3 guest2 guest3~2\n");
}

#[test]
fn lines_are_sanitized_and_cut() {
    let mut world = World::of_two();
    world.send(1, "a\x1b[2J\u{202e}\tb\n".as_bytes());
    assert_eq!(world.got(2), "<guest1> a\\x1b[2J\\u{202e}\tb\n");
    for long in [vec![b'x'; 3 * LINE], vec![0xff; 3 * LINE], "é".repeat(2 * LINE).into()] {
        world.send(1, &long);
        world.send(1, b"\n");
        let got = world.got(2);
        assert!((LINE - 4..=LINE).contains(&(got.len() - "<guest1> \n".len())), "{}", got.len());
        assert_eq!(world.got(1), "! line cut at 64 KiB\n");
    }
    // The text counts, not the command and the line end.
    let longest = "x".repeat(LINE);
    for (line, start) in [("", "<guest1> "), ("/me ", "* guest1 "), ("/msg guest2 ", "[guest1] ")] {
        world.send(1, format!("{line}{longest}\r\n").as_bytes());
        assert_eq!(world.got(2), format!("{start}{longest}\n"));
        assert_eq!(world.got(1), "");
        assert_eq!(world.answer(&format!("{line}{longest}x")), "! line cut at 64 KiB\n");
        world.got(2);
    }
}

#[test]
fn a_long_list_comes_in_several_lines() {
    let mut world = World::new(&[]);
    (1..=1000).for_each(|number| world.join(number, None));
    let list = world.answer("/who");
    assert!(list.lines().count() > 5 && list.lines().all(|line| line.len() < LIST + 50));
    let mut words = list.split_whitespace().filter(|word| word.starts_with("guest"));
    assert!((1..=1000).all(|number| words.next() == Some(&format!("guest{number}"))));
}

/// What can happen in a room. A member is one of those who are in, by a number of any size.
#[derive(Clone, Debug)]
enum Step {
    Join,
    Leave(usize),
    /// It writes this line; nothing of it has arrived yet.
    Write(usize, String),
    /// Some of what it wrote arrives.
    Arrive(usize, prop::sample::Index),
    /// It ignores the other, or no longer does; or itself, which is refused.
    Ignore(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let line = prop_oneof![
        4 => "#[a-zé /~<>-]{0,8}",
        1 => "/nick [abAB]{1,2}",
        1 => "/(who|quiet|nosuch)",
        2 => "(@|/msg )[ab]{1,2} secret",
        1 => "/reply secret",
    ];
    prop_oneof![
        2 => Just(Step::Join),
        1 => any::<usize>().prop_map(Step::Leave),
        6 => (any::<usize>(), line).prop_map(|(who, line)| Step::Write(who, line)),
        9 => any::<(usize, prop::sample::Index)>().prop_map(|(who, n)| Step::Arrive(who, n)),
        2 => any::<(usize, usize)>().prop_map(|(who, of)| Step::Ignore(who, of)),
    ]
}

proptest! {
    /// Every other member that does not ignore the sender gets each line once, in the order they arrived,
    /// whichever member comes, goes or changes its name and however the bytes are split; no two have the
    /// same name. What is for one alone is never said to all.
    #[test]
    fn everyone_else_gets_each_line_once_and_in_order(
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let mut world = World::new(&[]);
        let mut here: Vec<u64> = vec![0];
        // What each wrote that has not arrived, and what of a line has.
        let mut written: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let mut arrived: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let mut wanted: BTreeMap<u64, String> = BTreeMap::new();
        let mut ignored: BTreeSet<[u64; 2]> = BTreeSet::new();
        for (serial, step) in steps.into_iter().enumerate() {
            match step {
                Step::Join => {
                    let number = serial as u64 + 1;
                    world.join(number, None);
                    here.push(number);
                }
                Step::Leave(who) => {
                    let number = here[who % here.len()];
                    if number != 0 {
                        world.leave(number);
                        here.retain(|&one| one != number);
                        ignored.retain(|pair| !pair.contains(&number));
                    }
                }
                Step::Write(who, line) => {
                    let line = format!("{line}{serial}\r\n");
                    let written = written.entry(here[who % here.len()]).or_default();
                    written.extend(line.bytes());
                }
                Step::Arrive(who, n) => {
                    let number = here[who % here.len()];
                    let written = written.entry(number).or_default();
                    let rest = written.split_off(n.index(written.len() + 1));
                    let bytes = std::mem::replace(written, rest);
                    let arrived = arrived.entry(number).or_default();
                    arrived.extend_from_slice(&bytes);
                    while let Some(end) = arrived.iter().position(|&byte| byte == b'\n') {
                        let line: Vec<u8> = arrived.drain(..=end).collect();
                        let line = String::from_utf8(line).unwrap().replace('\r', "");
                        for &other in here.iter().filter(|&&other| other != number) {
                            if line.starts_with('#') && !ignored.contains(&[other, number]) {
                                wanted.entry(other).or_default().push_str(&line);
                            }
                        }
                    }
                    world.send(number, &bytes);
                }
                Step::Ignore(who, of) => {
                    let pair = [here[who % here.len()], here[of % here.len()]];
                    let [who, of] = pair.map(|number| if number == 0 { OPERATOR } else { id(number) });
                    let line = format!("/ignore {}", world.members.all[&of].name);
                    world.members.receive(who, line.as_bytes(), &mut world.got);
                    if who != of && !ignored.remove(&pair) {
                        ignored.insert(pair);
                    }
                }
            }
            let keys: BTreeSet<String> = world.members.all.values().map(|member| names::caseless(&member.name)).collect();
            prop_assert_eq!(keys.len(), here.len());
        }
        prop_assert!(!world.got.said.contains("secret"));
        prop_assert_eq!(world.members.all.values().map(|member| member.ignored.len()).sum::<usize>(), ignored.len());
        for (number, got) in &world.got.lines {
            let said = got.lines().filter(|line| !line.starts_with("-- ")).filter_map(|line| line.split_once("> #"));
            let said: Vec<String> = said.map(|(_, text)| format!("#{text}")).collect();
            let wanted = wanted.remove(number).unwrap_or_default();
            prop_assert_eq!(said, wanted.lines().collect::<Vec<_>>());
        }
    }
}
