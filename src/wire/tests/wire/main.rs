//! The commit format from outside: every rule with a commit that breaks it, round trips, mutants, signatures, and the
//! vectors of docs/spec.

#[cfg(test)]
mod content;
#[cfg(test)]
mod decoders;
#[cfg(test)]
mod delegation;
#[cfg(test)]
mod endorsing;
#[cfg(test)]
mod forge;
#[cfg(test)]
mod mutants;
#[cfg(test)]
#[path = "../shared/mutator.rs"]
mod mutator;
#[cfg(test)]
mod papers;
#[cfg(test)]
mod private_blobs;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod round_trips;
#[cfg(test)]
mod signatures;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod vectors_authority;
#[cfg(test)]
mod vectors_format;
#[cfg(test)]
mod vectors_network;
#[cfg(test)]
mod vectors_refusals;
