//! stunnel and spiped beside relays.

use super::{is_redis, payload, redis, redis_cli, was_silent};
use crate::interop::tls::listens;
use crate::relay::relay;
use crate::run::{Folder, free_port, is_taken, program, read_to_reset, sockctl, until};
use crate::tls::certificates::Chain;

#[test]
#[ignore = "needs stunnel4 and redis-server"]
fn stunnel_is_either_end() {
    let chain = Chain::new();
    let behind = free_port();
    let _redis = redis(&chain.folder, behind, "");
    let far = relay(behind, format!("--tls --tls-cert {}", chain.cert));
    let (secured, plain) = (free_port(), free_port());
    let conf = format!(
        "foreground = yes\npid =\nsyslog = no\n\
         [server]\naccept = 127.0.0.1:{secured}\nconnect = 127.0.0.1:{behind}\ncert = {}\n\
         [client]\nclient = yes\naccept = 127.0.0.1:{plain}\nconnect = {far}\nCAfile = {}\n\
         verifyChain = yes\ncheckHost = localhost\nsni = localhost\n",
        chain.cert, chain.ca
    );
    let conf = chain.folder.file("stunnel.conf", conf);
    let _stunnel = listens(program("stunnel4", [&conf]), plain);
    until("it listens", || is_taken(secured));
    let near = relay(format!("tls:localhost:{secured}"), format!("--to-tls-ca {}", chain.ca));
    is_redis(&format!("-p {}", near.port()));
    is_redis(&format!("-p {plain}"));
    near.stops("", "");
    was_silent(far);
}

#[test]
#[ignore = "needs spiped and redis-server"]
fn two_ends_carry_what_spipeds_carry() {
    let (folder, behind) = (Folder::new(), free_port());
    let _redis = redis(&folder, behind, "");
    let key = folder.file("spiped.key", crate::run::pattern(32));
    let (far, near) = (free_port(), free_port());
    let end = |words: &str, listen: u16, target: u16| {
        let words = format!("{words} -F -s [127.0.0.1]:{listen} -t [127.0.0.1]:{target} -k {key}");
        listens(program("spiped", words), listen)
    };
    let _far = end("-d", far, behind);
    let _near = end("-e", near, far);
    is_redis(&format!("-p {near}"));

    let ours = folder.text("key");
    assert_eq!(sockctl(format!("auth-serve --create-key --key-file {ours}")).run().code, 0);
    let server = sockctl(format!("auth-serve 0 --key-file {ours} --to {behind}")).start();
    let client = relay(format!("auth:{server}"), format!("--to-key-file {ours}"));
    is_redis(&format!("-p {}", client.port()));
    client.stops("", "");

    // The protocols differ: an end of one refuses the other's.
    let mixed =
        relay(format!("auth:127.0.0.1:{far}"), format!("--to-key-file {ours} --once -w 5s"));
    assert_eq!(read_to_reset(mixed.connect()), b"");
    let done = mixed.finish();
    assert_eq!(done.code, 9, "{}", done.stderr);
    assert!(done.stderr.contains("does not use the encrypted protocol"), "{}", done.stderr);
    server.stops("", "");
}

#[test]
#[ignore = "needs redis-server"]
fn a_replica_follows_through_two_ends() {
    let (chain, behind, port) = (Chain::new(), free_port(), free_port());
    let at_once = "--repl-diskless-sync-delay 0 --enable-debug-command yes";
    let _first = redis(&chain.folder, behind, at_once);
    let ask = |port: u16, words: &str| redis_cli(format!("-p {port}"), words).run().output();
    redis_cli(format!("-p {behind}"), "-x SET big").input(payload()).run().is(0, "OK\n", "");
    let far = relay(behind, format!("--tls --tls-cert {}", chain.cert));
    let near = relay(format!("tls:localhost:{}", far.port()), format!("--to-tls-ca {}", chain.ca));
    let folder = Folder::new();
    let words = format!("{at_once} --replicaof 127.0.0.1 {}", near.port());
    let _second = redis(&folder, port, &words);
    let is_equal = || ask(port, "DEBUG DIGEST") == ask(behind, "DEBUG DIGEST");
    until("it has the same", is_equal);
    let words = format!("-p {behind} -q -n 20000 -r 20000 -P 16 -t set,lpush");
    assert_eq!(program("redis-benchmark", words).run().code, 0);
    until("it has followed", is_equal);
}
