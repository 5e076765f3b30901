//! How many connections each address holds.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::limits::MAX_CONNECTIONS_PER_ADDRESS;

/// Connections by address; as many entries as there are connections at most.
#[derive(Clone, Default)]
pub(super) struct Places(Arc<Mutex<HashMap<IpAddr, u32>>>);

/// One connection of an address; it is given back when dropped.
pub(super) struct Place {
    places: Places,
    network: IpAddr,
}

impl Places {
    /// A place for one more connection from `address`; `None`: it has as many as it may.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let network = network(address);
        let mut held = self.lock();
        let count = held.entry(network).or_default();
        if *count >= MAX_CONNECTIONS_PER_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Place { places: self.clone(), network })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        // The counts are whole at any time, also after a panic elsewhere.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.lock();
        if let Some(count) = held.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.network);
            }
        }
    }
}

/// One subscriber has a whole /64 of IPv6.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_so_many_and_others_have_theirs() {
        let places = Places::default();
        let take = |address: &str| places.take(address.parse().unwrap());
        let mut held: Vec<Place> =
            (0..MAX_CONNECTIONS_PER_ADDRESS).map(|at| take(&format!("2001:db8::{at:x}")).unwrap()).collect();
        assert!(take("2001:db8::ffff").is_none());
        assert!(take("2001:db8:0:1::").is_some() && take("192.0.2.1").is_some());
        held.pop();
        held.push(take("2001:db8::ffff").unwrap());
        assert!(take("2001:db8::1").is_none());
        drop(held);
        assert!(places.lock().is_empty());
    }
}
