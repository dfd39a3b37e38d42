//! `sockctl opts` against the manual pages, and without privileges.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::run::{BINARY, Finished, Words, program, python, sockctl};

/// Names in the manual pages that are no options of this system: values of options, and options
/// that other systems, or older kernels, have.
const NO_OPTIONS: &str = "\
    IP_MSFILTER_SIZE IP_PMTUDISC_DO IP_PMTUDISC_DONT IP_PMTUDISC_PROBE IP_PMTUDISC_WANT \
    IP_RCVDSTADDR IP_RECVIF MCAST_EXCLUDE MCAST_INCLUDE SO_EE_OFFENDER SO_EE_ORIGIN_ICMP \
    SO_EE_ORIGIN_ICMP6 SO_EE_ORIGIN_LOCAL SO_EE_ORIGIN_NONE IPV6_PKTOPTIONS \
    TCP_COOKIE_TRANSACTIONS TCP_SYNQ_HSIZE UDP_ENCAP_ESPINUDP UDP_ENCAP_ESPINUDP_NON_IKE \
    UDP_ENCAP_L2TPINUDP";

/// The names a manual page has that look like options.
fn names(page: &str) -> BTreeSet<String> {
    let path = format!("/usr/share/man/man7/{page}.7.gz");
    let text = Command::new("zcat").arg(&path).output().unwrap();
    assert!(text.status.success(), "{path}: is manpages installed?");
    let text = String::from_utf8_lossy(&text.stdout).replace("\\-", "-");
    text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
        .filter(|word| {
            let prefix = word.split_once('_').map(|(prefix, _)| prefix);
            matches!(prefix, Some("SO" | "IP" | "IPV6" | "TCP" | "UDP" | "MCAST"))
                && !word.ends_with('_')
        })
        .map(str::to_owned)
        .collect()
}

#[test]
#[ignore = "needs manpages"]
fn every_option_the_manual_pages_name_is_known() {
    let mut known = 0;
    for page in ["socket", "ip", "ipv6", "tcp", "udp", "unix"] {
        for name in names(page) {
            let done = sockctl(["opts", &name]).run();
            assert_eq!(
                done.code == 2,
                NO_OPTIONS.split(' ').any(|none| none == name),
                "{page}(7) has {name}: {}",
                done.stderr
            );
            known += usize::from(done.code != 2);
        }
    }
    assert!(known > 150, "only {known} names found");
}

/// sockctl as the user nobody.
fn as_nobody(words: impl Words) -> Finished {
    // It must be able to start the binary, wherever that was built.
    let folder =
        tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
    let binary = folder.path().join("sockctl");
    // Not written by this process: a child of another thread could hold it open meanwhile.
    program("cp", [Path::new(BINARY), &binary]).run().is(0, "", "");
    program("setpriv", "--reuid=65534 --regid=65534 --clear-groups").arg(&binary).args(words).run()
}

#[test]
#[ignore = "needs root, to become another user"]
fn without_privileges_everything_is_shown_and_refusals_name_the_capability() {
    for kind in ["", "--udp", "--unix", "--state connected"] {
        assert!(as_nobody(format!("opts {kind}")).output().lines().count() > 40);
    }
    as_nobody("opts SO_MARK=1").is(
        11,
        "SO_MARK=1 -> EPERM: needs CAP_NET_ADMIN or CAP_NET_RAW\n",
        "sockctl: set SO_MARK=1: operation not permitted (EPERM 1); needs CAP_NET_ADMIN or CAP_NET_RAW\n",
    );
    let peer = python(
        "import socket, sys\ns = socket.socket()\nprint(1, flush=True)\nsys.stdin.read()",
        "",
    )
    .start();
    peer.stdout_has("1");
    let done = as_nobody(format!("opts --pid {}", peer.id())).gives(11, "");
    assert!(done.ends_with("(EACCES 13); only its owner may, or CAP_SYS_PTRACE\n"), "{}", done);
}
