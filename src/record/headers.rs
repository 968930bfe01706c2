use std::{fmt, sync::Arc};

use bytes::Bytes;

use super::IntoBytes;

/// The headers of a record: an ordered multimap with byte keys and byte values.
///
/// Kafka allows a key more than once and a value that is null, and neither keys nor values need be
/// text. All of it survives a round trip. Clones share the headers until one of them changes.
///
/// # Example
///
/// ```
/// use kafka_tower::Headers;
///
/// let mut headers = Headers::new();
/// headers.append("trace", "first");
/// headers.append("trace", "second");
/// headers.append_null("deleted");
///
/// assert_eq!(headers.get("trace"), Some(&b"second"[..]));
/// assert_eq!(headers.get_all("trace").count(), 2);
/// assert_eq!(headers.get("deleted"), None);
/// assert!(headers.contains("deleted"));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Option<Arc<Vec<Header>>>);

#[derive(Clone, PartialEq, Eq)]
struct Header {
    key: Bytes,
    value: Option<Bytes>,
}

impl Headers {
    /// Creates an empty multimap; allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of headers, repeated keys counted each time.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Whether there is no header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    /// The value of the *last* header with this key; `None` when there is none or it is null.
    ///
    /// "The last one counts" is the convention of Kafka's own `Headers.lastHeader`.
    #[must_use]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<&[u8]> {
        let key = key.as_ref();
        self.entries()
            .iter()
            .rev()
            .find(|header| header.key == key)?
            .value
            .as_deref()
    }

    /// Every value of this key in order; a null value is `None`.
    pub fn get_all<'a>(
        &'a self,
        key: &'a (impl AsRef<[u8]> + ?Sized),
    ) -> impl Iterator<Item = Option<&'a [u8]>> {
        let key = key.as_ref();
        self.iter()
            .filter(move |(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    /// Whether there is a header with this key, be its value null or not.
    #[must_use]
    pub fn contains(&self, key: impl AsRef<[u8]>) -> bool {
        let key = key.as_ref();
        self.entries().iter().any(|header| header.key == key)
    }

    /// All headers in order: key, and value or null.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], Option<&[u8]>)> + Clone {
        self.entries()
            .iter()
            .map(|header| (&header.key[..], header.value.as_deref()))
    }

    /// Adds a header behind those that are there.
    pub fn append(&mut self, key: impl IntoBytes, value: impl IntoBytes) {
        self.push(key.into_bytes(), Some(value.into_bytes()));
    }

    /// Adds a header whose value is null.
    pub fn append_null(&mut self, key: impl IntoBytes) {
        self.push(key.into_bytes(), None);
    }

    /// Removes every header with this key, then adds this one at the end.
    pub fn insert(&mut self, key: impl IntoBytes, value: impl IntoBytes) {
        let key = key.into_bytes();
        self.remove(&key);
        self.push(key, Some(value.into_bytes()));
    }

    /// Removes every header with this key and says how many there were.
    pub fn remove(&mut self, key: impl AsRef<[u8]>) -> usize {
        let key = key.as_ref();
        if !self.contains(key) {
            return 0;
        }
        let entries = self.entries_mut();
        let before = entries.len();
        entries.retain(|header| header.key != key);
        before - entries.len()
    }

    pub(crate) fn push(&mut self, key: Bytes, value: Option<Bytes>) {
        self.entries_mut().push(Header { key, value });
    }

    /// Bytes of all keys and values.
    pub(crate) fn size_bytes(&self) -> usize {
        self.entries()
            .iter()
            .map(|header| header.key.len() + header.value.as_ref().map_or(0, Bytes::len))
            .sum()
    }

    fn entries(&self) -> &[Header] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }

    fn entries_mut(&mut self) -> &mut Vec<Header> {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}

/// Shows the keys and the length of each value; values may be confidential.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Length(Option<usize>);
        impl fmt::Debug for Length {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    Some(length) => write!(f, "{length} bytes"),
                    None => f.write_str("null"),
                }
            }
        }
        let keys = self.entries().iter().map(|header| {
            let length = Length(header.value.as_ref().map(Bytes::len));
            (header.key.escape_ascii().to_string(), length)
        });
        f.debug_map().entries(keys).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_multimap_has_nothing() {
        let mut headers = Headers::new();
        assert!(headers.is_empty());
        assert_eq!(headers.get("a"), None);
        assert_eq!(headers.remove("a"), 0);
        assert_eq!(headers.iter().len(), 0);
    }

    #[test]
    fn insert_replaces_every_header_of_its_key() {
        let mut headers = Headers::new();
        headers.append("a", "1");
        headers.append("b", "2");
        headers.append_null("a");
        headers.insert("a", "3");
        let all: Vec<_> = headers.iter().collect();
        assert_eq!(all, [(&b"b"[..], Some(&b"2"[..])), (b"a", Some(b"3"))]);
    }

    #[test]
    fn a_clone_is_not_changed_with_its_original() {
        let mut headers = Headers::new();
        headers.append("a", "1");
        let clone = headers.clone();
        headers.remove("a");
        assert_eq!(clone.get("a"), Some(&b"1"[..]));
    }

    #[test]
    fn debug_shows_no_value() {
        let mut headers = Headers::new();
        headers.append("token\n", "secret");
        headers.append_null(b"\xff");
        assert_eq!(
            format!("{headers:?}"),
            r#"{"token\\n": 6 bytes, "\\xff": null}"#
        );
    }

    #[derive(Debug, Clone)]
    enum Change {
        Append(u8, Option<u8>),
        Insert(u8, u8),
        Remove(u8),
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            (0..4_u8, any::<Option<u8>>()).prop_map(|(key, value)| Change::Append(key, value)),
            (0..4_u8, any::<u8>()).prop_map(|(key, value)| Change::Insert(key, value)),
            (0..4_u8).prop_map(Change::Remove),
        ]
    }

    proptest! {
        #[test]
        fn behaves_as_a_list_of_pairs(changes in proptest::collection::vec(change(), 0..40)) {
            let mut headers = Headers::new();
            let mut model: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
            for change in changes {
                match change {
                    Change::Append(key, None) => {
                        headers.append_null(&[key]);
                        model.push((vec![key], None));
                    }
                    Change::Append(key, Some(value)) => {
                        headers.append(&[key], &[value]);
                        model.push((vec![key], Some(vec![value])));
                    }
                    Change::Insert(key, value) => {
                        headers.insert(&[key], &[value]);
                        model.retain(|(name, _)| *name != [key]);
                        model.push((vec![key], Some(vec![value])));
                    }
                    Change::Remove(key) => {
                        let before = model.len();
                        model.retain(|(name, _)| *name != [key]);
                        prop_assert_eq!(headers.remove([key]), before - model.len());
                    }
                }
                let all: Vec<_> = headers
                    .iter()
                    .map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)))
                    .collect();
                prop_assert_eq!(&all, &model);
                for key in 0..4 {
                    let last = model.iter().rev().find(|(name, _)| *name == [key]);
                    prop_assert_eq!(headers.contains([key]), last.is_some());
                    let last = last.and_then(|(_, value)| value.as_deref());
                    prop_assert_eq!(headers.get([key]), last);
                }
            }
        }
    }
}
