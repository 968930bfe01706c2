//! OpenTelemetry's spans as an exporter sees them: names, kinds, parents, links, attributes, and what travels
//! in the headers.

#[path = "../support/consume.rs"]
mod bed;
mod exported;
#[allow(dead_code, reason = "made for the tests of the layers")]
#[path = "../layers/fake.rs"]
mod fake;
#[path = "../support/mod.rs"]
mod support;

mod broker;
mod headers;
mod journey;
mod process;
mod send;
