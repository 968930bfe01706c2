use std::{collections::BTreeMap, fmt, sync::Arc};

use tower::Layer;

use super::{
    Handler, HandlerService, IntoOutcome, Route, RouterService, TopicHandler, TopicRoute,
    table::{Pattern, Table},
};
use crate::{
    record::{ConsumerRecord, RecordService},
    topic::{Codec, Topic},
};

/// Says which handler gets the records of which topic; [`serve`](crate::serve) takes it.
///
/// `S` is the state that its handlers' [`State`](super::extract::State) arguments want, until
/// [`with_state`](Self::with_state) gives it: only a `Router<()>` can be served.
///
/// See [`router`](super) for more.
#[must_use = "a router does nothing until it is served"]
pub struct Router<S = ()> {
    routes: BTreeMap<Pattern, Endpoint<S>>,
}

/// A route that waits for its state.
pub(super) type Endpoint<S> = Box<dyn FnOnce(&Arc<S>) -> Route + Send + Sync>;

pub(super) fn endpoint<H, T, S>(handler: H) -> Endpoint<S>
where
    H: Handler<T, S, Output: IntoOutcome>,
    T: 'static,
    S: Send + Sync + 'static,
{
    Box::new(|state| Route::new(HandlerService::new(handler, Arc::clone(state))))
}

impl<S: Send + Sync + 'static> Router<S> {
    /// A router without routes.
    pub fn new() -> Self {
        Self {
            routes: BTreeMap::new(),
        }
    }

    /// Hands the records of a topic to a handler, and subscribes to it.
    ///
    /// # Panics
    ///
    /// When the topic has a route already.
    #[track_caller]
    pub fn topic<H, T>(self, topic: impl Into<Arc<str>>, handler: H) -> Self
    where
        H: Handler<T, S, Output: IntoOutcome>,
        T: 'static,
    {
        self.with(Pattern::Topic(topic.into()), endpoint(handler))
    }

    /// The same for a topic with types, and its handler: see [`Topic::handle`](crate::Topic::handle).
    ///
    /// # Panics
    ///
    /// When the topic has a route already.
    #[track_caller]
    pub fn route<H, A, T, C, K>(self, route: TopicRoute<H, T, C, K>) -> Self
    where
        H: TopicHandler<A, Topic<T, C, K>, S, Output: IntoOutcome>,
        C: Codec<T>,
        A: 'static,
        T: 'static,
        K: 'static,
    {
        let topic = route.topic.shared_name();
        self.with(Pattern::Topic(topic), endpoint(route))
    }

    /// Hands the records of all topics whose names begin with `prefix` to a handler, and subscribes
    /// to them, also to those that are created later: they are found within librdkafka's
    /// `topic.metadata.refresh.interval.ms`, 5 minutes unless it is
    /// [`set`](crate::ConsumerSettings::set); with `group.protocol=consumer` the broker finds them, in some
    /// 10 s.
    ///
    /// A topic that has a route of its own takes that one, and of several prefixes the longest counts.
    ///
    /// Names that end with `.dlq` are left out, so that a service doesn't consume its own dead letters; a
    /// route by [`topic`](Self::topic) consumes one of them. Where dead letters go to topics of another
    /// name, that name should not begin with the prefix.
    ///
    /// [`serve`](crate::serve) refuses a prefix that would match Kafka's own topics: `""`, `_`, `__`.
    ///
    /// # Panics
    ///
    /// When the prefix has a route already.
    #[track_caller]
    pub fn topic_prefix<H, T>(self, prefix: impl Into<Arc<str>>, handler: H) -> Self
    where
        H: Handler<T, S, Output: IntoOutcome>,
        T: 'static,
    {
        self.with(Pattern::Prefix(prefix.into()), endpoint(handler))
    }

    /// Hands the records of a topic to a service, which may have layers of its own, and subscribes
    /// to the topic.
    ///
    /// # Panics
    ///
    /// When the topic has a route already.
    #[track_caller]
    pub fn topic_service<V>(self, topic: impl Into<Arc<str>>, service: V) -> Self
    where
        V: RecordService<ConsumerRecord> + Clone + Send + Sync + 'static,
    {
        let endpoint = Box::new(|_: &Arc<S>| Route::new(service));
        self.with(Pattern::Topic(topic.into()), endpoint)
    }

    /// Hands the records of all other topics to a handler: of those that
    /// [`ConsumerSettings::topics`](crate::ConsumerSettings::topics) names and that no route matches.
    /// Without a fallback such a record is an error.
    ///
    /// # Panics
    ///
    /// When there is a fallback already.
    #[track_caller]
    pub fn fallback<H, T>(self, handler: H) -> Self
    where
        H: Handler<T, S, Output: IntoOutcome>,
        T: 'static,
    {
        self.with(Pattern::Fallback, endpoint(handler))
    }

    /// Puts a layer around each of the routes that were added so far, the fallback included. What is
    /// added afterwards is not in it.
    ///
    /// The layer is applied once for each route, whatever the number of partitions is.
    pub fn layer<L>(self, layer: L) -> Self
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: RecordService<ConsumerRecord> + Clone + Send + Sync + 'static,
    {
        let wrap = |(pattern, inner): (Pattern, Endpoint<S>)| {
            let layer = layer.clone();
            let outer: Endpoint<S> = Box::new(move |state| Route::new(layer.layer(inner(state))));
            (pattern, outer)
        };
        Self {
            routes: self.routes.into_iter().map(wrap).collect(),
        }
    }

    /// Adds the routes of another router, and its fallback.
    ///
    /// # Panics
    ///
    /// When both have a route for the same topic or the same prefix, or both a fallback.
    #[track_caller]
    pub fn merge(self, other: Self) -> Self {
        let mut merged = self;
        for (pattern, endpoint) in other.routes {
            merged = merged.with(pattern, endpoint);
        }
        merged
    }

    /// Gives the handlers their state. What remains to be given is the state `S2` of routes that are
    /// added afterwards; mostly it is inferred, and `()`.
    pub fn with_state<S2>(self, state: S) -> Router<S2> {
        let state = Arc::new(state);
        let give = |(pattern, endpoint): (Pattern, Endpoint<S>)| {
            let route = endpoint(&state);
            let given: Endpoint<S2> = Box::new(|_| route);
            (pattern, given)
        };
        Router {
            routes: self.routes.into_iter().map(give).collect(),
        }
    }

    #[track_caller]
    pub(super) fn with(mut self, pattern: Pattern, endpoint: Endpoint<S>) -> Self {
        assert!(
            !self.routes.contains_key(&pattern),
            "there are two routes for the same {pattern}; a topic has one",
        );
        self.routes.insert(pattern, endpoint);
        self
    }
}

impl Router<()> {
    /// A service that looks up each record's route by its topic: for tests, and for other runtimes
    /// than [`serve`](crate::serve).
    ///
    /// It is always ready; a call waits until its route is. Served, each partition sees the readiness
    /// of its own route in place of that.
    #[must_use]
    pub fn into_service(self) -> RouterService {
        RouterService::new(self.into_table())
    }

    pub(super) fn into_table(self) -> Table {
        let state = Arc::new(());
        let routes = self.routes.into_iter();
        Table::new(routes.map(|(pattern, endpoint)| (pattern, endpoint(&state))))
    }
}

impl<S> Router<S> {
    pub(super) fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        self.routes.keys()
    }
}

impl<S: Send + Sync + 'static> Default for Router<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> fmt::Debug for Router<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.patterns()).finish()
    }
}
