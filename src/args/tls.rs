//! The flags of TLS, and what both roles make of them.

use std::env;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueHint};
use rustls::sign::CertifiedKey;

use crate::auth::security::ServerSecurity;
use crate::auth::tls::client::{ClientOptions, server_name};
use crate::auth::tls::pin::Pin;
use crate::auth::tls::server::{Server, ServerOptions};
use crate::auth::tls::verifier::{Trust, TrustFlags};
use crate::auth::tls::{KEY_LOG, certified, create, files};
use crate::console::event::Level;
use crate::console::talk::Talk;
use crate::exit::{Failure, cause};
use crate::net::deadline::Deadline;

/// Our own certificate.
#[derive(Args, Debug, Clone)]
#[expect(clippy::struct_field_names, reason = "clap names the flags after them")]
pub struct IdentityArgs {
    /// Present the certificate chain (PEM) in FILE, which also has the key if there is no --tls-key
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "TLS")]
    pub tls_cert: Option<PathBuf>,
    /// Read the certificate's private key (PEM) from FILE, which only its owner may read
    #[arg(long, value_name = "FILE", requires = "tls_cert", value_hint = ValueHint::FilePath, help_heading = "TLS")]
    pub tls_key: Option<PathBuf>,
    /// Offer this protocol (ALPN); repeatable, the best first
    #[arg(long, value_name = "PROTO", value_parser = protocol, help_heading = "TLS")]
    pub tls_alpn: Vec<String>,
}

/// TLS as a client.
#[derive(Args, Debug, Clone)]
pub struct ClientTlsArgs {
    /// Encrypt with TLS, and check the server's certificate
    #[arg(long, help_heading = "TLS")]
    pub tls: bool,
    /// Send NAME (SNI) and check the certificate for it, instead of the ADDRESS's host
    #[arg(long, value_name = "NAME", help_heading = "TLS")]
    pub tls_name: Option<String>,
    /// Trust the CAs and certificates (PEM) in FILE instead of the system's roots
    #[arg(long, value_name = "FILE", group = "trust", value_hint = ValueHint::FilePath, help_heading = "TLS")]
    pub tls_ca: Option<PathBuf>,
    /// Trust only this key: sha256//BASE64 of the public key, or the hex SHA-256 fingerprint of the
    /// certificate
    #[arg(long, value_name = "PIN", value_parser = Pin::parse, group = "trust", help_heading = "TLS")]
    pub tls_pin: Option<Pin>,
    /// Do not check the certificate: anyone on the way can read and change everything
    #[arg(long, group = "trust", help_heading = "TLS")]
    pub tls_insecure: bool,
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// TLS as a server.
#[derive(Args, Debug, Clone)]
pub struct ServerTlsArgs {
    /// Encrypt with TLS; without --tls-cert a certificate is made for this run, and its pin is shown
    #[arg(long, help_heading = "TLS")]
    pub tls: bool,
    /// Write a new key, and a certificate for these names and IP addresses, to --tls-cert and exit
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, value_delimiter = ',',
        requires = "tls_cert", conflicts_with_all = ["tls_key", "tls_ca"], help_heading = "TLS")]
    pub create_cert: Option<Vec<String>>,
    /// Require client certificates that a CA (PEM) in FILE has signed
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "TLS")]
    pub tls_ca: Option<PathBuf>,
    #[command(flatten)]
    pub identity: IdentityArgs,
}

impl IdentityArgs {
    /// The first of its flags that is given.
    fn flag(&self) -> Option<&'static str> {
        first_given(&[
            (self.tls_cert.is_some(), "--tls-cert"),
            (self.tls_key.is_some(), "--tls-key"),
            (!self.tls_alpn.is_empty(), "--tls-alpn"),
        ])
    }

    /// The certificate and key, if there are any.
    fn load(&self, until: Deadline) -> Result<Option<Arc<CertifiedKey>>, Failure> {
        let Some(path) = &self.tls_cert else {
            return Ok(None);
        };
        let (chain, key) = files::load_identity(path, self.tls_key.as_deref(), until)?;
        certified(chain, key, self.tls_key.as_ref().unwrap_or(path)).map(Some)
    }

    fn alpn(&self) -> Vec<Vec<u8>> {
        self.tls_alpn.iter().map(|protocol| protocol.clone().into_bytes()).collect()
    }
}

impl ClientTlsArgs {
    /// How connections are encrypted, if they are: at once with `--tls`, later with `--starttls`.
    pub fn options(
        &self,
        starttls: bool,
        until: Deadline,
        talk: &Talk,
    ) -> Result<Option<ClientOptions>, Failure> {
        let given = first_given(&[
            (self.tls_name.is_some(), "--tls-name"),
            (self.tls_ca.is_some(), "--tls-ca"),
            (self.tls_pin.is_some(), "--tls-pin"),
            (self.tls_insecure, "--tls-insecure"),
        ]);
        if !is_enabled(self.tls, starttls, given.or(self.identity.flag()))? {
            return Ok(None);
        }
        let flags = TrustFlags { pin: "--tls-pin", ca: "--tls-ca", name: Some("--tls-name") };
        let trust = if self.tls_insecure {
            talk.warn("--tls-insecure: the server's certificate is not checked; anyone on the way can read and change everything");
            Trust::Any
        } else {
            Trust::load(self.tls_pin.as_ref(), self.tls_ca.as_deref(), flags, until)?
        };
        warn_of_key_log(talk);
        Ok(Some(ClientOptions {
            trust,
            flags,
            name: self.tls_name.as_deref().map(server_name).transpose()?,
            identity: self.identity.load(until)?,
            alpn: self.identity.alpn(),
        }))
    }
}

impl ServerTlsArgs {
    /// Writes a new certificate, if `--create-cert` is given.
    pub fn create(&self, talk: &Talk) -> Result<bool, Failure> {
        let (Some(names), Some(path)) = (&self.create_cert, &self.identity.tls_cert) else {
            return Ok(false);
        };
        let made = create::create_certificate(path, names)?;
        let file = path.display();
        let names = made.names.join(", ");
        for notice in [
            format!("wrote a new key and its certificate to {file}, which only you can read"),
            format!("it is for {names}, until {}", made.not_after),
            format!("  sockctl serve --tls --tls-cert {file}"),
            format!("  sockctl connect --tls HOST:PORT --tls-pin {}", made.pin),
        ] {
            talk.notice(Level::Normal, &notice);
        }
        Ok(true)
    }

    /// How connections are encrypted, if they are: at once with `--tls`, later with `--starttls`.
    pub fn security(
        &self,
        starttls: bool,
        until: Deadline,
        talk: &Talk,
    ) -> Result<Option<ServerSecurity>, Failure> {
        let given = self.tls_ca.is_some().then_some("--tls-ca");
        if !is_enabled(self.tls, starttls, given.or(self.identity.flag()))? {
            return Ok(None);
        }
        warn_of_key_log(talk);
        let identity = if let Some(identity) = self.identity.load(until)? {
            identity
        } else {
            let (certificate, key) = create::self_signed()?;
            certified(vec![certificate], key, Path::new(""))?
        };
        self.serve_with(identity, until).map(Some)
    }

    /// Reads the files again; a certificate that was made for the run stays.
    pub fn reread(
        &self,
        before: &ServerSecurity,
        until: Deadline,
    ) -> Result<ServerSecurity, Failure> {
        match (self.identity.load(until)?, before) {
            (Some(identity), _) => self.serve_with(identity, until),
            (None, ServerSecurity::Tls(tls)) => self.serve_with(tls.identity(), until),
            (None, ServerSecurity::Key(_)) => Ok(before.clone()),
        }
    }

    fn serve_with(
        &self,
        identity: Arc<CertifiedKey>,
        until: Deadline,
    ) -> Result<ServerSecurity, Failure> {
        let roots = self.tls_ca.as_ref().map(|path| files::load_roots(path, until)).transpose()?;
        let options = ServerOptions {
            identity,
            client_roots: roots.map(|(roots, _)| Arc::new(roots)),
            alpn: self.identity.alpn(),
        };
        Ok(ServerSecurity::Tls(Server::new(options)?.into()))
    }
}

/// The first of these flags that is given.
pub fn first_given(flags: &[(bool, &'static str)]) -> Option<&'static str> {
    flags.iter().find_map(|(is_given, flag)| is_given.then_some(*flag))
}

/// Whether connections are encrypted; the first flag of TLS that is `given` without that is an error.
fn is_enabled(tls: bool, starttls: bool, given: Option<&str>) -> Result<bool, Failure> {
    match (tls, starttls, given) {
        (true, true, _) => Err(Failure::usage(
            "--tls encrypts from the start, --starttls from its place among the steps; give one",
        )),
        (false, false, Some(flag)) => {
            Err(Failure::usage(format!("{flag} needs --tls, or --starttls")))
        }
        _ => Ok(tls || starttls),
    }
}

pub(super) fn warn_of_key_log(talk: &Talk) {
    let Some(path) = env::var_os(KEY_LOG).filter(|path| !path.is_empty()) else {
        return;
    };
    let shown = path.display();
    talk.warn(&match OpenOptions::new().append(true).create(true).open(&path) {
        Ok(_) => format!("{KEY_LOG}: anyone who can read {shown} can decrypt these sessions"),
        Err(e) => format!("{KEY_LOG}: {shown} is not written: {}", cause(&e)),
    });
}

/// A protocol's name, as ALPN has it (RFC 7301): 1 to 255 bytes.
fn protocol(text: &str) -> Result<String, String> {
    match text.len() {
        1..=255 => Ok(text.to_owned()),
        _ => Err("expected the name of a protocol, of 1 to 255 bytes: h2, http/1.1".into()),
    }
}
