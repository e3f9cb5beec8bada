//! A minimal flatbuffer reader that checks every access against the end of the bytes.
//!
//! Knows tables, vectors and strings (<https://flatbuffers.dev/internals/>), nothing of any schema.
//! Positions are byte offsets from the start of the buffer. Pure.

/// What is wrong with the bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FlatbufferError {
    /// A position or length points past the end: truncated, or overwritten.
    #[error("{what} at byte {at} lies outside the file of {length} bytes")]
    OutOfBounds {
        what: &'static str,
        at: usize,
        length: usize,
    },
    /// A string that is not UTF-8 or not terminated.
    #[error("text at byte {at} is damaged")]
    Text { at: usize },
}

/// A buffer with flatbuffer accessors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

/// A table whose vtable has been found inside the buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    at: usize,
    size: usize,
    vtable: usize,
    vtable_size: usize,
}

/// A vector whose elements all lie inside the buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vector {
    /// Position of the first element.
    pub(crate) start: usize,
    /// Number of elements.
    pub(crate) len: usize,
}

type Result<T> = std::result::Result<T, FlatbufferError>;

impl<'a> Bytes<'a> {
    fn array<const N: usize>(self, what: &'static str, at: usize) -> Result<[u8; N]> {
        let bytes = at.checked_add(N).and_then(|end| self.0.get(at..end));
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(self.outside(what, at))
    }

    const fn outside(self, what: &'static str, at: usize) -> FlatbufferError {
        FlatbufferError::OutOfBounds {
            what,
            at,
            length: self.0.len(),
        }
    }

    pub(crate) fn u8(self, at: usize) -> Result<u8> {
        self.array("number", at).map(|[byte]: [u8; 1]| byte)
    }

    pub(crate) fn u32(self, at: usize) -> Result<u32> {
        self.array("number", at).map(u32::from_le_bytes)
    }

    pub(crate) fn i32(self, at: usize) -> Result<i32> {
        self.array("number", at).map(i32::from_le_bytes)
    }

    pub(crate) fn u64(self, at: usize) -> Result<u64> {
        self.array("number", at).map(u64::from_le_bytes)
    }

    pub(crate) fn i16(self, at: usize) -> Result<i16> {
        self.array("number", at).map(i16::from_le_bytes)
    }

    pub(crate) fn i64(self, at: usize) -> Result<i64> {
        self.array("number", at).map(i64::from_le_bytes)
    }

    pub(crate) fn f32(self, at: usize) -> Result<f32> {
        self.array("number", at).map(f32::from_le_bytes)
    }

    /// Where the offset at `at` points.
    pub(crate) fn follow(self, at: usize) -> Result<usize> {
        let offset = self.u32(at)? as usize;
        at.checked_add(offset)
            .filter(|target| *target < self.0.len())
            .ok_or(self.outside("object", at))
    }

    /// The table at `at`.
    pub(crate) fn table(self, at: usize) -> Result<Table> {
        let outside = self.outside("table", at);
        let back = i64::from(self.i32(at)?);
        let vtable = i64::try_from(at)
            .ok()
            .map(|at| at - back)
            .and_then(|vtable| usize::try_from(vtable).ok())
            .ok_or(outside.clone())?;
        let half = |at| {
            self.array("vtable", at)
                .map(|b| usize::from(u16::from_le_bytes(b)))
        };
        let (vtable_size, size) = (half(vtable)?, half(vtable + 2)?);
        let fits = |from: usize, size: usize| from + size <= self.0.len();
        if vtable_size < 4 || size < 4 || !fits(vtable, vtable_size) || !fits(at, size) {
            return Err(outside);
        }
        Ok(Table {
            at,
            size,
            vtable,
            vtable_size,
        })
    }

    /// Position of field `index` of a table, `bytes` long; `None` where it has its default value.
    pub(crate) fn field(self, table: Table, index: usize, bytes: usize) -> Result<Option<usize>> {
        let slot = 4 + 2 * index;
        if slot + 2 > table.vtable_size {
            return Ok(None);
        }
        let offset = self.array("vtable", table.vtable + slot)?;
        let offset = usize::from(u16::from_le_bytes(offset));
        if offset == 0 {
            return Ok(None);
        }
        if offset + bytes > table.size {
            return Err(self.outside("field", table.at + offset));
        }
        Ok(Some(table.at + offset))
    }

    /// The vector that field `index` points to, of elements of `element` bytes; empty where absent.
    pub(crate) fn vector(self, table: Table, index: usize, element: usize) -> Result<Vector> {
        let Some(field) = self.field(table, index, 4)? else {
            return Ok(Vector::default());
        };
        self.vector_at(self.follow(field)?, element)
    }

    /// The vector at `at`, of elements of `element` bytes.
    pub(crate) fn vector_at(self, at: usize, element: usize) -> Result<Vector> {
        let len = self.u32(at)? as usize;
        let end = len
            .checked_mul(element)
            .and_then(|bytes| bytes.checked_add(at + 4));
        match end {
            Some(end) if end <= self.0.len() => Ok(Vector { start: at + 4, len }),
            Some(_) | None => Err(self.outside("vector", at)),
        }
    }

    /// The bytes of a vector of bytes.
    pub(crate) fn slice(self, vector: Vector) -> Result<&'a [u8]> {
        let Vector { start, len } = vector;
        let end = start.checked_add(len);
        let bytes = end.and_then(|end| self.0.get(start..end));
        bytes.ok_or(self.outside("vector", start))
    }

    /// The bytes that field `index` points to; empty where absent.
    pub(crate) fn blob(self, table: Table, index: usize) -> Result<&'a [u8]> {
        self.slice(self.vector(table, index, 1)?)
    }

    /// The sub-table that field `index` points to.
    pub(crate) fn sub_table(self, table: Table, index: usize) -> Result<Option<Table>> {
        let field = self.field(table, index, 4)?;
        field
            .map(|field| self.follow(field).and_then(|at| self.table(at)))
            .transpose()
    }

    /// How many tables [`Self::tables`] gives.
    pub(crate) fn table_count(self, table: Table, index: usize) -> Result<usize> {
        Ok(self.vector(table, index, 4)?.len)
    }

    /// The tables that a vector of offsets points to.
    pub(crate) fn tables(self, table: Table, index: usize) -> Result<Vec<Table>> {
        let vector = self.vector(table, index, 4)?;
        (0..vector.len)
            .map(|i| {
                self.follow(vector.start + 4 * i)
                    .and_then(|at| self.table(at))
            })
            .collect()
    }

    /// A vector of 32-bit numbers.
    pub(crate) fn i32s(self, table: Table, index: usize) -> Result<Vec<i32>> {
        let vector = self.vector(table, index, 4)?;
        (0..vector.len)
            .map(|i| self.i32(vector.start + 4 * i))
            .collect()
    }

    /// The text that field `index` points to; empty where absent.
    pub(crate) fn text(self, table: Table, index: usize) -> Result<&'a str> {
        let vector = self.vector(table, index, 1)?;
        let Vector { start, len } = vector;
        if len == 0 {
            return Ok("");
        }
        let terminated = self.0.get(start + len) == Some(&0);
        std::str::from_utf8(&self.0[start..start + len])
            .ok()
            .filter(|text| terminated && !text.contains('\0'))
            .ok_or(FlatbufferError::Text { at: start })
    }
}
