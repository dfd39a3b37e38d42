//! nc, ncat and socat as the other end, in both roles: 10 MiB both ways at once, byte for byte,
//! and both sides end by themselves.

use sha2::{Digest, Sha256};

use crate::run::{Finished, Folder, Running, conversation, free_port, program, sockctl, until};

const SIZE: usize = 10 << 20;

/// Bytes that do not repeat where a block was lost or doubled.
fn bytes(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut step = || {
        // Knuth's MMIX generator.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..SIZE).map(|_| step()).collect()
}

/// Whether it ended well with these bytes, quietly but for `stderr`.
#[track_caller]
fn got(done: &Finished, wanted: &[u8], stderr: &str) {
    let sum = |bytes: &[u8]| (bytes.len(), hex::encode(Sha256::digest(bytes)));
    assert_eq!((done.code, sum(&done.stdout), done.stderr.as_str()), (0, sum(wanted), stderr));
}

/// Both send everything and end; each has what the other sent.
#[track_caller]
fn exchange(mut ours: Running, mut theirs: Running, said: &str) {
    let (up, down) = (bytes(1), bytes(2));
    ours.feed(up.clone());
    theirs.feed(down.clone());
    let theirs = theirs.finish();
    let ours = ours.finish();
    got(&ours, &down, said);
    got(&theirs, &up, "");
}

/// The same with our end the last: nc and ncat leave at a peer's end whatever they have not sent
/// yet, where they listen and on UNIX sockets (a plain Python peer loses as much).
#[track_caller]
fn exchange_and_end(mut ours: Running, mut theirs: Running, said: &str) {
    let (up, down) = (bytes(1), bytes(2));
    theirs.feed(down.clone());
    ours.send(&up);
    ours.stdout_bytes(SIZE);
    let ours = ours.finish();
    let theirs = theirs.finish();
    got(&ours, &down, said);
    got(&theirs, &up, "");
}

/// Waits until somebody listens on a port (or is bound to it, for UDP).
fn listens(table: &str, port: u16) {
    let wanted =
        format!("0100007F:{port:04X} 00000000:0000 {}", if table == "tcp" { "0A" } else { "07" });
    until("a listener", || {
        std::fs::read_to_string(format!("/proc/net/{table}")).unwrap().contains(&wanted)
    });
}

/// The same for a UNIX path.
fn listens_at(path: &std::path::Path) {
    until("a listener", || {
        std::fs::read_to_string("/proc/net/unix")
            .unwrap()
            .lines()
            .any(|line| line.contains(" 00010000 ") && line.ends_with(path.to_str().unwrap()))
    });
}

/// Them as a client of `serve --once`.
#[track_caller]
fn client(name: &str, words: &dyn Fn(&str) -> Vec<String>) {
    let ours = sockctl("serve 127.0.0.1:0 --once").start();
    let address = ours.address();
    let theirs = program(name, words(&ours.port().to_string())).start();
    let said = conversation(&address, ours.guest(), "");
    exchange(ours, theirs, &said);
}

/// Them as the server of `connect`.
#[track_caller]
fn listener(name: &str, words: &dyn Fn(&str) -> Vec<String>) {
    let port = free_port();
    let theirs = program(name, words(&port.to_string())).start();
    listens("tcp", port);
    let ours = sockctl(format!("connect {port}")).start();
    exchange_and_end(ours, theirs, "");
}

/// Both roles over a UNIX path.
#[track_caller]
fn unix(name: &str, connect: &dyn Fn(&str) -> Vec<String>, listen: &dyn Fn(&str) -> Vec<String>) {
    let folder = Folder::new();
    let path = folder.at("ours");
    let address = format!("unix:{}", path.display());
    let ours = sockctl(format!("serve {address} --once")).start();
    ours.address();
    let theirs = program(name, connect(path.to_str().unwrap())).start();
    let said = conversation(&address, ours.guest(), "");
    exchange_and_end(ours, theirs, &said);

    let path = folder.at("theirs");
    let theirs = program(name, listen(path.to_str().unwrap())).start();
    listens_at(&path);
    let ours = sockctl(format!("connect unix:{}", path.display())).start();
    exchange_and_end(ours, theirs, "");
}

/// Both roles over UDP: a question, and its answer.
#[track_caller]
fn udp(name: &str, connect: &dyn Fn(&str) -> Vec<String>, listen: &dyn Fn(&str) -> Vec<String>) {
    let ours = sockctl("udp-serve 127.0.0.1:0 --reply answer\\n").start();
    let mut theirs = program(name, connect(&ours.port().to_string())).start();
    theirs.send("question\n");
    theirs.stdout_has("answer\n");
    drop(theirs);

    let port = free_port();
    let mut theirs = program(name, listen(&port.to_string())).start();
    listens("udp", port);
    let ours = sockctl(format!("udp-send {port} question\\n --reply")).start();
    theirs.stdout_has("question\n");
    theirs.send("answer\n");
    ours.finish().is(0, "answer\n", "");
}

/// Words with the port or path put in for `@`.
fn words(template: &'static str) -> impl Fn(&str) -> Vec<String> {
    move |target| template.split(' ').map(|word| word.replace('@', target)).collect()
}

#[test]
#[ignore = "needs netcat-openbsd"]
fn nc_is_a_client_of_serve() {
    client("nc.openbsd", &words("-N 127.0.0.1 @"));
}

#[test]
#[ignore = "needs netcat-openbsd"]
fn nc_is_a_server_for_connect() {
    listener("nc.openbsd", &words("-N -l 127.0.0.1 @"));
}

#[test]
#[ignore = "needs netcat-openbsd"]
fn nc_speaks_over_unix_sockets() {
    unix("nc.openbsd", &words("-N -U @"), &words("-N -l -U @"));
}

#[test]
#[ignore = "needs netcat-openbsd"]
fn nc_speaks_udp() {
    udp("nc.openbsd", &words("-u 127.0.0.1 @"), &words("-u -l 127.0.0.1 @"));
}

#[test]
#[ignore = "needs ncat"]
fn ncat_is_a_client_of_serve() {
    client("ncat", &words("127.0.0.1 @"));
}

#[test]
#[ignore = "needs ncat"]
fn ncat_is_a_server_for_connect() {
    listener("ncat", &words("-l 127.0.0.1 @"));
}

#[test]
#[ignore = "needs ncat"]
fn ncat_speaks_over_unix_sockets() {
    unix("ncat", &words("-U @"), &words("-l -U @"));
}

#[test]
#[ignore = "needs ncat"]
fn ncat_speaks_udp() {
    udp("ncat", &words("-u 127.0.0.1 @"), &words("-u -l 127.0.0.1 @"));
}

#[test]
#[ignore = "needs socat"]
fn socat_is_a_client_of_serve() {
    client("socat", &words("-t30 - TCP:127.0.0.1:@"));
}

#[test]
#[ignore = "needs socat"]
fn socat_is_a_server_for_connect() {
    listener("socat", &words("-t30 - TCP-LISTEN:@,bind=127.0.0.1"));
}

#[test]
#[ignore = "needs socat"]
fn socat_speaks_over_unix_sockets() {
    unix("socat", &words("-t30 - UNIX-CONNECT:@"), &words("-t30 - UNIX-LISTEN:@"));
}

#[test]
#[ignore = "needs socat"]
fn socat_speaks_udp() {
    udp("socat", &words("- UDP:127.0.0.1:@"), &words("- UDP-LISTEN:@,bind=127.0.0.1"));
}
