//! The TLS handshake, in both roles (RFC 8446, section 2; RFC 5246, section 7.3). rustls has the
//! messages; here they are read record by record, so that what follows the handshake stays in the
//! socket, and what fails becomes one line.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error, PeerIncompatible};

use super::verifier::TrustFlags;
use super::{certificate, untrusted};

use crate::codec::tls::{Session, Side, alert_name, is_rejection};
use crate::exit::{Exit, quoted};
use crate::net::codec::Codec;
use crate::net::handshake::{Handshake, Next, Outcome, Progress, Refusal, Stop};
use crate::net::tlsinfo::{CLIENT_CERT_REJECTED, TLS_CLOSED, TlsInfo};

#[cfg(test)]
pub(crate) mod tests;

/// The first read, in bytes: enough to quote a peer that does not speak TLS. No handshake is over within it.
const FIRST: usize = 80;

/// One side of TLS, as it is set up.
pub trait Party {
    /// Its connections.
    type Side: Side + 'static;
    /// The other side, as an error line names it.
    const PEER: &'static str;

    /// What is known of a session, as far as it has come.
    fn info(&self, side: &Self::Side) -> TlsInfo;

    /// The server's name as the client asked for it, once that is known: to be taken right behind the
    /// processing of a connection's bytes, as a server's next one has another.
    fn take_server_name(&self) -> Option<String>;

    /// The name that the peer has proved, for people.
    fn proved_name(&self, side: &Self::Side) -> Option<String>;

    /// The flags that could make the peer's certificate trusted.
    fn trust_flags(&self) -> Option<TrustFlags> {
        None
    }

    /// Whether the peer has asked for a certificate that we do not have.
    fn lacks_certificate(&self) -> bool {
        false
    }

    /// The certificate that was not accepted: to be taken right behind that error.
    fn take_rejected(&self) -> Option<CertificateDer<'static>>;
}

/// A handshake under way.
pub struct TlsHandshake<P: Party> {
    party: Rc<P>,
    /// Taken out by the end of the handshake.
    session: Option<Session<P::Side>>,
    server_name: Option<String>,
    /// The first read, for the refusal of a peer that does not speak TLS.
    first: Vec<u8>,
    /// How many bytes have come.
    received: usize,
}

impl<P: Party> TlsHandshake<P> {
    /// A handshake that begins now.
    pub fn new(party: &Rc<P>, side: P::Side) -> Self {
        Self {
            party: Rc::clone(party),
            session: Some(Session::new(side)),
            server_name: None,
            first: Vec::new(),
            received: 0,
        }
    }

    /// The refusal of a peer whose first bytes are no TLS record, or one that is too old.
    fn foreign(&self) -> Option<Refusal> {
        let peer = P::PEER;
        let mut code = "TLS_FAILED";
        let reason = match self.first[..] {
            [0x14..=0x18, 3, 0, ..] => format!("{peer} speaks SSLv3, which is not secure any more"),
            [0x14..=0x18, 3, ..] | [0x14..=0x18] | [] => return None,
            [0x80..=0xff, _, 1, ..] => format!("{peer} speaks SSLv2, which is not secure any more"),
            _ => {
                // A line of text without its end, or else all that came.
                let line = self.first.split(|&byte| byte == b'\n').next().unwrap_or_default();
                let sent = match line.strip_suffix(b"\r").unwrap_or(line) {
                    [] => quoted(OsStr::from_bytes(&self.first)),
                    line => quoted(OsStr::from_bytes(line)),
                };
                code = "NO_TLS";
                format!("{peer} does not speak TLS: it sent {sent}")
            }
        };
        Some(self.described(Refusal::new(reason, Exit::Broken), code))
    }

    /// What is known of the session.
    fn info(&self) -> TlsInfo {
        let info = self.session.as_ref().map(|it| self.party.info(it.side()));
        TlsInfo { name: self.server_name.clone(), ..info.unwrap_or_default() }
    }

    /// The refusal with what is known of the session, and in a word.
    fn described(&self, refusal: Refusal, code: &'static str) -> Refusal {
        let (reason, code) = (Some(refusal.reason.clone()), Some(code));
        let info = TlsInfo { verified: false, reason, code, ..self.info() };
        Refusal { tls: Some(Rc::new(info)), ..refusal }
    }

    fn refusal(&self, error: &Error) -> Refusal {
        let peer = P::PEER;
        let (code, exit, reason) = match error {
            Error::InvalidCertificate(why) => return self.untrusted(why),
            Error::AlertReceived(alert) if self.party.lacks_certificate() => {
                let name = alert_name(*alert);
                let reason =
                    format!("{peer} asks for a certificate (alert {name}); add --tls-cert");
                (CLIENT_CERT_REJECTED, Exit::NotAuthenticated, reason)
            }
            Error::AlertReceived(alert) if is_rejection(*alert) => {
                let name = alert_name(*alert);
                let reason = format!("{peer} does not accept our certificate (alert {name})");
                (CLIENT_CERT_REJECTED, Exit::NotAuthenticated, reason)
            }
            Error::NoCertificatesPresented => {
                let reason = format!("{peer} showed no certificate");
                ("NO_CERT", Exit::NotAuthenticated, reason)
            }
            error => {
                let reason = match error {
                    Error::AlertReceived(alert) => {
                        let name = alert_name(*alert);
                        format!("{peer} ended the handshake with the alert {name}")
                    }
                    Error::PeerIncompatible(why) => incompatible(peer, why),
                    error => format!("{peer} broke the TLS protocol: {error}"),
                };
                ("TLS_FAILED", Exit::Broken, reason)
            }
        };
        self.described(Refusal::new(reason, exit), code)
    }

    /// The refusal of a certificate that is not trusted.
    fn untrusted(&self, error: &CertificateError) -> Refusal {
        let shown = self.party.take_rejected();
        let described = shown.as_ref().map(|it| certificate::describe(it, SystemTime::now()));
        let info = TlsInfo { certificate: described.and_then(Result::ok), ..self.info() };
        let (code, cause) = untrusted::of(error, shown.as_ref(), &info, self.party.trust_flags());
        let reason = format!("{}'s certificate is not trusted: {cause}", P::PEER);
        let info = TlsInfo { reason: Some(cause), code: Some(code), ..info };
        Refusal { tls: Some(Rc::new(info)), ..Refusal::new(reason, Exit::NotAuthenticated) }
    }
}

/// Why there is nothing that both sides could speak.
fn incompatible(peer: &str, why: &PeerIncompatible) -> String {
    match why {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => {
            format!("{peer} speaks neither TLS 1.2 nor 1.3")
        }
        PeerIncompatible::NoCipherSuitesInCommon => {
            format!("{peer} and we have no cipher suite in common")
        }
        PeerIncompatible::NoKxGroupsInCommon | PeerIncompatible::NamedGroupsExtensionRequired => {
            format!("{peer} and we have no key exchange in common")
        }
        PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => {
            format!("{peer} does not accept our certificate's signature algorithm")
        }
        why => format!("{peer} and we have no TLS parameters in common ({why:?})"),
    }
}

impl<P: Party> Handshake for TlsHandshake<P> {
    fn start(&mut self) -> (Vec<u8>, usize) {
        let mut greeting = Vec::new();
        if let Some(session) = &mut self.session {
            // A client has its hello; a server waits, without an error.
            let _ = session.receive(&mut [], &mut Vec::new(), &mut greeting);
        }
        self.server_name = self.party.take_server_name();
        (greeting, FIRST)
    }

    fn receive(&mut self, message: &[u8], reply: &mut Vec<u8>) -> Progress {
        self.received += message.len();
        if self.received == message.len() {
            self.first = message.to_vec();
        }
        let Some(mut session) = self.session.take() else {
            return Err(Refusal::new("the handshake is over", Exit::Broken));
        };
        // Before the handshake is over there is no payload.
        let result = session.receive(&mut message.to_vec(), &mut Vec::new(), reply);
        self.server_name = self.party.take_server_name().or(self.server_name.take());
        if result.is_ok() && !session.side().is_handshaking() {
            let name = self.server_name.take();
            let info = TlsInfo { name, ..self.party.info(session.side()) };
            let key = self.party.proved_name(session.side());
            let codec = Some(Box::new(session) as Box<dyn Codec>);
            return Ok(Next::Payload(Outcome {
                key,
                codec,
                source: None,
                tls: Some(Rc::new(info)),
            }));
        }
        let missing = session.missing();
        self.session = Some(session);
        match (self.foreign(), result) {
            (Some(foreign), _) => Err(foreign), // behind rustls's alert
            (None, Err(error)) => Err(self.refusal(&error)),
            (None, Ok(())) => Ok(Next::Message(missing)),
        }
    }

    fn stopped(&self, stop: Stop, _message: &[u8]) -> Refusal {
        let hint = "; it may not speak TLS";
        let code = if stop == Stop::Closed { TLS_CLOSED } else { "TLS_TIMED_OUT" };
        self.described(stop.refusal(P::PEER, "TLS handshake", self.received, hint), code)
    }
}
