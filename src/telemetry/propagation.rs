//! Trace context and baggage in the headers of records.
//!
//! What travels, and under which names, is the choice of OpenTelemetry's global propagator
//! (`opentelemetry::global::set_text_map_propagator`); without one nothing is read or written.
//! [`TraceLayer`](crate::layers::TraceLayer) does both for each record. The two carriers are for what
//! it doesn't do: batches, or a propagator of one's own.
//!
//! * Values are UTF-8 text, and the *last* header of a name counts. What isn't text, or is longer than
//!   [`MAX_VALUE_BYTES`], is taken for missing.
//! * To set is to remove all headers of the name, then to add one. An empty value (a `tracestate` without
//!   entries) is not added.
//!
//! # Example
//!
//! ```
//! use kafka_tower::{Headers, otel::propagation::{HeaderExtractor, HeaderInjector}};
//! use opentelemetry::{
//!     Context, propagation::TextMapPropagator,
//!     trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId},
//! };
//! use opentelemetry_sdk::propagation::TraceContextPropagator;
//!
//! let (trace, span) = (TraceId::from(1), SpanId::from(2));
//! let sent = SpanContext::new(trace, span, TraceFlags::SAMPLED, false, Default::default());
//! let propagator = TraceContextPropagator::new();
//!
//! let mut headers = Headers::new();
//! let context = Context::new().with_remote_span_context(sent);
//! propagator.inject_context(&context, &mut HeaderInjector(&mut headers));
//! let traceparent = "00-00000000000000000000000000000001-0000000000000002-01";
//! assert_eq!(headers.get("traceparent"), Some(traceparent.as_bytes()));
//! assert!(!headers.contains("tracestate"));
//!
//! let context = propagator.extract_with_context(&Context::new(), &HeaderExtractor(&headers));
//! assert_eq!(context.span().span_context().trace_id(), trace);
//! ```

use std::str;

use bytes::Bytes;
use opentelemetry::{
    Context,
    baggage::BaggageExt,
    global,
    propagation::{Extractor, Injector},
    trace::{SpanContext, TraceContextExt},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::record::{Carried, Headers, ProducerRecord};

/// Longer values are not read: the limit of W3C's baggage, of all that travels the longest.
pub const MAX_VALUE_BYTES: usize = 8192;

const BAGGAGE: &str = "baggage";
const NAMES: [&str; 3] = ["traceparent", "tracestate", BAGGAGE];

/// Reads a context from headers.
#[derive(Debug, Clone, Copy)]
pub struct HeaderExtractor<'a>(pub &'a Headers);

impl Extractor for HeaderExtractor<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        text(self.0.get(key)?)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().filter_map(|(key, _)| text(key)).collect()
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    let bytes = Some(bytes).filter(|bytes| bytes.len() <= MAX_VALUE_BYTES)?;
    str::from_utf8(bytes).ok()
}

/// Writes a context into headers.
#[derive(Debug)]
pub struct HeaderInjector<'a>(pub &'a mut Headers);

impl Injector for HeaderInjector<'_> {
    fn set(&mut self, key: &str, value: String) {
        if value.is_empty() {
            self.0.remove(key);
            return;
        }
        let name = NAMES.into_iter().find(|name| *name == key);
        let name = match name {
            Some(name) => Bytes::from_static(name.as_bytes()),
            None => Bytes::copy_from_slice(key.as_bytes()),
        };
        self.0.insert(name, value);
    }
}

/// The context that a record came with.
pub(crate) fn extract(headers: &Headers) -> Context {
    if headers.is_empty() {
        return Context::new();
    }
    global::get_text_map_propagator(|propagator| {
        propagator.extract_with_context(&Context::new(), &HeaderExtractor(headers))
    })
}

/// The baggage of a context alone, for the root of another trace. An invalid parent wouldn't do: samplers
/// take it for one that isn't sampled.
pub(crate) fn without_span(context: &Context) -> Context {
    let baggage = context.baggage();
    let entries = baggage.iter().map(|(key, (value, metadata))| {
        opentelemetry::baggage::KeyValueMetadata::new(key.clone(), value.clone(), metadata.clone())
    });
    Context::new().with_baggage(entries)
}

/// The span that a context is of, where it is of any.
pub(crate) fn span_of(context: &Context) -> Option<SpanContext> {
    let context = context.span().span_context().clone();
    context.is_valid().then_some(context)
}

/// Puts the context of a span that publishes into the record. Where the sender has set one, it stays, and
/// the span links to it.
pub(crate) fn inject(span: &Span, record: &mut ProducerRecord) {
    let own = Own::find(record);
    if own.context
        && let Some(own) = span_of(&extract(&record.headers))
    {
        span.add_link(own);
    }
    put(&span.context(), record, own);
}

/// Puts the context of the moment into a record that stands for another one. Without a context it keeps
/// the one that it has.
pub(crate) fn carry_on(record: &mut ProducerRecord) {
    let context = Span::current().context();
    // Where there is no span of `tracing`, there may be one of OpenTelemetry's own.
    let context = match span_of(&context) {
        Some(_) => context,
        None => Context::current(),
    };
    if span_of(&context).is_some() {
        put(&context, record, Own::find(record));
    }
}

fn put(context: &Context, record: &mut ProducerRecord, own: Own) {
    let mut guarded = Guarded {
        headers: HeaderInjector(&mut record.headers),
        own,
    };
    global::get_text_map_propagator(|propagator| {
        propagator.inject_context(context, &mut guarded);
    });
    if !own.context && !record.headers.is_empty() {
        let mut carried = record.headers.clone();
        if own.baggage {
            carried.remove(BAGGAGE);
        }
        record.extensions.insert(Carried(carried));
    }
}

/// What the sender of a record has set himself.
#[derive(Clone, Copy)]
struct Own {
    context: bool,
    baggage: bool,
}

impl Own {
    fn find(record: &ProducerRecord) -> Self {
        let headers = &record.headers;
        if headers.is_empty() {
            return Self {
                context: false,
                baggage: false,
            };
        }
        let carried = record.extensions.get::<Carried>();
        let is_own = |name: &str| {
            let value = headers.get(name);
            value.is_some() && carried.is_none_or(|Carried(carried)| carried.get(name) != value)
        };
        // A `tracestate` is nothing without its `traceparent`.
        let context = global::get_text_map_propagator(|propagator| {
            let mut names = propagator.fields();
            names.any(|name| name != BAGGAGE && name != "tracestate" && is_own(name))
        });
        Self {
            context,
            baggage: is_own(BAGGAGE),
        }
    }
}

/// Sets what the sender has not.
struct Guarded<'a> {
    headers: HeaderInjector<'a>,
    own: Own,
}

impl Injector for Guarded<'_> {
    fn set(&mut self, key: &str, value: String) {
        let own = match key {
            BAGGAGE => self.own.baggage,
            _ => self.own.context,
        };
        if !own {
            self.headers.set(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_is_read_where_it_is_text_of_bounded_length() {
        let mut headers = Headers::new();
        headers.append("a", "first");
        headers.append("a", "last");
        headers.append("b", "text");
        headers.append("b", &[0xff_u8]);
        headers.append("c", "x".repeat(MAX_VALUE_BYTES));
        headers.append("d", "x".repeat(MAX_VALUE_BYTES + 1));
        headers.append_null("e");
        headers.append(&[0xff_u8], "f");
        let carrier = HeaderExtractor(&headers);
        assert_eq!(carrier.get("a"), Some("last"));
        assert_eq!(carrier.get("c").map(str::len), Some(MAX_VALUE_BYTES));
        for name in ["A", "b", "d", "e", "f"] {
            assert_eq!(carrier.get(name), None, "{name}");
        }
        assert_eq!(carrier.keys(), ["a", "a", "b", "b", "c", "d", "e"]);
    }

    #[test]
    fn what_is_set_takes_the_place_of_all_that_was() {
        let mut headers = Headers::new();
        for name in ["b3", "tracestate", "other", "b3"] {
            headers.append(name, "stale");
        }
        let mut carrier = HeaderInjector(&mut headers);
        carrier.set("b3", "new".to_owned());
        carrier.set("tracestate", String::new());
        let headers: Vec<_> = headers.iter().collect();
        let header =
            |name: &'static str, value: &'static str| (name.as_bytes(), Some(value.as_bytes()));
        assert_eq!(headers, [header("other", "stale"), header("b3", "new")]);
    }
}
