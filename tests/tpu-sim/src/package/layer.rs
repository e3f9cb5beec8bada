//! Input and output layers: sizes, element types, and how the chip lays out what it sends.

use super::PackageError;
use crate::flat::Table;

/// How the chip stores an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    /// Unsigned 8-bit with a zero point.
    Fixed8,
    /// Unsigned 16-bit with a zero point.
    Fixed16,
    /// 32-bit; the chip sends it as it is.
    SignedFixed32,
    /// 16-bit brain float.
    Bfloat,
    /// 16-bit IEEE float.
    Half,
    /// 32-bit IEEE float.
    Single,
    /// Signed 8-bit: the chip works on it with the top bit flipped.
    SignedFixed8,
    /// Signed 16-bit: likewise.
    SignedFixed16,
}

impl DataType {
    fn read(value: i16) -> Result<Self, PackageError> {
        Ok(match value {
            0 => Self::Fixed8,
            1 => Self::Fixed16,
            2 => Self::SignedFixed32,
            3 => Self::Bfloat,
            4 => Self::Half,
            5 => Self::Single,
            8 => Self::SignedFixed8,
            9 => Self::SignedFixed16,
            value => {
                return Err(PackageError::Value {
                    what: "a layer's data type",
                    value: i64::from(value),
                });
            }
        })
    }

    /// Bytes of one element.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Fixed8 | Self::SignedFixed8 => 1,
            Self::Fixed16 | Self::SignedFixed16 | Self::Bfloat | Self::Half => 2,
            Self::SignedFixed32 | Self::Single => 4,
        }
    }

    /// Whether the top bit of each element is flipped on its way.
    #[must_use]
    pub fn flipped(self) -> bool {
        matches!(self, Self::SignedFixed8 | Self::SignedFixed16)
    }
}

/// The older description of an output that several tiles send: maps per coordinate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TileLayout {
    /// y → linear id of the first tile of its row of tiles.
    pub y_tile: Vec<usize>,
    /// x → tile within the row.
    pub x_tile: Vec<usize>,
    /// Tile → where its data starts.
    pub tile_start: Vec<usize>,
    /// x → offset within the tile's row.
    pub x_local: Vec<usize>,
    /// y → row within the tile.
    pub y_local: Vec<usize>,
    /// x → bytes of a row of the tile that holds it.
    pub x_row_bytes: Vec<usize>,
}

/// A part of an output, in one piece of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Inclusive index ranges, outermost dimension first.
    pub ranges: Vec<(usize, usize)>,
    /// Elements between neighbours, per dimension.
    pub strides: Vec<usize>,
    /// First byte.
    pub offset: usize,
}

/// The newer description of an output: slices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeInfo {
    /// All slices.
    pub slices: Vec<Slice>,
}

/// An input or output layer.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Its name, as hints and patch fields use it.
    pub name: String,
    /// Bytes of one execution, padding included.
    pub size_bytes: usize,
    /// Height.
    pub y: usize,
    /// Width.
    pub x: usize,
    /// Depth.
    pub z: usize,
    /// Zero point, where it has numerics.
    pub zero_point: i32,
    /// Scale, where it has numerics.
    pub scale: f32,
    /// Element type.
    pub data_type: DataType,
    /// Executions per inference.
    pub executions: usize,
    /// The full shape as inclusive ranges, where it is given.
    pub shape: Option<Vec<(usize, usize)>>,
    /// Tile maps, of outputs that have them.
    pub tiles: Option<TileLayout>,
    /// Slices, of outputs that have them.
    pub slices: Option<ShapeInfo>,
}

fn natural(what: &'static str, value: i32) -> Result<usize, PackageError> {
    match usize::try_from(value) {
        Ok(value) => Ok(value),
        Err(_) => Err(PackageError::Value {
            what,
            value: i64::from(value),
        }),
    }
}

fn naturals(what: &'static str, values: Vec<i32>) -> Result<Vec<usize>, PackageError> {
    values.into_iter().map(|v| natural(what, v)).collect()
}

fn ranges(shape: &Table<'_>) -> Result<Vec<(usize, usize)>, PackageError> {
    shape
        .pairs(0)?
        .into_iter()
        .map(|(start, end)| {
            let start = natural("a dimension's start", start)?;
            let end = natural("a dimension's end", end)?;
            if end < start {
                return Err(PackageError::Inconsistent(format!(
                    "a dimension runs from {start} to {end}"
                )));
            }
            Ok((start, end))
        })
        .collect()
}

fn tile_layout(table: &Table<'_>) -> Result<TileLayout, PackageError> {
    Ok(TileLayout {
        y_tile: naturals("a tile id", table.i32s(0)?)?,
        x_tile: naturals("a tile id", table.i32s(1)?)?,
        tile_start: naturals("a tile's start", table.i32s(2)?)?,
        x_local: naturals("an offset in a tile", table.i32s(3)?)?,
        y_local: naturals("a row in a tile", table.i32s(4)?)?,
        x_row_bytes: naturals("a tile's row size", table.i32s(5)?)?,
    })
}

fn shape_info(table: &Table<'_>) -> Result<ShapeInfo, PackageError> {
    let layouts = table.tables(0)?;
    let offsets = naturals("a slice's offset", table.i32s(1)?)?;
    if layouts.len() != offsets.len() {
        return Err(PackageError::Inconsistent(format!(
            "{} slices have {} offsets",
            layouts.len(),
            offsets.len()
        )));
    }
    let slices = layouts
        .iter()
        .zip(offsets)
        .map(|(layout, offset)| {
            let ranges = ranges(&layout.required(0)?)?;
            let strides = naturals("a stride", layout.i32s(1)?)?;
            if ranges.len() != strides.len() {
                return Err(PackageError::Inconsistent(format!(
                    "a slice of {} dimensions has {} strides",
                    ranges.len(),
                    strides.len()
                )));
            }
            Ok(Slice {
                ranges,
                strides,
                offset,
            })
        })
        .collect::<Result<Vec<_>, PackageError>>()?;
    Ok(ShapeInfo { slices })
}

impl Layer {
    pub(super) fn read(table: &Table<'_>) -> Result<Self, PackageError> {
        let (zero_point, scale) = match table.table(5)? {
            Some(numerics) => (numerics.i32(0, 0)?, numerics.f32(1, 0.0)?),
            None => (0, 0.0),
        };
        // The union's first member is the output layer, its second the input layer.
        let output = match table.u8(7, 0)? {
            1 => table.table(8)?,
            _ => None,
        };
        let (tiles, slices) = match &output {
            Some(output) => (
                output
                    .table(0)?
                    .map(|layout| tile_layout(&layout))
                    .transpose()?,
                output.table(2)?.map(|info| shape_info(&info)).transpose()?,
            ),
            None => (None, None),
        };
        let shape = match table.table(11)? {
            Some(shape) => Some(ranges(&shape)?),
            None => None,
        };
        Ok(Self {
            name: table.string(0)?,
            size_bytes: natural("a layer's size", table.i32(1, 0)?)?,
            y: natural("a layer's height", table.i32(2, 0)?)?,
            x: natural("a layer's width", table.i32(3, 0)?)?,
            z: natural("a layer's depth", table.i32(4, 0)?)?,
            zero_point,
            scale,
            data_type: DataType::read(table.i16(6, 0)?)?,
            executions: natural("a layer's execution count", table.i32(9, 1)?)?,
            shape,
            tiles,
            slices,
        })
    }

    /// Elements of one execution, padding excluded.
    #[must_use]
    pub fn elements(&self) -> usize {
        match &self.shape {
            Some(shape) => shape
                .iter()
                .map(|(start, end)| end - start + 1)
                .fold(1, usize::saturating_mul),
            None => self.y.saturating_mul(self.x).saturating_mul(self.z),
        }
    }

    /// Bytes that the application hands over or gets, per inference.
    #[must_use]
    pub fn plain_bytes(&self) -> usize {
        self.elements()
            .saturating_mul(self.data_type.bytes())
            .saturating_mul(self.executions)
    }

    /// Bytes that travel, per inference.
    #[must_use]
    pub fn padded_bytes(&self) -> usize {
        self.size_bytes.saturating_mul(self.executions)
    }
}
