//! `connect --tls`: which servers are trusted, and what goes through.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    NameConstraints,
};

use super::certificates::{Authority, Chain, DAY, fingerprint, params, pin, self_signed, valid};
use super::peers::{client, python_client, python_server, server};
use serde_json::json;

use crate::run::{Folder, NOT_THERE, events_of, sockctl};

/// What a client says of a certificate that it does not trust.
fn untrusted(address: &str, why: &str) -> String {
    format!("start TLS with {address}: the server's certificate is not trusted: {why}")
}

const LOCAL: &[&str] = &["localhost", "127.0.0.1"];

/// These parameters, changed like this.
fn changed(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = params(names);
    change(&mut params);
    params
}

#[test]
fn each_flaw_of_a_certificate_is_9_with_its_reason() {
    let chain = Chain::new();
    let signed =
        |params: &CertificateParams| chain.intermediate.sign(params) + &chain.intermediate.pem;
    let constrained = |excluded: &str| {
        let subtrees = vec![GeneralSubtree::DnsName(excluded.into())];
        let root = Authority::root("Constrained", |params| {
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees: Vec::new(),
                excluded_subtrees: subtrees,
            });
        });
        let pem = root.sign(&params(&["localhost"]));
        (root.pem, pem)
    };
    let wrong = |names: &str| {
        format!("it is for {names}, not for localhost; if that is meant: --tls-name …")
    };
    let trust = "to trust it: --tls-pin PIN";
    let unknown = format!(
        "its issuer is not known, or an intermediate is missing; {trust}, or --tls-ca FILE with its issuer"
    );
    let for_clients = changed(LOCAL, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let past = changed(LOCAL, |params| {
        valid(params, -30, DAY);
        params.not_after -= DAY * 3;
    });
    let (root, excluded) = constrained("localhost");
    let constrained = chain.folder.file("constrained.pem", root);
    let is_ca = |params: &mut CertificateParams| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    };
    let common_name =
        changed(&[], |params| params.distinguished_name.push(DnType::CommonName, "localhost"));
    let not_yet = changed(LOCAL, |params| valid(params, 3, DAY * 9));
    let ca = &chain.ca;
    let cases = [
        (ca, signed(&past), "it expired on 20…Z".into()),
        (ca, signed(&not_yet), "it is not valid before 20…Z".into()),
        (ca, signed(&params(&["example.test", "a.test"])), wrong("example.test, a.test")),
        (ca, signed(&params(&["127.0.0.9"])), wrong("127.0.0.9")),
        (ca, signed(&params(&["*.localhost"])), "it is for *.localhost, not for localhost…".into()),
        // A common name is no name of a server any more (RFC 6125).
        (ca, signed(&common_name), "it …".into()),
        (ca, self_signed(&params(LOCAL)), format!("it is self-signed; {trust}")),
        (ca, self_signed(&changed(LOCAL, is_ca)), format!("it is …; {trust}")),
        (ca, Authority::root("Other Root", |_| ()).sign(&params(LOCAL)), unknown.clone()),
        // Its root has the name of one that is trusted.
        (
            ca,
            Authority::root("Test Root", |_| ()).sign(&params(LOCAL)),
            "its signature is invalid".into(),
        ),
        (ca, chain.intermediate.sign(&params(LOCAL)), unknown),
        (ca, signed(&for_clients), "it is for another purpose".into()),
        (&constrained, excluded, "its issuer may not sign for its names".into()),
    ];
    for (ca, pem, why) in cases {
        let file = chain.folder.file("flawed.pem", &pem);
        let server = server(&file, "--echo");
        let address = format!("localhost:{}", server.port());
        let why = untrusted("127.0.0.1:…", &why.replace("PIN", &pin(&pem)));
        client(&address, ca, "").input("hi").run().fails(9, &why);
        // A pin checks neither names, dates nor issuers.
        let by_pin = sockctl(format!("connect --tls {address} --tls-pin {}", pin(&pem)));
        by_pin.input("hi").run().is(0, "hi", "");
        // One line each.
        let said = server.stderr_has("refused: ");
        assert_eq!(said.lines().count(), 2, "{said}");
    }
}

#[test]
fn a_certificate_is_checked_for_the_host_or_the_name_that_is_given() {
    let chain = Chain::new();
    let ca = &chain.ca;
    let local = server(&chain.cert, "--echo");
    let port = local.port();
    for host in ["localhost", "127.0.0.1"] {
        client(format!("{host}:{port}"), ca, "").input("hi").run().is(0, "hi", "");
    }
    let six = sockctl("serve [::1]:0 --echo --tls --tls-cert").arg(&chain.cert).start();
    client(&six, ca, "").input("hi").run().is(0, "hi", "");
    let named =
        server(&chain.server("named.pem", &["*.example.test", "other.test", "10.0.0.1"]), "--echo");
    let address = named.address();
    for name in ["a.example.test", "other.test", "OTHER.test", "10.0.0.1"] {
        client(&address, ca, ["--tls-name", name]).input("hi").run().is(0, "hi", "");
    }
    for name in ["example.test", "a.b.example.test", "another.test", "10.0.0.2", "localhost"] {
        let why = format!("it is for *.example.test, other.test, 10.0.0.1, not for {name}");
        let done = client(&address, ca, ["--tls-name", name]).input("hi").run();
        done.fails(9, untrusted(&address, &why));
    }
    for name in ["", "a b", "*.example.test", "é.test"] {
        let done = client(&address, ca, ["--tls-name", name]).run();
        done.refuses(format!("'{name}' is not a host name or an IP address"));
    }
}

#[test]
fn the_server_is_asked_for_by_its_name() {
    let chain = Chain::new();
    let (server, address) = python_server(&chain.cert, "count=3 what close read");
    let port = address.rsplit(':').next().unwrap();
    for words in
        [format!("localhost:{port}"), address.clone(), format!("{address} --tls-name localhost")]
    {
        client(words, &chain.ca, "").run().is(0, "", "");
    }
    let said = server.finish().text();
    let names = said.lines().filter_map(|line| line.split(' ').nth(2));
    let names: Vec<_> = names.collect();
    // An IP address is no name to ask for (RFC 6066, section 3).
    assert_eq!(names, ["sni=localhost", "sni=None", "sni=localhost"]);
}

#[test]
fn keys_of_other_kinds_are_as_good() {
    let chain = Chain::new();
    for kind in
        [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ECDSA_P256_SHA256]
    {
        let pem = chain.intermediate.sign_key(kind, &params(LOCAL)) + &chain.intermediate.pem;
        let file = chain.folder.file("kind.pem", pem);
        for version in ["1.2", "1.3"] {
            // Our client and Python's server.
            let (_server, address) = python_server(&file, format!("version={version} echo"));
            client(&address, &chain.ca, "").input("hi").run().is(0, "hi", "");
            // Python's client and our server.
            let server = server(&file, "--echo");
            let ops = format!("version={version} ca={} what send:hi take:2 close read", chain.ca);
            let said = python_client(server.port(), &ops).run().output();
            assert!(said.starts_with(&format!("TLSv{version} ")), "{said}");
            assert!(said.ends_with("\nhi\n<eof>\n"), "{said}");
        }
    }
}

#[test]
fn the_systems_roots_are_those_that_the_environment_names() {
    let chain = Chain::new();
    let server = server(&chain.cert, "--echo");
    let address = server.address();
    let with = |name: &str, value: &str| {
        sockctl(format!("connect --tls {address}")).env(name, value).input("hi").run()
    };
    with("SSL_CERT_FILE", &chain.ca).is(0, "hi", "");
    // A folder has its roots under their hashes, as c_rehash(1) makes them: any name of that shape will do.
    let folder = Folder::new();
    folder.file("12345678.0", &chain.root.pem);
    with("SSL_CERT_DIR", folder.path().to_str().unwrap()).is(0, "hi", "");
    let other = chain.folder.file("other.pem", &Authority::root("Other", |_| ()).pem);
    let unknown = "its issuer is not known, or an intermediate is missing; …";
    with("SSL_CERT_FILE", &other).fails(9, untrusted(&address, unknown));
    let missing = chain.folder.text("missing.pem");
    with("SSL_CERT_FILE", &missing).fails(
        2,
        format!(
            "read the system's root certificates: {missing}: {NOT_THERE}; install ca-certificates, or use \
             --tls-ca FILE or --tls-pin PIN"
        ),
    );
    // Neither is read where other roots are given.
    client(&address, &chain.ca, "").env("SSL_CERT_FILE", missing).input("hi").run().is(0, "hi", "");
}

#[test]
fn a_pin_is_of_the_key_or_of_the_certificate() {
    let chain = Chain::new();
    let pem = self_signed(&params(&["another.test"]));
    let server = server(&chain.folder.file("alone.pem", &pem), "--echo");
    let (pin, whole) = (pin(&pem), fingerprint(&pem));
    let colons: Vec<_> = whole
        .as_bytes()
        .chunks(2)
        .map(|pair| str::from_utf8(pair).unwrap().to_uppercase())
        .collect();
    for right in [&pin, &whole, &whole.to_uppercase(), &colons.join(":")] {
        let words = format!("connect --tls {server} --tls-pin {right}");
        sockctl(words).input("hi").run().is(0, "hi", "");
    }
    let address = server.address();
    let shown = format!("it is not the one that --tls-pin names, but {pin}");
    for wrong in [chain.pin.clone(), "ab".repeat(32)] {
        let words = format!("connect --tls {address} --tls-pin {wrong}");
        sockctl(words).input("hi").run().fails(9, untrusted(&address, &shown));
    }
    for none in
        ["", "sha256//", "sha256//AAAA", "abc", "sha1//AAAA", &"ab".repeat(33), &"g".repeat(64)]
    {
        let done = sockctl(["connect", "--tls", &address, "--tls-pin", none]).run();
        done.refuses(format!(
            "--tls-pin '{none}': sha256//BASE64 of a public key, as connect -z --tls shows it, or the \
             64 hex digits of openssl x509 -noout -fingerprint -sha256"
        ));
    }
    // One of an issuer is none of the server.
    let (root, leaf) = (fingerprint(&chain.intermediate.pem), chain.server("below.pem", LOCAL));
    let below = self::server(&leaf, "--echo");
    let done = sockctl(format!("connect --tls {below} --tls-pin {root}")).input("hi").run();
    assert_eq!(done.code, 9, "{}", done.stderr);
}

#[test]
fn insecure_is_one_warning() {
    let chain = Chain::new();
    let server =
        server(&chain.folder.file("alone.pem", self_signed(&params(&["another.test"]))), "--echo");
    let warning = "sockctl: warning: --tls-insecure: the server's certificate is not checked; anyone on the way \
                   can read and change everything\n";
    let words = format!("connect --tls {server} --tls-insecure");
    sockctl(&words).input("hi").run().is(0, "hi", warning);
    let said = sockctl(format!("{words} --json")).input("hi").run().gives(0, "hi");
    let event = &events_of(&said, "tls")[0];
    assert_eq!(
        (&event["verified"], &event["reason"]),
        (&json!(false), &json!("not checked (--tls-insecure)"))
    );
    let repeated = sockctl(format!("{words} --count 3 --send hi --expect hi")).run();
    assert_eq!((repeated.code, repeated.stderr.as_str()), (0, warning));
}
