use std::str::{self, FromStr};

use bytes::Bytes;
use uuid::Uuid;

use crate::{error::BoxError, record::IntoBytes};

/// What the keys of a topic can be, on both sides.
///
/// | type | as a key |
/// |---|---|
/// | `String` | UTF-8 text |
/// | `Bytes`, `Vec<u8>` | itself |
/// | [`Uuid`] | hyphenated text |
/// | integers | decimal text |
/// | `Option<K>` | a null key, or `K` |
/// | `()` | a null key; any key is read as one |
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be the key of a record",
    note = "text, bytes, `Uuid` and integers can, and what implements `RecordKey`"
)]
pub trait RecordKey: Sized {
    /// The key as bytes; `None` is a null key.
    fn into_key(self) -> Option<Bytes>;

    /// Reads a key; `None` is a null key.
    ///
    /// # Errors
    ///
    /// When the key can't be read. The message should show nothing of it.
    fn from_key(key: Option<&[u8]>) -> Result<Self, BoxError>;
}

impl RecordKey for String {
    fn into_key(self) -> Option<Bytes> {
        Some(self.into())
    }

    fn from_key(key: Option<&[u8]>) -> Result<Self, BoxError> {
        Ok(text(key)?.to_owned())
    }
}

impl RecordKey for Bytes {
    fn into_key(self) -> Option<Bytes> {
        Some(self)
    }

    fn from_key(key: Option<&[u8]>) -> Result<Self, BoxError> {
        Ok(Self::copy_from_slice(present(key)?))
    }
}

impl RecordKey for Vec<u8> {
    fn into_key(self) -> Option<Bytes> {
        Some(self.into())
    }

    fn from_key(key: Option<&[u8]>) -> Result<Self, BoxError> {
        Ok(present(key)?.to_owned())
    }
}

impl RecordKey for Uuid {
    fn into_key(self) -> Option<Bytes> {
        Some(IntoBytes::into_bytes(self))
    }

    fn from_key(key: Option<&[u8]>) -> Result<Self, BoxError> {
        // Its own error shows characters of the key.
        Self::try_parse_ascii(present(key)?).map_err(|_| "it is no UUID".into())
    }
}

impl RecordKey for () {
    fn into_key(self) -> Option<Bytes> {
        None
    }

    fn from_key(_: Option<&[u8]>) -> Result<Self, BoxError> {
        Ok(())
    }
}

impl<K: RecordKey> RecordKey for Option<K> {
    fn into_key(self) -> Option<Bytes> {
        self?.into_key()
    }

    fn from_key(key: Option<&[u8]>) -> Result<Self, BoxError> {
        key.map(|key| K::from_key(Some(key))).transpose()
    }
}

macro_rules! integers {
    ($($integer:ty)*) => {$(
        impl RecordKey for $integer {
            fn into_key(self) -> Option<Bytes> {
                Some(self.to_string().into())
            }

            fn from_key(key: Option<&[u8]>) -> Result<Self, BoxError> {
                Ok(Self::from_str(text(key)?)?)
            }
        }
    )*};
}

integers! { i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize }

fn present(key: Option<&[u8]>) -> Result<&[u8], BoxError> {
    key.ok_or_else(|| "it is null".into())
}

fn text(key: Option<&[u8]>) -> Result<&str, BoxError> {
    Ok(str::from_utf8(present(key)?)?)
}
