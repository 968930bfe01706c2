use tower::Service;

use crate::{
    error::BoxError,
    record::{ConsumerRecord, Outcome},
};

/// What [`serve`](crate::serve) can serve: a maker of services, one for each assigned partition.
///
/// Every `tower::Service<ConsumerRecord>` that is `Clone + Send + Sync + 'static`, answers with
/// what converts into an [`Outcome`] and fails with what converts into a [`BoxError`] is an app.
/// Each partition gets a clone of its own. A [`Router`](crate::Router) is an app that knows its topics.
/// Write the trait by hand only where partitions need different services.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be served",
    label = "not an app",
    note = "a service to be served implements `tower::Service<ConsumerRecord>` with \
            `Response: Into<Outcome>`, `Error: Into<BoxError>` and `Future: Send + 'static`, and \
            is `Clone + Send + Sync + 'static`; `tower::service_fn` makes one of a function",
    note = "a `Router<S>` can be served when it has its state: call `.with_state(...)` on it"
)]
pub trait App {
    /// What handles the records of one partition, one record at a time.
    type Service: Service<
            ConsumerRecord,
            Response: Into<Outcome>,
            Error: Into<BoxError>,
            Future: Send + 'static,
        > + Clone
        + Send
        + 'static;

    /// The topics that the app wants; they are added to those of
    /// [`ConsumerSettings::topics`](crate::ConsumerSettings::topics). `None`: it has no opinion.
    fn topics(&self) -> Option<Vec<String>>;

    /// Prefixes of topics that the app wants, none without. All topics whose names begin with one are
    /// subscribed to, those too that are created later, but for dead-letter topics: names that end
    /// with `.dlq`.
    fn topic_prefixes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Turns the app into a function from topic and partition to the service for it, which is
    /// called once for each assignment, on the runtime, when its first record has come.
    fn into_make_lane(self) -> impl Fn(&str, i32) -> Self::Service + Send + Sync + 'static;
}

impl<S> App for S
where
    S: Service<
            ConsumerRecord,
            Response: Into<Outcome>,
            Error: Into<BoxError>,
            Future: Send + 'static,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    type Service = S;

    fn topics(&self) -> Option<Vec<String>> {
        None
    }

    fn into_make_lane(self) -> impl Fn(&str, i32) -> S + Send + Sync + 'static {
        move |_, _| self.clone()
    }
}
