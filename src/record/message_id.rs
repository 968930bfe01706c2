use std::{fmt, sync::Arc};

use uuid::Uuid;

/// The identity of a published record, the same over all attempts to deliver it.
///
/// A record without one gets a UUID of version 7 (RFC 9562: ordered by time, to the millisecond);
/// the caller's own id is kept unchanged. It always comes back in the
/// [`Delivery`](crate::Delivery); whether it is also sent as a header is a setting of the
/// publisher.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(Kind);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Kind {
    Uuid(Uuid),
    Text(Arc<str>),
}

const YEAR_2001: u64 = 1_000_000_000_000;

impl MessageId {
    /// Generates an id: a UUID of version 7.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "two defaults would not be equal"
    )]
    pub fn new() -> Self {
        Self(Kind::Uuid(Uuid::now_v7()))
    }

    /// Generates an id for a moment of this era, in milliseconds since the Unix epoch: half the
    /// price of [`new`](Self::new), which has to look at the clock. Another moment (librdkafka's
    /// mock cluster always says 1234) is taken for now.
    pub(crate) fn at(milliseconds: i64) -> Self {
        let Ok(milliseconds @ YEAR_2001..) = u64::try_from(milliseconds) else {
            return Self::new();
        };
        // What is random in a UUID of version 4: all but the bytes with its version and variant.
        let random = Uuid::new_v4();
        let [a, b, c, d, e, f, _, g, _, h, i, j, ..] = *random.as_bytes();
        let random = [a, b, c, d, e, f, g, h, i, j];
        Self(Kind::Uuid(
            uuid::Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid(),
        ))
    }

    /// The id as a UUID, unless it is the caller's own text.
    #[must_use]
    pub fn as_uuid(&self) -> Option<Uuid> {
        match &self.0 {
            Kind::Uuid(uuid) => Some(*uuid),
            Kind::Text(_) => None,
        }
    }

    /// Calls `f` with the id as text, without allocating.
    pub(crate) fn with_str<T>(&self, f: impl FnOnce(&str) -> T) -> T {
        match &self.0 {
            Kind::Uuid(uuid) => f(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer())),
            Kind::Text(text) => f(text),
        }
    }
}

impl From<Uuid> for MessageId {
    fn from(uuid: Uuid) -> Self {
        Self(Kind::Uuid(uuid))
    }
}

impl From<&str> for MessageId {
    fn from(text: &str) -> Self {
        Self(Kind::Text(text.into()))
    }
}

impl From<String> for MessageId {
    fn from(text: String) -> Self {
        Self(Kind::Text(text.into()))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_str(|text| f.write_str(text))
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_str(|text| write!(f, "{text:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_id_is_a_uuid_of_version_7() {
        let id = MessageId::new();
        assert_eq!(id.as_uuid().unwrap().get_version_num(), 7);
        assert_eq!(id.to_string().len(), 36);
        assert_ne!(id, MessageId::new());
    }

    #[test]
    fn an_id_of_a_moment_carries_its_time() {
        let id = MessageId::at(1_700_000_000_123).as_uuid().unwrap();
        assert_eq!(id.get_version_num(), 7);
        let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
        assert_eq!((seconds, nanos), (1_700_000_000, 123_000_000));
        assert_ne!(
            MessageId::at(1_700_000_000_123),
            MessageId::at(1_700_000_000_123)
        );
        for other in [-1, 1234] {
            let id = MessageId::at(other).as_uuid().unwrap();
            assert!(id.get_timestamp().unwrap().to_unix().0 > YEAR_2001 / 1000);
        }
    }

    #[test]
    fn the_callers_own_id_is_kept_unchanged() {
        let id = MessageId::from("Order-1\n");
        assert_eq!(id.to_string(), "Order-1\n");
        assert_eq!(id.as_uuid(), None);
        assert_eq!(format!("{id:?}"), r#""Order-1\n""#);
    }
}
