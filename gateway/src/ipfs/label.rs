//! Roots as one label of a host name (subdomain gateway specification, "Host" and "DNS label limits").

use cid::{Cid, multibase::Base};
use rustdht_core::ports::IpnsName;

use crate::{codes::HttpCode, problem::Problem};

/// Longest label in the DNS (RFC 1035 section 2.3.4).
pub(super) const MAX_BYTES: usize = 63;

/// A CID in version 1: base32, or base36 where only that fits.
///
/// # Errors
/// `bad_path` when neither fits.
pub(super) fn of_cid(cid: &Cid) -> Result<String, Problem> {
    let cid = Cid::new_v1(cid.codec(), *cid.hash());
    let base32 = cid.to_string();
    if base32.len() <= MAX_BYTES {
        return Ok(base32);
    }
    match cid.to_string_of_base(Base::Base36Lower) {
        Ok(base36) if base36.len() <= MAX_BYTES => Ok(base36),
        _ => Err(too_long(&base32)),
    }
}

/// A name, which is base36 everywhere.
///
/// # Errors
/// `bad_path` when it does not fit.
pub(super) fn of_name(name: &IpnsName) -> Result<String, Problem> {
    let text = name.to_string();
    if text.len() <= MAX_BYTES { Ok(text) } else { Err(too_long(&text)) }
}

fn too_long(text: &str) -> Problem {
    Problem::new(HttpCode::BadPath, format!("CID incompatible with DNS label length limit of {MAX_BYTES}: {text}"))
}

/// A domain: `-` becomes `--`, `.` becomes `-`.
///
/// # Errors
/// `bad_path` when it does not fit.
pub(super) fn inline(domain: &str) -> Result<String, Problem> {
    let label = domain.replace('-', "--").replace('.', "-");
    if label.len() <= MAX_BYTES {
        return Ok(label);
    }
    let detail = format!("the domain does not fit in one label of a host name, {MAX_BYTES} characters: {label}");
    Err(Problem::new(HttpCode::BadPath, detail))
}

/// The reverse of [`inline`].
pub(super) fn uninline(label: &str) -> String {
    let mut domain = String::with_capacity(label.len());
    let mut rest = label.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '-' if rest.next_if_eq(&'-').is_some() => domain.push('-'),
            '-' => domain.push('.'),
            other => domain.push(other),
        }
    }
    domain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cids() {
        for (given, label) in [
            (
                "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKtR6V",
                "bafybeie5nqv6kd3qnfjupgvz34woh3oksc3iau6abmyajn7qvtf5acd2ky",
            ),
            (
                "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
                "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
            ),
        ] {
            assert_eq!(of_cid(&given.parse().unwrap()).unwrap(), label);
        }
        // 64 bytes of hash fit in no base.
        let long = cid::multihash::Multihash::wrap(0x13, &[7; 64]).unwrap();
        let problem = of_cid(&Cid::new_v1(0x55, long)).unwrap_err();
        assert!(problem.detail().starts_with("CID incompatible with DNS label length limit of 63"));
        // An Ed25519 key is 65 characters in base32.
        let key = cid::multihash::Multihash::wrap(0, &[8; 36]).unwrap();
        assert!(of_cid(&Cid::new_v1(0x72, key)).unwrap().starts_with('k'));
    }

    #[test]
    fn the_specifications_example() {
        assert_eq!(inline("en.wikipedia-on-ipfs.org").unwrap(), "en-wikipedia--on--ipfs-org");
        assert_eq!(uninline("en-wikipedia--on--ipfs-org"), "en.wikipedia-on-ipfs.org");
        assert!(inline(&"a.".repeat(32)).is_err());
    }

    proptest! {
        #[test]
        fn a_domain_comes_back(domain in "[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?){1,3}") {
            prop_assert_eq!(uninline(&inline(&domain).unwrap()), domain);
        }

        #[test]
        fn any_label_is_a_domain(label in "[a-z-]{0,63}") {
            let _ = uninline(&label);
        }
    }
}
