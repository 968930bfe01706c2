use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::Lease;
#[cfg(feature = "otel")]
use super::process_spans::ProcessSpans;

/// Where records come from: a partition, for as long as one member has it.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) lease: Lease,
    #[cfg(feature = "otel")]
    pub(crate) process_spans: ProcessSpans,
}

impl Origin {
    pub(crate) fn new(topic: Arc<str>, partition: i32, lease: Lease) -> Self {
        Self {
            topic,
            partition,
            lease,
            #[cfg(feature = "otel")]
            process_spans: ProcessSpans::default(),
        }
    }
}

/// The keys and payloads of records that arrived together, in one allocation.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) origin: Arc<Origin>,
    pub(crate) bytes: Vec<u8>,
    memory: Option<(Arc<Memory>, usize)>,
}

impl Chunk {
    pub(crate) fn new(origin: Arc<Origin>, bytes: Vec<u8>) -> Self {
        Self {
            origin,
            bytes,
            memory: None,
        }
    }

    /// Counts `bytes` as taken for as long as the chunk lives.
    pub(crate) fn count(mut self, memory: &Arc<Memory>, bytes: usize) -> Self {
        memory.taken.fetch_add(bytes, Ordering::Relaxed);
        self.memory = Some((Arc::clone(memory), bytes));
        self
    }

    /// A chunk of its own for a part of this one, counted where this one is, with `more` bytes that
    /// live as long.
    pub(crate) fn copy(&self, part: &[u8], more: usize) -> Self {
        let copy = Self::new(Arc::clone(&self.origin), part.to_vec());
        match &self.memory {
            Some((memory, _)) => copy.count(memory, part.len() + more),
            None => copy,
        }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Some((memory, bytes)) = &self.memory {
            memory.release(*bytes);
        }
    }
}

/// How much memory the records of a consumer take, whoever holds them.
pub(crate) struct Memory {
    taken: AtomicUsize,
    limit: usize,
    /// Called when what is taken falls below the limit.
    relieved: Box<dyn Fn() + Send + Sync>,
}

impl Memory {
    pub(crate) fn new(limit: usize, relieved: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            limit,
            relieved: Box::new(relieved),
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.taken() >= self.limit
    }

    /// Bytes.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn release(&self, bytes: usize) {
        let before = self.taken.fetch_sub(bytes, Ordering::Relaxed);
        if before >= self.limit && before - bytes < self.limit {
            (self.relieved)();
        }
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory")
            .field("taken", &self.taken)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_taken_as_long_as_a_chunk_lives_and_relief_is_told_once() {
        let relieved = Arc::new(AtomicUsize::new(0));
        let told = Arc::clone(&relieved);
        let memory = Arc::new(Memory::new(100, move || {
            told.fetch_add(1, Ordering::Relaxed);
        }));
        let origin = Arc::new(Origin::new("t".into(), 0, Lease::new(0)));
        let chunk = |bytes| Chunk::new(Arc::clone(&origin), vec![1; 10]).count(&memory, bytes);
        let (first, second) = (chunk(60), chunk(60));
        assert!(memory.is_full());
        let copy = first.copy(&[1; 10], 20);
        drop(first);
        assert!(!memory.is_full());
        drop((copy, second));
        assert_eq!(relieved.load(Ordering::Relaxed), 1);
        assert_eq!(memory.taken.load(Ordering::Relaxed), 0);
    }
}
