use bytes::Bytes;
use uuid::Uuid;

/// What a key, a payload or a header can be made from.
///
/// Strings and slices are copied; [`Bytes`], `Vec<u8>` and `String` are taken over without a copy.
/// A [`Uuid`] becomes its 36 characters of hyphenated text.
///
/// This trait is sealed.
pub trait IntoBytes: sealed::Sealed {
    /// Converts into [`Bytes`].
    fn into_bytes(self) -> Bytes;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! into_bytes {
    ($($type:ty, $value:ident => $bytes:expr;)*) => {$(
        impl sealed::Sealed for $type {}
        impl IntoBytes for $type {
            fn into_bytes(self) -> Bytes {
                let $value = self;
                $bytes
            }
        }
    )*};
}

into_bytes! {
    Bytes, value => value;
    &Bytes, value => value.clone();
    Vec<u8>, value => Bytes::from(value);
    String, value => Bytes::from(value);
    &String, value => Bytes::copy_from_slice(value.as_bytes());
    &str, value => Bytes::copy_from_slice(value.as_bytes());
    &[u8], value => Bytes::copy_from_slice(value);
    Uuid, value => Bytes::copy_from_slice(
        value.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes(),
    );
}

impl<const N: usize> sealed::Sealed for &[u8; N] {}
impl<const N: usize> IntoBytes for &[u8; N] {
    fn into_bytes(self) -> Bytes {
        Bytes::copy_from_slice(self)
    }
}
