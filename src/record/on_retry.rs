use std::{sync::Arc, time::Duration};

use super::ProducerRecord;

/// Are told when a failed attempt is to be repeated: the record, the number of the next attempt, and the
/// wait before it. How the layers outside of one that repeats learn of it.
#[derive(Clone)]
pub(crate) struct OnRetry(Arc<[Arc<Tell>]>);

type Tell = dyn Fn(&ProducerRecord, u32, Duration) + Send + Sync;

impl OnRetry {
    pub(crate) fn new(
        tell: impl Fn(&ProducerRecord, u32, Duration) + Send + Sync + 'static,
    ) -> Self {
        let tell: Arc<Tell> = Arc::new(tell);
        Self(Arc::new([tell]))
    }

    /// Is told from now on, behind those that are told already, and once.
    pub(crate) fn listen(&self, record: &mut ProducerRecord) {
        let Some(Self(others)) = &record.on_retry else {
            record.on_retry = Some(self.clone());
            return;
        };
        let is_new = |one: &&Arc<Tell>| !others.iter().any(|other| Arc::ptr_eq(one, other));
        let new: Vec<_> = self.0.iter().filter(is_new).collect();
        if !new.is_empty() {
            record.on_retry = Some(Self(others.iter().chain(new).cloned().collect()));
        }
    }

    pub(super) fn tell(&self, record: &ProducerRecord, attempt: u32, after: Duration) {
        for tell in &*self.0 {
            tell(record, attempt, after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    #[test]
    fn all_who_listen_are_told_of_a_retry_and_each_once() {
        let told = Arc::new(std::sync::Mutex::new(Vec::new()));
        let listener = |name: &'static str| {
            let told = Arc::clone(&told);
            OnRetry::new(move |_, attempt, _| told.lock().unwrap().push((name, attempt)))
        };
        let (outer, inner) = (listener("outer"), listener("inner"));
        let mut record = ProducerRecord::to("t");
        outer.listen(&mut record);
        inner.listen(&mut record);
        outer.listen(&mut record);
        inner.listen(&mut record);
        record.retry_scheduled(2, Duration::ZERO);
        assert_eq!(*told.lock().unwrap(), [("outer", 2), ("inner", 2)]);

        let error = Record::fail(&record, "no".into());
        let record = error.into_record().expect("the record");
        record.retry_scheduled(2, Duration::ZERO);
        assert_eq!(told.lock().unwrap().len(), 2);
    }
}
