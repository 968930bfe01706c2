//! The testing kit: what stands in for Kafka, and what goes wrong on purpose.

#[path = "../support/consume.rs"]
mod bed;
#[path = "../support/capture.rs"]
mod capture;
#[path = "../support/mod.rs"]
mod support;

mod chaos;
mod clusters;
mod mock;
