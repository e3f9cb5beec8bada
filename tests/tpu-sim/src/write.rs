//! Writes flatbuffers, parents before children, without a schema.
//!
//! The counterpart of [`crate::flat`]. A table is a list of slots and values; offsets point forward,
//! every scalar stands on a multiple of its size, as verifiers demand.

/// A field's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A byte.
    U8(u8),
    /// A signed 16-bit integer.
    I16(i16),
    /// A signed 32-bit integer.
    I32(i32),
    /// An unsigned 32-bit integer.
    U32(u32),
    /// An unsigned 64-bit integer.
    U64(u64),
    /// A 32-bit float.
    F32(f32),
    /// A string.
    Text(String),
    /// Bytes, whose first stands on a multiple of 16.
    Bytes(Vec<u8>),
    /// 32-bit integers.
    I32s(Vec<i32>),
    /// Floats.
    F32s(Vec<f32>),
    /// 64-bit integers.
    I64s(Vec<i64>),
    /// Structs of two 32-bit integers.
    Pairs(Vec<(i32, i32)>),
    /// A table.
    Table(Table),
    /// Tables.
    Tables(Vec<Table>),
    /// Strings that hold bytes.
    Blobs(Vec<Vec<u8>>),
}

/// A table: slots and values. A slot that is left out has its default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table(Vec<(u16, Value)>);

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With a field.
    #[must_use]
    pub fn with(mut self, slot: u16, value: Value) -> Self {
        self.0.push((slot, value));
        self
    }
}

impl Value {
    /// Bytes of the field in its table.
    fn inline(&self) -> usize {
        match self {
            Self::U8(_) => 1,
            Self::I16(_) => 2,
            Self::I32(_) | Self::U32(_) | Self::F32(_) => 4,
            Self::U64(_) => 8,
            Self::Text(_)
            | Self::Bytes(_)
            | Self::I32s(_)
            | Self::F32s(_)
            | Self::I64s(_)
            | Self::Pairs(_)
            | Self::Table(_)
            | Self::Tables(_)
            | Self::Blobs(_) => 4,
        }
    }

    fn scalar(&self) -> Option<Vec<u8>> {
        Some(match self {
            Self::U8(value) => vec![*value],
            Self::I16(value) => value.to_le_bytes().to_vec(),
            Self::I32(value) => value.to_le_bytes().to_vec(),
            Self::U32(value) => value.to_le_bytes().to_vec(),
            Self::F32(value) => value.to_le_bytes().to_vec(),
            Self::U64(value) => value.to_le_bytes().to_vec(),
            Self::Text(_)
            | Self::Bytes(_)
            | Self::I32s(_)
            | Self::F32s(_)
            | Self::I64s(_)
            | Self::Pairs(_)
            | Self::Table(_)
            | Self::Tables(_)
            | Self::Blobs(_) => return None,
        })
    }
}

/// Serialises a root table.
#[must_use]
pub fn write(root: &Table, identifier: Option<[u8; 4]>) -> Vec<u8> {
    let mut writer = Writer(vec![0; 4]);
    if let Some(identifier) = identifier {
        writer.0.extend(identifier);
    }
    writer.table(0, root);
    writer.0
}

struct Writer(Vec<u8>);

/// Sizes of one buffer stay far below 4 GiB.
fn u32_of(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

impl Writer {
    fn align(&mut self, to: usize) {
        while !self.0.len().is_multiple_of(to) {
            self.0.push(0);
        }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.0.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    /// Lets the offset at `from` point to the end.
    fn point(&mut self, from: usize) {
        let offset = u32_of(self.0.len() - from);
        self.put(from, &offset.to_le_bytes());
    }

    fn table(&mut self, from: usize, table: &Table) {
        let slots = table.0.iter().map(|(slot, _)| slot + 1).max().unwrap_or(0);
        let vtable_bytes = 4 + 2 * usize::from(slots);
        // Fields of eight bytes first, then four, two, one: no holes but one before the first.
        let mut fields: Vec<&(u16, Value)> = table.0.iter().collect();
        fields.sort_by_key(|(_, value)| std::cmp::Reverse(value.inline()));
        self.align(2);
        let vtable = self.0.len();
        self.0.resize(vtable + vtable_bytes, 0);
        let wide = fields.first().is_some_and(|(_, value)| value.inline() == 8);
        // The table's own offset takes four bytes before the first field.
        self.align(4);
        if wide && self.0.len().is_multiple_of(8) {
            self.0.extend([0; 4]);
        }
        let start = self.0.len();
        self.point(from);
        let back = i32::try_from(start - vtable).unwrap_or(i32::MAX);
        self.0.extend(back.to_le_bytes());
        let mut places = Vec::new();
        for (slot, value) in fields {
            let at = self.0.len();
            let offset = u16::try_from(at - start).unwrap_or(u16::MAX);
            self.put(vtable + 4 + 2 * usize::from(*slot), &offset.to_le_bytes());
            match value.scalar() {
                Some(bytes) => self.0.extend(bytes),
                None => {
                    self.0.extend([0; 4]);
                    places.push((at, value));
                }
            }
        }
        let bytes = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        let length = u16::try_from(vtable_bytes).unwrap_or(u16::MAX);
        self.put(vtable, &length.to_le_bytes());
        self.put(vtable + 2, &bytes.to_le_bytes());
        for (at, value) in places {
            self.child(at, value);
        }
    }

    /// A vector whose elements, of `size` bytes, stand on a multiple of `alignment`.
    fn vector(&mut self, from: usize, count: usize, alignment: usize, bytes: &[u8]) {
        self.align(4);
        while !(self.0.len() + 4).is_multiple_of(alignment) {
            self.0.push(0);
        }
        self.point(from);
        self.0.extend(u32_of(count).to_le_bytes());
        self.0.extend_from_slice(bytes);
    }

    /// A vector of offsets to fill in; gives the places.
    fn offsets(&mut self, from: usize, count: usize) -> Vec<usize> {
        self.vector(from, count, 4, &vec![0; 4 * count]);
        let first = self.0.len() - 4 * count;
        (0..count).map(|i| first + 4 * i).collect()
    }

    fn child(&mut self, from: usize, value: &Value) {
        match value {
            Value::Text(text) => {
                self.vector(from, text.len(), 4, text.as_bytes());
                self.0.push(0);
            }
            Value::Bytes(bytes) => self.vector(from, bytes.len(), 16, bytes),
            Value::I32s(values) => {
                let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                self.vector(from, values.len(), 4, &bytes);
            }
            Value::F32s(values) => {
                let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                self.vector(from, values.len(), 4, &bytes);
            }
            Value::I64s(values) => {
                let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                self.vector(from, values.len(), 8, &bytes);
            }
            Value::Pairs(values) => {
                let bytes: Vec<u8> = values
                    .iter()
                    .flat_map(|(a, b)| [a.to_le_bytes(), b.to_le_bytes()].concat())
                    .collect();
                self.vector(from, values.len(), 4, &bytes);
            }
            Value::Table(table) => self.table(from, table),
            Value::Tables(tables) => {
                let places = self.offsets(from, tables.len());
                for (at, table) in places.into_iter().zip(tables) {
                    self.table(at, table);
                }
            }
            Value::Blobs(blobs) => {
                let places = self.offsets(from, blobs.len());
                for (at, blob) in places.into_iter().zip(blobs) {
                    // Executables are flatbuffers themselves and want their alignment.
                    self.vector(at, blob.len(), 16, blob);
                    self.0.push(0);
                }
            }
            Value::U8(_)
            | Value::I16(_)
            | Value::I32(_)
            | Value::U32(_)
            | Value::U64(_)
            | Value::F32(_) => {}
        }
    }
}

/// Custom options as the compiler writes them: a flexbuffer map of `"1"` (0), `"4"` (the package, as
/// a string) and `"5"` (−1).
///
/// Flexbuffers put children before parents and end in the root; see
/// <https://flatbuffers.dev/flexbuffers/>. Everything is four bytes wide here.
#[must_use]
pub fn custom_options(package: &[u8]) -> Vec<u8> {
    const WIDTH: u8 = 2; // 4 bytes: 1 << 2
    const INT: u8 = 1 << 2;
    const KEY: u8 = 4 << 2;
    const STRING: u8 = 5 << 2;
    const MAP: u8 = 9 << 2;
    let mut out = Vec::new();
    let mut keys = Vec::new();
    for key in [b"1", b"4", b"5"] {
        keys.push(out.len());
        out.extend_from_slice(key);
        out.push(0);
    }
    // A string: its length, its bytes, a zero. The package's flatbuffer wants to stand on a
    // multiple of 16, to which the custom options' own place adds nothing.
    while !(out.len() + 4).is_multiple_of(16) {
        out.push(0);
    }
    out.extend(u32_of(package.len()).to_le_bytes());
    let string = out.len();
    out.extend_from_slice(package);
    out.push(0);
    while !out.len().is_multiple_of(4) {
        out.push(0);
    }
    // The vector of keys.
    out.extend(3u32.to_le_bytes());
    let key_vector = out.len();
    for key in keys {
        let back = u32_of(out.len() - key);
        out.extend(back.to_le_bytes());
    }
    // The map: where its keys are, how wide they are, how many values; then the values, then their
    // types.
    let back = u32_of(out.len() - key_vector);
    out.extend(back.to_le_bytes());
    out.extend(4u32.to_le_bytes());
    out.extend(3u32.to_le_bytes());
    let map = out.len();
    out.extend(0i32.to_le_bytes());
    let back = u32_of(out.len() - string);
    out.extend(back.to_le_bytes());
    out.extend((-1i32).to_le_bytes());
    out.extend([INT | WIDTH, STRING | WIDTH, INT | WIDTH]);
    // The root: an offset to the map, its type and its width. A string's bytes are found by their
    // parent's width; the packed type of a key is only named for the reader.
    let _ = KEY;
    while !out.len().is_multiple_of(4) {
        out.push(0);
    }
    let back = u32_of(out.len() - map);
    out.extend(back.to_le_bytes());
    out.extend([MAP | WIDTH, 4]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flat::Buffer;

    #[test]
    fn what_is_written_reads_back() {
        let inner = Table::new()
            .with(3, Value::Text("inner".to_owned()))
            .with(0, Value::U8(7));
        let table = Table::new()
            .with(0, Value::U8(1))
            .with(1, Value::I16(-2))
            .with(2, Value::I32(-3))
            .with(3, Value::U32(4))
            .with(4, Value::U64(u64::MAX - 5))
            .with(5, Value::F32(6.5))
            .with(6, Value::Text("seven".to_owned()))
            .with(7, Value::Bytes(vec![8; 33]))
            .with(8, Value::I32s(vec![9, -9]))
            .with(9, Value::F32s(vec![10.25]))
            .with(10, Value::I64s(vec![i64::MIN, 11]))
            .with(11, Value::Pairs(vec![(1, 2), (3, 4)]))
            .with(12, Value::Table(inner.clone()))
            .with(14, Value::Tables(vec![inner.clone(), Table::new(), inner]))
            .with(15, Value::Blobs(vec![vec![1], Vec::new(), vec![2, 3]]));
        let bytes = write(&table, Some(*b"TEST"));
        let buffer = Buffer::new(&bytes);
        assert_eq!(buffer.identifier(), Some(*b"TEST"));
        let root = buffer.root().expect("a root");
        assert_eq!(root.u8(0, 0), Ok(1));
        assert_eq!(root.i16(1, 0), Ok(-2));
        assert_eq!(root.i32(2, 0), Ok(-3));
        assert_eq!(root.u32(3, 0), Ok(4));
        assert_eq!(root.u64(4, 0), Ok(u64::MAX - 5));
        assert_eq!(root.f32(5, 0.0).map(f32::to_bits), Ok(6.5f32.to_bits()));
        assert_eq!(root.string(6).as_deref(), Ok("seven"));
        assert_eq!(root.bytes(7), Ok(Some([8; 33].as_slice())));
        assert_eq!(root.i32s(8), Ok(vec![9, -9]));
        assert_eq!(root.f32s(9), Ok(vec![10.25]));
        assert_eq!(root.i64s(10), Ok(vec![i64::MIN, 11]));
        assert_eq!(root.pairs(11), Ok(vec![(1, 2), (3, 4)]));
        assert_eq!(
            root.required(12).and_then(|t| t.string(3)).as_deref(),
            Ok("inner")
        );
        assert_eq!(root.u8(13, 99), Ok(99));
        let tables = root.tables(14).expect("tables");
        assert_eq!(tables.len(), 3);
        assert_eq!(tables.get(2).map(|t| t.u8(0, 0)), Some(Ok(7)));
        assert_eq!(root.blobs(15), Ok(vec![&[1][..], &[], &[2, 3]]));
    }

    #[test]
    fn eight_byte_fields_stand_on_multiples_of_eight() {
        for others in 0..4u16 {
            let mut table = Table::new().with(9, Value::U64(0x1122_3344_5566_7788));
            for slot in 0..others {
                table = table.with(slot, Value::I32(1));
            }
            let bytes = write(&Table::new().with(0, Value::Table(table)), None);
            let at = bytes
                .windows(8)
                .position(|w| w == 0x1122_3344_5566_7788u64.to_le_bytes())
                .expect("it is there");
            assert_eq!(at % 8, 0);
        }
    }
}
