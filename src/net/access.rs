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

#[cfg(test)]
mod tests;

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
