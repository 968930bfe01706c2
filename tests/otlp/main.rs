//! What a collector is sent over OTLP, by the set-up of `examples/opentelemetry`: one trace from an HTTP
//! request to the handler of a dead letter, metrics, and logs.

#[path = "../support/consume.rs"]
mod bed;
mod journey;
#[path = "../../examples/opentelemetry/received.rs"]
mod received;
#[path = "../../examples/opentelemetry/receiver.rs"]
mod receiver;
#[path = "../support/mod.rs"]
mod support;
#[path = "../../examples/opentelemetry/telemetry.rs"]
mod telemetry;

mod documented;
mod logs;
mod metrics;
mod spans;
