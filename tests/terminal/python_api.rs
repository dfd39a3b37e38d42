//! Our prompts against Python's `socketserver` and a plain Python client, whose messages have no
//! newline.

use super::pty::terminal;
use crate::run::python;

/// A `ThreadingTCPServer` whose handler speaks first and then waits for one chunk.
const SERVER: &str = "
import socketserver
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        while True:
            text = input('>>>')
            self.request.send(text.encode('utf-8'))
            print('got:', self.request.recv(1024).decode('utf-8'))
socketserver.ThreadingTCPServer.allow_reuse_address = True
server = socketserver.ThreadingTCPServer(('127.0.0.1', 0), Handler)
print(server.server_address[1])
server.serve_forever()
";

/// Waits for one chunk, answers, and leaves with `q`.
const CLIENT: &str = "
import socket, sys
sk = socket.socket()
sk.connect(('127.0.0.1', int(sys.argv[1])))
while True:
    print('got:', sk.recv(1024).decode('utf-8'))
    text = input('>>>')
    sk.send(text.encode('utf-8'))
    if text == 'q':
        break
sk.close()
";

#[test]
fn connect_chats_with_the_threaded_server() {
    let mut server = python(SERVER, "").start();
    let port = server.stdout_has("\n").trim().to_string();
    let mut client = terminal(format!("connect --no-newline 127.0.0.1:{port}"));
    client.awaits(">>>");
    server.send("你好\n");
    client.ends_in(&["<<< 你好", ">>>"]);
    client.enter("hello");
    server.stdout_has("got: hello\n");
    server.send("again\n");
    client.ends_in(&["<<< again", ">>>"]);
    client.enter("q");
    server.stdout_has("got: q\n");
    client.ends(0);
}

#[test]
fn serve_chats_with_the_client() {
    let mut server = terminal("serve 127.0.0.1:0");
    let mut client = python(CLIENT, server.port().to_string()).start();
    server.shows("joined");
    server.enter("你好");
    client.stdout_has("got: 你好\n");
    client.send("hello\n");
    server.ends_in(&["[1] hello", ">>>"]);
    server.enter("@1 only you");
    client.stdout_has("got: only you\n");
    client.send("q\n");
    server.shows("[1] q");
    server.shows(" left");
    let said = client.finish();
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    server.quits();
}
