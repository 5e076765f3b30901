//! How often somebody may try: passwords and invite codes are guessed, and each guess costs tens of milliseconds.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use axum::http::{HeaderValue, header};

use crate::{codes::HttpCode, problem::Problem, server::network};

/// Attempts at once, from one address and on one name.
const BURST: u32 = 10;
/// One more attempt comes back after this time: 12 guesses a minute.
const REFILL_MS: u64 = 5_000;
/// Addresses and names remembered; beyond it those that are whole again are forgotten, then all attempts are refused
/// that come from none of them.
const MAX_KEYS: usize = 16_384;

/// Counts attempts by address and by name (a token bucket each).
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<HashMap<Key, Bucket>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Address(IpAddr),
    /// A hash, so that a long name takes no more room than a short one.
    Name([u8; 32]),
}

/// The time at which the bucket is full again; an attempt moves it by [`REFILL_MS`].
#[derive(Clone, Copy, Debug)]
struct Bucket {
    full_at_ms: u64,
}

impl Attempts {
    /// Takes one attempt of `address` (loopback is one address too) on `name`.
    ///
    /// # Errors
    /// `rate_limited` with `Retry-After`; the attempt must not be made.
    pub(crate) fn take(&self, address: Option<IpAddr>, name: &str, now_ms: u64) -> Result<(), Problem> {
        let keys = [
            address.map(|address| Key::Address(network(address))),
            Some(Key::Name(*blake3::hash(name.as_bytes()).as_bytes())),
        ];
        // The counts are whole at any time, also after a panic elsewhere.
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= MAX_KEYS {
            held.retain(|_, bucket| bucket.full_at_ms > now_ms);
        }
        let full = held.len() >= MAX_KEYS;
        let mut wait_ms = 0;
        for key in keys.iter().flatten() {
            match held.get(key) {
                Some(bucket) => wait_ms = wait_ms.max(bucket.wait_ms(now_ms)),
                None if full => wait_ms = wait_ms.max(REFILL_MS),
                None => {}
            }
        }
        if wait_ms > 0 {
            return Err(limited(wait_ms));
        }
        for key in keys.into_iter().flatten() {
            let bucket = held.entry(key).or_insert(Bucket { full_at_ms: now_ms });
            bucket.full_at_ms = bucket.full_at_ms.max(now_ms) + REFILL_MS;
        }
        Ok(())
    }
}

impl Bucket {
    /// How long until there is room for one attempt.
    fn wait_ms(self, now_ms: u64) -> u64 {
        (self.full_at_ms + REFILL_MS).saturating_sub(now_ms + u64::from(BURST) * REFILL_MS)
    }
}

fn limited(wait_ms: u64) -> Problem {
    let seconds = wait_ms.div_ceil(1000);
    let problem = Problem::new(HttpCode::RateLimited, format!("too many attempts; try again in {seconds} s"));
    problem.with(header::RETRY_AFTER, HeaderValue::from(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_000_000_000;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn one_address_tries_so_often_and_then_slowly() {
        let attempts = Attempts::default();
        for n in 0..BURST {
            attempts.take(address("192.0.2.1"), &format!("name{n}"), NOW).unwrap();
        }
        assert_eq!(attempts.take(address("192.0.2.1"), "new", NOW).unwrap_err().code(), "rate_limited");
        attempts.take(address("192.0.2.2"), "new", NOW).unwrap();
        assert!(attempts.take(address("192.0.2.1"), "new", NOW + REFILL_MS - 1).is_err());
        attempts.take(address("192.0.2.1"), "new", NOW + REFILL_MS).unwrap();
        assert!(attempts.take(address("192.0.2.1"), "new", NOW + REFILL_MS).is_err());
    }

    #[test]
    fn one_name_is_tried_so_often_from_everywhere() {
        let attempts = Attempts::default();
        for n in 0..BURST {
            attempts.take(address(&format!("2001:db8:{n:x}::1")), "ada", NOW).unwrap();
        }
        assert!(attempts.take(address("198.51.100.1"), "ada", NOW).is_err());
        attempts.take(address("198.51.100.1"), "charles", NOW).unwrap();
        attempts.take(None, "mary", NOW).unwrap();
    }

    #[test]
    fn an_address_of_ipv6_is_its_network_and_a_refusal_takes_nothing() {
        let attempts = Attempts::default();
        for n in 0..BURST {
            attempts.take(address(&format!("2001:db8::{n:x}")), &format!("name{n}"), NOW).unwrap();
        }
        for _ in 0..100 {
            assert!(attempts.take(address("2001:db8::ffff"), "ada", NOW).is_err());
        }
        attempts.take(address("2001:db8::ffff"), "ada", NOW + REFILL_MS).unwrap();
    }

    #[test]
    fn the_table_is_bounded_and_forgets_what_is_whole_again() {
        let attempts = Attempts::default();
        let mut taken = 0;
        for n in 0..MAX_KEYS as u32 {
            let from = IpAddr::from(n.to_be_bytes());
            taken += u32::from(attempts.take(Some(from), &n.to_string(), NOW).is_ok());
        }
        assert_eq!(taken as usize, MAX_KEYS / 2);
        assert!(attempts.take(address("203.0.113.1"), "x", NOW).is_err());
        attempts.take(address("203.0.113.1"), "x", NOW + REFILL_MS).unwrap();
        assert_eq!(attempts.0.lock().unwrap().len(), 2);
    }
}
