//! Consuming: what is delivered, what is committed, and how it ends.

#[path = "../support/consume.rs"]
mod bed;
#[path = "../support/capture.rs"]
mod capture;
#[path = "../support/mod.rs"]
mod support;
#[path = "../layers/topics.rs"]
mod topics;

mod attempts;
mod bounds;
mod closing;
mod deleted;
mod delivery;
mod drained;
mod drops;
mod handle;
mod lease;
mod lifecycle;
mod members;
mod memory;
mod ordering;
mod outcomes;
mod records;
mod seek;
mod shutdown;
mod spawned;
mod stack;
mod statics;
mod stats;
mod undone;
mod unhandled;
