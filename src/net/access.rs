//! `--allow` and `--deny`: which addresses a server accepts connections from.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::exit::{cause, quoted};

/// The most a rule file may hold, in bytes.
const FILE: u64 = 16 << 20;

/// The networks that options name.
#[derive(Clone, Debug, Default)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether an address is in one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromIterator<Networks> for Networks {
    fn from_iter<T: IntoIterator<Item = Self>>(several: T) -> Self {
        Self(several.into_iter().flat_map(|networks| networks.0).collect())
    }
}

/// Reads a CIDR (`10.0.0.0/8`, `2001:db8::/32`), a single address, or `@FILE` with one of these a
/// line; blank lines and what follows `#` do not count. v4-mapped IPv6 is the IPv4 it stands for.
pub fn networks(word: &str) -> Result<Networks, String> {
    let Some(path) = word.strip_prefix('@') else {
        return network(word).map(|network| Networks(vec![network]));
    };
    let text = File::open(path).and_then(|file| {
        let mut text = String::new();
        file.take(FILE + 1).read_to_string(&mut text)?;
        if text.len() as u64 > FILE {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        Ok(text)
    });
    let text = text.map_err(|e| format!("read {}: {}", quoted(path), cause(&e)))?;
    let rules = text.lines().enumerate().filter_map(|(number, line)| {
        let rule = line.split('#').next().unwrap_or_default().trim();
        (!rule.is_empty()).then_some((number + 1, rule))
    });
    rules
        .map(|(number, rule)| {
            network(rule).map_err(|why| {
                format!("line {number} of {}: {}: {why}", quoted(path), quoted(rule))
            })
        })
        .collect::<Result<_, _>>()
        .map(Networks)
}

fn network(text: &str) -> Result<IpNet, String> {
    let network = text
        .parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| "expected a network (10.0.0.0/8, 2001:db8::/32), an address, or @FILE")?;
    Ok(unmapped(network))
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

/// The access rules.
#[derive(Clone, Debug, Default)]
pub struct AccessList {
    /// If given, only these.
    pub allow: Option<Networks>,
    /// Never these, whatever is allowed.
    pub deny: Networks,
}

impl AccessList {
    /// Whether a peer at this address is accepted. UNIX peers have none: the mode of the path
    /// restricts them.
    pub fn admits(&self, from: Option<IpAddr>) -> bool {
        let Some(from) = from else { return true };
        let allowed = self.allow.as_ref().is_none_or(|allow| allow.contain(from));
        allowed && !self.deny.contain(from)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn access(allow: &[&str], deny: &[&str]) -> AccessList {
        let read = |words: &[&str]| words.iter().map(|word| networks(word).unwrap()).collect();
        AccessList { allow: (!allow.is_empty()).then(|| read(allow)), deny: read(deny) }
    }

    fn admits(access: &AccessList, from: &str) -> bool {
        access.admits(Some(from.parse().unwrap()))
    }

    #[test]
    fn deny_beats_allow_and_allow_leaves_out_the_rest() {
        let both = access(&["10.0.0.0/8", "::1"], &["10.1.0.0/16"]);
        assert!(admits(&both, "10.2.3.4") && admits(&both, "::1"));
        assert!(!admits(&both, "10.1.2.3") && !admits(&both, "192.0.2.1") && !admits(&both, "::2"));
        let deny = access(&[], &["192.0.2.1"]);
        assert!(admits(&deny, "192.0.2.2") && !admits(&deny, "192.0.2.1"));
        assert!(access(&["10.0.0.0/8"], &[]).admits(None));
    }

    #[test]
    fn v4_mapped_is_v4_in_rules_and_in_peers() {
        let v4 = access(&["10.0.0.0/8"], &["::ffff:10.1.0.0/112"]);
        assert!(admits(&v4, "::ffff:10.2.0.1") && !admits(&v4, "10.1.0.9"));
        assert!(!admits(&access(&["::/0"], &[]), "10.0.0.1"));
    }

    #[test]
    fn a_file_has_one_a_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, "# office\n10.0.0.0/8\n\n  ::1  # here\n").unwrap();
        let word = format!("@{}", file.path().display());
        assert_eq!(networks(&word).unwrap().0.len(), 2);
        fs::write(&file, "10.0.0.0/8\n10.0.0.0/33\n").unwrap();
        let refusal = networks(&word).unwrap_err();
        assert!(refusal.starts_with("line 2 of '"), "{refusal}");
        fs::write(&file, "# none yet\n").unwrap();
        assert!(!admits(&access(&[&word], &[]), "10.0.0.1"));
        assert!(networks("@/nonexistent").unwrap_err().contains("ENOENT 2"));
    }

    #[test]
    fn nothing_else_is_a_network() {
        for word in ["", "10.0.0.0/", "10.0.0/8", "host", "10.0.0.0/-1", "1.2.3.4/33", "::/129"] {
            assert!(networks(word).unwrap_err().contains("10.0.0.0/8"), "{word}");
        }
    }
}
