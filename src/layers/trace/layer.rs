use std::sync::Arc;

use tower::Layer;
use tracing::Level;

use super::{DefaultMakeSpan, DefaultOnFailure, DefaultOnOutcome, Trace, TraceRelation};
use crate::telemetry::semconv::SemConv;

/// Gives each record a span, see [`layers::trace`](super).
///
/// | setting | default |
/// |---|---|
/// | [`make_span_with`](Self::make_span_with) | [`DefaultMakeSpan`], at `INFO` |
/// | [`on_outcome`](Self::on_outcome) | [`DefaultOnOutcome`] |
/// | [`on_failure`](Self::on_failure) | [`DefaultOnFailure`] |
/// | [`relation`](Self::relation) | [`TraceRelation::ParentAndLink`] |
#[derive(Debug, Clone, Default)]
#[must_use = "a layer does nothing until it is put around a service"]
pub struct TraceLayer<M = DefaultMakeSpan, O = DefaultOnOutcome, F = DefaultOnFailure> {
    make_span: M,
    on_outcome: O,
    on_failure: F,
    relation: TraceRelation,
}

impl TraceLayer {
    /// The layer with its defaults.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<O, F> TraceLayer<DefaultMakeSpan, O, F> {
    /// Names the consumer group in process spans: [`DefaultMakeSpan::group`].
    pub fn group(mut self, group: impl Into<Arc<str>>) -> Self {
        self.make_span = self.make_span.group(group);
        self
    }

    /// Names the client in the spans: [`DefaultMakeSpan::client_id`].
    pub fn client_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.make_span = self.make_span.client_id(id);
        self
    }

    /// Names the cluster in the spans: [`DefaultMakeSpan::server`].
    pub fn server(mut self, host: impl Into<Arc<str>>, port: u16) -> Self {
        self.make_span = self.make_span.server(host, port);
        self
    }

    /// The level of the spans: [`DefaultMakeSpan::level`].
    pub fn level(mut self, level: Level) -> Self {
        self.make_span = self.make_span.level(level);
        self
    }

    /// The version of the names: [`DefaultMakeSpan::semconv`].
    pub fn semconv(mut self, version: SemConv) -> Self {
        self.make_span = self.make_span.semconv(version);
        self
    }
}

impl<M, O, F> TraceLayer<M, O, F> {
    /// Makes the spans with something else: [`DefaultMakeSpan`] with other settings, a function, or any
    /// [`MakeSpan`](super::MakeSpan).
    pub fn make_span_with<N>(self, make_span: N) -> TraceLayer<N, O, F> {
        TraceLayer {
            make_span,
            on_outcome: self.on_outcome,
            on_failure: self.on_failure,
            relation: self.relation,
        }
    }

    /// What is done with an answer: a function, or any [`OnOutcome`](super::OnOutcome); `()` does nothing.
    pub fn on_outcome<N>(self, on_outcome: N) -> TraceLayer<M, N, F> {
        TraceLayer {
            make_span: self.make_span,
            on_outcome,
            on_failure: self.on_failure,
            relation: self.relation,
        }
    }

    /// What is done with an error: a function, or any [`OnFailure`](super::OnFailure); `()` does nothing.
    pub fn on_failure<N>(self, on_failure: N) -> TraceLayer<M, O, N> {
        TraceLayer {
            make_span: self.make_span,
            on_outcome: self.on_outcome,
            on_failure,
            relation: self.relation,
        }
    }

    /// How a process span stands to the span that the record was sent in. Only with feature `otel`.
    pub fn relation(mut self, relation: TraceRelation) -> Self {
        self.relation = relation;
        self
    }
}

impl<S, M: Clone, O: Clone, F: Clone> Layer<S> for TraceLayer<M, O, F> {
    type Service = Trace<S, M, O, F>;

    fn layer(&self, inner: S) -> Self::Service {
        Trace::new(
            inner,
            self.make_span.clone(),
            self.on_outcome.clone(),
            self.on_failure.clone(),
            self.relation,
        )
    }
}
