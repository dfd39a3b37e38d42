//! TLS 1.3 beside that of other programs: bulk, handshakes, memory of idle connections. All have the
//! same ECDSA certificate (P-256) and cipher suite (`TLS_AES_256_GCM_SHA384`), and exchange keys by
//! X25519; socat 1.7 knows P-256 alone, which costs it one round trip with a client's first connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, HandshakeKind, NamedGroup,
    SignatureScheme, version,
};

use crate::auth::{self, Client};
use crate::load::{allowed, member};
use crate::memory::{self, FEW};
use crate::peer::{Server, is_installed, words};
use crate::report::{BUDGET, Metric, NOISE, OURS, Sample};
use crate::{Bench, Contender, bulk};

const SOCAT: &str = "socat";
const NCAT: &str = "ncat";
const OPENSSL: &str = "openssl";

/// Before a server that returns what comes, as it does nothing of that by itself.
const STUNNEL: &str = "printf '%s\\n' foreground=yes pid= cert=$1 \\
    [echo] accept=127.0.0.1:$0 connect=127.0.0.1:$2 | exec stunnel4 -fd 0";

/// From a pipe through TLS to a pipe.
pub fn bulk(bench: &mut Bench) -> Result<()> {
    let identity = identity(bench)?;
    let at = "127.0.0.1:{port}";
    let ours = (
        OURS,
        words(&["sockctl", "serve", "--once", "-q", "--tls", "--tls-cert", &identity, at]),
        words(&["sockctl", "connect", "-q", "--tls", "--tls-insecure", at]),
    );
    let mut lines = vec![ours, bulk::noise(bench, NOISE)?];
    lines.extend(bulk::tls_peers(bench)?);
    let metric = Metric::more("TLS bulk, pipe to pipe", "bytes/s", Some(2.2)).beside(NOISE, 0.9);
    let contenders = bench.through_pipes(&lines);
    bench.measure(vec![metric], contenders);
    Ok(())
}

/// Full handshakes, and those that resume a session.
pub fn handshakes(bench: &mut Bench) -> Result<()> {
    let _awake = bench.keep_awake();
    let identity = identity(bench)?;
    let time = bench.time();
    let turn = |clients, resumes| {
        move |words: &[String]| auth::turn(Tls::new(resumes)?, clients, time)(words)
    };
    let (sockctl, socat, openssl) = (sockctl(&identity), socat(&identity), openssl(&identity));
    let own = ["--ssl-cert", &identity, "--ssl-key", &identity];
    let ncat = words(&[&["ncat", "-lk", "--ssl"], &own[..], &["127.0.0.1", "{port}"]].concat());
    let mut lines = vec![(OURS, &*sockctl), (SOCAT, &socat), (NCAT, &ncat)];
    for clients in [8, 1] {
        if clients == 1 {
            // It serves one client after the other.
            lines.push((OPENSSL, &openssl));
        }
        let contenders = bench.contenders(&lines, turn(clients, false));
        let mut metrics = auth::metrics(&format!("handshakes (TLS), {clients} at a time"), None);
        metrics[0] = metrics[0].clone().beside(SOCAT, 2.0).beside(NCAT, 2.0);
        bench.measure(metrics, contenders);
    }
    let lines = [(OURS, &*sockctl), (OPENSSL, &openssl)];
    let contenders = bench.contenders(&lines, turn(1, true));
    bench.measure(auth::metrics("handshakes (TLS, resumed), 1 at a time", None), contenders);
    Ok(())
}

/// Connections that have talked once and say nothing since.
pub fn memory(bench: &mut Bench) -> Result<()> {
    let identity = identity(bench)?;
    let echo = bench.resolve(crate::echo::REFERENCE, "");
    let echo = Server::start(&echo, Stdio::null(), Stdio::null())?;
    let (sockctl, socat) = (sockctl(&identity), socat(&identity));
    let stunnel = words(&["sh", "-c", STUNNEL, "{port}", &identity, &echo.port.to_string()]);
    let counts: &[usize] = if bench.options.quick { &[1_000] } else { &[1_000, 5_000] };
    for count in allowed(counts) {
        let mut lines = vec![(OURS, &*sockctl)];
        if count <= FEW {
            lines.push((SOCAT, &socat));
        }
        if count <= FEW && is_installed("stunnel4") {
            lines.push(("stunnel", &stunnel));
        }
        let mut contenders =
            bench.contenders(&lines, move |words| memory::each(words, count, crowd));
        let budget = Box::new(|| Ok(vec![Sample::new(f64::from(24 << 10))]));
        contenders.push(Contender { who: BUDGET.into(), turn: budget });
        let name = format!("memory of each of {count} idle TLS connections");
        memory::compare(bench, Metric::less(name, "bytes", None).beside(BUDGET, 1.0), contenders);
    }
    Ok(())
}

/// The file with the run's certificate and key, which only its owner can read.
pub fn identity(bench: &Bench) -> Result<String> {
    let path = bench.scratch.path().join("identity.pem");
    if path.exists() {
        return Ok(path.display().to_string());
    }
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".into()])?;
    let pem = signing_key.serialize_pem() + &cert.pem();
    auth::key_file(&path, &pem)
}

fn sockctl(identity: &str) -> Vec<String> {
    let line = ["sockctl", "serve", "--echo", "-q", "-m", "100000", "--tls", "--tls-cert"];
    words(&[&line[..], &[identity, "127.0.0.1:{port}"]].concat())
}

fn socat(identity: &str) -> Vec<String> {
    let at = "OPENSSL-LISTEN:{port},bind=127.0.0.1,backlog=4096,fork,verify=0";
    words(&["socat", &format!("{at},cert={identity}"), "PIPE"])
}

fn openssl(identity: &str) -> Vec<String> {
    let line = ["openssl", "s_server", "-quiet", "-rev", "-accept", "127.0.0.1:{port}"];
    words(&[&line[..], &["-cert", identity, "-key", identity]].concat())
}

/// So many sessions, in each of which a byte was echoed.
fn crowd(port: u16, count: usize) -> Result<Vec<(TcpStream, ClientConnection)>> {
    let client = Tls::new(false)?;
    let mut sessions = Vec::with_capacity(count);
    for index in 0..count {
        let mut stream = [member(port, index)?];
        let mut session = [client.hello()?];
        client.converse(&mut stream, &mut session)?;
        let ([mut stream], [mut session]) = (stream, session);
        session.writer().write_all(b".")?;
        flush(&mut stream, &mut session)?;
        while !matches!(session.reader().read(&mut [0]), Ok(1)) {
            receive(&mut stream, &mut session)?;
        }
        sessions.push((stream, session));
    }
    Ok(sessions)
}

/// A client that lets every certificate pass, so that its own part is cheap.
#[derive(Clone)]
struct Tls {
    config: Arc<ClientConfig>,
    tickets: Arc<Tickets>,
}

/// What one server has given: the group of its key exchange, and tickets. These come when it has the client's last message: all servers show in
/// this way that the handshake is complete.
#[derive(Debug, Default)]
struct Tickets {
    resumes: bool,
    group: Mutex<Option<NamedGroup>>,
    kept: Mutex<Vec<Tls13ClientSessionValue>>,
    arrived: AtomicUsize,
}

impl Tls {
    fn new(resumes: bool) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unchecked))
            .with_no_client_auth();
        let tickets = Arc::new(Tickets { resumes, ..Tickets::default() });
        config.resumption = Resumption::store(Arc::clone(&tickets) as _);
        Ok(Self { config: Arc::new(config), tickets })
    }

    /// Shakes hands on each of the connections, until its first ticket has come.
    fn converse(&self, streams: &mut [TcpStream], sessions: &mut [ClientConnection]) -> Result<()> {
        for (stream, session) in streams.iter_mut().zip(&mut *sessions) {
            flush(stream, session)?;
        }
        for (stream, session) in streams.iter_mut().zip(&mut *sessions) {
            while session.is_handshaking() {
                receive(stream, session)?;
                flush(stream, session)?;
            }
        }
        for (stream, session) in streams.iter_mut().zip(sessions) {
            let before = self.tickets.arrived.load(Ordering::Relaxed);
            let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
            ensure!(resumed == (self.tickets.resumes && before > 0), "a handshake of another kind");
            while self.tickets.arrived.load(Ordering::Relaxed) == before {
                receive(stream, session)?;
            }
        }
        Ok(())
    }
}

impl Client for Tls {
    type Hello = ClientConnection;

    fn prepared(&self) -> usize {
        // A ticket is good for one hello.
        if self.tickets.resumes { 0 } else { 4096 }
    }

    fn hello(&self) -> Result<ClientConnection> {
        Ok(ClientConnection::new(Arc::clone(&self.config), "localhost".try_into()?)?)
    }

    fn shake(&self, streams: &mut [TcpStream], mut hellos: Vec<ClientConnection>) -> Result<()> {
        self.converse(streams, &mut hellos)?;
        for (stream, session) in streams.iter_mut().zip(&mut hellos) {
            session.send_close_notify();
            flush(stream, session)?;
        }
        Ok(())
    }
}

fn flush(stream: &mut TcpStream, session: &mut ClientConnection) -> Result<()> {
    while session.wants_write() {
        session.write_tls(stream)?;
    }
    Ok(())
}

fn receive(stream: &mut TcpStream, session: &mut ClientConnection) -> Result<()> {
    ensure!(session.read_tls(stream)? > 0, "the server has ended the connection");
    session.process_new_packets()?;
    Ok(())
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        *self.group.lock().unwrap_or_else(PoisonError::into_inner) = Some(group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        *self.group.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.arrived.fetch_add(1, Ordering::Relaxed);
        if self.resumes {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(ticket);
        }
    }

    fn take_tls13_ticket(&self, _: &ServerName<'_>) -> Option<Tls13ClientSessionValue> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

#[derive(Debug)]
struct Unchecked;

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
