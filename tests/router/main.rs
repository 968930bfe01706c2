//! The router: handlers and their arguments, which route a record takes, and topics with types.

#[path = "../support/consume.rs"]
mod bed;
#[path = "../support/mod.rs"]
mod support;

mod served;
