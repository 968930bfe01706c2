//! The layers: each by itself around a stand-in, and together where it matters.

#[path = "../support/consume.rs"]
mod bed;
#[path = "../support/capture.rs"]
mod capture;
mod fake;
#[path = "../support/mod.rs"]
mod support;
mod topics;

mod catch_panic;
mod circuit_breaker;
mod dead_letter;
mod fallback;
mod key_order;
mod message_id;
mod metrics;
mod order;
mod rate_limit;
mod retry;
mod send_queue;
mod stack;
mod trace;
mod track;
