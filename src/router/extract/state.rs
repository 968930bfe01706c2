use super::FromRecord;
use crate::{error::Rejection, record::ConsumerRecord};

/// The state that [`Router::with_state`](crate::Router::with_state) gave, or a part of it.
///
/// It is cloned for each record: put what is dear to clone into an `Arc`.
///
/// # Example
///
/// ```
/// use std::sync::Arc;
/// use kafka_tower::{Router, extract::{FromRef, State}};
///
/// #[derive(Clone)]
/// struct Db(Arc<str>);
///
/// #[derive(Clone)]
/// struct App {
///     db: Db,
///     limit: usize,
/// }
///
/// impl FromRef<App> for Db {
///     fn from_ref(app: &App) -> Self {
///         app.db.clone()
///     }
/// }
///
/// async fn on_order(State(app): State<App>, State(db): State<Db>) {
///     println!("{} of {}", app.limit, db.0);
/// }
///
/// let app = App { db: Db("orders".into()), limit: 10 };
/// let router: Router = Router::new().topic("orders", on_order).with_state(app);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct State<T>(pub T);

impl<S, T: FromRef<S>> FromRecord<S> for State<T> {
    fn from_record(_: &ConsumerRecord, state: &S) -> Result<Self, Rejection> {
        Ok(Self(T::from_ref(state)))
    }
}

/// A part of a router's state, for [`State`]. Every state is a part of itself.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not part of the router's state `{S}`",
    label = "not part of the state",
    note = "give the router its state with `.with_state(...)`; for a part of the state implement \
            `FromRef<{S}>`"
)]
pub trait FromRef<S> {
    /// Takes the part out of the whole, mostly by a clone.
    fn from_ref(state: &S) -> Self;
}

impl<T: Clone> FromRef<T> for T {
    fn from_ref(state: &T) -> Self {
        state.clone()
    }
}
