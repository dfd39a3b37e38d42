//! HTTP through relays: nginx, haproxy, and servers on UNIX sockets.

use std::fmt::Display;
use std::fs;

use super::payload;
use crate::interop::services::{haproxy, haproxy_that_names_clients};
use crate::interop::tls::nginx;
use crate::relay::relay;
use crate::run::{Finished, Folder, Running, free_port, program, python, sockctl};
use crate::tls::certificates::Chain;

/// nginx that listens like this, of which one is this port: it has the file `payload`, takes files
/// at `/up/`, and says at `/who` which client it sees.
fn site(folder: &Folder, port: u16, listen: &str) -> Running {
    folder.file("payload", payload());
    fs::create_dir(folder.at("up")).unwrap();
    let site = format!(
        "{listen} client_max_body_size 0; \
         location /up/ {{ dav_methods PUT; }} \
         location /who {{ return 200 $server_protocol,$remote_addr:$remote_port; }}"
    );
    nginx(folder, port, &site)
}

/// curl with these words.
fn curl(words: impl Display) -> Finished {
    program("curl", format!("-sS --fail {words}")).run()
}

/// curl gets a file several times over one connection, and puts files of a length that is known and
/// of one that is not.
#[track_caller]
fn is_site(folder: &Folder, url: &str, words: &str) {
    let got = folder.text("got");
    let get = format!("{url}/payload -o {got}");
    let show = "-w '%{http_code} %{num_connects} %{size_download}\\n'";
    let size = payload().len();
    let done = curl(format!("{words} {show} {get} {get}2 {get}3"));
    done.is(0, format!("200 1 {size}\n200 0 {size}\n200 0 {size}\n"), "");
    for name in ["got", "got2", "got3"] {
        assert!(fs::read(folder.at(name)).unwrap() == payload(), "{name}");
        fs::remove_file(folder.at(name)).unwrap();
    }
    let show = "-o /dev/null -w '%{http_code}\\n'";
    for (name, how) in [
        ("chunked", "-T - -H 'Transfer-Encoding: chunked' -H Expect:"),
        ("known", &format!("-T {}", folder.text("payload"))),
    ] {
        let put = format!("-sS --fail {words} {show} {how} {url}/up/{name}");
        let done = program("curl", put).input(payload()).run();
        done.is(0, "201\n", "");
        assert!(fs::read(folder.at("up").join(name)).unwrap() == payload(), "{name}");
        fs::remove_file(folder.at("up").join(name)).unwrap();
    }
}

#[test]
#[ignore = "needs nginx-light and curl"]
fn curl_keeps_connections_alive_and_uploads_chunks() {
    let (folder, port) = (Folder::new(), free_port());
    let path = folder.text("nginx");
    let _nginx = site(&folder, port, &format!("listen 127.0.0.1:{port}; listen unix:{path};"));
    for target in [format!("127.0.0.1:{port}"), format!("unix:{path}")] {
        let server = relay(&target, "");
        is_site(&folder, &format!("http://{server}"), "");
        server.stops("", "");
        let path = folder.text("relay");
        let server = sockctl(format!("serve unix:{path} --to {target}")).start();
        server.address();
        is_site(&folder, "http://docker", &format!("--unix-socket {path}"));
        server.stops("", "");
    }
}

#[test]
#[ignore = "needs nginx-light and nghttp2-client"]
fn nghttp_speaks_http2() {
    let (folder, port) = (Folder::new(), free_port());
    let _nginx = site(&folder, port, &format!("listen 127.0.0.1:{port} http2;"));
    let server = relay(port, "");
    let url = format!("http://{server}");
    let done = program("nghttp", format!("{url}/payload")).run();
    done.is(0, payload(), "");
    let file = folder.text("payload");
    let done = program("nghttp", format!("-H ':method: PUT' -d {file} {url}/up/put")).run();
    done.is(0, "", "");
    assert!(fs::read(folder.at("up/put")).unwrap() == payload());
    // Streams side by side.
    for (path, count) in [("payload", 40), ("who", 2000)] {
        let said = program("h2load", format!("-n {count} -c 4 -m 10 {url}/{path}")).run().text();
        let all = format!(" {count} succeeded, 0 failed, 0 errored, 0 timeout");
        assert!(said.contains(&all), "{said}");
    }
    server.stops("", "");
}

#[test]
#[ignore = "needs nginx-light and curl"]
fn tls_stands_in_front_of_http2_and_behind() {
    let chain = Chain::new();
    let (port, secured) = (free_port(), free_port());
    let listen = format!(
        "listen 127.0.0.1:{port} http2; listen 127.0.0.1:{secured} ssl http2; \
         ssl_certificate {0}; ssl_certificate_key {0};",
        chain.cert
    );
    let _nginx = site(&chain.folder, port, &listen);
    // In front.
    let words = format!("--tls --tls-cert {} --tls-alpn h2", chain.cert);
    let front = relay(port, words);
    let trusted = format!("--cacert {}", chain.ca);
    let url = format!("https://localhost:{}", front.port());
    is_site(&chain.folder, &url, &format!("{trusted} --http2"));
    let done = curl(format!("{trusted} --http2 -w ,%{{http_version}} {url}/who"));
    assert!(done.text().ends_with(",2"));
    // Through: the client checks the certificate of nginx.
    let through = relay(secured, "");
    let url = format!("https://localhost:{}", through.port());
    is_site(&chain.folder, &url, &trusted);
    // Behind.
    let behind = relay(format!("tls:localhost:{secured}"), format!("--to-tls-ca {}", chain.ca));
    is_site(&chain.folder, &format!("http://{behind}"), "--http1.1");
    through.stops("", "");
    // Some end TLS without close_notify: curl 7.88 behind HTTP/2, nginx where we have sent ours.
    for server in [front, behind] {
        server.signal("TERM");
        let said = server.finish().gives(0, "");
        let is_expected = |line: &str| line.ends_with("the peer's close_notify did not come");
        assert!(said.lines().skip(1).all(is_expected), "{said}");
    }
}

/// A server on a UNIX socket that answers one request in chunks, one for each line of its stdin.
const CHUNKS: &str = r#"
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("listening on unix:" + sys.argv[1], file=sys.stderr, flush=True)
peer, _ = listener.accept()
request = b""
while b"\r\n\r\n" not in request:
    request += peer.recv(4096)
peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
for line in sys.stdin.buffer:
    peer.sendall(b"%x\r\n%s\r\n" % (len(line), line))
peer.sendall(b"0\r\n\r\n")
"#;

#[test]
#[ignore = "needs curl"]
fn chunks_arrive_as_they_are_sent() {
    let folder = Folder::new();
    let path = folder.text("docker.sock");
    let mut target = python(CHUNKS, [&path]).start();
    target.address();
    let server = relay(format!("unix:{path}"), "");
    let client = program("curl", format!("-sSN --fail http://{server}/events")).start();
    let mut all = String::new();
    for line in ["create\n", "start\n", "die\n"] {
        target.send(line);
        all += line;
        // The next is sent only once this one is here.
        client.stdout_has(&all);
    }
    target.finish().is(0, "", format!("listening on unix:{path}\n"));
    client.finish().is(0, all, "");
    server.stops("", "");
}

/// curl asks who it is; nginx's answer, and the address of curl.
fn who(port: u16) -> (String, String) {
    let url = format!("http://127.0.0.1:{port}/");
    let show = "-w '\\n%{local_ip}:%{local_port}'";
    let said = curl(format!("--interface 127.0.0.9 {show} {url}who")).output();
    let (answer, local) = said.trim_end().rsplit_once('\n').unwrap();
    (answer.trim_end().into(), local.into())
}

#[test]
#[ignore = "needs nginx-light, haproxy and curl"]
fn nginx_and_haproxy_see_the_clients_address() {
    let (folder, port) = (Folder::new(), free_port());
    let listen = format!(
        "listen 127.0.0.1:{port} proxy_protocol; set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol;"
    );
    let _nginx = site(&folder, port, &listen);
    let (_haproxy, _place, names) = haproxy_that_names_clients();
    for flag in ["--send-proxy", "--send-proxy=2"] {
        for (port, prefix) in [(port, "HTTP/1.1,"), (names, "")] {
            let server = relay(port, flag);
            let (answer, local) = who(server.port());
            assert_eq!(answer, format!("{prefix}{local}"), "{flag}");
            // One header, whatever the number of requests.
            if !prefix.is_empty() {
                is_site(&folder, &format!("http://{server}"), "");
            }
            server.stops("", "");
        }
    }
}

#[test]
#[ignore = "needs nginx-light, haproxy and curl"]
fn haproxy_in_front_names_the_client_all_the_way() {
    let (folder, port) = (Folder::new(), free_port());
    let listen = format!(
        "listen 127.0.0.1:{port} proxy_protocol; set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol;"
    );
    let _nginx = site(&folder, port, &listen);
    for version in ["send-proxy", "send-proxy-v2"] {
        let server = relay(port, "--accept-proxy 127.0.0.1 --send-proxy -v");
        let (_haproxy, _place, front) = haproxy(&format!("{server} {version}"));
        let (answer, local) = who(front);
        assert_eq!(answer, format!("HTTP/1.1,{local}"), "{version}");
        server.stderr_has(&format!("{local} accepted on "));
        is_site(&folder, &format!("http://127.0.0.1:{front}"), "");
    }
}
