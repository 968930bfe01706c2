use std::sync::Arc;

/// Values that travel with a record through its layers and are never sent to Kafka.
///
/// One value for each type. Cheap to clone: clones share the values until one of them changes.
#[derive(Debug, Clone, Default)]
pub struct Extensions(Option<Arc<http::Extensions>>);

impl Extensions {
    /// Creates an empty set; allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Inserts a value and returns the one of the same type that it replaces.
    pub fn insert<T: Clone + Send + Sync + 'static>(&mut self, value: T) -> Option<T> {
        Arc::make_mut(self.0.get_or_insert_default()).insert(value)
    }

    /// The value of type `T`.
    #[must_use]
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.as_ref()?.get()
    }

    /// Removes the value of type `T`.
    pub fn remove<T: Clone + Send + Sync + 'static>(&mut self) -> Option<T> {
        Arc::make_mut(self.0.as_mut()?).remove()
    }

    /// Whether there is no value at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|values| values.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_its_values_when_the_original_changes() {
        let mut original = Extensions::new();
        assert!(original.is_empty());
        original.insert(1_u32);
        let clone = original.clone();
        assert_eq!(original.insert(2_u32), Some(1));
        assert_eq!(original.remove::<u32>(), Some(2));
        assert_eq!(original.get::<u32>(), None);
        assert_eq!(clone.get::<u32>(), Some(&1));
        assert_eq!(original.remove::<String>(), None);
    }
}
