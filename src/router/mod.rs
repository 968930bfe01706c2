//! Which handler gets which records: a [`Router`] of plain async functions.

mod builder;
#[doc(hidden)]
pub mod check;
pub mod extract;
mod handler;
mod outcome;
mod route;
mod service;
mod table;
mod transform;
mod typed;

pub use self::builder::Router;
pub use self::handler::{Handler, HandlerFuture, HandlerService, OutcomeFuture, handler_service};
pub use self::outcome::IntoOutcome;
pub use self::route::Route;
pub use self::service::{Lane, RouterService};
pub use self::transform::{IntoRecords, Transform, transform};
pub use self::typed::{FromTopic, TopicHandler, TopicRoute};

/// Calls a macro with the names of no argument up to twelve.
macro_rules! all_the_tuples {
    ($name:ident) => {
        $name!();
        $name!(A1);
        $name!(A1, A2);
        $name!(A1, A2, A3);
        $name!(A1, A2, A3, A4);
        $name!(A1, A2, A3, A4, A5);
        $name!(A1, A2, A3, A4, A5, A6);
        $name!(A1, A2, A3, A4, A5, A6, A7);
        $name!(A1, A2, A3, A4, A5, A6, A7, A8);
        $name!(A1, A2, A3, A4, A5, A6, A7, A8, A9);
        $name!(A1, A2, A3, A4, A5, A6, A7, A8, A9, A10);
        $name!(A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11);
        $name!(A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12);
    };
}
use all_the_tuples;
