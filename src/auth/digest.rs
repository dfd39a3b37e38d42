//! The digests that an HMAC can be made with, by their names.

use std::fmt;
use std::str::FromStr;

use hmac::digest::block_api::EagerHash;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha2::{Sha256, Sha512};

/// The digest under the HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// HMAC-MD5, the default of Python's `hmac` before 3.8.
    Md5,
    /// HMAC-SHA256.
    Sha256,
    /// HMAC-SHA512.
    Sha512,
}

impl Digest {
    /// All of them, the shortest first.
    pub const ALL: [Self; 3] = [Self::Md5, Self::Sha256, Self::Sha512];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// How many hex digits an HMAC takes.
    pub fn hex_len(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }

    /// HMAC(key, message).
    pub fn mac(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        match self {
            Self::Md5 => mac::<Md5>(key, message),
            Self::Sha256 => mac::<Sha256>(key, message),
            Self::Sha512 => mac::<Sha512>(key, message),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|digest| digest.name() == name)
            .ok_or_else(|| "the digest is one of md5, sha256, sha512".into())
    }
}

/// HMAC(key, message) with any digest.
pub(super) fn mac<D: EagerHash>(key: &[u8], message: &[u8]) -> Vec<u8>
where
    Hmac<D>: KeyInit + Mac,
{
    let Ok(mac) = <Hmac<D> as KeyInit>::new_from_slice(key) else {
        unreachable!("HMAC takes keys of any length");
    };
    mac.chain_update(message).finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// key, message, expected HMAC in hex (RFC 4231's case 5 is cut off at 128 bits).
    type Vector = (Vec<u8>, Vec<u8>, &'static str);

    fn check(digest: Digest, vectors: &[Vector]) {
        for (key, message, expected) in vectors {
            let mac = hex::encode(digest.mac(key, message));
            assert_eq!(mac.len(), digest.hex_len());
            assert_eq!(&mac[..expected.len()], *expected);
        }
    }

    fn bytes(range: std::ops::RangeInclusive<u8>) -> Vec<u8> {
        range.collect()
    }

    #[test]
    fn rfc_2202_hmac_md5() {
        check(
            Digest::Md5,
            &[
                (vec![0x0b; 16], b"Hi There".into(), "9294727a3638bb1c13f48ef8158bfc9d"),
                (
                    b"Jefe".into(),
                    b"what do ya want for nothing?".into(),
                    "750c783e6ab0b503eaa86e310a5db738",
                ),
                (vec![0xaa; 16], vec![0xdd; 50], "56be34521d144c88dbb8c733f0e8b3f6"),
                (bytes(1..=25), vec![0xcd; 50], "697eaf0aca3a3aea3a75164746ffaa79"),
                (
                    vec![0x0c; 16],
                    b"Test With Truncation".into(),
                    "56461ef2342edc00f9bab995690efd4c",
                ),
                (
                    vec![0xaa; 80],
                    b"Test Using Larger Than Block-Size Key - Hash Key First".into(),
                    "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd",
                ),
                (
                    vec![0xaa; 80],
                    b"Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data"
                        .into(),
                    "6f630fad67cda0ee1fb1f562db3aa53e",
                ),
            ],
        );
    }

    const LARGE_KEY: &[u8] = b"Test Using Larger Than Block-Size Key - Hash Key First";
    const LARGE_BOTH: &[u8] = b"This is a test using a larger than block-size key and a larger \
        than block-size data. The key needs to be hashed before being used by the HMAC algorithm.";

    fn rfc_4231(digest: Digest, expected: [&'static str; 7]) {
        let inputs = [
            (vec![0x0b; 20], b"Hi There".to_vec()),
            (b"Jefe".into(), b"what do ya want for nothing?".into()),
            (vec![0xaa; 20], vec![0xdd; 50]),
            (bytes(1..=25), vec![0xcd; 50]),
            (vec![0x0c; 20], b"Test With Truncation".into()),
            (vec![0xaa; 131], LARGE_KEY.into()),
            (vec![0xaa; 131], LARGE_BOTH.into()),
        ];
        let vectors: Vec<Vector> = inputs
            .into_iter()
            .zip(expected)
            .map(|((key, message), expected)| (key, message, expected))
            .collect();
        check(digest, &vectors);
    }

    #[test]
    fn rfc_4231_hmac_sha256() {
        rfc_4231(
            Digest::Sha256,
            [
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
                "a3b6167473100ee06e0c796c2955552b",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            ],
        );
    }

    #[test]
    fn rfc_4231_hmac_sha512() {
        rfc_4231(
            Digest::Sha512,
            [
                "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde\
                 daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
                 9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
                "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39\
                 bf3e848279a722c806b485a47e67c807b946a337bee8942674278859e13292fb",
                "b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3db\
                 a91ca5c11aa25eb4d679275cc5788063a5f19741120c4f2de2adebeb10a298dd",
                "415fad6271580a531d4179bc891d87a6",
                "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352\
                 6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
                "e37b6a775dc87dbaa4dfa9f96e5e3ffddebd71f8867289865df5a32d20cdc944\
                 b6022cac3c4982b10d5eeb55c3e4de15134676fb6de0446065c97440fa8c6a58",
            ],
        );
    }

    #[test]
    fn a_digest_goes_by_its_name() {
        for digest in Digest::ALL {
            assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        }
        for name in ["", "MD5", "sha1", "sha-256"] {
            assert!(name.parse::<Digest>().unwrap_err().contains("md5, sha256, sha512"));
        }
    }
}
