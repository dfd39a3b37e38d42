//! `--allow` and `--deny`: which addresses a server accepts connections from.

use std::error::Error;
use std::fmt::{self, Display};
use std::net::IpAddr;

use ipnet::IpNet;

use super::address::{Address, Host};
use super::deadline::Deadline;
use super::file;
use super::resolve::{Query, resolve};
use crate::exit::{Failure, quoted};

/// The most a rule file may hold, in bytes.
const FILE: u64 = 16 << 20;
/// The networks that options name.
#[derive(Clone, Debug, Default)]
pub struct Networks {
    sources: Vec<Source>,
    /// How names were looked up.
    query: Option<Query>,
}

/// The value of one option.
#[derive(Clone, Debug)]
struct Source {
    word: String,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
enum Rule {
    Network(IpNet),
    /// A host has the addresses that its name had when it was looked up.
    Host(Address, Vec<IpAddr>),
}

/// Reads a CIDR (`10.0.0.0/8`, `2001:db8::/32`), an address, the name of a host, or `@FILE` with one
/// of these a line; blank lines and what follows `#` do not count. v4-mapped IPv6 is the IPv4 it
/// stands for. Names have no addresses before [`Networks::look_up`].
pub fn networks(word: &str) -> Result<Networks, Box<dyn Error + Send + Sync>> {
    let source = Source { word: word.into(), rules: read(word, Deadline::of_run())? };
    Ok(Networks { sources: vec![source], query: None })
}

fn read(word: &str, until: Deadline) -> Result<Vec<Rule>, Box<dyn Error + Send + Sync>> {
    let Some(path) = word.strip_prefix('@') else {
        return Ok(vec![rule(word)?]);
    };
    let text = file::read(path.as_ref(), FILE, until)?;
    let text = String::from_utf8(text).map_err(|_| format!("{} is not UTF-8", quoted(path)))?;
    let rules = text.lines().enumerate().filter_map(|(number, line)| {
        let rule = line.split('#').next().unwrap_or_default().trim();
        (!rule.is_empty()).then_some((number + 1, rule))
    });
    rules
        .map(|(number, word)| {
            rule(word).map_err(|why| {
                format!("line {number} of {}: {}: {why}", quoted(path), quoted(word)).into()
            })
        })
        .collect()
}

fn rule(word: &str) -> Result<Rule, String> {
    let network = word.parse().or_else(|_| word.parse::<IpAddr>().map(IpNet::from));
    if let Ok(network) = network {
        return Ok(Rule::Network(unmapped(network)));
    }
    // A port makes it an address.
    match Address::take(&[word.into(), "0".into()]) {
        Ok((address @ Address::Inet { host: Host::Name(_), .. }, 2)) if !word.contains('/') => {
            Ok(Rule::Host(address, Vec::new()))
        }
        _ => {
            Err("expected a network (10.0.0.0/8, 2001:db8::/32), an address, a host name, or @FILE"
                .into())
        }
    }
}

/// `::ffff:10.0.0.0/104` as `10.0.0.0/8`.
fn unmapped(network: IpNet) -> IpNet {
    match (network.addr().to_canonical(), network.prefix_len()) {
        (IpAddr::V4(v4), length @ 96..) if network.addr().is_ipv6() => {
            IpNet::new(v4.into(), length - 96).unwrap_or(network)
        }
        _ => network,
    }
}

impl Rule {
    fn contains(&self, address: IpAddr) -> bool {
        match self {
            Self::Network(network) => network.contains(&address),
            Self::Host(_, addresses) => addresses.contains(&address),
        }
    }

    fn look_up(&mut self, query: Query, until: Deadline) -> Result<(), Failure> {
        if let Self::Host(name, addresses) = self {
            let found = resolve(name, query, until)?;
            let found = found.iter().filter_map(|address| Some(address.as_socket()?.ip()));
            *addresses = found.map(|ip| ip.to_canonical()).collect();
        }
        Ok(())
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(Address::Inet { host, .. }, _) => host.fmt(f),
            Self::Host(address, _) => address.fmt(f),
            Self::Network(network) if network.prefix_len() == network.max_prefix_len() => {
                network.addr().fmt(f)
            }
            Self::Network(network) => network.fmt(f),
        }
    }
}

impl Networks {
    /// Whether an address is in one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.find(address).is_some()
    }

    fn find(&self, address: IpAddr) -> Option<&Rule> {
        let address = address.to_canonical();
        let mut rules = self.sources.iter().flat_map(|source| &source.rules);
        rules.find(|rule| rule.contains(address))
    }

    /// Gives names the addresses that they have now.
    pub fn look_up(&mut self, query: Query, until: Deadline) -> Result<(), Failure> {
        self.query = Some(query);
        let mut rules = self.sources.iter_mut().flat_map(|source| &mut source.rules);
        rules.try_for_each(|rule| rule.look_up(query, until))
    }

    /// Reads files and looks names up again: a warning for each that could not be read in time, of which
    /// the networks of before stay.
    pub fn reread(&mut self, until: Deadline) -> Vec<String> {
        let mut warnings = Vec::new();
        for source in &mut self.sources {
            let rules = read(&source.word, until).and_then(|mut rules| {
                if let Some(query) = self.query {
                    let looked_up =
                        rules.iter_mut().try_for_each(|rule| rule.look_up(query, until));
                    looked_up.map_err(|failure| failure.to_string())?;
                }
                Ok(rules)
            });
            match rules {
                Ok(rules) => source.rules = rules,
                Err(why) => warnings.push(format!("{why}; the old list holds")),
            }
        }
        warnings
    }
}

impl FromIterator<Networks> for Networks {
    fn from_iter<T: IntoIterator<Item = Self>>(several: T) -> Self {
        let sources = several.into_iter().flat_map(|networks| networks.sources).collect();
        Self { sources, query: None }
    }
}

/// The access rules.
#[derive(Clone, Debug, Default)]
pub struct AccessList {
    /// If given, only these.
    pub allow: Option<Networks>,
    /// Never these, whatever is allowed.
    pub deny: Networks,
}

impl AccessList {
    /// The rule that keeps a peer at this address out. UNIX peers have no address: the mode of the
    /// path restricts them.
    pub fn denial(&self, from: Option<IpAddr>) -> Option<Box<str>> {
        let from = from?;
        if let Some(rule) = self.deny.find(from) {
            return Some(format!("--deny {rule}").into());
        }
        let is_left_out = self.allow.as_ref().is_some_and(|allow| !allow.contain(from));
        is_left_out.then(|| "--allow".into())
    }

    /// See [`Networks::look_up`].
    pub fn look_up(&mut self, query: Query, until: Deadline) -> Result<(), Failure> {
        let mut lists = self.allow.iter_mut().chain([&mut self.deny]);
        lists.try_for_each(|list| list.look_up(query, until))
    }

    /// See [`Networks::reread`].
    pub fn reread(&mut self, until: Deadline) -> Vec<String> {
        let lists = self.allow.iter_mut().chain([&mut self.deny]);
        lists.flat_map(|list| list.reread(until)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::exit::Exit;
    use crate::net::address::Family;
    use crate::net::resolve::Source;
    use socket2::Type;

    const QUERY: Query = Query {
        family: Family::Any,
        numeric: false,
        source: Source { ip: None, port: 0 },
        kind: Type::STREAM,
    };

    fn access(allow: &[&str], deny: &[&str]) -> AccessList {
        let read = |words: &[&str]| words.iter().map(|word| networks(word).unwrap()).collect();
        let allow = (!allow.is_empty()).then(|| read(allow));
        let mut access = AccessList { allow, deny: read(deny) };
        access.look_up(QUERY, Deadline::NEVER).unwrap();
        access
    }

    fn denial(access: &AccessList, from: &str) -> Option<Box<str>> {
        access.denial(Some(from.parse().unwrap()))
    }

    fn admits(access: &AccessList, from: &str) -> bool {
        denial(access, from).is_none()
    }

    #[test]
    fn deny_beats_allow_and_allow_leaves_out_the_rest() {
        let both = access(&["10.0.0.0/8", "::1"], &["10.1.0.0/16"]);
        assert!(admits(&both, "10.2.3.4") && admits(&both, "::1"));
        assert!(!admits(&both, "10.1.2.3") && !admits(&both, "192.0.2.1") && !admits(&both, "::2"));
        let deny = access(&[], &["192.0.2.1"]);
        assert!(admits(&deny, "192.0.2.2") && !admits(&deny, "192.0.2.1"));
        assert!(access(&["10.0.0.0/8"], &[]).denial(None).is_none());
    }

    #[test]
    fn v4_mapped_is_v4_in_rules_and_in_peers() {
        let v4 = access(&["10.0.0.0/8"], &["::ffff:10.1.0.0/112"]);
        assert!(admits(&v4, "::ffff:10.2.0.1") && !admits(&v4, "10.1.0.9"));
        assert!(!admits(&access(&["::/0"], &[]), "10.0.0.1"));
    }

    #[test]
    fn a_file_has_one_a_line_and_is_read_again() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, "# office\n10.0.0.0/8\n\n  ::1  # here\n localhost").unwrap();
        let word = format!("@{}", file.path().display());
        let mut rules = access(&[&word], &[]);
        let admitted = |rules: &AccessList| {
            ["10.0.0.1", "::1", "127.0.0.1", "127.0.0.2"].map(|from| admits(rules, from))
        };
        assert_eq!(admitted(&rules), [true, true, true, false]);
        fs::write(&file, "10.0.0.0/8\n10.0.0.0/33\n").unwrap();
        let refusal = networks(&word).unwrap_err().to_string();
        assert!(refusal.starts_with("line 2 of '"), "{refusal}");
        let reread = |rules: &mut AccessList| rules.reread(Deadline::NEVER);
        assert_eq!(reread(&mut rules), [format!("{refusal}; the old list holds")]);
        assert_eq!(admitted(&rules), [true, true, true, false]);
        fs::write(&file, "localhost\n127.0.0.2").unwrap();
        assert!(reread(&mut rules).is_empty());
        assert_eq!(admitted(&rules)[2..], [true, true]);
        fs::write(&file, "# none yet\n").unwrap();
        assert!(reread(&mut rules).is_empty());
        assert_eq!(admitted(&rules), [false; 4]);
        assert!(networks("@/nonexistent").unwrap_err().to_string().contains("ENOENT 2"));
    }

    #[test]
    fn a_denial_names_its_rule() {
        let rules = access(&["127.0.0.0/8", "::1"], &["127.1.0.0/16", "127.0.0.2", "localhost"]);
        for (from, rule) in [
            ("127.1.2.3", Some("--deny 127.1.0.0/16")),
            ("127.0.0.2", Some("--deny 127.0.0.2")),
            ("127.0.0.1", Some("--deny localhost")),
            ("::ffff:127.0.0.1", Some("--deny localhost")),
            ("192.0.2.1", Some("--allow")),
            ("127.0.0.3", None),
        ] {
            assert_eq!(denial(&rules, from).as_deref(), rule, "{from}");
        }
    }

    #[test]
    fn nothing_else_is_a_rule() {
        for word in ["", "10.0.0.0/", "10.0.0/8", "10.1", "a b", "host:80", "1.2.3.4/33", "::/129"]
        {
            assert!(networks(word).unwrap_err().to_string().contains("10.0.0.0/8"), "{word}");
        }
        let mut list = networks("nosuch.invalid").unwrap();
        let failure = list.look_up(QUERY, Deadline::NEVER).unwrap_err();
        assert_eq!((&*failure.target, failure.exit), ("nosuch.invalid", Exit::Unresolved));
    }
}
