//! Our prompts against Python's `socketserver` and a plain Python client, whose messages have no
//! newline.

use super::pty::terminal;
use crate::python_api::{CLIENT, SERVER};
use crate::run::{listening, python};

#[test]
fn connect_chats_with_the_threaded_server() {
    let (mut server, address) = listening(SERVER, "");
    let mut client = terminal(format!("connect --no-newline {address}"));
    client.awaits(">>>");
    server.send("你好\n");
    client.ends_in(&["<<< 你好", ">>>"]);
    client.enter("hello");
    server.stdout_has(">>>hello\n");
    server.send("again\n");
    client.ends_in(&["<<< again", ">>>"]);
    client.enter("q");
    client.ends(0);
    server.finish().is(0, ">>>hello\n>>>q\n", format!("listening on {address}\n"));
}

#[test]
fn serve_chats_with_the_client() {
    let mut server = terminal("serve 127.0.0.1:0");
    let mut client = python(CLIENT, server.port().to_string()).start();
    server.shows("joined");
    server.enter("你好");
    client.stdout_has("你好\n");
    client.send("hello\n");
    server.ends_in(&["[1] hello", ">>>"]);
    server.enter("@1 only you");
    client.stdout_has(">>>only you\n");
    client.send("q\n");
    server.shows("[1] q");
    server.shows(" left");
    client.finish().is(0, "你好\n\n>>>only you\n\n>>>", "");
    server.quits();
}
