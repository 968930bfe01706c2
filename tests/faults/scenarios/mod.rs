//! The faults, one function each.

pub(crate) mod controls;
mod plain;

use crate::{
    harness::{Harness, Result},
    table::Row,
};

type Fault = fn(&Harness) -> Result<Vec<Row>>;

/// Every fault by name, in the order in which they run.
pub(crate) const FAULTS: [(&str, Fault); 2] = [("F0", plain::no_fault), ("F1", plain::kills)];
