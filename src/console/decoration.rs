//! Decoration of lines at a terminal: the time, a mark, colours, the bell. Each kind of line has a form of its
//! own, too: nothing rests on colour alone.
//!
//! | line                                | with colour                    | rings the bell          |
//! |-------------------------------------|--------------------------------|-------------------------|
//! | `<NAME> text`, `* NAME text`        | the name in its own            | no                      |
//! | the same with our name in the text  | bold, the name reversed        | yes                     |
//! | `[NAME] text`                       | bold: it is for us alone       | yes                     |
//! | `-- NAME joined` and other notices  | dim                            | no                      |
//! | `! text`                            | red                            | no                      |
//! | any other                           | none                           | yes: a one-to-one chat  |
//!
//! These are the lines of a room, and of `serve`, whose clients are `[1]`, `[2]` …; a peer that
//! imitates them gains only a colour, or loses the mark. Names seen are added to what Tab completes.

use std::env;
use std::time::{Duration, Instant};

use super::completion::Words;

/// The bell rings once in this time.
const BELL_INTERVAL: Duration = Duration::from_secs(1);
/// Colours of names, of the 16 that every terminal has: SGR codes, see `console_codes(4)`. Red is for errors;
/// what is readable on dark and on light is the terminal's choice.
const COLORS: [&str; 5] = ["32", "33", "34", "35", "36"];

/// What a line is to a person, beside lines of conversations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Something failed.
    Error,
    /// Something that may be meant otherwise.
    Warning,
    /// What happened.
    Notice,
    /// What must not be overlooked, and is no failure.
    Plain,
}

impl Tone {
    /// The text in the colour of its tone.
    pub fn paint(self, text: &str) -> String {
        match self {
            Self::Error => paint("31", text),
            Self::Warning => paint("35", text),
            Self::Notice => paint("2", text),
            Self::Plain => text.into(),
        }
    }
}

/// The text in this rendition (SGR).
fn paint(code: &str, text: &str) -> String {
    format!("\x1b[{code}m{text}\x1b[m")
}

/// Whether output to a terminal is coloured where no flag says so: not with `NO_COLOR`
/// (<https://no-color.org>), nor where `TERM` is `dumb`.
pub fn has_color() -> bool {
    let is_set = |name| env::var_os(name).filter(|value| !value.is_empty());
    is_set("TERM").is_none_or(|term| term != "dumb") && is_set("NO_COLOR").is_none()
}

/// Stands before a line that came, as `>>> ` before one that is typed.
const MARK: &str = "<<< ";

/// Begins the report of a line that was typed in vain.
pub const NOT_SENT: &str = "not sent: ";

/// The commands of a room's member; completed once the greeting shows that we are in a room.
pub const COMMANDS: [&str; 9] =
    ["/help", "/ignore", "/me", "/msg", "/nick", "/quiet", "/quit", "/reply", "/who"];

/// How lines are decorated.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each can be switched on alone")]
pub struct Style {
    /// `--timestamps`: the local time before each line.
    pub timestamps: bool,
    /// `--bell`: when a line is for us.
    pub bell: bool,
    /// `--color`: of names.
    pub color: bool,
    /// Lines of a peer that is no room are marked: they could be taken for lines of ours.
    pub marks: bool,
    /// `[ID] text` is what a client of `serve` says to all that it can: none is more private than another.
    pub numbers: bool,
}

/// Decorates lines by what they look like, wherever they come from.
pub struct Decoration {
    style: Style,
    words: Words,
    /// Our name, as far as it is known.
    me: Option<String>,
    rang: Option<Instant>,
}

/// The kinds of lines.
enum Shape<'a> {
    /// `name` said `text`; `head` is what stands before the name.
    Said {
        head: &'a str,
        name: &'a str,
        text: &'a str,
        private: bool,
    },
    Notice(&'a str),
    Error,
    Other,
}

impl Decoration {
    /// Decorates in this style: names that come along are added to `words`. `me` is our name in a
    /// room; where it is not known yet, the greeting has it.
    pub fn new(style: Style, words: Words, me: Option<&str>) -> Self {
        Self { style, words, me: me.map(Into::into), rang: None }
    }

    /// Appends the line, which has no newline and is sanitized, to `out` with a newline.
    pub fn line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let text = str::from_utf8(line).unwrap_or_default();
        let shape = shape(text);
        let addressed = match &shape {
            Shape::Said { text, private, name, .. } => {
                self.words.add(name);
                *private || self.me.as_deref().is_some_and(|me| mentions(text, me))
            }
            Shape::Notice(notice) => {
                self.learn(notice);
                false
            }
            Shape::Error => false,
            Shape::Other => true,
        };
        out.extend_from_slice(self.stamp().as_bytes());
        if self.style.marks && self.me.is_none() {
            let mark = if self.style.color { paint("2", MARK) } else { MARK.into() };
            out.extend_from_slice(mark.as_bytes());
        }
        match shape {
            Shape::Other => out.extend_from_slice(line),
            _ if !self.style.color => out.extend_from_slice(line),
            Shape::Said { head, name, private, .. } => {
                let rest = &text[head.len() + name.len()..];
                let color = color_of(name);
                let is_private = private && !self.style.numbers;
                let painted = match (addressed && !self.style.numbers, is_private) {
                    (false, _) => format!("{head}{}{rest}", paint(color, name)),
                    (true, true) => format!("\x1b[1m{head}\x1b[{color}m{name}\x1b[39m{rest}\x1b[m"),
                    (true, false) => {
                        format!("\x1b[1m{head}\x1b[7;{color}m{name}\x1b[27;39m{rest}\x1b[m")
                    }
                };
                out.extend_from_slice(painted.as_bytes());
            }
            Shape::Notice(_) => out.extend_from_slice(Tone::Notice.paint(text).as_bytes()),
            Shape::Error => out.extend_from_slice(Tone::Error.paint(text).as_bytes()),
        }
        if addressed
            && self.style.bell
            && self.rang.is_none_or(|rang| rang.elapsed() >= BELL_INTERVAL)
        {
            self.rang = Some(Instant::now());
            out.push(b'\x07');
        }
        out.push(b'\n');
    }

    /// A line of ours, which is sanitized, with a newline.
    pub fn note(&self, line: &str) -> String {
        let tone = match shape(line) {
            Shape::Error => Tone::Error,
            _ if line.starts_with(NOT_SENT) => Tone::Plain,
            _ => Tone::Notice,
        };
        let shown = if self.style.color { tone.paint(line) } else { line.into() };
        self.stamp() + &shown + "\n"
    }

    /// What `--timestamps` puts before a line.
    fn stamp(&self) -> String {
        if self.style.timestamps { stamp(self.style.color) } else { String::new() }
    }

    /// Our name, as far as it is known.
    pub fn me(&self) -> Option<&str> {
        self.me.as_deref()
    }

    /// Updates the names of members, and ours, from a notice.
    fn learn(&mut self, notice: &str) {
        let greeting = notice.strip_prefix("you are ").and_then(|rest| rest.split_once("; here: "));
        if let Some((me, rest)) = greeting {
            let here = rest.split(';').next().unwrap_or_default().split(", ");
            for name in here.filter_map(|name| name.split(' ').next()).chain([me]).chain(COMMANDS) {
                self.words.add(name);
            }
            self.me = Some(me.into());
            return;
        }
        match notice.split(' ').collect::<Vec<_>>()[..] {
            [name, "joined"] => self.words.add(name),
            [name, "left"] => self.words.remove(name),
            [old, "is", "now", new] => {
                self.words.remove(old);
                self.words.add(new);
                if self.me.as_deref() == Some(old) {
                    self.me = Some(new.into());
                }
            }
            _ => {}
        }
    }
}

/// The local time, as it stands before a line.
pub fn stamp(color: bool) -> String {
    let time = jiff::ZonedDateTime::now().strftime("%H:%M:%S");
    if color { paint("2", &time.to_string()) + " " } else { format!("{time} ") }
}

fn shape(line: &str) -> Shape<'_> {
    if let Some(notice) = line.strip_prefix("-- ") {
        return Shape::Notice(notice);
    }
    if line.starts_with("! ") {
        return Shape::Error;
    }
    [("<", "> "), ("[", "] "), ("* ", " ")]
        .into_iter()
        .find_map(|(head, end)| {
            let (name, text) = line.strip_prefix(head)?.split_once(end)?;
            let named = !name.is_empty() && !name.contains(char::is_whitespace);
            named.then_some(Shape::Said { head, name, text, private: head == "[" })
        })
        .unwrap_or(Shape::Other)
}

/// Whether `name` stands in `text` as a word, in whatever case.
fn mentions(text: &str, name: &str) -> bool {
    let (text, name) = (text.to_lowercase(), name.to_lowercase());
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    !name.is_empty()
        && text.match_indices(&name).any(|(at, found)| {
            !text[..at].chars().next_back().is_some_and(inside)
                && !text[at + found.len()..].chars().next().is_some_and(inside)
        })
}

/// The colour of a name: the same on every screen, and another one for its neighbours in number.
fn color_of(name: &str) -> &'static str {
    let sum: usize = name.to_lowercase().bytes().map(usize::from).sum();
    COLORS[sum % COLORS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoration(style: Style, me: Option<&str>) -> (Decoration, Words) {
        let words = Words::default();
        (Decoration::new(style, words.clone(), me), words)
    }

    fn shown(decoration: &mut Decoration, line: &str) -> String {
        let mut out = Vec::new();
        decoration.line(line.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_plain_style_adds_nothing_but_the_newline() {
        let (mut plain, _) = decoration(Style::default(), None);
        for line in ["", "hi", "<ann> hi", "[ann] hi", "* ann waves", "-- ann left", "! no"] {
            assert_eq!(shown(&mut plain, line), format!("{line}\n"));
        }
        let mut out = Vec::new();
        plain.line(b"<ann> \xff", &mut out);
        assert_eq!(out, b"<ann> \xff\n");
    }

    #[test]
    fn a_name_has_its_colour_and_the_text_has_none() {
        let style = Style { color: true, ..Style::default() };
        let (mut colored, _) = decoration(style, None);
        let code = |line: &str, before: &str| {
            let rest = line.strip_prefix(before).and_then(|rest| rest.strip_prefix("\x1b["));
            rest.and_then(|rest| rest.split_once('m')).unwrap().0.to_string()
        };
        let said = shown(&mut colored, "<ann> <bob> hi");
        let color = code(&said, "<");
        assert_eq!(said, format!("<\x1b[{color}mann\x1b[m> <bob> hi\n"));
        for (line, head) in [("<ANN> hi", "<"), ("* Ann waves", "* ")] {
            assert_eq!(code(&shown(&mut colored, line), head), color, "{line}");
        }
        for line in ["<> hi", "<a b> hi", "<ann>hi", "hi"] {
            assert_eq!(shown(&mut colored, line), format!("{line}\n"));
        }
    }

    #[test]
    fn each_kind_of_line_has_its_rendition() {
        let style = Style { color: true, ..Style::default() };
        let (mut colored, _) = decoration(style, Some("ann"));
        for (line, wanted) in [
            ("-- bob joined", "\x1b[2m-- bob joined\x1b[m"),
            ("! no bob", "\x1b[31m! no bob\x1b[m"),
            ("<b> hi", "<\x1b[35mb\x1b[m> hi"),
            ("<b> hi Ann", "\x1b[1m<\x1b[7;35mb\x1b[27;39m> hi Ann\x1b[m"),
            ("* b pokes ann", "\x1b[1m* \x1b[7;35mb\x1b[27;39m pokes ann\x1b[m"),
            ("[b] psst", "\x1b[1m[\x1b[35mb\x1b[39m] psst\x1b[m"),
        ] {
            assert_eq!(shown(&mut colored, line), format!("{wanted}\n"));
        }
        for (line, wanted) in [
            ("connected to x", "\x1b[2mconnected to x\x1b[m\n"),
            ("! no such command", "\x1b[31m! no such command\x1b[m\n"),
            ("not sent: hi", "not sent: hi\n"),
        ] {
            assert_eq!(colored.note(line), wanted);
        }
        let numbers = Style { numbers: true, ..style };
        let (mut server, _) = decoration(numbers, None);
        assert_eq!(shown(&mut server, "[3] hi"), format!("[{}] hi\n", paint(color_of("3"), "3")));
        let (mut marked, _) = decoration(Style { marks: true, ..style }, None);
        assert_eq!(shown(&mut marked, "hi"), "\x1b[2m<<< \x1b[mhi\n");
    }

    #[test]
    fn the_greeting_of_a_room_says_who_we_are_and_who_is_here() {
        let style = Style { bell: true, marks: true, ..Style::default() };
        for (line, here) in [
            ("-- you are me; here: server, ann; /help lists the commands", ["server ", "ann "]),
            ("-- you are me; here: server, ann and 90 more; /help lists them", ["server ", "ann "]),
        ] {
            let (mut decoration, words) = decoration(style, None);
            assert_eq!(shown(&mut decoration, line), format!("{line}\n"));
            shown(&mut decoration, "-- me joined");
            for name in here {
                assert_eq!(words.complete(&name[..2], 2).1, [name]);
            }
            assert_eq!(words.complete("9", 1).1, [""; 0]);
            assert!(shown(&mut decoration, "<ann> hello me").ends_with("\x07\n"));
            // Another connection, another name.
            shown(&mut decoration, "-- you are you; here: ann; /help lists the commands");
            assert!(!shown(&mut decoration, "<ann> hello me").contains("<<<"));
        }
    }

    #[test]
    fn the_bell_rings_for_what_is_said_to_us() {
        let style = Style { bell: true, ..Style::default() };
        let rings = |me: Option<&str>, line: &str| {
            let (mut decoration, _) = decoration(style, me);
            shown(&mut decoration, line).ends_with("\x07\n")
        };
        for line in ["<bob> ann: hi", "<bob> hi @Ann", "* bob pokes ann", "[bob] psst", "plain"] {
            assert!(rings(Some("ann"), line), "{line}");
        }
        for line in ["<bob> hi", "<bob> joanna", "<ann> hi", "-- ann joined", "! no ann"] {
            assert!(!rings(Some("ann"), line), "{line}");
        }
        assert!(!rings(None, "<bob> ann"));
        let (mut decoration, _) = decoration(style, None);
        assert!(shown(&mut decoration, "one").ends_with("\x07\n"));
        assert!(!shown(&mut decoration, "two").contains('\x07'), "a flood rings once");
    }

    #[test]
    fn notices_tell_who_is_there_and_who_we_are() {
        let style = Style { bell: true, ..Style::default() };
        let (mut decoration, words) = decoration(style, None);
        let complete = |begun: &str| words.complete(begun, begun.len()).1;
        shown(
            &mut decoration,
            "-- you are guest2; here: server, Bob and 7 more; /help lists the commands",
        );
        shown(&mut decoration, "-- 12:00:00 <server> guest9 joined");
        shown(&mut decoration, "-- guest3 joined");
        assert_eq!(complete("g"), ["guest2 ", "guest3 "]);
        assert_eq!(complete("/m"), ["/me ", "/msg "]);
        let completed = ["s", "b", "1"].map(complete);
        assert_eq!(completed.concat(), ["server ", "Bob "]);
        shown(&mut decoration, "-- guest2 is now Ann");
        shown(&mut decoration, "-- guest3 left");
        assert_eq!((complete("g"), complete("a")), (vec![], vec!["Ann ".to_string()]));
        assert!(shown(&mut decoration, "<bob> hello ann").ends_with("\x07\n"));
        assert_eq!(complete("bo"), ["Bob ", "bob "]);
    }

    #[test]
    fn the_time_stands_first() {
        let style = Style { timestamps: true, ..Style::default() };
        let (mut stamped, _) = decoration(style, None);
        let line = shown(&mut stamped, "<ann> hi");
        let (time, rest) = line.split_once(' ').unwrap();
        let digits = time.bytes().filter(u8::is_ascii_digit).count();
        assert_eq!((time.len(), digits, rest), (8, 6, "<ann> hi\n"));
    }
}
