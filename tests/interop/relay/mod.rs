//! Services and their own clients with a relay between them.

use std::fmt::Display;
use std::fs;
use std::sync::LazyLock;

use super::services::{git, git_daemon, postgres};
use super::tls::listens;
use crate::relay::relay;
use crate::run::{Folder, Program, Running, free_port, is_taken, pattern, program, sockctl, until};

mod secured;
mod shell;
mod web;

/// 10 MiB.
fn payload() -> &'static [u8] {
    static PAYLOAD: LazyLock<Vec<u8>> = LazyLock::new(|| pattern(10 << 20));
    &PAYLOAD
}

/// So many lines, one after the other.
fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect::<Vec<_>>().concat()
}

/// Ends a relay that had nothing to say; its address may have a pin.
#[track_caller]
fn was_silent(relay: Running) {
    relay.signal("TERM");
    let said = relay.finish().gives(0, "");
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// redis, which listens at this port and at `redis` in this folder, with these words more.
fn redis(folder: &Folder, port: u16, words: &str) -> Running {
    let words =
        format!("--port {port} --bind 127.0.0.1 --save '' --dir {} {words}", folder.text(""));
    let words = format!("{words} --unixsocket {}", folder.text("redis"));
    let server = listens(program("redis-server", words), port);
    until("its path is there", || folder.at("redis").exists());
    server
}

/// redis-cli, which reaches redis like this: `-p PORT` or `-s PATH`.
fn redis_cli(at: impl Display, words: &str) -> Program {
    program("redis-cli", format!("{at} {words}"))
}

/// redis is reached like this: with small values and one of 10 MiB, with pipelined commands, by many
/// connections, and by two that get what others cause.
#[track_caller]
fn is_redis(at: &str) {
    let ask = |words: &str| redis_cli(at, words).run().output();
    assert_eq!(ask("SET small hello"), "OK\n");
    assert_eq!(ask("GET small"), "hello\n");
    redis_cli(at, "-x SET big").input(payload()).run().is(0, "OK\n", "");
    redis_cli(at, "GET big").run().is(0, [payload(), b"\n"].concat(), "");

    let many = lines(50_000, |nth| format!("SET key:{nth} {nth}\r\n"));
    let piped = redis_cli(at, "--pipe").input(many).run().output();
    assert!(piped.ends_with("errors: 0, replies: 50000\n"), "{piped}");
    assert_eq!(ask("GET key:49999"), "49999\n");
    let words = format!("{at} -q -n 5000 -c 50 -P 16 -t set,lrange_100");
    let done = program("redis-benchmark", words).run();
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));

    let watching = redis_cli(at, "MONITOR").start();
    watching.stdout_has("OK\n");
    let subscribed = redis_cli(at, "SUBSCRIBE news").start();
    subscribed.stdout_has("subscribe\nnews\n1\n");
    for text in ["first", "second"] {
        assert_eq!(ask(&format!("PUBLISH news {text}")), "1\n");
        subscribed.stdout_has(&format!("message\nnews\n{text}\n"));
        watching.stdout_has(&format!("\"PUBLISH\" \"news\" \"{text}\"\n"));
    }
    // The server's end is the client's.
    assert_eq!(ask("CLIENT KILL TYPE pubsub"), "1\n");
    let ended = subscribed.finish();
    assert_eq!((ended.code, ended.stderr.as_str()), (1, "Error: Server closed the connection\n"));
}

#[test]
#[ignore = "needs redis-server"]
fn redis_is_reached_over_tcp_and_unix() {
    let (folder, port) = (Folder::new(), free_port());
    let _redis = redis(&folder, port, "");
    for target in [format!("127.0.0.1:{port}"), format!("unix:{}", folder.text("redis"))] {
        let server = relay(&target, "");
        is_redis(&format!("-p {}", server.port()));
        server.stops("", "");
        let path = folder.text("relay");
        let server = sockctl(format!("serve unix:{path} --to {target}")).start();
        server.address();
        is_redis(&format!("-s {path}"));
        server.stops("", "");
    }
}

#[test]
#[ignore = "needs redis-server"]
fn redis_is_waited_for_and_found_behind_one_that_is_down() {
    let (folder, port) = (Folder::new(), free_port());
    let server = relay("127.0.0.1:1", format!("--to {port} --wait 30s -v"));
    let client = redis_cli(format!("-p {}", server.port()), "PING").start();
    server.stderr_has("accepted on ");
    let first = redis(&folder, port, "");
    let done = client.finish();
    done.is(0, "PONG\n", "");
    is_redis(&format!("-p {}", server.port()));
    // It is started anew; a client that comes meanwhile waits.
    first.signal("TERM");
    first.finish();
    let client = redis_cli(format!("-p {}", server.port()), "PING").start();
    let _second = redis(&folder, port, "");
    client.finish().is(0, "PONG\n", "");
}

#[test]
#[ignore = "needs redis-server and systemd"]
fn redis_is_reached_through_a_socket_of_systemd() {
    let (folder, behind) = (Folder::new(), free_port());
    let _redis = redis(&folder, behind, "");
    let port = free_port();
    let words = format!("serve --systemd --to {behind}");
    let manager = program("systemd-socket-activate", format!("-l 127.0.0.1:{port}"))
        .arg(crate::run::BINARY)
        .args(words)
        .start();
    manager.stderr_has("Listening on");
    is_redis(&format!("-p {port}"));
    manager.signal("TERM");
    assert_eq!(manager.finish().code, 0);
}

#[test]
#[ignore = "needs postgresql"]
fn psql_queries_copies_listens_and_cancels() {
    let (folder, port) = (Folder::new(), free_port());
    let pem = folder.text("own.pem");
    let create = format!("serve --create-cert=127.0.0.1 --tls-cert {pem}");
    assert_eq!(sockctl(create).run().code, 0);
    let words = format!("-c ssl=on -c ssl_cert_file={pem} -c ssl_key_file={pem}");
    let database = postgres(&folder, port, &words);
    let place = Folder::new();
    let root = place.file("ca.pem", fs::read(&pem).unwrap());
    let socket = format!("unix:{}", folder.text(&format!(".s.PGSQL.{port}")));
    let rows = lines(200_000, |nth| format!("{nth}\trow {nth}\n"));
    for (nth, target) in [format!("127.0.0.1:{port}"), socket].iter().enumerate() {
        let tcp = relay(target, "");
        let at = format!("-h 127.0.0.1 -p {}", tcp.port());
        let path = format!("unix:{}", place.text(".s.PGSQL.5432"));
        let unix = sockctl(format!("serve {path} --to {target}")).start();
        unix.address();
        let psql = |at: &str| program("psql", format!("-X -q -At -U postgres {at}"));
        for at in [&at, &format!("-h {}", place.text(""))] {
            let ask = |words: &str| psql(at).args(["-c", words]).run().output();
            assert_eq!(ask("SELECT 6 * 7"), "42\n");
            ask("CREATE TABLE t (id int, text text)");
            psql(at).args(["-c", "\\copy t FROM STDIN"]).input(rows.as_str()).run().is(0, "", "");
            assert_eq!(ask("SELECT count(*), sum(id) FROM t"), "200000|19999900000\n");
            psql(at).args(["-c", "\\copy t TO STDOUT"]).run().is(0, &rows, "");
            ask("DROP TABLE t");
            let mut listening = psql(at).start();
            listening.send("LISTEN news;\nSELECT 'listens';\n").stdout_has("listens\n");
            ask("NOTIFY news, 'hello'");
            listening.send("SELECT 1;\n");
            listening.stdout_has("Asynchronous notification \"news\" with payload \"hello\"");
            assert_eq!(listening.finish().code, 0);
        }
        // It asks for the end of a query over a second connection.
        let waits = psql(&at).args(["-c", "SELECT pg_sleep(60)"]).start();
        let is_running = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        let count = || psql(&at).args(["-c", is_running]).run().output();
        until("the query runs", || count() == "1\n");
        waits.signal("INT");
        let cancelled = "Cancel request sent\nERROR:  canceling statement due to user request\n";
        waits.finish().is(1, "", cancelled);
        // TLS goes through; a UNIX socket of PostgreSQL has none.
        if nth == 0 {
            let tls =
                format!("sslmode=verify-full sslrootcert={root} host=127.0.0.1 user=postgres");
            let tls = format!("{tls} port={}", tcp.port());
            let query = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
            let words = ["-X", "-At", "-d", &tls, "-c", query];
            program("psql", words).run().is(0, "TLSv1.3\n", "");
        }
        tcp.stops("", "");
        unix.stops("", "");
    }
    database.signal("INT");
    database.finish();
}

#[test]
#[ignore = "needs git"]
fn git_clones_and_pushes() {
    let folder = Folder::new();
    let folder = folder.path();
    let bytes = payload();
    let (_daemon, port) = git_daemon(folder, bytes);
    let server = relay(port, "");
    let url = format!("git://127.0.0.1:{}/served", server.port());
    git(folder, &format!("clone -q {url} cloned")).run().is(0, "", "");
    let cloned = folder.join("cloned");
    git(&cloned, "fsck --full --strict --no-progress").run().is(0, "", "");
    assert!(fs::read(cloned.join("big")).unwrap() == bytes);
    fs::write(cloned.join("more"), &bytes[1..]).unwrap();
    git(&cloned, "add more").run().is(0, "", "");
    git(&cloned, "commit -qm more").run().is(0, "", "");
    git(&cloned, "push -q origin HEAD:refs/heads/more").run().is(0, "", "");
    let head = git(&cloned, "rev-parse HEAD").run().output();
    assert_eq!(git(&folder.join("served"), "rev-parse more").run().output(), head);
    git(&folder.join("served"), "fsck --full --strict --no-progress").run().is(0, "", "");
    server.stops("", "");
}

#[test]
#[ignore = "needs iperf3"]
fn iperf3_measures_both_directions() {
    let port = free_port();
    let _iperf = listens(program("iperf3", format!("-s -B 127.0.0.1 -p {port}")), port);
    let server = relay(port, "");
    for words in ["", "-R", "-P 4", "-P 4 -R", "--bidir"] {
        let at = format!("-c 127.0.0.1 -p {} -n 200M --json {words}", server.port());
        let done = program("iperf3", at).run();
        let said = done.output();
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert!(said["error"].is_null(), "{words}: {said}");
        let end = &said["end"];
        let streams = end["streams"].as_array().unwrap().len();
        assert_eq!(
            streams,
            if words.contains("-P 4") { 4 } else { 1 + usize::from(words == "--bidir") }
        );
        // It counts what has arrived when the other side has sent all.
        for sum in ["sum_sent", "sum_received"] {
            let bytes = end[sum]["bytes"].as_u64().unwrap();
            assert!(bytes > 100 << 20, "{words}: {sum}: {bytes}");
        }
    }
    assert!(is_taken(port));
    server.stops("", "");
}
