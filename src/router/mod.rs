//! Which handler gets which records: a [`Router`] of plain async functions.
//!
//! ```
//! use kafka_tower::{
//!     BoxError, ConsumerRecord, Outcome, Router, extract::{Json, Key, State},
//! };
//! use serde::Deserialize;
//! use tower::ServiceExt;
//!
//! #[derive(Deserialize)]
//! struct Order {
//!     item: String,
//! }
//!
//! #[derive(Clone)]
//! struct Db;
//!
//! impl Db {
//!     async fn save(&self, id: &str, order: &Order) -> Result<(), BoxError> {
//!         println!("{id}: {}", order.item);
//!         Ok(())
//!     }
//! }
//!
//! async fn on_order(
//!     State(db): State<Db>,
//!     Key(id): Key<String>,
//!     Json(order): Json<Order>,
//! ) -> Result<(), BoxError> {
//!     db.save(&id, &order).await
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), BoxError> {
//! let app = Router::new()
//!     .topic("orders", on_order)
//!     .topic_prefix("tenant-", async |record: ConsumerRecord| println!("{record:?}"))
//!     .with_state(Db);
//!
//! // `serve(consumer, app)` runs it; a test needs no broker.
//! let order = ConsumerRecord::builder("orders", 0, 7).key("42").payload(r#"{"item": "tea"}"#);
//! let outcome = app.into_service().oneshot(order.build()).await?;
//! assert_eq!(outcome, Outcome::Ack);
//! # Ok(())
//! # }
//! ```
//!
//! # Routes
//!
//! A record takes the route of its topic ([`Router::topic`], [`Router::topic_service`],
//! [`Router::route`]); where there is none, that of the longest prefix ([`Router::topic_prefix`]), and then
//! the [`fallback`](Router::fallback). [`serve`](crate::serve) subscribes to the topics and prefixes of
//! the router and to those of [`ConsumerSettings::topics`](crate::ConsumerSettings::topics). A record for
//! which there is no route is a fatal error that names its topic.
//!
//! A record that came by a prefix or the fallback has the [`MatchedRoute`](crate::MatchedRoute) among its
//! extensions.
//!
//! # Handlers
//!
//! A handler is an async function or closure with up to 12 arguments, each read from the record or from
//! the router's state: see [`extract`]. It is cloned for each record, as its captures are. What it returns is
//! [`IntoOutcome`]. An argument that can't be read is an error of the record, a
//! [`Rejection`](crate::Rejection): the handler isn't called, and layers see its class.
//!
//! A compiler's message about a wrong handler names the whole function;
//! [`check_handler!`](crate::check_handler) points at the argument.
//!
//! # Layers
//!
//! [`Router::layer`] puts a layer around the routes that were added before. It is applied once a route:
//! `concurrency_limit(10)` lets 10 records of each route run, over all of its partitions. For one limit over
//! all routes there is tower's `GlobalConcurrencyLimitLayer`. Readiness is that of the route: while one has
//! no room, the partitions of others go on.
//!
//! Each call allocates the box of its future, and one more for each `layer`; give several layers in one
//! `ServiceBuilder`.

mod app;
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
