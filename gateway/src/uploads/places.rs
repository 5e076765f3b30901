//! How many uploads run at once, and whose they are.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustdht_core::PublicKey;
use rustdht_node::Principal;

use crate::{
    codes::HttpCode,
    limits::{MAX_UPLOADS, MAX_UPLOADS_PER_ACCOUNT},
    problem::Problem,
};

#[derive(Default)]
struct Taken {
    all: usize,
    /// As many entries as there are uploads at most.
    of: HashMap<PublicKey, usize>,
}

/// Of one gateway.
#[derive(Clone, Default)]
pub(crate) struct Places(Arc<Mutex<Taken>>);

/// One upload that runs; its place is given back when it is dropped.
pub(crate) struct Place {
    places: Places,
    of: Option<PublicKey>,
}

impl Places {
    /// A place for one more upload. An account has a part of them; whoever runs the gateway may have all.
    ///
    /// # Errors
    /// `overloaded`: also where it is the account's own uploads, since clients of tus try again after 503 and not
    /// after 429.
    pub(crate) fn take(&self, by: Principal) -> Result<Place, Problem> {
        let overloaded = |detail: String| Problem::new(HttpCode::Overloaded, detail);
        let of = match by {
            Principal::Account(key) => Some(key),
            Principal::Owner | Principal::Internal | Principal::Anonymous => None,
        };
        let mut taken = self.lock();
        if taken.all >= MAX_UPLOADS {
            return Err(overloaded("too many uploads are running".into()));
        }
        if let Some(key) = of {
            let own = taken.of.entry(key).or_default();
            if *own >= MAX_UPLOADS_PER_ACCOUNT {
                let detail = format!("{MAX_UPLOADS_PER_ACCOUNT} uploads of this account are running, as many as may");
                return Err(overloaded(detail));
            }
            *own += 1;
        }
        taken.all += 1;
        Ok(Place { places: self.clone(), of })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // The counts are whole at any time, also after a panic elsewhere.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all -= 1;
        if let Some(key) = self.of
            && let Some(own) = taken.of.get_mut(&key)
        {
            *own -= 1;
            if *own == 0 {
                taken.of.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_a_part_and_others_have_theirs() {
        let places = Places::default();
        let of = |account: u8| places.take(Principal::Account(PublicKey([account; 32])));
        // Uppy begins twenty at once.
        drop((0..20).map(|_| of(1).unwrap()).collect::<Vec<_>>());
        let mut held: Vec<Place> = (0..MAX_UPLOADS_PER_ACCOUNT).map(|_| of(1).unwrap()).collect();
        let problem = of(1).err().unwrap();
        assert_eq!(problem.code(), "overloaded");
        assert!(problem.detail().contains("of this account"), "{}", problem.detail());
        held.push(of(2).unwrap());
        held.extend((held.len()..MAX_UPLOADS).map(|_| places.take(Principal::Owner).unwrap()));
        for by in [Principal::Owner, Principal::Account(PublicKey([2; 32]))] {
            assert_eq!(places.take(by).err().unwrap().code(), "overloaded");
        }
        drop(held.remove(0));
        held.push(of(1).unwrap());
        drop(held);
        let taken = places.lock();
        assert!(taken.all == 0 && taken.of.is_empty());
    }
}
