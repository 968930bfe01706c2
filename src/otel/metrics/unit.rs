//! Units, as UCUM writes them.

pub(super) const SECONDS: &str = "s";
pub(super) const BYTES: &str = "By";
pub(super) const MESSAGES: &str = "{message}";
pub(super) const RETRIES: &str = "{retry}";
pub(super) const PARTITIONS: &str = "{partition}";
pub(super) const REBALANCES: &str = "{rebalance}";
pub(super) const COMMITS: &str = "{commit}";
pub(super) const CIRCUITS: &str = "{circuit}";
