//! Notices at a terminal beside the conversation, which a script does not get.

use std::io::Write;
use std::time::Duration;

use super::conversation::{connected, quits};
use super::pty::terminal;
use crate::room::greeting;
use crate::run::{Folder, REFUSED, connect, free_port, python, sockctl};

#[test]
fn a_client_that_waits_says_what_for() {
    let port = free_port();
    let mut client = terminal(format!("connect {port} --wait 300ms"));
    let text = client.ends(4);
    let said = format!("waiting up to 300ms for 127.0.0.1:{port}: {REFUSED}");
    assert_eq!(text.matches(&*said).count(), 1, "{text}");
    let mut check = terminal(format!("connect -z --any {port},1 unix:/nosuch --wait 1s"));
    let text = check.ends(4);
    let said = format!(
        "waiting up to 1s for any of 127.0.0.1:{port}: ECONNREFUSED, 127.0.0.1:1: ECONNREFUSED, \
         unix:/nosuch: ENOENT\n"
    );
    assert_eq!(text.replace('\n', "").matches(said.trim_end()).count(), 1, "{text}");
    let mut ranges = terminal("connect -z 127.0.0.77:1-3 1 2 3 4 5 6 7 8 9 --wait 1s");
    let text = ranges.ends(4).replace('\n', "");
    assert!(text.contains("127.0.0.77:1-3: 0 of 3 open, 127.0.0.1:1: "), "{text}");
    assert!(text.contains("127.0.0.1:7: ECONNREFUSED, and 2 more127.0.0.1:1 "), "{text}");

    let mut sender = terminal(format!("udp-send {port} x --wait 300ms"));
    let text = sender.ends(4);
    let said = format!("waiting up to 300ms for 127.0.0.1:{port}: {REFUSED}");
    assert_eq!(text.matches(&*said).count(), 1, "{text}");

    let wait = format!("connect {port} --wait 100ms");
    let quiet = sockctl(&wait).run();
    assert!(quiet.stderr.starts_with("sockctl: "), "{}", quiet.stderr);
    let verbose = sockctl(format!("{wait} -v")).run();
    assert!(verbose.stderr.starts_with("waiting up to 100ms"), "{}", verbose.stderr);
}

#[test]
fn a_server_that_stops_says_what_it_waits_for_and_ctrl_c_ends_that() {
    for handler in ["", "--room", "--discard -v"] {
        let mut server = terminal(format!("serve 127.0.0.1:0 --grace 60s {handler}"));
        let port = server.announced_port();
        let mut client = connect(port);
        client.write_all(b"hello\n").unwrap();
        server.shows(if handler.starts_with("--discard") { "accepted" } else { "hello" });
        // Something arrives all the time: the server waits for it.
        let busy = std::thread::spawn(move || {
            while client.write_all(b"more\n").is_ok() {
                std::thread::sleep(Duration::from_millis(50)); // the rate
            }
        });
        server.press(b"\x03");
        server.came("stopping: waiting up to 59s for 1 connection; Ctrl-C again cuts it off");
        server.press(b"\x03");
        server.ends(0);
        busy.join().unwrap();
    }
}

#[test]
fn a_new_key_is_announced_with_its_use() {
    let folder = Folder::new();
    let file = folder.at("key");
    let create = |file: &str| format!("auth-serve --create-key=ann --key-file {file}");
    let mut created = terminal(create(file.to_str().unwrap()));
    let text = created.ends(0).replace('\n', "");
    let file = file.display();
    for said in [
        format!("wrote a new key to {file}, which only you can read"),
        format!("sockctl auth-connect HOST:PORT --key-file {file}"),
    ] {
        assert!(text.contains(&said), "{text}");
    }
    sockctl(create(&format!("{file}2"))).run().is(0, "", "");
}

#[test]
fn a_server_on_all_addresses_names_those_of_this_machine() {
    let mut server = terminal("serve *:0");
    let port = server.port();
    let text = server.quits();
    let addresses = text.lines().find_map(|line| line.strip_prefix("from other machines: "));
    if let Some(addresses) = addresses {
        for address in addresses.split(", ") {
            let address: std::net::SocketAddr = address.parse().unwrap();
            assert!(address.port() == port && !address.ip().is_loopback(), "{address}");
        }
    }
}

#[test]
fn an_encrypted_chat_says_so_and_with_whose_key() {
    let folder = Folder::new();
    let key = folder.text("key");
    sockctl(format!("auth-serve --create-key=ann --key-file {key}")).run().is(0, "", "");
    for handler in ["", "--room"] {
        let serve = format!("auth-serve 127.0.0.1:0 --key-file {key} {handler}");
        let mut server = terminal(serve);
        let address = server.address();
        let mut client = terminal(format!("auth-connect {address} --key-file {key}"));
        client.shows(&format!("connected to {address}\nencrypted with key ann\n"));
        server.shows("\n[1] encrypted with key ann\n");
        client.quits();
        server.quits();
    }

    let secret = folder.file("secret", "wang wang");
    let mut server = terminal(format!("auth-serve 127.0.0.1:0 --digest md5 --key-file {secret}"));
    let address = server.address();
    let mut client = terminal(format!("auth-connect {address} --digest md5 --key-file {secret}"));
    client.ends_in(&[
        &format!("connected to {address}"),
        "not encrypted: only the key is proved",
        "q or Ctrl-D leaves",
        ">>>",
    ]);
    server.shows(" joined");
    client.quits();
    assert!(!server.quits().contains("encrypted"));
}

#[test]
fn a_server_that_asks_for_a_key_is_recognised() {
    let folder = Folder::new();
    let key = folder.file("key", "correct horse battery staple");
    for (protocol, hint) in [
        ("--digest sha256", "the server seems to ask for a key: use sockctl auth-connect --digest"),
        ("--python", "the server seems to ask for a key: use sockctl auth-connect --python"),
        ("", " without a reply; if it asks for a key, use sockctl auth-connect"),
    ] {
        let server = sockctl(format!("auth-serve 127.0.0.1:0 --key-file {key} {protocol}")).start();
        let mut client = terminal(format!("connect {}", server.address()));
        client.awaits(">>>");
        if protocol.is_empty() {
            client.enter("hello");
            client.until(hint, |text| text.replace('\n', "").contains(hint));
            client.ends(0);
        } else {
            client.until(hint, |text| text.replace('\n', "").contains(hint));
        }
    }
    let mut server = python(SAYS_32_LETTERS, "").start();
    let port = server.stdout_has("\n").trim().to_string();
    let mut client = terminal(format!("connect {port}"));
    client.ends_in(&[&format!("<<< {}", "x".repeat(32)), ">>>"]);
    server.send("\n");
    let text = client.ends(0);
    assert!(!text.contains("key"), "{text}");
}

const SAYS_32_LETTERS: &str = "
import socket
server = socket.create_server(('127.0.0.1', 0))
print(server.getsockname()[1])
peer, _ = server.accept()
peer.sendall(b'x' * 32)
input()
";

#[test]
fn a_server_names_its_commands_once() {
    let mut server = terminal("serve 127.0.0.1:0");
    server.shows("/help lists the commands; clients do not see each other without --room\n");
    server.enter("/help").ends_in(&[
        "-- /kick ID    disconnect client ID",
        "-- /quit       stop the server",
        "-- a leading space sends such a line as text",
        ">>>",
    ]);
    server.quits();
    let mut room = terminal("serve --room 127.0.0.1:0");
    room.shows("/help lists the commands\nlistening on ");
    room.quits();
    sockctl("serve --once 127.0.0.1:0").start().stops("", "");
}

#[test]
fn lines_that_came_are_marked_but_in_a_room() {
    let (mut client, mut peer) = connected("");
    peer.write_all(b"connection closed\n").unwrap();
    client.ends_in(&["<<< connection closed", ">>>"]);
    peer.write_all(greeting("guest1", "server").as_bytes()).unwrap();
    peer.write_all(b"-- guest1 joined\n<ann> hi\n").unwrap();
    client.ends_in(&["-- guest1 joined", "<ann> hi", ">>>"]);
    quits(&mut client, &peer);
}
