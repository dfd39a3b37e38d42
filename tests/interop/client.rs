//! Real servers and proxies at the other end of `connect`, each on a free port with its own
//! configuration.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::run::{Finished, Running, program, sockctl};

const BINARY: &str = env!("CARGO_BIN_EXE_sockctl");

/// A free port as a word.
fn free_port() -> String {
    crate::run::free_port().to_string()
}

/// Waits until somebody listens, as a user would.
#[track_caller]
fn is_up(address: &str) {
    sockctl(["connect", "-z", address, "--wait", "30"]).run().is(
        0,
        format!("127.0.0.1:{address} open\n"),
        "",
    );
}

/// A file of this content that nobody else can read; its path.
fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

fn connect(words: &[&str]) -> Finished {
    sockctl([&["connect"], words].concat()).run()
}

/// An echo server of ours to reach through a proxy, and its port.
fn echo() -> (Running, String) {
    let server = sockctl(["serve", "127.0.0.1:0", "--echo"]).start();
    let port = server.port().to_string();
    (server, port)
}

#[test]
#[ignore = "needs redis-server"]
fn redis_answers_a_ping_over_tcp_and_unix() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display().to_string();
    let (port, path) = (free_port(), format!("{place}/redis.sock"));
    let _server = program("redis-server", ["--port", &port, "--bind", "127.0.0.1", "--save", ""])
        .args(["--dir", &place, "--unixsocket", &path])
        .start();
    for address in [port.clone(), format!("unix:{path}")] {
        connect(&[&address, "--wait", "30", "--send", "PING\\r\\n", "--expect", "\\+PONG"]).is(
            0,
            "+PONG\r\n",
            "",
        );
        connect(&[
            &address,
            "--send",
            "SET k 42\\r\\n",
            "--expect",
            "^\\+OK\r\n",
            "--send",
            "GET k\\r\\nQUIT\\r\\n",
            "--expect",
            "^42\r\n",
            "--expect-eof",
        ])
        .is(0, "+OK\r\n$2\r\n42\r\n+OK\r\n", "");
        // The answer to the last step is read to its end: redis ends when we do.
        connect(&[&address, "--send", "PING\\r\\n"]).is(0, "+PONG\r\n", "");
        let named = if address.starts_with("unix:") {
            address.clone()
        } else {
            format!("127.0.0.1:{address}")
        };
        connect(&["-z", &address]).is(0, format!("{named} open\n"), "");
        connect(&[&address, "--send", "NOSUCH\\r\\n", "--expect", "^\\+OK", "-w", "500ms"]).is(
            8,
            "-ERR unknown command 'NOSUCH', with args beginning with: \r\n",
            &format!(
                "sockctl: expect '^\\+OK' from {named}: not within 500ms (-w); 59 bytes came: \
                 '-ERR unknown command 'NOSUCH', with args beginning with: \\r\\n'\n"
            ),
        );
    }
}

#[test]
#[ignore = "needs memcached"]
fn memcached_is_spoken_to_with_crlf() {
    let port = free_port();
    let _server =
        program("memcached", ["-l", "127.0.0.1", "-U", "0", "-u", "root", "-p", &port]).start();
    is_up(&port);
    connect(&[
        &port,
        "-C",
        "--send",
        "set k 0 60 5\\nhello\\n",
        "--expect",
        "^STORED\r$",
        "--send",
        "get k\\n",
        "--expect",
        "^VALUE k 0 5\r\n(.*)\r\nEND\r\n",
        "--send",
        "quit\\n",
        "--expect-eof",
    ])
    .is(0, "STORED\r\nVALUE k 0 5\r\nhello\r\nEND\r\n", "");
    sockctl(["connect", &port, "-C"]).input("get k\nquit\n").run().is(
        0,
        "VALUE k 0 5\r\nhello\r\nEND\r\n",
        "",
    );
}

#[test]
#[ignore = "needs openssh-server"]
fn ssh_moves_megabytes_through_connect() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let path = |name: &str| place.join(name).display().to_string();
    for name in ["host", "user"] {
        program("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", &path(name)])
            .run()
            .is(0, "", "");
    }
    std::fs::copy(path("user.pub"), path("authorized")).unwrap();
    let port = free_port();
    let conf = format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\n\
         UsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nPidFile none\n",
        path("host"),
        path("authorized")
    );
    // Where sshd keeps its unprivileged half; made by its unit elsewhere.
    std::fs::create_dir_all("/run/sshd").unwrap();
    let _server =
        program("/usr/sbin/sshd", ["-D", "-e", "-f", &file(place, "conf", &conf)]).start();
    is_up(&port);
    let user = program("id", ["-un"]).run();
    let user = String::from_utf8(user.stdout).unwrap();
    let bytes: Vec<u8> =
        (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let talk = program(
        "ssh",
        ["-F", "/dev/null", "-o", "LogLevel=ERROR", "-o", "StrictHostKeyChecking=no"],
    )
    .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-i", &path("user")])
    .args(["-o", &format!("ProxyCommand {BINARY} connect %h %p"), "-p", &port])
    .args([&format!("{}@127.0.0.1", user.trim()), "cat"])
    .input(bytes.clone())
    .run();
    assert_eq!((talk.code, talk.stderr.as_str()), (0, ""));
    assert!(talk.stdout == bytes, "{} bytes came", talk.stdout.len());
}

#[test]
#[ignore = "needs microsocks"]
fn microsocks_connects_with_and_without_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let (_echo, target) = echo();
    let port = free_port();
    let _open = program("microsocks", ["-i", "127.0.0.1", "-p", &port]).start();
    is_up(&port);
    let url = format!("socks5://127.0.0.1:{port}");
    // The proxy looks the name up.
    connect(&["localhost", &target, "--proxy", &url, "--send", "hi", "--expect", "hi"])
        .is(0, "hi", "");
    // This proxy ends both directions with the first that ends, so ours stays open.
    let bytes = vec![b'x'; 3_000_000];
    let talk = sockctl(["connect", &target, "--proxy", &url])
        .args(["--no-half-close", "--max-bytes", "3000000"])
        .input(bytes.clone())
        .run();
    assert_eq!((talk.code, talk.stderr.as_str()), (0, ""));
    assert!(talk.stdout == bytes);
    let closed = free_port();
    connect(&[&closed, "--proxy", &url]).is(
        3,
        "",
        &format!(
            "sockctl: connect to 127.0.0.1:{closed} through the socks5 proxy 127.0.0.1:{port}: \
             connection refused (SOCKS reply 5)\n"
        ),
    );
    let port = free_port();
    let _closed =
        program("microsocks", ["-i", "127.0.0.1", "-p", &port, "-u", "me", "-P", "secret"]).start();
    is_up(&port);
    let url = format!("socks5://me@127.0.0.1:{port}");
    for (password, code, out) in [("secret\n", 0, "hi"), ("guess\n", 9, "")] {
        let password = file(folder.path(), "password", password);
        let talk = connect(&[
            &target,
            "--proxy",
            &url,
            "--proxy-password-file",
            &password,
            "--send",
            "hi",
            "--expect",
            "hi",
        ]);
        assert_eq!((talk.code, &talk.stdout[..]), (code, out.as_bytes()), "{}", talk.stderr);
    }
    let url = format!("socks5://127.0.0.1:{port}");
    assert_eq!(connect(&[&target, "--proxy", &url]).code, 9);
}

#[test]
#[ignore = "needs tinyproxy"]
fn tinyproxy_connects_with_and_without_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let (_echo, target) = echo();
    for login in ["", "BasicAuth me secret\n"] {
        let port = free_port();
        let conf = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 10\nAllow 127.0.0.1\n{login}"
        );
        let conf = file(folder.path(), "conf", &conf);
        let _server = program("tinyproxy", ["-d", "-c", &conf]).start();
        is_up(&port);
        let ask = |url: &str| {
            sockctl([
                "connect",
                "localhost",
                &target,
                "--proxy",
                url,
                "--send",
                "hi",
                "--expect",
                "hi",
            ])
            .env("SOCKCTL_PROXY_PASSWORD", "secret")
            .run()
        };
        let talk = ask(&format!("http://me@127.0.0.1:{port}"));
        talk.is(0, "hi", "");
        let talk = ask(&format!("http://127.0.0.1:{port}"));
        if login.is_empty() {
            talk.is(0, "hi", "");
        } else {
            talk.is(
                9,
                "",
                &format!(
                    "sockctl: connect to localhost:{target} through the http proxy 127.0.0.1:{port}: \
                     it answered '407 Proxy Authentication Required'\n"
                ),
            );
        }
        if login.is_empty() {
            let talk = connect(&[&free_port(), "--proxy", &format!("http://127.0.0.1:{port}")]);
            assert_eq!(talk.code, 5, "{}", talk.stderr);
        }
    }
}

#[test]
#[ignore = "needs haproxy"]
fn haproxy_believes_what_send_proxy_says() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let conf = format!(
        "defaults\n mode http\n timeout client 1m\n timeout server 1m\n timeout connect 5s\n\
         frontend f\n bind 127.0.0.1:{port} accept-proxy\n\
         http-request return status 200 content-type text/plain lf-string \"%[src]:%[src_port]\\n\"\n"
    );
    let _server = program("haproxy", ["-db", "-f", &file(folder.path(), "conf", &conf)]).start();
    is_up(&port);
    for flag in ["--send-proxy", "--send-proxy=2"] {
        let talk = connect(&[&port, flag, "--json", "-C", "--send", "GET / HTTP/1.0\\n\\n"]);
        assert_eq!(talk.code, 0, "{}", talk.stderr);
        let event: serde_json::Value =
            serde_json::from_str(talk.stderr.lines().next().unwrap()).unwrap();
        let answer = String::from_utf8(talk.stdout).unwrap();
        let local = event["local"].as_str().unwrap();
        assert!(answer.ends_with(&format!("\r\n\r\n{local}\n")), "{local}: {answer}");
    }
    // Without a header haproxy hangs up.
    let talk = connect(&[&port, "-C", "--send", "GET / HTTP/1.0\\n\\n", "--expect", "200 OK"]);
    assert_eq!(talk.code, 8, "{}", talk.stderr);
}
