//! What users of nc (OpenBSD's, GNU's, the traditional one), ncat, socat, tcpserver, wait-for-it and its
//! relatives, tcping, spiped and stunnel type from memory: it is rewritten where it means the same here, else
//! refused with the way it is done here.
//!
//! Over 300 lines: half of it is tables.

use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;

use clap::{Arg, ArgMatches, Command};

use crate::exit::{quoted, shortened};
use crate::net::address::Address;

/// Commands, by name.
type Names = &'static [&'static str];

const ANY: Names = &[];
const SERVE: Names = &["serve", "auth-serve"];
const CONNECT: Names = &["connect", "auth-connect"];
const LISTEN: Names = &["serve", "auth-serve", "udp-serve"];
const PROGRAMS: Names = &["serve", "auth-serve", "udp-serve", "connect", "auth-connect"];
const WITH_TLS: Names = &["connect", "serve"];
const UDP: Names = &["udp-serve", "udp-send"];
const UDP_SEND: Names = &["udp-send"];
const UDP_SERVE: Names = &["udp-serve"];

const PROXIES: &str = "sockctl connect has --proxy socks5://HOST:PORT and --proxy http://HOST:PORT";
const TLS: &str = "TLS is spoken by sockctl connect --tls and sockctl serve --tls";
const STARTTLS: &str = "the steps before --starttls say which protocol it is: --expect '^220 .*\\n' \
    --send 'STARTTLS\\r\\n' --expect '^220 .*\\n' --starttls";
/// What openssl's `-starttls` takes, but for names that hosts have.
const STARTTLS_PROTOCOLS: &str = "smtp lmtp pop3 imap ftp xmpp xmpp-server postgres nntp sieve";
const RELAY: &str = "a relay is sockctl serve ADDRESS --to TARGET";
const UDP_RELAY: &str = "a relay of datagrams is sockctl udp-serve ADDRESS --to TARGET";
const STDIO: &str = "stdin and stdout are used by themselves";
const PROTOCOLS: &str = "TCP, UDP and UNIX sockets are all that is spoken";

/// Flags, the commands for which the row holds, and how it is done here. The first row counts that
/// holds; flags that a command has do not get here.
const FLAGS: &[(&str, Names, &str)] = &[
    ("-l --listen", LISTEN, "it listens by itself"),
    ("-l --listen", UDP_SEND, "use sockctl udp-serve"),
    ("-l --listen", ANY, "use sockctl serve"),
    ("-u --udp", UDP, "it is UDP already"),
    ("-u --udp", ANY, "use sockctl udp-send --talk or sockctl udp-serve --talk"),
    ("-k --keep-open", LISTEN, "it keeps going by itself"),
    ("-k --keep-open", ANY, "sockctl serve keeps going by itself"),
    ("-e --exec", PROGRAMS, "write -- PROGRAM ARGS behind the address"),
    ("-e --exec", ANY, "programs are run by sockctl serve ADDRESS -- PROGRAM ARGS"),
    ("-c --sh-exec", LISTEN, "use --sh COMMAND; the limit of connections is -m N"),
    ("-c", &["connect"], "to check N times use -z --count N; a command is -- sh -c COMMAND"),
    ("-c --sh-exec", CONNECT, "write -- sh -c COMMAND behind the address"),
    ("-c --sh-exec", ANY, "commands are run by sockctl serve ADDRESS --sh COMMAND"),
    ("--lua-exec", ANY, "scripts are run by sockctl serve ADDRESS -- PROGRAM ARGS"),
    ("-N --close", ANY, "it is the default: the end of stdin is passed on"),
    ("-U --unixsock", ANY, "write unix:PATH as the address"),
    ("-X -P --proxy --proxy-type --proxy-auth", UDP, "datagrams go through no proxy"),
    ("-X --proxy-type", ANY, PROXIES),
    ("-P --proxy-auth", ANY, "use --proxy http://USER@HOST:PORT and SOCKCTL_PROXY_PASSWORD"),
    ("--proxy-dns", ANY, "the proxy resolves the name"),
    ("-d", CONNECT, "to leave stdin alone use --recv-only; to be told more use -v"),
    ("-d", ANY, "to leave stdin alone write </dev/null; to be told more use -v"),
    ("-D", ANY, "use -o SO_DEBUG; to send without delay use -o TCP_NODELAY"),
    ("--delay --rate --cut --wait", UDP_SERVE, "it is for streams: sockctl serve --to TARGET"),
    ("--latency --jitter", SERVE, "with --to TARGET use --delay DUR"),
    ("--delay --interval", ANY, "a delay between reads and writes is not available"),
    ("-b", SERVE, "use --backlog N"),
    ("-b", UDP_SEND, "use --broadcast"),
    ("-b", ANY, "sockctl udp-send has --broadcast"),
    ("-r -R --randomize", ANY, "the system chooses ports; a dump is --hex FILE"),
    ("-I", ANY, "use -o SO_RCVBUF=SIZE"),
    ("-O", ANY, "use -o SO_SNDBUF=SIZE"),
    ("-M", UDP_SEND, "use --ttl N"),
    ("-M", ANY, "use -o IP_TTL=N, or -o IPV6_UNICAST_HOPS=N"),
    ("-m", ANY, "use -o IP_MINTTL=N"),
    ("-T", ANY, "use -o IP_TOS=N; an idle timeout is -i DUR"),
    ("-t", CONNECT, "to retry use --wait DUR, to await the rest --linger DUR"),
    ("-t", SERVE, "to relay use --to TARGET; Telnet is not spoken"),
    ("-t --telnet", ANY, "Telnet is not spoken"),
    ("--retry --forever", CONNECT, "use --wait DUR, or --reconnect to come back each time"),
    ("--tcp", UDP, "use sockctl connect or sockctl serve"),
    ("--tcp", ANY, "it is TCP already"),
    ("-S", ANY, "TCP MD5 signatures are not available"),
    ("-F", ANY, "passing a socket on is not available"),
    ("-V --version", ANY, "write sockctl --version; to choose a route use -o SO_MARK=N"),
    ("-W", UDP_SERVE, "use --count N"),
    ("-W", UDP_SEND, "use --reply=N"),
    ("-W", ANY, "use --max-bytes SIZE"),
    ("-L", ANY, "a relay is sockctl serve ADDRESS --to TARGET; for a lock use flock(1)"),
    (
        "--tunnel --tunnel-port --tunnel-source",
        SERVE,
        "use --to TARGET, and -s ADDR for its source",
    ),
    ("--tunnel --tunnel-port --tunnel-source", ANY, RELAY),
    ("--target --forward --upstream --backend --connect", LISTEN, "use --to TARGET"),
    (
        "--tls-pin --tls-insecure --tls-name",
        SERVE,
        "it is for connect; for --to tls:HOST:PORT use --to-tls-pin PIN",
    ),
    (
        "--key-file",
        &["serve"],
        "it is for auth-serve; for --to auth:HOST:PORT use --to-key-file FILE",
    ),
    ("--to-tls-cert --to-tls-key", SERVE, "targets get no client certificate"),
    ("-Z --sctp --vsock", ANY, PROTOCOLS),
    (
        "-z --zero",
        UDP_SEND,
        "only an answer shows that a UDP port is open: use --reply or --wait DUR",
    ),
    ("-z --zero", ANY, "use sockctl connect -z"),
    ("--strict", ANY, "it is the default: sockctl connect -z ADDRESS -- COMMAND"),
    ("--invert-check", ANY, "use sockctl connect -z --closed"),
    ("-g --gateway", SERVE, "to run as another group use setpriv(1)"),
    ("-g -G --gateway --pointer", ANY, "source routes are not available"),
    ("-B", ANY, "use sockctl serve --sh 'printf BANNER; exec PROGRAM'"),
    ("-1", ANY, "use --port-file FILE"),
    ("-Q -H", ANY, "it is the default"),
    ("--output", ANY, "use --log FILE, or --hex FILE"),
    ("--append-output", ANY, "use --log +FILE, or --hex +FILE"),
    ("--hex-dump --hexdump", ANY, "use --hex FILE"),
    ("--nodns --dont-resolve", ANY, "use -n"),
    ("--source-port --local-port", ANY, "use -p PORT"),
    ("--no-shutdown", ANY, "use --no-half-close"),
    ("--allowfile", ANY, "use --allow @FILE"),
    ("--denyfile", ANY, "use --deny @FILE"),
    ("--chat", SERVE, "use --room"),
    ("--chat", ANY, "use sockctl serve --room"),
    ("--ssl", WITH_TLS, "use --tls"),
    ("--ssl-verify", WITH_TLS, "it is the default with --tls"),
    ("--ssl-cert --cert", WITH_TLS, "use --tls --tls-cert FILE"),
    ("--ssl-key --key", WITH_TLS, "use --tls --tls-key FILE"),
    ("--ssl-trustfile --cacert", WITH_TLS, "use --tls --tls-ca FILE"),
    ("--ssl-servername --servername", WITH_TLS, "use --tls --tls-name NAME"),
    ("--ssl-alpn --alpn", WITH_TLS, "use --tls --tls-alpn PROTO"),
    ("--pinnedpubkey", WITH_TLS, "use --tls --tls-pin sha256//BASE64"),
    ("--insecure", WITH_TLS, "use --tls --tls-insecure, or better --tls-pin"),
    ("--checkend --certificate", &["connect"], "use -z --tls --expires-within DUR"),
    ("--ssl-ciphers", WITH_TLS, "ciphers are not chosen: --tls has none that are weak"),
    ("--ssl --ssl-verify --ssl-cert --ssl-key --ssl-trustfile", ANY, TLS),
    ("--ssl-ciphers --ssl-servername --ssl-alpn", ANY, TLS),
    ("--host --port", ANY, "write the address as HOST:PORT"),
    ("-?", ANY, "use --help"),
];

/// Words in the place of a command.
const COMMANDS: &[(&str, &str)] = &[
    ("listen server tcpserver", "use sockctl serve"),
    ("client nc ncat netcat", "use sockctl connect, or sockctl serve to listen"),
    ("tcpclient", "use sockctl connect HOST:PORT -- PROGRAM"),
    ("socat", "use sockctl connect, or sockctl serve to listen"),
    (
        "wait-for-it wait-for-it.sh wait-for wait-port wait4x dockerize",
        "use sockctl connect -z ADDRESS --wait DUR -- COMMAND",
    ),
    ("chat room irc", "use sockctl serve --room, and sockctl connect to join one"),
    ("udp", "use sockctl udp-send or sockctl udp-serve"),
    (
        "openssl s_client check_http check_ssl_cert check_tcp",
        "use sockctl connect --tls HOST:PORT; with -z it shows the certificate",
    ),
    (
        "toxiproxy toxiproxy-server toxiproxy-cli netem",
        "use sockctl serve ADDRESS --to TARGET, with --delay DUR, --rate SIZE, --cut SIZE",
    ),
    (
        "relay proxy forward tunnel port-forward spiped stunnel stunnel4 systemd-socket-proxyd redir rinetd",
        RELAY,
    ),
    ("tcping tcpping paping", "use sockctl connect -z ADDRESS --count N"),
];

/// Kinds of socat's addresses.
const KINDS: &[(&str, &str)] = &[
    ("TCP-LISTEN TCP4-LISTEN TCP6-LISTEN TCP-L TCP4-L TCP6-L", "use sockctl serve '*:PORT'"),
    ("TCP4 TCP6 TCP-CONNECT TCP4-CONNECT TCP6-CONNECT", "use sockctl connect HOST:PORT"),
    (
        "UDP-LISTEN UDP4-LISTEN UDP6-LISTEN UDP-L UDP4-L UDP6-L",
        "use sockctl udp-serve --talk '*:PORT'",
    ),
    ("UDP-RECV UDP4-RECV UDP6-RECV", "use sockctl udp-serve '*:PORT'"),
    ("UDP-RECVFROM UDP4-RECVFROM UDP6-RECVFROM", "use sockctl udp-serve '*:PORT'"),
    (
        "UDP UDP4 UDP6 UDP-CONNECT UDP4-CONNECT UDP6-CONNECT",
        "use sockctl udp-send --talk HOST:PORT",
    ),
    ("UDP-SENDTO UDP4-SENDTO UDP6-SENDTO", "use sockctl udp-send --talk HOST:PORT"),
    ("UDP-DATAGRAM UDP4-DATAGRAM UDP6-DATAGRAM", "use sockctl udp-send --talk HOST:PORT"),
    ("UNIX-LISTEN UNIX-L", "use sockctl serve unix:PATH"),
    ("UNIX-CONNECT UNIX-CLIENT", "use sockctl connect unix:PATH"),
    ("UNIX-RECV UNIX-RECVFROM", "use sockctl udp-serve unix:PATH"),
    ("UNIX-SENDTO", "use sockctl udp-send unix:PATH"),
    ("ABSTRACT-LISTEN", "use sockctl serve unix:@NAME"),
    ("ABSTRACT-CONNECT ABSTRACT-CLIENT ABSTRACT", "use sockctl connect unix:@NAME"),
    ("ABSTRACT-RECV ABSTRACT-RECVFROM", "use sockctl udp-serve unix:@NAME"),
    ("ABSTRACT-SENDTO", "use sockctl udp-send unix:@NAME"),
    (
        "EXEC SYSTEM SHELL",
        "use sockctl serve ADDRESS -- PROGRAM, or sockctl connect ADDRESS -- PROGRAM",
    ),
    ("PIPE ECHO", "use sockctl serve ADDRESS --echo"),
    ("OPEN GOPEN FILE CREATE FD", "redirect stdin or stdout"),
    ("STDIO STDIN STDOUT READLINE", STDIO),
    ("SOCKS4 SOCKS4A SOCKS5 PROXY", PROXIES),
    ("OPENSSL SSL OPENSSL-CONNECT", "use sockctl connect --tls HOST:PORT"),
    ("OPENSSL-LISTEN SSL-L", "use sockctl serve --tls '*:PORT'"),
    ("PTY TUN SCTP SCTP-CONNECT SCTP-LISTEN VSOCK-CONNECT VSOCK-LISTEN", PROTOCOLS),
];

/// Those of them that a relay connects to.
const TARGETS: &str = "TCP TCP4 TCP6 TCP-CONNECT TCP4-CONNECT TCP6-CONNECT UNIX UNIX-CONNECT UNIX-CLIENT \
    ABSTRACT ABSTRACT-CONNECT ABSTRACT-CLIENT OPENSSL SSL OPENSSL-CONNECT";
/// The same for datagrams.
const DATAGRAM_SOURCES: &str = "UDP-LISTEN UDP4-LISTEN UDP6-LISTEN UDP-L UDP4-L UDP6-L UDP-RECVFROM UDP4-RECVFROM \
    UDP6-RECVFROM UDP-RECV UDP4-RECV UDP6-RECV UNIX-RECVFROM UNIX-RECV ABSTRACT-RECVFROM ABSTRACT-RECV";
const DATAGRAM_TARGETS: &str = "UDP UDP4 UDP6 UDP-CONNECT UDP4-CONNECT UDP6-CONNECT UDP-SENDTO UDP4-SENDTO \
    UDP6-SENDTO UDP-DATAGRAM UDP4-DATAGRAM UDP6-DATAGRAM UNIX-SENDTO ABSTRACT-SENDTO";

/// Whether one of these blank-separated words is meant.
fn is_one(words: &str, word: &str) -> bool {
    words.split(' ').any(|known| known.eq_ignore_ascii_case(word))
}

/// `help [COMMAND]` and `version` as the options that they mean.
pub fn rewrite(mut line: Vec<OsString>) -> Vec<OsString> {
    match line.get(1).and_then(|word| word.to_str()) {
        Some("help") => {
            line.remove(1);
            line.push("--help".into());
        }
        Some("version") => line[1] = "--version".into(),
        _ => {}
    }
    line
}

/// How it is done here what a flag is for that `command` does not have. `None` as the command: no
/// command came first.
pub fn flag_hint(flag: &str, command: Option<&str>) -> Option<&'static str> {
    let holds = |on: Names| on.is_empty() || command.is_some_and(|name| on.contains(&name));
    // Flags of one letter have a case.
    let is_meant = |flags: &str| flags.split(' ').any(|known| known == flag);
    FLAGS.iter().find(|(flags, on, _)| is_meant(flags) && holds(on)).map(|(.., hint)| *hint)
}

/// The hint for a command line that begins with flags instead of a command.
pub fn no_command(line: &[OsString]) -> Option<&'static str> {
    let letters = line.iter().skip(1).filter_map(|word| word.to_str()?.strip_prefix('-'));
    let letters = letters.filter(|word| word.bytes().all(|byte| byte.is_ascii_alphabetic()));
    let has = |letter: char| letters.clone().any(|word| word.contains(letter));
    let command = if has('l') && has('u') { Some("udp-send") } else { None };
    let mut asked = "luz".chars().filter(|letter| has(*letter));
    asked.next().and_then(|letter| flag_hint(&format!("-{letter}"), command))
}

/// The hint for a word in the place of a command, to which `near` is the nearest.
pub fn command_hint(word: &str, rest: &[OsString], near: Option<String>) -> Option<String> {
    if let Some((_, hint)) = COMMANDS.iter().find(|(words, _)| is_one(words, word)) {
        return Some((*hint).into());
    }
    let words: Vec<OsString> = [OsString::from(word)].iter().chain(rest).take(2).cloned().collect();
    if let Some(hint) = relay_hint(&words).or_else(|| socat_hint(OsStr::new(word))) {
        return Some(hint.into());
    }
    let is_port = |word: &OsString| word.as_bytes().first().is_some_and(u8::is_ascii_digit);
    let is_address = Address::take_list(&words)
        .is_ok_and(|(_, used)| used == 1 || words.get(1).is_some_and(is_port));
    if is_address && near.as_ref().is_none_or(|near| strsim::levenshtein(word, near) > 2) {
        return Some("write sockctl connect or sockctl serve in front of the address".into());
    }
    near.map(|near| format!("did you mean {near}?"))
}

/// The hint for a listening address of socat's in front of one that it connects to: a relay.
fn relay_hint(words: &[OsString]) -> Option<&'static str> {
    let [listening, target, ..] = words else {
        return None;
    };
    let kind = |word: &OsString| word.to_str()?.split([':', ',']).next().map(str::to_uppercase);
    let (listening, target) = (kind(listening)?, kind(target)?);
    if is_one(DATAGRAM_SOURCES, &listening) && is_one(DATAGRAM_TARGETS, &target) {
        return Some(UDP_RELAY);
    }
    let is_listening = listening.ends_with("-LISTEN") || listening.ends_with("-L");
    (is_listening && is_one(TARGETS, &target)).then_some(RELAY)
}

/// The hint for an address of socat's. A host may have the name of a kind in lower case.
fn socat_hint(word: &OsStr) -> Option<&'static str> {
    let text = word.to_str()?;
    let name = text.split([':', ',']).next()?;
    let is_whole = name.len() == text.len();
    let (_, hint) = KINDS.iter().find(|(names, _)| is_one(names, name))?;
    let is_written = !name.bytes().any(|byte| byte.is_ascii_lowercase()) || name.contains('-');
    let is_address = || Address::take_list(&[word.to_owned()]).is_ok();
    (is_written || !is_whole && !is_address()).then_some(hint)
}

/// What is refused though clap understands it: it would do something else than what was meant.
pub fn check(command: &Command, line: &[OsString]) -> Option<String> {
    let mut words = line.iter().skip(2).take_while(|word| *word != "--").peekable();
    while let Some(word) = words.next() {
        let text = word.to_str().unwrap_or_default();
        let next = words.peek().and_then(|next| next.to_str());
        if is_linger(text) {
            let word = quoted(word);
            return Some(format!("no option {word}; -q is --quiet here, use --linger DUR"));
        }
        if text.starts_with("-wait") {
            let word = quoted(word);
            return Some(format!("no option {word}; use sockctl connect -z ADDRESS --wait DUR"));
        }
        let is_protocol = |word: &str| is_one(STARTTLS_PROTOCOLS, word);
        let is_openssls = ["-starttls", "--starttls=", "--starttls-"];
        if is_openssls.iter().any(|form| text.starts_with(form))
            || text == "--starttls" && next.is_some_and(is_protocol)
        {
            return Some(STARTTLS.into());
        }
        if text == "-h" && next.is_some_and(|next| !next.starts_with('-')) {
            // A host, where the port of it is given in this way, too.
            if line.iter().any(|word| word == "-p" || word == "-t") {
                return Some("-h is --help here; write the address as HOST:PORT".into());
            }
        } else if takes_value(command, text) {
            words.next();
        }
    }
    None
}

/// `-q1`, which clap reads as `-q -1`, and `-q4` as `-q -4`.
fn is_linger(word: &str) -> bool {
    let Some((flags, seconds)) = word.split_once('q') else {
        return false;
    };
    let is_flags = flags
        .strip_prefix('-')
        .is_some_and(|flags| flags.bytes().all(|flag| b"46Cnvz".contains(&flag)));
    is_flags && seconds.starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

/// The option of a command that this word is; of several letters, the last.
pub fn option_of<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| match word.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => word.starts_with('-') && arg.get_short().is_some_and(|short| word.ends_with(short)),
    })
}

/// Whether the word behind this one is its value.
fn takes_value(command: &Command, word: &str) -> bool {
    option_of(command, word)
        .is_some_and(|arg| arg.get_action().takes_values() && !arg.is_require_equals_set())
}

/// What is refused of the words and values that clap has taken.
pub fn check_values(name: &str, matches: &ArgMatches, line: &[OsString]) -> Option<String> {
    let values = |id: &str| -> Vec<OsString> {
        let values = matches.try_get_raw(id).ok().flatten();
        values.map_or_else(Vec::new, |values| values.map(OsStr::to_owned).collect())
    };
    let dumped = values("hex").iter().find_map(|file| hex_hint(name, file));
    dumped.or_else(|| match name {
        "opts" => None,
        "udp-send" => {
            addresses(name, &values("words")).or_else(|| stray_seconds_hint(&values("words"), line))
        }
        _ => {
            let checks = matches!(matches.try_get_one("check"), Ok(Some(true)));
            let words = values("address");
            addresses(name, &words).or_else(|| extra_word_hint(name, &words, checks, line))
        }
    })
}

/// A file of `--hex` that is none: `-x` is nc's proxy and tcpserver's rules.
fn hex_hint(name: &str, file: &OsStr) -> Option<String> {
    let shown = quoted(file);
    if LISTEN.contains(&name) && file.as_bytes().ends_with(b".cdb") {
        return Some(format!("--hex {shown}: tcpserver's rules are --allow and --deny here"));
    }
    let text = file.to_str()?;
    let is_path = text.split(':').next().is_some_and(|head| head.contains('/'));
    let ip = text.trim_matches(['[', ']']).parse::<IpAddr>();
    let is_address = Address::take(&[file.to_owned()]).is_ok()
        || socat_hint(file).is_some()
        || ip.is_ok()
        || text == "localhost";
    if is_path {
        return None;
    }
    is_address.then(|| {
        format!(
            "--hex {shown} is an address; nc's -x is --proxy socks5://HOST:PORT here, and a file \
             of that name is ./{}",
            shortened(file)
        )
    })
}

/// Words in the place of an address that are socat's, or of another protocol.
fn addresses(name: &str, words: &[OsString]) -> Option<String> {
    // What follows the address are texts to send.
    let count = if name == "udp-send" { 1 } else { words.len() };
    words.iter().take(count).find_map(|word| {
        let mut parts = word.as_bytes().splitn(3, |byte| *byte == b':');
        let is_tcp = parts.next().is_some_and(|part| part.eq_ignore_ascii_case(b"tcp"));
        let hint = match relay_hint(words).or_else(|| socat_hint(word)) {
            _ if word == "-" => STDIO,
            None if is_tcp && parts.count() == 2 && UDP.contains(&name) => {
                "use sockctl connect or sockctl serve"
            }
            hint => hint?,
        };
        Some(format!("address {}: {hint}", quoted(word)))
    })
}

/// `-q 1 HOST PORT` in front of texts, which would be sent to port 1: `-q` takes no seconds here.
fn stray_seconds_hint(words: &[OsString], line: &[OsString]) -> Option<String> {
    let [seconds, rest @ ..] = words else {
        return None;
    };
    let is_short = seconds.len() < 4 && is_quiet(line, Some(seconds));
    let is_address = Address::take(rest).is_ok_and(|(_, used)| used > 0);
    (is_short && is_address).then(|| {
        let port = quoted(seconds);
        format!("-q is --quiet here, and takes no {port}; a port is written 127.0.0.1:PORT")
    })
}

fn is_number(word: &OsStr) -> bool {
    !word.is_empty() && word.as_bytes().iter().all(u8::is_ascii_digit)
}

/// Whether `-q` stands before a number, or before this one.
fn is_quiet(line: &[OsString], number: Option<&OsString>) -> bool {
    line.windows(2).any(|pair| {
        let letters = pair[0].as_bytes();
        letters.starts_with(b"-")
            && letters.ends_with(b"q")
            && number.map_or_else(|| is_number(&pair[1]), |number| *number == pair[1])
    })
}

/// The hint for words behind the address. One that `checks` takes several, but for HOST PORT.
fn extra_word_hint(
    name: &str,
    words: &[OsString],
    checks: bool,
    line: &[OsString],
) -> Option<String> {
    let list = || Address::take_list(words).map(|(_, used)| used);
    let used = Address::take(words).map(|(_, used)| used).or_else(|_| list()).ok()?;
    let word = words.get(used)?;
    let hint = if is_quiet(line, None) {
        "-q is --quiet here, use --linger DUR"
    } else if LISTEN.contains(&name) && words[0] == "0" && is_number(word) {
        "every address of this machine is written '*:PORT'"
    } else if LISTEN.contains(&name) {
        "a program stands behind --"
    } else if is_number(word) && !(checks && used < 2) {
        "several ports are a list: -z HOST:PORT,PORT"
    } else {
        return None;
    };
    Some(format!("unexpected word {}; {hint}", quoted(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_name_what_there_is() {
        let root = crate::cli::root();
        let commands: Vec<&Command> = root.get_subcommands().collect();
        let has = |flag: &str| commands.iter().any(|it| option_of(it, flag).is_some());
        for (flags, on, _) in FLAGS {
            let holds = |it: &&&Command| on.is_empty() || on.contains(&it.get_name());
            let lacks =
                |flag: &str| commands.iter().filter(holds).any(|it| option_of(it, flag).is_none());
            assert!(flags.split(' ').all(lacks), "{flags}: {on:?} have it");
        }
        let hints = FLAGS.iter().map(|(.., hint)| hint);
        let hints = hints.chain(COMMANDS.iter().chain(KINDS).map(|(_, hint)| hint));
        for hint in hints {
            for word in hint.split([' ', '=', ';', ',']) {
                let is_option = word.starts_with("--") && word != "--";
                let known = ["--help", "--version"];
                assert!(!is_option || known.contains(&word) || has(word), "{hint}");
            }
            for (_, rest) in hint.match_indices("-o ").map(|(at, _)| hint.split_at(at + 3)) {
                let name = rest.split([' ', '=', ';', ',']).next().unwrap_or_default();
                assert!(crate::net::options::lookup(name).is_ok(), "{hint}");
            }
            for (_, rest) in hint.match_indices("sockctl ").map(|(at, _)| hint.split_at(at + 8)) {
                let name = rest.split([' ', ';', ',']).next().unwrap_or_default();
                let is_it = |command: &&Command| command.get_name() == name;
                assert!(name == "--version" || commands.iter().any(is_it), "{hint}");
            }
        }
    }
}
