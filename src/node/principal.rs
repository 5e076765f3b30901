//! Who writes or reads.

use rustdht_core::PublicKey;

/// Who writes or reads at this gateway. Doors authenticate; here it is taken at its word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Principal {
    /// The owner of this gateway; what he writes is signed by the gateway key, in `~C` by the community key where it
    /// is held here.
    Owner,
    /// An account whose key is in custody here.
    Account(PublicKey),
    /// Nobody in particular: reads what anybody may read, writes nothing.
    #[default]
    Anonymous,
    /// This process itself, such as a bridge. Writes local and mirror souls too.
    Internal,
}
