//! A minimal flexbuffer reader for operators' options: the numbers of one map, every access checked
//! against the end of the bytes.
//!
//! A flexbuffer is read from its end (<https://flatbuffers.dev/flexbuffers/>): the last byte is the
//! width of the root, the one before its type, before that the root itself. A map is a vector of
//! values, with a vector of keys in ascending order beside it; an offset counts backwards from where
//! it stands. Pure.

use std::ops::Range;

/// Most entries of a map that is accepted; the largest known one has 15.
const ENTRIES_MAX: usize = 256;

/// What is wrong with the bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FlexbufferError {
    /// A position or length points outside: truncated, or overwritten.
    #[error("{what} lies outside their {length} bytes")]
    OutOfBounds { what: &'static str, length: usize },
    /// A width that is not 1, 2, 4 or 8 bytes.
    #[error("a width of {0} bytes does not exist")]
    Width(u64),
    /// The root is something else.
    #[error("they are no map")]
    NoMap,
    /// TFLite looks keys up by bisection: out of order, it would not find some that are there.
    #[error("their keys are out of order, repeated or not one per value")]
    Keys,
    /// A value that is no vector.
    #[error("{key} is not a vector")]
    NotAVector { key: String },
    /// A value that is no string of bytes.
    #[error("{key} is not a string of bytes")]
    NotBytes { key: String },
    /// A value that is no number, or of a width that numbers of its type do not have.
    #[error("{key} is not a number")]
    NotANumber { key: String },
}

type Result<T> = std::result::Result<T, FlexbufferError>;

/// A number of a map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    /// Whole; a truth value is 0 or 1.
    Int(i64),
    /// Any.
    Float(f64),
}

/// Types that are read here, the upper six bits of a type byte.
mod kind {
    pub(crate) const NULL: u8 = 0;
    pub(crate) const INT: u8 = 1;
    pub(crate) const UINT: u8 = 2;
    pub(crate) const FLOAT: u8 = 3;
    pub(crate) const STRING: u8 = 5;
    pub(crate) const INDIRECT_INT: u8 = 6;
    pub(crate) const INDIRECT_UINT: u8 = 7;
    pub(crate) const INDIRECT_FLOAT: u8 = 8;
    pub(crate) const MAP: u8 = 9;
    pub(crate) const VECTOR: u8 = 10;
    pub(crate) const VECTOR_KEY: u8 = 14;
    pub(crate) const BLOB: u8 = 25;
    pub(crate) const BOOL: u8 = 26;
    pub(crate) const VECTOR_BOOL: u8 = 36;
}

/// A map whose keys, values and types all lie inside the bytes.
#[derive(Clone, Debug)]
pub(crate) struct Map<'a> {
    bytes: Cursor<'a>,
    keys: Vec<&'a [u8]>,
    values: usize,
    width: usize,
    types: Range<usize>,
}

impl<'a> Map<'a> {
    /// The map at the root.
    pub(crate) fn root(bytes: &'a [u8]) -> Result<Self> {
        let [value @ .., packed, width] = bytes else {
            return Err(Cursor(bytes).outside("the root"));
        };
        let bytes = Cursor(bytes);
        let root_width = checked_width(u64::from(*width))?;
        if packed >> 2 != kind::MAP {
            return Err(FlexbufferError::NoMap);
        }
        let width = 1 << (packed & 3);
        let root = value.len().checked_sub(root_width);
        let at = bytes.indirect(root.ok_or(bytes.outside("the root"))?, root_width)?;
        let size = bytes.before(at, 1, width)?;
        let keys = bytes.before(at, 3, width)?;
        let keys = bytes.indirect(keys, width)?;
        let key_width = checked_width(bytes.uint(bytes.before(at, 2, width)?, width)?)?;
        let key_count = bytes.uint(bytes.before(keys, 1, key_width)?, key_width)?;
        let size = bytes.uint(size, width)?;
        let entries = usize::try_from(size).ok().filter(|n| *n <= ENTRIES_MAX);
        let Some(entries) = entries.filter(|_| key_count == size) else {
            return Err(FlexbufferError::Keys);
        };
        let types = at + entries * width;
        let types = types..types + entries;
        if types.end > bytes.0.len() {
            return Err(bytes.outside("the map"));
        }
        let keys = (0..entries)
            .map(|index| bytes.text(bytes.indirect(keys + index * key_width, key_width)?))
            .collect::<Result<Vec<_>>>()?;
        if !keys.is_sorted_by(|a, b| a < b) {
            return Err(FlexbufferError::Keys);
        }
        Ok(Self {
            bytes,
            keys,
            values: at,
            width,
            types,
        })
    }

    /// The bytes of the string or blob under `key`; `None` where there is no such key, or nothing
    /// under it.
    pub(crate) fn blob(&self, key: &str) -> Result<Option<&'a [u8]>> {
        let Some((at, packed)) = self.find(key) else {
            return Ok(None);
        };
        match packed >> 2 {
            kind::NULL => Ok(None),
            kind::STRING | kind::BLOB => {
                let (bytes, width) = (self.bytes, 1 << (packed & 3));
                let at = bytes.indirect(at, self.width)?;
                let length = bytes.uint(bytes.before(at, 1, width)?, width)?;
                let end = usize::try_from(length).ok().and_then(|n| at.checked_add(n));
                let found = end.and_then(|end| bytes.0.get(at..end));
                found.map(Some).ok_or(bytes.outside("a string"))
            }
            _ => Err(FlexbufferError::NotBytes {
                key: key.to_owned(),
            }),
        }
    }

    /// The length of the vector under `key`; `None` where there is no such key, or nothing under it.
    /// Vectors of every element type start with their length.
    pub(crate) fn vector_len(&self, key: &str) -> Result<Option<u64>> {
        let Some((at, packed)) = self.find(key) else {
            return Ok(None);
        };
        match packed >> 2 {
            kind::NULL => Ok(None),
            kind::VECTOR..=kind::VECTOR_KEY | kind::VECTOR_BOOL => {
                let width = 1 << (packed & 3);
                let at = self.bytes.indirect(at, self.width)?;
                let length = self.bytes.before(at, 1, width)?;
                self.bytes.uint(length, width).map(Some)
            }
            _ => Err(FlexbufferError::NotAVector {
                key: key.to_owned(),
            }),
        }
    }

    /// Where the value under `key` lies, and its type byte.
    fn find(&self, key: &str) -> Option<(usize, u8)> {
        let index = self.keys.iter().position(|k| *k == key.as_bytes())?;
        let packed = self.bytes.0.get(self.types.start + index)?;
        Some((self.values + index * self.width, *packed))
    }

    /// The number under `key`; `None` where there is no such key, or nothing under it.
    pub(crate) fn number(&self, key: &str) -> Result<Option<Number>> {
        let Some((at, packed)) = self.find(key) else {
            return Ok(None);
        };
        let (bytes, width, inner) = (self.bytes, self.width, 1 << (packed & 3));
        let no_number = || FlexbufferError::NotANumber {
            key: key.to_owned(),
        };
        let whole = |value: u64| i64::try_from(value).map_err(|_large| no_number());
        let float = |value: Option<f64>| value.map(Number::Float).ok_or_else(no_number);
        let number = match packed >> 2 {
            kind::NULL => return Ok(None),
            kind::INT => Number::Int(bytes.int(at, width)?),
            kind::UINT | kind::BOOL => Number::Int(whole(bytes.uint(at, width)?)?),
            kind::FLOAT => float(bytes.float(at, width)?)?,
            kind::INDIRECT_INT => Number::Int(bytes.int(bytes.indirect(at, width)?, inner)?),
            kind::INDIRECT_UINT => {
                Number::Int(whole(bytes.uint(bytes.indirect(at, width)?, inner)?)?)
            }
            kind::INDIRECT_FLOAT => float(bytes.float(bytes.indirect(at, width)?, inner)?)?,
            _ => return Err(no_number()),
        };
        Ok(Some(number))
    }
}

fn checked_width(width: u64) -> Result<usize> {
    match width {
        1 => Ok(1),
        2 => Ok(2),
        4 => Ok(4),
        8 => Ok(8),
        _ => Err(FlexbufferError::Width(width)),
    }
}

/// The bytes with checked accessors.
#[derive(Clone, Copy, Debug)]
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    const fn outside(self, what: &'static str) -> FlexbufferError {
        FlexbufferError::OutOfBounds {
            what,
            length: self.0.len(),
        }
    }

    /// The little-endian bytes at `at`, `width` of them, at the low end of eight.
    fn low(self, at: usize, width: usize) -> Result<[u8; 8]> {
        let found = at.checked_add(width).and_then(|end| self.0.get(at..end));
        let mut low = [0; 8];
        low[..width].copy_from_slice(found.ok_or(self.outside("a number"))?);
        Ok(low)
    }

    fn uint(self, at: usize, width: usize) -> Result<u64> {
        self.low(at, width).map(u64::from_le_bytes)
    }

    fn int(self, at: usize, width: usize) -> Result<i64> {
        let unused = 64 - 8 * width;
        let value = self.low(at, width).map(i64::from_le_bytes)?;
        Ok((value << unused) >> unused)
    }

    /// `None` where no float has that width.
    fn float(self, at: usize, width: usize) -> Result<Option<f64>> {
        let low = self.low(at, width)?;
        let [a, b, c, d, ..] = low;
        Ok(match width {
            4 => Some(f64::from(f32::from_le_bytes([a, b, c, d]))),
            8 => Some(f64::from_le_bytes(low)),
            _ => None,
        })
    }

    /// Where the offset at `at` points, which is before it.
    fn indirect(self, at: usize, width: usize) -> Result<usize> {
        let offset = usize::try_from(self.uint(at, width)?).ok();
        offset
            .and_then(|offset| at.checked_sub(offset))
            .ok_or(self.outside("an offset"))
    }

    /// The position `count` words of `width` before `at`.
    fn before(self, at: usize, count: usize, width: usize) -> Result<usize> {
        at.checked_sub(count * width)
            .ok_or(self.outside("the map's head"))
    }

    /// The bytes from `at` to the next zero.
    fn text(self, at: usize) -> Result<&'a [u8]> {
        let rest = self.0.get(at..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == 0);
        end.map(|end| &rest[..end]).ok_or(self.outside("a key"))
    }
}

#[cfg(test)]
#[path = "flexbuffer_tests.rs"]
mod tests;
