//! Real servers and proxies at the other end of `connect`, each on a free port with its own
//! configuration.

use std::fmt::Display;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::services::haproxy_that_names_clients;
use super::tls::listens;
use crate::run::{
    BINARY, Finished, Folder, Program, Running, events, free_port, pattern, program, sockctl,
};

/// Waits until the port is open, as a user would.
#[track_caller]
fn is_up(port: u16) {
    let done = sockctl(format!("connect -z {port} --wait 30")).run();
    done.is(0, format!("127.0.0.1:{port} open\n"), "");
}

fn connect(words: impl Display) -> Finished {
    sockctl(format!("connect {words}")).run()
}

/// An echo server of ours to reach through a proxy, and its port.
fn echo() -> (Running, String) {
    let server = sockctl("serve 127.0.0.1:0 --echo").start();
    let port = server.port().to_string();
    (server, port)
}

#[test]
#[ignore = "needs redis-server"]
fn redis_answers_a_ping_over_tcp_and_unix() {
    let folder = Folder::new();
    let (port, path) = (free_port(), folder.text("redis.sock"));
    let words = format!("--port {port} --bind 127.0.0.1 --save '' --unixsocket {path}");
    let _server = program("redis-server", words).args("--dir").arg(folder.path()).start();
    for (address, named) in [
        (port.to_string(), format!("127.0.0.1:{port}")),
        (format!("unix:{path}"), format!("unix:{path}")),
    ] {
        let words = "--wait 30 --send PING\\r\\n --expect \\+PONG";
        connect(format!("{address} {words}")).is(0, "+PONG\r\n", "");
        connect(format!(
            "{address} --send 'SET k 42\\r\\n' --expect ^\\+OK\r\n \
             --send 'GET k\\r\\nQUIT\\r\\n' --expect ^42\r\n --expect-eof"
        ))
        .is(0, "+OK\r\n$2\r\n42\r\n+OK\r\n", "");
        // The answer to the last step is read to its end: redis ends when we do.
        connect(format!("{address} --send PING\\r\\n")).is(0, "+PONG\r\n", "");
        connect(format!("-z {address}")).is(0, format!("{named} open\n"), "");
        connect(format!("{address} --send NOSUCH\\r\\n --expect ^\\+OK -w 500ms")).is(
            8,
            "-ERR unknown command 'NOSUCH', with args beginning with: \r\n",
            format!(
                "sockctl: expect '^\\+OK' from {named}: not within 500ms (-w); received 59 bytes: \
                 '-ERR unknown command 'NOSUCH', with args beginning with: \\r\\n'\n"
            ),
        );
    }
}

#[test]
#[ignore = "needs memcached"]
fn memcached_is_spoken_to_with_crlf() {
    let port = free_port();
    let _server = program("memcached", format!("-l 127.0.0.1 -U 0 -u root -p {port}")).start();
    is_up(port);
    connect(format!(
        "{port} -C --send 'set k 0 60 5\\nhello\\n' --expect ^STORED\r$ \
         --send 'get k\\n' --expect '^VALUE k 0 5\r\n(.*)\r\nEND\r\n' \
         --send quit\\n --expect-eof"
    ))
    .is(0, "STORED\r\nVALUE k 0 5\r\nhello\r\nEND\r\n", "");
    let done = sockctl(format!("connect {port} -C")).input("get k\nquit\n").run();
    done.is(0, "VALUE k 0 5\r\nhello\r\nEND\r\n", "");
}

/// An sshd of its own, and the configuration of its clients.
pub struct Sshd {
    _server: Running,
    /// Where it listens.
    pub port: u16,
    folder: Folder,
}

impl Sshd {
    /// One whose only user is who runs this.
    pub fn new() -> Self {
        let (folder, port) = (Folder::new(), free_port());
        let path = |name: &str| folder.text(name);
        for name in ["host", "user"] {
            let words = format!("-q -t ed25519 -N '' -f {}", path(name));
            program("ssh-keygen", words).run().is(0, "", "");
        }
        let conf = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\n\
             UsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nPidFile none\n\
             Subsystem sftp internal-sftp\n",
            path("host"),
            path("user.pub")
        );
        // Where sshd keeps its unprivileged half; made by its unit elsewhere.
        fs::create_dir_all("/run/sshd").unwrap();
        let words = ["-D", "-e", "-f", &folder.file("conf", conf)];
        let server = listens(program("/usr/sbin/sshd", words), port);
        let user = program("id", "-un").run().text();
        let conf = format!(
            "User {}\nIdentityFile {}\nIdentitiesOnly yes\nBatchMode yes\nLogLevel ERROR\n\
             StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\n",
            user.trim(),
            path("user")
        );
        folder.file("client", conf);
        Self { _server: server, port, folder }
    }

    /// ssh, scp or sftp with these words.
    pub fn client(&self, name: &str, words: &str) -> Program {
        program(name, ["-F", &self.folder.text("client")]).args(words)
    }
}

#[test]
#[ignore = "needs openssh-server"]
fn ssh_moves_megabytes_through_connect() {
    let sshd = Sshd::new();
    let bytes = pattern(3_000_000);
    let words = format!("-o 'ProxyCommand {BINARY} connect %h %p' -p {} 127.0.0.1 cat", sshd.port);
    sshd.client("ssh", &words).input(bytes.clone()).run().is(0, bytes, "");
}

#[test]
#[ignore = "needs microsocks"]
fn microsocks_connects_with_and_without_a_password() {
    let folder = Folder::new();
    let (_echo, target) = echo();
    let port = free_port();
    let _open = program("microsocks", format!("-i 127.0.0.1 -p {port}")).start();
    is_up(port);
    let url = format!("socks5://127.0.0.1:{port}");
    // The proxy looks the name up.
    connect(format!("localhost {target} --proxy {url} --send hi --expect hi")).is(0, "hi", "");
    // This proxy ends both directions with the first that ends, so ours stays open.
    let bytes = vec![b'x'; 3_000_000];
    let talk =
        sockctl(format!("connect {target} --proxy {url} --no-half-close --max-bytes 3000000"))
            .input(bytes.clone())
            .run();
    talk.is(0, bytes, "");
    let closed = free_port();
    connect(format!("{closed} --proxy {url}")).fails(
        3,
        format!(
            "connect to 127.0.0.1:{closed} through the socks5 proxy 127.0.0.1:{port}: \
             connection refused (SOCKS reply 5)"
        ),
    );
    let port = free_port();
    let _closed = program("microsocks", format!("-i 127.0.0.1 -p {port} -u me -P secret")).start();
    is_up(port);
    let url = format!("socks5://me@127.0.0.1:{port}");
    for (password, code, out) in [("secret\n", 0, "hi"), ("guess\n", 9, "")] {
        let password = folder.file("password", password);
        let words = format!("{target} --proxy {url} --proxy-password-file {password}");
        connect(format!("{words} --send hi --expect hi")).gives(code, out);
    }
    let url = format!("socks5://127.0.0.1:{port}");
    assert_eq!(connect(format!("{target} --proxy {url}")).code, 9);
}

#[test]
#[ignore = "needs tinyproxy"]
fn tinyproxy_connects_with_and_without_a_password() {
    let folder = Folder::new();
    let (_echo, target) = echo();
    for login in ["", "BasicAuth me secret\n"] {
        let port = free_port();
        let conf = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 10\nAllow 127.0.0.1\n{login}"
        );
        let _server = program("tinyproxy", ["-d", "-c", &folder.file("conf", conf)]).start();
        is_up(port);
        let ask = |url: &str| {
            sockctl(format!("connect localhost {target} --proxy {url} --send hi --expect hi"))
                .env("SOCKCTL_PROXY_PASSWORD", "secret")
                .run()
        };
        ask(&format!("http://me@127.0.0.1:{port}")).is(0, "hi", "");
        let talk = ask(&format!("http://127.0.0.1:{port}"));
        if login.is_empty() {
            talk.is(0, "hi", "");
            let done = connect(format!("{} --proxy http://127.0.0.1:{port}", free_port()));
            assert_eq!(done.code, 5, "{}", done.stderr);
        } else {
            talk.fails(
                9,
                format!(
                    "connect to localhost:{target} through the http proxy 127.0.0.1:{port}: \
                     it requires a user and a password (http://USER@…)"
                ),
            );
        }
    }
}

#[test]
#[ignore = "needs haproxy"]
fn haproxy_believes_what_send_proxy_says() {
    let (_server, _folder, port) = haproxy_that_names_clients();
    for flag in ["--send-proxy", "--send-proxy=2"] {
        let talk = connect(format!("{port} {flag} --json -C --send 'GET / HTTP/1.0\\n\\n'"));
        assert_eq!(talk.code, 0, "{}", talk.stderr);
        let event = &events(&talk.stderr)[0];
        let (answer, local) = (talk.text(), event["local"].as_str().unwrap());
        assert!(answer.ends_with(&format!("\r\n\r\n{local}\n")), "{local}: {answer}");
    }
    // Without a header haproxy hangs up.
    let talk = connect(format!("{port} -C --send 'GET / HTTP/1.0\\n\\n' --expect '200 OK'"));
    assert_eq!(talk.code, 8, "{}", talk.stderr);
}

#[test]
#[ignore = "needs squid"]
fn squid_gets_a_digest_or_a_password() {
    let folder = Folder::new();
    let (_echo, target) = echo();
    let digests = folder.file("digests", "me:a proxy:ed341f3878913c4a145b9c860b29f142\n");
    let passwords = folder.file("passwords", "me:$1$salt$ez2vlPGdaLYkJam5pWs/Y1\n");
    // squid's helpers are another user's.
    for (path, mode) in
        [(folder.text(""), 0o755), (digests.clone(), 0o644), (passwords.clone(), 0o644)]
    {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let digest = format!("digest program /usr/lib/squid/digest_file_auth -c {digests}");
    let basic = format!("basic program /usr/lib/squid/basic_ncsa_auth {passwords}");
    for programs in [vec![&digest], vec![&basic], vec![&basic, &digest]] {
        let port = free_port();
        let mut conf = format!(
            "http_port 127.0.0.1:{port}\nacl known proxy_auth REQUIRED\n\
             http_access allow known\nhttp_access deny all\ncache deny all\naccess_log none\n\
             cache_log /dev/null\npid_filename none\n"
        );
        for program in programs {
            let scheme = program.split(' ').next().unwrap();
            let line = format!("auth_param {program}\nauth_param {scheme} realm a proxy\n");
            conf.insert_str(0, &line);
        }
        let _server = program("squid", ["-N", "-f", &folder.file("conf", conf)]).start();
        is_up(port);
        let ask = |password: &str| {
            let proxy = format!("--proxy http://me@127.0.0.1:{port}");
            sockctl(format!("connect 127.0.0.1:{target} {proxy} --send hi --expect hi"))
                .env("SOCKCTL_PROXY_PASSWORD", password)
                .run()
        };
        ask("secret").is(0, "hi", "");
        ask("guess").fails(
            9,
            format!(
                "connect to 127.0.0.1:{target} through the http proxy 127.0.0.1:{port}: it does \
                 not accept the user and the password"
            ),
        );
    }
}
