use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use opentelemetry::trace::SpanContext;

/// How many are remembered: as many as a span has links by default.
const MOST: usize = 128;

/// The spans in which a lane's records were handled, by offset, for the span of their commit.
#[derive(Debug, Default)]
pub(crate) struct ProcessSpans(Mutex<BTreeMap<i64, SpanContext>>);

impl ProcessSpans {
    /// Remembers one, unless there are too many already.
    pub(crate) fn add(&self, offset: i64, span: SpanContext) {
        let mut spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spans.len() < MOST {
            spans.insert(offset, span);
        }
    }

    /// Takes out those of the records below an offset.
    pub(crate) fn take_below(&self, offset: i64) -> BTreeMap<i64, SpanContext> {
        let mut spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let above = spans.split_off(&offset);
        std::mem::replace(&mut spans, above)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_few_and_taken_once() {
        let spans = ProcessSpans::default();
        for offset in 0..1000 {
            spans.add(offset, SpanContext::NONE);
        }
        let offsets = |below| spans.take_below(below).into_keys().collect::<Vec<_>>();
        assert_eq!(offsets(2), [0, 1]);
        assert!(offsets(2).is_empty());
        assert_eq!(offsets(i64::MAX).len(), MOST - 2);
    }
}
