//! librdkafka's header lists, filled without an allocation where the last ones had the same shape.
//!
//! librdkafka allocates for the list and for each header on the sender's thread, and frees on the
//! thread that polls: the dearest part of a record with headers. A list that comes back with its
//! delivery report is kept instead, and the next record with the same keys and value lengths (which
//! is what a service sends, mostly) overwrites the values in place.
#![allow(unsafe_code)]

use std::{ffi::CStr, ptr, ptr::NonNull};

use rdkafka::{bindings as rd, types::RDKafkaRespErr};

/// Key, and value or null.
pub(crate) type Header<'a> = (&'a [u8], Option<&'a [u8]>);

/// A list of headers that librdkafka does not own at the moment.
pub(crate) struct HeaderList(NonNull<rd::rd_kafka_headers_t>);

// SAFETY: the list is owned, and librdkafka keeps nothing about it in the thread that made it.
unsafe impl Send for HeaderList {}

impl HeaderList {
    /// Takes the list off a message that librdkafka is done with.
    ///
    /// # Safety
    ///
    /// `message` is a message of a delivery-report event that has not been destroyed.
    pub(super) unsafe fn detach(message: *const rd::rd_kafka_message_t) -> Option<Self> {
        let mut list = ptr::null_mut();
        // SAFETY: by the contract the message is valid; detaching hands the list over to us.
        let result = unsafe { rd::rd_kafka_message_detach_headers(message.cast_mut(), &mut list) };
        match result {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => NonNull::new(list).map(Self),
            _ => None,
        }
    }

    /// A list with these headers, made from `kept` where its shape is the same.
    pub(crate) fn write<'a>(
        kept: Option<Self>,
        count: usize,
        headers: impl Iterator<Item = Header<'a>> + Clone,
    ) -> Self {
        if let Some(mut list) = kept
            && list.overwrite(count, headers.clone())
        {
            return list;
        }
        Self::build(count, headers)
    }

    fn build<'a>(count: usize, headers: impl Iterator<Item = Header<'a>>) -> Self {
        // SAFETY: no preconditions; it aborts when memory runs out.
        let list = unsafe { rd::rd_kafka_headers_new(count) };
        let list = Self(NonNull::new(list).expect("librdkafka aborts without memory"));
        for (key, value) in headers {
            let (data, length) = match value {
                Some(value) => (value.as_ptr(), value.len()),
                None => (ptr::null(), 0),
            };
            // SAFETY: both slices are valid for their lengths, and librdkafka copies them. A null
            // value is given as a null pointer. Lengths of slices fit in `isize`.
            unsafe {
                rd::rd_kafka_header_add(
                    list.0.as_ptr(),
                    key.as_ptr().cast(),
                    key.len().cast_signed(),
                    data.cast(),
                    length.cast_signed(),
                );
            }
        }
        list
    }

    /// Overwrites the values, if keys and lengths are the same; else the list is spoilt.
    fn overwrite<'a>(
        &mut self,
        count: usize,
        mut headers: impl Iterator<Item = Header<'a>>,
    ) -> bool {
        // SAFETY: the list is valid and ours.
        if unsafe { rd::rd_kafka_header_cnt(self.0.as_ptr()) } != count {
            return false;
        }
        let mut indices = 0..count;
        headers.all(|(key, value)| {
            let index = indices.next().expect("`count` headers");
            let (mut name, mut data, mut length) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the list is valid and has more than `index` headers; the name is terminated
            // by a NUL. A name with a NUL inside looks shorter here, so that it differs.
            let name = unsafe {
                rd::rd_kafka_header_get_all(
                    self.0.as_ptr(),
                    index,
                    &mut name,
                    &mut data,
                    &mut length,
                );
                CStr::from_ptr(name).to_bytes()
            };
            match value {
                None => name == key && data.is_null(),
                Some(value) => {
                    let same = name == key && !data.is_null() && length == value.len();
                    if same {
                        // SAFETY: `data` points into the heap block of this header, `length` bytes
                        // that librdkafka allocated with `malloc` and nobody else reads: the list
                        // is ours, so overwriting them changes no data that anyone shares.
                        unsafe {
                            ptr::copy_nonoverlapping(
                                value.as_ptr(),
                                data.cast_mut().cast(),
                                length,
                            );
                        }
                    }
                    same
                }
            }
        })
    }

    pub(super) fn as_ptr(&self) -> *mut rd::rd_kafka_headers_t {
        self.0.as_ptr()
    }

    /// librdkafka has taken the list over.
    pub(super) fn given_away(self) {
        let _ = std::mem::ManuallyDrop::new(self);
    }
}

impl Drop for HeaderList {
    fn drop(&mut self) {
        // SAFETY: the list is ours and is not used again.
        unsafe { rd::rd_kafka_headers_destroy(self.0.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs = Vec<(Vec<u8>, Option<Vec<u8>>)>;

    fn list(kept: Option<HeaderList>, headers: &[Header<'_>]) -> HeaderList {
        HeaderList::write(kept, headers.len(), headers.iter().copied())
    }

    fn read(list: &HeaderList) -> Pairs {
        // SAFETY: the list is valid; names end with a NUL and values are `length` bytes.
        unsafe {
            (0..rd::rd_kafka_header_cnt(list.as_ptr()))
                .map(|index| {
                    let (mut name, mut data, mut length) = (ptr::null(), ptr::null(), 0);
                    rd::rd_kafka_header_get_all(
                        list.as_ptr(),
                        index,
                        &mut name,
                        &mut data,
                        &mut length,
                    );
                    let value = (!data.is_null())
                        .then(|| std::slice::from_raw_parts(data.cast::<u8>(), length).to_vec());
                    (CStr::from_ptr(name).to_bytes().to_vec(), value)
                })
                .collect()
        }
    }

    #[test]
    fn the_same_shape_is_overwritten_in_place() {
        let first = list(
            None,
            &[(b"a", Some(b"12")), (b"b", None), (b"a", Some(b""))],
        );
        let address = first.as_ptr();
        let second = list(
            Some(first),
            &[(b"a", Some(b"34")), (b"b", None), (b"a", Some(b""))],
        );
        assert_eq!(second.as_ptr(), address);
        let expected: Pairs = vec![
            (b"a".to_vec(), Some(b"34".to_vec())),
            (b"b".to_vec(), None),
            (b"a".to_vec(), Some(vec![])),
        ];
        assert_eq!(read(&second), expected);
    }

    #[test]
    fn another_shape_is_written_anew() {
        let old: &[(&[u8], Option<&[u8]>)] = &[(b"a", Some(b"12")), (b"b", None)];
        let others: [&[(&[u8], Option<&[u8]>)]; 6] = [
            &[(b"a", Some(b"345")), (b"b", None)],
            &[(b"A", Some(b"34")), (b"b", None)],
            &[(b"a", Some(b"34")), (b"b", Some(b""))],
            &[(b"a", None), (b"b", None)],
            &[(b"a", Some(b"34"))],
            &[],
        ];
        for other in others {
            let written = list(Some(list(None, old)), other);
            let expected: Pairs = other
                .iter()
                .map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)))
                .collect();
            assert_eq!(read(&written), expected);
        }
    }
}
