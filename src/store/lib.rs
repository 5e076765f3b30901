//! sea-orm adapter: repositories and group commit
