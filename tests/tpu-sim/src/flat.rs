//! A reader of flatbuffers that knows no schema and trusts no offset.
//!
//! Written from the format's description alone (<https://flatbuffers.dev/internals/>), so that the
//! simulator judges the driver by a second opinion on the same bytes. A table is a position; a
//! field is looked up by its slot in the vtable. Every access is bounds-checked and an error says
//! where it went wrong; nothing here panics on any input.

use thiserror::Error;

/// What is wrong with a buffer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FlatError {
    /// An offset, a vtable or a vector leaves the buffer.
    #[error("{what} at byte {at} leaves the buffer of {size} bytes")]
    OutOfBounds {
        /// What was read.
        what: &'static str,
        /// Where.
        at: usize,
        /// The buffer's length.
        size: usize,
    },
    /// A vtable that cannot be one.
    #[error("vtable at byte {at} has a length of {length} bytes")]
    Vtable {
        /// Where.
        at: usize,
        /// What it says of itself.
        length: u16,
    },
    /// A string that is not UTF-8.
    #[error("string at byte {at} is not UTF-8")]
    Utf8 {
        /// Where.
        at: usize,
    },
    /// A field that must be there is not.
    #[error("field {slot} of the table at byte {at} is missing")]
    Missing {
        /// The field's slot.
        slot: u16,
        /// The table.
        at: usize,
    },
}

type Result<T> = std::result::Result<T, FlatError>;

/// A buffer, or the part of one that holds a flatbuffer.
#[derive(Clone, Copy, Debug)]
pub struct Buffer<'a>(&'a [u8]);

impl<'a> Buffer<'a> {
    /// Wraps bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn slice(&self, what: &'static str, at: usize, length: usize) -> Result<&'a [u8]> {
        let end = at.checked_add(length);
        end.and_then(|end| self.0.get(at..end))
            .ok_or(FlatError::OutOfBounds {
                what,
                at,
                size: self.0.len(),
            })
    }

    fn array<const N: usize>(&self, what: &'static str, at: usize) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.slice(what, at, N)?);
        Ok(out)
    }

    fn u16(&self, what: &'static str, at: usize) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array(what, at)?))
    }

    fn u32(&self, what: &'static str, at: usize) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(what, at)?))
    }

    /// Follows a forward offset stored at `at`.
    fn follow(&self, what: &'static str, at: usize) -> Result<usize> {
        let offset = self.u32(what, at)? as usize;
        at.checked_add(offset)
            .filter(|target| *target < self.0.len())
            .ok_or(FlatError::OutOfBounds {
                what,
                at,
                size: self.0.len(),
            })
    }

    /// The four bytes after the root offset, where a file identifier stands if there is one.
    #[must_use]
    pub fn identifier(&self) -> Option<[u8; 4]> {
        self.array("identifier", 4).ok()
    }

    /// The root table.
    ///
    /// # Errors
    ///
    /// The buffer is too short or its root offset leaves it.
    pub fn root(self) -> Result<Table<'a>> {
        let at = self.follow("root", 0)?;
        self.table_at(at)
    }

    fn table_at(self, at: usize) -> Result<Table<'a>> {
        let back = i64::from(i32::from_le_bytes(self.array("table", at)?));
        let vtable = i64::try_from(at)
            .ok()
            .and_then(|at| at.checked_sub(back))
            .and_then(|vtable| usize::try_from(vtable).ok())
            .ok_or(FlatError::OutOfBounds {
                what: "vtable",
                at,
                size: self.0.len(),
            })?;
        let length = self.u16("vtable", vtable)?;
        if length < 4 || length % 2 != 0 {
            return Err(FlatError::Vtable { at: vtable, length });
        }
        self.slice("vtable", vtable, usize::from(length))?;
        Ok(Table {
            buffer: self,
            at,
            vtable,
            slots: (length - 4) / 2,
        })
    }
}

/// A table inside a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    buffer: Buffer<'a>,
    at: usize,
    vtable: usize,
    slots: u16,
}

impl<'a> Table<'a> {
    /// Position of a field's data, when the table has the field.
    fn field(&self, slot: u16) -> Result<Option<usize>> {
        if slot >= self.slots {
            return Ok(None);
        }
        let entry = self.vtable + 4 + 2 * usize::from(slot);
        let offset = self.buffer.u16("vtable entry", entry)?;
        Ok((offset != 0).then(|| self.at + usize::from(offset)))
    }

    /// Where a field's data stand in the buffer.
    ///
    /// # Errors
    ///
    /// See [`Table::u8`].
    pub fn position(&self, slot: u16) -> Result<Option<usize>> {
        self.field(slot)
    }

    /// Where a vector of offsets begins, after its length, and how many there are.
    ///
    /// # Errors
    ///
    /// See [`Table::u8`].
    pub fn vector_position(&self, slot: u16) -> Result<Option<(usize, usize)>> {
        self.vector(slot, 4)
    }

    /// An 8-bit field.
    ///
    /// # Errors
    ///
    /// The field leaves the buffer; likewise for the functions below.
    pub fn u8(&self, slot: u16, default: u8) -> Result<u8> {
        match self.field(slot)? {
            Some(at) => Ok(u8::from_le_bytes(self.buffer.array("u8", at)?)),
            None => Ok(default),
        }
    }

    /// A signed 16-bit field.
    ///
    /// # Errors
    ///
    /// See [`Table::u8`].
    pub fn i16(&self, slot: u16, default: i16) -> Result<i16> {
        match self.field(slot)? {
            Some(at) => Ok(i16::from_le_bytes(self.buffer.array("i16", at)?)),
            None => Ok(default),
        }
    }

    /// A signed 32-bit field.
    ///
    /// # Errors
    ///
    /// See [`Table::u8`].
    pub fn i32(&self, slot: u16, default: i32) -> Result<i32> {
        match self.field(slot)? {
            Some(at) => Ok(i32::from_le_bytes(self.buffer.array("i32", at)?)),
            None => Ok(default),
        }
    }

    /// An unsigned 32-bit field.
    ///
    /// # Errors
    ///
    /// See [`Table::u8`].
    pub fn u32(&self, slot: u16, default: u32) -> Result<u32> {
        match self.field(slot)? {
            Some(at) => self.buffer.u32("u32", at),
            None => Ok(default),
        }
    }

    /// An unsigned 64-bit field.
    ///
    /// # Errors
    ///
    /// See [`Table::u8`].
    pub fn u64(&self, slot: u16, default: u64) -> Result<u64> {
        match self.field(slot)? {
            Some(at) => Ok(u64::from_le_bytes(self.buffer.array("u64", at)?)),
            None => Ok(default),
        }
    }

    /// A 32-bit float field.
    ///
    /// # Errors
    ///
    /// See [`Table::u8`].
    pub fn f32(&self, slot: u16, default: f32) -> Result<f32> {
        match self.field(slot)? {
            Some(at) => Ok(f32::from_le_bytes(self.buffer.array("f32", at)?)),
            None => Ok(default),
        }
    }

    /// A table that the field points to.
    ///
    /// # Errors
    ///
    /// See [`Table::u8`].
    pub fn table(&self, slot: u16) -> Result<Option<Table<'a>>> {
        match self.field(slot)? {
            Some(at) => {
                let target = self.buffer.follow("table", at)?;
                Ok(Some(self.buffer.table_at(target)?))
            }
            None => Ok(None),
        }
    }

    /// A table that must be there.
    ///
    /// # Errors
    ///
    /// See [`Table::u8`]; the field is missing.
    pub fn required(&self, slot: u16) -> Result<Table<'a>> {
        self.table(slot)?
            .ok_or(FlatError::Missing { slot, at: self.at })
    }

    /// Start of a vector's elements and their number, checked for `size` bytes each.
    fn vector(&self, slot: u16, size: usize) -> Result<Option<(usize, usize)>> {
        let Some(at) = self.field(slot)? else {
            return Ok(None);
        };
        let target = self.buffer.follow("vector", at)?;
        let count = self.buffer.u32("vector length", target)? as usize;
        let bytes = count.checked_mul(size).ok_or(FlatError::OutOfBounds {
            what: "vector",
            at: target,
            size: self.buffer.0.len(),
        })?;
        self.buffer.slice("vector", target + 4, bytes)?;
        Ok(Some((target + 4, count)))
    }

    /// A vector of bytes, or the bytes of a string. `None` when absent.
    ///
    /// # Errors
    ///
    /// See [`Table::u8`].
    pub fn bytes(&self, slot: u16) -> Result<Option<&'a [u8]>> {
        match self.vector(slot, 1)? {
            Some((at, count)) => Ok(Some(self.buffer.slice("vector", at, count)?)),
            None => Ok(None),
        }
    }

    /// A string; empty when absent.
    ///
    /// # Errors
    ///
    /// See [`Table::u8`]; not UTF-8.
    pub fn string(&self, slot: u16) -> Result<String> {
        let Some(bytes) = self.bytes(slot)? else {
            return Ok(String::new());
        };
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(FlatError::Utf8 { at: self.at }),
        }
    }

    /// A vector of 32-bit integers; empty when absent.
    ///
    /// # Errors
    ///
    /// See [`Table::u8`].
    pub fn i32s(&self, slot: u16) -> Result<Vec<i32>> {
        let Some((at, count)) = self.vector(slot, 4)? else {
            return Ok(Vec::new());
        };
        (0..count)
            .map(|i| Ok(i32::from_le_bytes(self.buffer.array("i32", at + 4 * i)?)))
            .collect()
    }

    /// A vector of floats; empty when absent.
    ///
    /// # Errors
    ///
    /// See [`Table::u8`].
    pub fn f32s(&self, slot: u16) -> Result<Vec<f32>> {
        let Some((at, count)) = self.vector(slot, 4)? else {
            return Ok(Vec::new());
        };
        (0..count)
            .map(|i| Ok(f32::from_le_bytes(self.buffer.array("f32", at + 4 * i)?)))
            .collect()
    }

    /// A vector of 64-bit integers; empty when absent.
    ///
    /// # Errors
    ///
    /// See [`Table::u8`].
    pub fn i64s(&self, slot: u16) -> Result<Vec<i64>> {
        let Some((at, count)) = self.vector(slot, 8)? else {
            return Ok(Vec::new());
        };
        (0..count)
            .map(|i| Ok(i64::from_le_bytes(self.buffer.array("i64", at + 8 * i)?)))
            .collect()
    }

    /// A vector of structs of two 32-bit integers; empty when absent.
    ///
    /// # Errors
    ///
    /// See [`Table::u8`].
    pub fn pairs(&self, slot: u16) -> Result<Vec<(i32, i32)>> {
        let Some((at, count)) = self.vector(slot, 8)? else {
            return Ok(Vec::new());
        };
        (0..count)
            .map(|i| {
                Ok((
                    i32::from_le_bytes(self.buffer.array("pair", at + 8 * i)?),
                    i32::from_le_bytes(self.buffer.array("pair", at + 8 * i + 4)?),
                ))
            })
            .collect()
    }

    /// A vector of tables; empty when absent.
    ///
    /// # Errors
    ///
    /// See [`Table::u8`].
    pub fn tables(&self, slot: u16) -> Result<Vec<Table<'a>>> {
        let Some((at, count)) = self.vector(slot, 4)? else {
            return Ok(Vec::new());
        };
        (0..count)
            .map(|i| {
                let target = self.buffer.follow("table", at + 4 * i)?;
                self.buffer.table_at(target)
            })
            .collect()
    }

    /// A vector of strings that hold bytes; empty when absent.
    ///
    /// # Errors
    ///
    /// See [`Table::u8`].
    pub fn blobs(&self, slot: u16) -> Result<Vec<&'a [u8]>> {
        let Some((at, count)) = self.vector(slot, 4)? else {
            return Ok(Vec::new());
        };
        (0..count)
            .map(|i| {
                let target = self.buffer.follow("string", at + 4 * i)?;
                let length = self.buffer.u32("string length", target)? as usize;
                self.buffer.slice("string", target + 4, length)
            })
            .collect()
    }
}
