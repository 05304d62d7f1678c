//! Bytes in serde's format for bytes, for fields that are marked with `#[serde(with = "octets")]`.
//!
//! Without it serde takes a `Vec<u8>` for a sequence of numbers and handles one byte at a time. On the
//! wire and the disk, in postcard, both are the same: a length and the bytes.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::ser::Serializer;

/// What can be such a field.
pub trait Octets: Sized {
    /// Writes it.
    ///
    /// # Errors
    /// If the serializer fails.
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;

    /// Reads it.
    ///
    /// # Errors
    /// If there is something else.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// Writes a field.
///
/// # Errors
/// If the serializer fails.
pub fn serialize<T: Octets, S: Serializer>(octets: &T, serializer: S) -> Result<S::Ok, S::Error> {
    octets.write(serializer)
}

/// Reads a field.
///
/// # Errors
/// If there is something else.
pub fn deserialize<'de, T: Octets, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::read(deserializer)
}

impl Octets for Vec<u8> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(Bytes)
    }
}

impl Octets for Option<Vec<u8>> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Some(bytes) => serializer.serialize_some(&Borrowed(bytes)),
            None => serializer.serialize_none(),
        }
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_option(Maybe)
    }
}

/// Bytes that are written.
struct Borrowed<'a>(&'a [u8]);

impl serde::Serialize for Borrowed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// Takes bytes in.
struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }
}

/// Takes bytes in, if there are any.
struct Maybe;

impl<'de> Visitor<'de> for Maybe {
    type Value = Option<Vec<u8>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes or nothing")
    }

    fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        Vec::read(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Marked {
        #[serde(with = "super")]
        some: Vec<u8>,
        #[serde(with = "super")]
        maybe: Option<Vec<u8>>,
    }

    #[derive(Serialize)]
    struct Unmarked {
        some: Vec<u8>,
        maybe: Option<Vec<u8>>,
    }

    #[test]
    fn bytes_are_written_as_sequences_are_and_come_back() {
        for length in [0, 1, 127, 128, 3000] {
            for maybe in [None, Some(vec![7; length])] {
                let some: Vec<u8> = (0..length).map(|i| i as u8).collect();
                let unmarked = Unmarked {
                    some: some.clone(),
                    maybe: maybe.clone(),
                };
                let marked = Marked { some, maybe };
                let bytes = postcard::to_stdvec(&marked).unwrap();
                assert_eq!(bytes, postcard::to_stdvec(&unmarked).unwrap());
                assert_eq!(postcard::from_bytes::<Marked>(&bytes).unwrap(), marked);
                assert!(postcard::from_bytes::<Marked>(&bytes[..bytes.len() - 1]).is_err());
            }
        }
    }
}
