//! OpenTelemetry: the names of its conventions.

pub mod semconv;
