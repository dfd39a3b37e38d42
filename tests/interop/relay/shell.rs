//! OpenSSH through relays: sessions, files, and one host as the way to the next.

use std::fs;

use super::payload;
use crate::auth::random_key;
use crate::interop::client::Sshd;
use crate::relay::relay;
use crate::run::{Folder, sockctl};

#[test]
#[ignore = "needs openssh-server"]
fn ssh_runs_commands_and_copies_files() {
    let sshd = Sshd::new();
    let folder = Folder::new();
    let file = folder.file("file", payload());
    let server = relay(sshd.port, "");
    let ssh = |words: &str| sshd.client("ssh", &format!("-p {} 127.0.0.1 {words}", server.port()));
    ssh("cat").input(payload()).run().is(0, payload(), "");
    // Both ends are its own: what is sent after the end of stdin arrives, and the status.
    ssh("'wc -c; exit 3'").input("hello").run().is(3, "5\n", "");
    let (copied, back) = (folder.text("copied"), folder.text("back"));
    let port = server.port();
    let copy = |from: &str, to: &str| {
        sshd.client("scp", &format!("-q -P {port} {from} {to}")).run().is(0, "", "");
    };
    copy(&file, &format!("127.0.0.1:{copied}"));
    copy(&format!("127.0.0.1:{copied}"), &back);
    let batch = format!("get {copied} {0}\nput {0} {0}2\n", folder.text("got"));
    let batch = folder.file("batch", batch);
    let words = format!("-q -P {port} -b {batch} 127.0.0.1");
    let done = sshd.client("sftp", &words).run();
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    for name in ["copied", "back", "got", "got2"] {
        assert!(fs::read(folder.at(name)).unwrap() == payload(), "{name}");
    }
    server.stops("", "");
}

#[test]
#[ignore = "needs openssh-server"]
fn ssh_jumps_through_a_pair_of_relays() {
    let sshd = Sshd::new();
    let first = relay(sshd.port, "");
    let key = random_key("me", [7; 32]);
    let key = key.path().display();
    let far =
        sockctl(format!("auth-serve 0 --key-file {key} --to 127.0.0.1:{}", sshd.port)).start();
    let second = relay(format!("auth:{far}"), format!("--to-key-file {key}"));
    let words = format!("-J 127.0.0.1:{} -p {} 127.0.0.1", first.port(), second.port());
    let done = sshd.client("ssh", &format!("{words} cat")).input(payload()).run();
    done.is(0, payload(), "");
    sshd.client("ssh", &format!("{words} exit 7")).run().is(7, "", "");
    for server in [first, second, far] {
        server.stops("", "");
    }
}
