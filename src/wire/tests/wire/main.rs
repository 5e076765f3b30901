//! The commit format from outside: every rule with a commit that breaks it, round trips, mutants, signatures, and the
//! vectors of docs/spec.

#[cfg(test)]
mod forge;
#[cfg(test)]
mod mutants;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod round_trips;
#[cfg(test)]
mod signatures;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod vectors_format;
#[cfg(test)]
mod vectors_network;
#[cfg(test)]
mod vectors_refusals;
