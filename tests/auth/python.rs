//! `--python`: Python's own `multiprocessing.connection` at the other end, in both roles.

use std::io::{Read, Write};
use std::net::Shutdown;

use super::refused;
use crate::run::{
    Folder, Program, Running, Words, peer as rogue, program, python, read_all, sockctl,
};

/// Listener and client: the words of its arguments say what each does.
const PEER: &str = r"
import sys
from multiprocessing.connection import Client, Listener
from multiprocessing import AuthenticationError

def talk(c, ops):
    for op in ops:
        name, _, text = op.partition(':')
        try:
            if name == 'send': c.send_bytes(text.encode())
            elif name == 'big': c.send_bytes(b'x' * int(text))
            elif name == 'recv': print(c.recv_bytes(), flush=True)
            elif name == 'size': print(len(c.recv_bytes()), flush=True)
            elif name == 'echo':
                while True: c.send_bytes(c.recv_bytes())
        except (EOFError, ConnectionResetError):
            print('end', flush=True)

role, key, port, *ops = sys.argv[1:]
try:
    if role == 'client':
        with Client(('127.0.0.1', int(port)), authkey=key.encode()) as c:
            talk(c, ops)
    else:
        with Listener(('127.0.0.1', 0), authkey=key.encode()) as l:
            print(l.address[1], flush=True)
            with l.accept() as c:
                talk(c, ops)
except AuthenticationError as e:
    print('refused', flush=True)
except (EOFError, ConnectionResetError):
    print('ended', flush=True)
";

fn peer(python: &str, words: impl Words) -> Program {
    program(python, ["-u", "-c", PEER]).args(words)
}

/// Python's listener with this key, and its port.
fn listener(python: &str, key: &str, ops: &str) -> (Running, u16) {
    let running = peer(python, format!("listener {key} 0 {ops}")).start();
    let port = running.stdout_has("\n").trim().parse().unwrap();
    (running, port)
}

/// sockctl with a role, an address, and this key.
fn ours(words: impl Words, key: &str) -> Program {
    sockctl(words).args("--python").env("SOCKCTL_KEY", key)
}

fn server(words: &str) -> Program {
    ours("auth-serve 127.0.0.1:0 --digest md5", "wangwang").args(words)
}

fn client(port: u16, words: &str) -> Program {
    ours(format!("auth-connect {port} --digest md5"), "wangwang").args(words)
}

/// The error of a client whose answer was refused.
fn not_accepted(port: u16) -> String {
    refused(port, "the server does not accept our answer: wrong key?")
}

#[test]
fn a_python_client_talks_to_our_server() {
    let server = server("--echo").start();
    let words =
        format!("client wangwang {} send:one recv send: recv big:100000 size", server.port());
    peer("python3", words).run().is(0, "b'one'\nb''\n100000\n", "");
}

#[test]
fn a_python_listener_talks_to_our_client() {
    let (peer, port) = listener("python3", "wangwang", "send:first echo");
    let text = "a\n\nlast without newline";
    client(port, "").input(text).run().is(0, format!("first\n{text}\n"), "");
    peer.finish().is(0, format!("{port}\nend\n"), "");
}

#[test]
fn the_trace_has_no_call_for_an_end_without_a_record() {
    let (_peer, port) = listener("python3", "wangwang", "echo");
    let trace = client(port, "--trace").input("a\n").run().gives(0, "a\n");
    assert!(trace.contains("shutdown(SHUT_WR)") && !trace.contains("sendall(0)"), "{trace}");
}

#[test]
fn messages_that_come_in_the_segment_of_the_welcome_are_not_lost() {
    // Python sends the welcome and its first message one right after the other.
    for _ in 0..5 {
        let (peer, port) = listener("python3", "wangwang", "send:a send:b big:70000");
        let wanted = format!("a\nb\n{}\n", "x".repeat(70_000));
        client(port, "--recv-only").run().is(0, wanted, "");
        drop(peer);
    }
}

#[test]
fn raw_sends_what_is_there_and_joins_what_comes() {
    let (peer, port) = listener("python3", "wangwang", "recv send:x send:y");
    client(port, "--raw").input("two\nlines\n").run().is(0, "xy", "");
    peer.finish().is(0, format!("{port}\nb'two\\nlines\\n'\n"), "");
    let (peer, port) = listener("python3", "wangwang", "recv send:pong");
    client(port, "--send ping --expect pong").run().is(0, "pong", "");
    peer.finish().is(0, format!("{port}\nb'ping'\n"), "");
}

#[test]
fn a_wrong_key_is_told_on_both_sides() {
    let server = server("--reply secret").start();
    let port = server.port();
    peer("python3", format!("client wrong {port} recv")).run().is(0, "refused\n", "");
    server.stderr_has("refused: wrong key\n");
    client(port, "").env("SOCKCTL_KEY", "wrong").run().fails(9, not_accepted(port));
    let (peer, port) = listener("python3", "wrong", "recv");
    client(port, "").input("payload").run().fails(9, not_accepted(port));
    peer.finish().is(0, format!("{port}\nrefused\n"), "");
}

#[test]
fn md5_is_spoken_only_where_it_is_allowed() {
    let old = "the other side uses MD5 (Python 3.11 or older); allow it with --digest md5";
    let is_old =
        python("import sys; print(sys.version_info < (3, 12))", "").run().text() == "True\n";
    let server = ours("auth-serve 127.0.0.1:0 --echo", "wangwang").start();
    let port = server.port();
    let theirs = peer("python3", format!("client wangwang {port} send:hi recv")).run();
    let (listening, at) = listener("python3", "wangwang", "echo");
    let done = ours(format!("auth-connect {at}"), "wangwang").input("hi\n").run();
    if is_old {
        theirs.is(0, "refused\n", "");
        server.stderr_has(&format!("refused: {old}\n"));
        done.fails(9, refused(at, old));
    } else {
        theirs.is(0, "b'hi'\n", "");
        done.is(0, "hi\n", "");
    }
    drop(listening);
    // Between ourselves, as with Python 3.12, it is sha256.
    ours(format!("auth-connect {port}"), "wangwang").input("hi\n").run().is(0, "hi\n", "");
    ours("auth-connect 1 --digest sha512", "wangwang").run().fails(
        2,
        "Python's multiprocessing knows no sha512; with --python, --digest is sha256 or md5",
    );
}

#[test]
fn nothing_is_unpickled() {
    let evil = "import pickle, os, sys\n\
        from multiprocessing.connection import Client\n\
        class Evil:\n    def __reduce__(self): return os.system, ('touch ' + sys.argv[2],)\n\
        c = Client(('127.0.0.1', int(sys.argv[1])), authkey=b'wangwang')\n\
        c.send(Evil()); print(len(c.recv_bytes()))\n";
    let folder = Folder::new();
    let server = server("--echo --raw").start();
    python(evil, [server.port().to_string(), folder.text("trap")]).run().output();
    assert_eq!(folder.count(), 0);
}

#[test]
fn a_truncated_message_is_a_truncation() {
    let peer = rogue(|mut stream| {
        // A listener without a key would be of no use: the key is known here.
        let relay = server("--reply ''").start();
        let mut real = relay.connect();
        let mut pass = |from_real: bool| {
            let (from, to) =
                if from_real { (&mut real, &mut stream) } else { (&mut stream, &mut real) };
            let mut length = [0; 4];
            from.read_exact(&mut length).unwrap();
            let mut message = vec![0; u32::from_be_bytes(length) as usize];
            from.read_exact(&mut message).unwrap();
            to.write_all(&[&length[..], &message].concat()).unwrap();
        };
        for from_real in [true, false, true, false, true, false] {
            pass(from_real);
        }
        stream.write_all(b"\0\0\0\x05hal").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        read_all(&stream);
    });
    let why = "truncated with 2 bytes of a message to come";
    let told = format!("sockctl: connection to {peer}: {why}\n");
    client(peer.port, "").run().is(7, "hal", told);
    peer.done();
}

#[test]
fn another_protocol_is_named_in_the_log() {
    let server = server("--reply secret -w 700ms").start();
    let mut stream = server.connect();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let said = read_all(&stream);
    assert!(said.starts_with(b"\0\0\0\x3b#CHALLENGE#{sha256}"), "{said:?}");
    assert_eq!(said.len(), 4 + 59);
    server.stderr_has("this is not Python's multiprocessing protocol; is --python right here?\n");
    let silent = server.connect();
    assert_eq!(read_all(&silent).len(), 4 + 59);
    server.stderr_has("no answer in time; does the other side use --python?\n");
    // As long as Python itself would read, and no longer.
    for length in [[0, 0, 1, 1], [0x7f, 0xff, 0xff, 0xff], [0xff; 4]] {
        let mut stream = server.connect();
        stream.write_all(&length).unwrap();
        assert_eq!(read_all(&stream).len(), 4 + 59, "closed at once");
    }
}

/// The handshake in the form that Python has from 3.12 on, in place of the running Python's own:
/// digests have names, and SHA-256 is the rule.
const MODERN: &str = r"
import hmac, os, sys
import multiprocessing.connection as mc

def answer(c, key):
    challenge = c.recv_bytes(256)
    assert challenge[:11] == b'#CHALLENGE#', challenge
    challenge = challenge[11:]
    assert challenge[:1] == b'{' and len(challenge) > 20, challenge
    name = challenge[1:challenge.index(b'}')]
    c.send_bytes(b'{' + name + b'}' + hmac.digest(key, challenge, name.decode()))
    if c.recv_bytes(256) != b'#WELCOME#':
        raise mc.AuthenticationError('rejected')

def deliver(c, key):
    name = os.environ['DIGEST'].encode()
    challenge = b'{' + name + b'}' + os.urandom(40)
    c.send_bytes(b'#CHALLENGE#' + challenge)
    answered = c.recv_bytes(256)
    if answered != b'{' + name + b'}' + hmac.digest(key, challenge, name.decode()):
        c.send_bytes(b'#FAILURE#')
        raise mc.AuthenticationError('wrong')
    c.send_bytes(b'#WELCOME#')

mc.answer_challenge, mc.deliver_challenge = answer, deliver
";

#[test]
fn the_form_of_python_3_12_is_the_rule() {
    let modern = |digest: &str, words: String| {
        python(&format!("{MODERN}{PEER}"), words).env("DIGEST", digest)
    };
    let listener = |digest: &str| modern(digest, "listener wangwang 0 echo".into()).start();
    let talk = |listener: &Running| {
        let port = listener.stdout_has("\n").trim().parse().unwrap();
        (port, ours(format!("auth-connect {port}"), "wangwang").input("hi\n").run())
    };
    let server = ours("auth-serve 127.0.0.1:0 --echo", "wangwang").start();
    let port = server.port();
    for digest in ["sha256", "sha384"] {
        let words = format!("client wangwang {port} send:hi recv");
        modern(digest, words).run().is(0, "b'hi'\n", "");
        modern(digest, format!("client wrong {port} recv")).run().is(0, "refused\n", "");
        talk(&listener(digest)).1.is(0, "hi\n", "");
    }
    let (port, done) = talk(&listener("md5"));
    done.fails(9, refused(port, "the challenge asks for a digest that is not allowed here"));
}

#[test]
#[ignore = "needs a Python of 3.12 or later, named by SOCKCTL_PYTHON"]
fn python_of_3_12_and_later_speaks_sha256() {
    let python = std::env::var("SOCKCTL_PYTHON").expect("SOCKCTL_PYTHON");
    let server = ours("auth-serve 127.0.0.1:0 --echo", "wangwang").start();
    let port = server.port();
    let words = format!("client wangwang {port} send:one recv big:100000 size");
    peer(&python, words).run().is(0, "b'one'\n100000\n", "");
    peer(&python, format!("client wrong {port} recv")).run().is(0, "refused\n", "");
    server.stderr_has("refused: wrong key\n");

    let (listening, port) = listener(&python, "wangwang", "send:first echo");
    let done = ours(format!("auth-connect {port}"), "wangwang").input("second\n").run();
    done.is(0, "first\nsecond\n", "");
    assert_eq!(listening.finish().code, 0);
    let (listening, port) = listener(&python, "wangwang", "recv");
    ours(format!("auth-connect {port}"), "wrong").run().fails(9, not_accepted(port));
    listening.finish().is(0, format!("{port}\nrefused\n"), "");
}
