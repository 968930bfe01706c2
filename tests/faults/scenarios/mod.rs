//! The faults, one function each.

mod backlog;
mod brokers;
pub(crate) mod controls;
mod gaps;
mod handlers;
mod joins;
mod layers;
mod plain;

use crate::{
    harness::{Harness, Result},
    table::Row,
};

type Fault = fn(&Harness) -> Result<Vec<Row>>;

/// Every fault by name, in the order in which they run, and whether it is in the short set.
pub(crate) const FAULTS: [(&str, bool, Fault); 15] = [
    ("F0", false, plain::no_fault),
    ("F1", true, plain::kills),
    ("F2", true, joins::joins_and_leaves),
    ("F3", true, joins::zombies),
    ("F7", false, handlers::hang_and_panic),
    ("F8", false, layers::dead_letters),
    ("F9", false, backlog::blocked),
    ("F11", false, brokers::leaders),
    ("compacted", true, gaps::compacted),
    ("aborted", true, gaps::aborted),
    ("abort", true, handlers::abort),
    ("stuck", true, handlers::stuck),
    ("slow", true, handlers::slow),
    ("down", true, layers::down),
    ("hour", true, layers::hour),
];
