//! From bytes to a [`Package`], by the field numbers of the compiler's schema
//! (`executable.fbs` in libedgetpu, Apache-2.0).

use std::cell::Cell;
use std::sync::Arc;

use super::check;
use super::{
    Arrangement, Base, CachingToken, DataType, Executable, ExecutableKind, Field, Half, Hint,
    InstructionChunk, Layer, Package, PackageError, RUNTIME_VERSION, Slice, Span, TileMaps,
    part_name,
};
use crate::flat::flatbuffer::{Bytes, FlatbufferError, Table};
use crate::flat::flexbuffer::Map;

/// Largest number of elements in anything that is read here: far more than a chip of 8 MB has use for.
const COUNT_MAX: usize = 1 << 24;

/// Most bytes that are made of one package. Its tables may refer to the same bytes again and again, so
/// that a small file could otherwise ask for any amount.
pub(super) const COPIED_MAX: usize = 1 << 28;

/// What a table becomes, less what it refers to, at most.
const TABLE_BYTES: usize = size_of::<Layer>();

/// What may still be made of a package.
struct Budget(Cell<usize>);

type Result<T> = std::result::Result<T, PackageError>;

/// The package in an operator's options.
pub(super) fn package_of_options(options: &[u8]) -> Result<&[u8]> {
    let map = Map::root(options)?;
    let more = map.vector_len("7")?.unwrap_or(0);
    if more > 0 {
        return Err(PackageError::Unsupported(format!(
            "has variants for {} chips; compile it for the Edge TPU alone",
            more.saturating_add(1)
        )));
    }
    map.blob("4")?
        .ok_or_else(|| PackageError::Options("they hold no package".to_owned()))
}

/// The package in these bytes, of which at most `copied_max` may be made.
pub(super) fn package(bytes: &[u8], copied_max: usize) -> Result<Package> {
    const PART: &str = "the package";
    if bytes.get(4..8) != Some(b"DWN1") {
        return Err(PackageError::Damaged {
            part: PART,
            reason: "the identifier DWN1 is missing".to_owned(),
        });
    }
    let fail = PackageError::damaged(PART);
    let budget = Budget(Cell::new(copied_max));
    let reader = Reader::root(bytes, PART, &budget)?;
    let min_runtime_version = reader.i32(0, 0)?;
    if min_runtime_version > RUNTIME_VERSION {
        return Err(PackageError::Unsupported(format!(
            "needs runtime version {min_runtime_version}, which is newer than {RUNTIME_VERSION}"
        )));
    }
    let chips = reader.bytes.vector(reader.table, 6, 4).map_err(&fail)?;
    if reader.i32(5, 0)? == -1 || chips.len > 0 {
        return Err(PackageError::Unsupported(
            "is for several chips in a row; compile it for one".to_owned(),
        ));
    }
    let executables = reader.blob(1)?;
    if executables.is_empty() {
        return Err(reader.inconsistent("it holds no executables"));
    }
    let (caching, main) = check::roles(self::executables(executables, &budget)?)?;
    Ok(Package {
        caching,
        main,
        compiler_version: reader.text(4)?,
        min_runtime_version,
        model_identifier: reader.text(7)?,
    })
}

fn executables(bytes: &[u8], budget: &Budget) -> Result<Vec<Executable>> {
    const PART: &str = "the multi-executable";
    let fail = PackageError::damaged(PART);
    let reader = Reader::root(bytes, PART, budget)?;
    let list = reader.bytes.vector(reader.table, 0, 4).map_err(&fail)?;
    if list.len == 0 || list.len > 3 {
        return Err(reader.inconsistent(format!("{} executables, not 1 to 3", list.len)));
    }
    (0..list.len)
        .map(|index| {
            let at = reader.bytes.follow(list.start + 4 * index).map_err(&fail)?;
            let vector = reader.bytes.vector_at(at, 1).map_err(&fail)?;
            executable(reader.bytes.slice(vector).map_err(&fail)?, budget)
        })
        .collect()
}

fn executable(bytes: &[u8], budget: &Budget) -> Result<Executable> {
    let reader = Reader::root(bytes, "an executable", budget)?;
    let kind = match reader.i16(13)? {
        0 => ExecutableKind::StandAlone,
        1 => ExecutableKind::ParameterCaching,
        2 => ExecutableKind::ExecutionOnly,
        kind => return Err(reader.inconsistent(format!("its kind is {kind}"))),
    };
    let reader = Reader {
        part: part_name(kind),
        ..reader
    };
    let version = reader.i32(0, 0)?;
    if version != 0 {
        return Err(PackageError::Unsupported(format!(
            "has an executable of format {version}; format 0 is known"
        )));
    }
    let batch = reader.i32(3, 0)?;
    if batch != 1 {
        return Err(PackageError::Unsupported(format!(
            "computes batches of {batch}; compile it for batches of 1"
        )));
    }
    let chip = reader.text(10)?;
    if !chip.is_empty() && chip != "beagle" {
        return Err(PackageError::Unsupported(format!(
            "is for the chip {chip:?}, not for the Edge TPU"
        )));
    }
    let layers = |field, side| {
        let tables = reader.tables(field)?;
        tables
            .map(|layer| self::layer(&layer, side))
            .collect::<Result<Vec<Layer>>>()
    };
    let (inputs, outputs) = (layers(8, Side::Input)?, layers(9, Side::Output)?);
    check::names(reader.part, &inputs, &outputs)?;
    let chunks = reader
        .tables(5)?
        .map(|chunk| self::chunk(&chunk, &inputs, &outputs))
        .collect::<Result<_>>()?;
    let cycles = reader.i64(16)?;
    let cycles = if cycles > 0 {
        cycles
    } else {
        i64::from(reader.i32(11, 0)?)
    };
    let executable = Executable {
        kind,
        name: reader.text(1)?,
        token: CachingToken(reader.u64(14)?),
        hints: hints(&reader, &inputs, &outputs)?,
        parameters: reader.copied(6)?,
        scratch_bytes: reader.count(4, 0, "scratch memory")?,
        estimated_cycles: u64::try_from(cycles).unwrap_or(0),
        chunks,
        inputs,
        outputs,
    };
    check::executable(&executable)?;
    Ok(executable)
}

fn chunk(reader: &Reader<'_>, inputs: &[Layer], outputs: &[Layer]) -> Result<InstructionChunk> {
    let mut fields = reader
        .tables(1)?
        .map(|field| {
            let half = |meta: &Reader<'_>| match meta.i16(3)? {
                0 => Ok(Half::Low),
                1 => Ok(Half::High),
                half => Err(meta.inconsistent(format!("half {half} of an address"))),
            };
            let meta = field.sub(0)?;
            let Some(meta) = meta else {
                return Err(field.inconsistent("an address field does not say of what"));
            };
            Ok(Field {
                bit: field.count(1, 0, "bit of an address field")?,
                base: base(&meta, inputs, outputs)?,
                half: half(&meta)?,
            })
        })
        .collect::<Result<Vec<Field>>>()?;
    fields.sort_by_key(|field| field.bit);
    Ok(InstructionChunk {
        bytes: reader.copied(0)?,
        fields,
    })
}

/// What a `Meta` table is about.
fn base(meta: &Reader<'_>, inputs: &[Layer], outputs: &[Layer]) -> Result<Base> {
    if meta.i32(1, 0)? != 0 {
        return Err(meta.inconsistent("it is for another batch than the only one"));
    }
    let layer = |layers: &[Layer], side: &str| {
        let name = meta.text(2)?;
        let index = layers.iter().position(|layer| layer.name == name);
        index.ok_or_else(|| meta.inconsistent(format!("there is no {side} layer {name:?}")))
    };
    match meta.i16(0)? {
        0 => Ok(Base::Output(layer(outputs, "output")?)),
        1 => Ok(Base::Input(layer(inputs, "input")?)),
        2 => Ok(Base::Parameters),
        3 => Ok(Base::Scratch),
        what => Err(meta.inconsistent(format!("an address of kind {what}"))),
    }
}

fn hints(executable: &Reader<'_>, inputs: &[Layer], outputs: &[Layer]) -> Result<Vec<Hint>> {
    let Some(list) = executable.sub(7)? else {
        return Err(executable.inconsistent("it has no DMA hints"));
    };
    if list.u8(1)? == 0 {
        return Err(PackageError::Unsupported(
            "does not say in advance all that goes over the bus (its DMA hints are not fully deterministic)".to_owned(),
        ));
    }
    list.tables(0)?
        .map(|hint| self::hint(&hint, inputs, outputs))
        .collect()
}

fn hint(reader: &Reader<'_>, inputs: &[Layer], outputs: &[Layer]) -> Result<Hint> {
    let kind = reader.u8(0)?;
    let to_host = match reader.i16(2)? {
        0 => false,
        1 => true,
        way => return Err(reader.inconsistent(format!("a DMA hint in direction {way}"))),
    };
    let Some(hint) = reader.sub(1)? else {
        return Err(reader.inconsistent("an empty DMA hint"));
    };
    match kind {
        1 => {
            let Some(meta) = hint.sub(0)? else {
                return Err(hint.inconsistent("a DMA hint does not say of what"));
            };
            let offset = hint.count(1, 0, "offset of a DMA hint")?;
            let length = hint.count(2, 0, "length of a DMA hint")?;
            let hint = match base(&meta, inputs, outputs)? {
                Base::Output(layer) => Hint::Output {
                    layer,
                    offset,
                    length,
                },
                Base::Input(layer) => Hint::Input {
                    layer,
                    offset,
                    length,
                },
                Base::Parameters => Hint::Parameters { offset, length },
                Base::Scratch => {
                    return Err(PackageError::Unsupported(
                        "keeps intermediate values in the host's memory (scratch)".to_owned(),
                    ));
                }
            };
            if matches!(hint, Hint::Output { .. }) != to_host {
                return Err(reader.inconsistent(format!("{hint:?} goes the wrong way")));
            }
            Ok(hint)
        }
        2 => Ok(Hint::Instructions {
            chunk: hint.count(0, 0, "instruction chunk of a DMA hint")?,
        }),
        3 => match hint.i16(0)? {
            0 => Ok(Hint::Completion),
            line @ 1..=3 => Err(PackageError::Unsupported(format!(
                "uses the chip's interrupt {line}; this driver knows what interrupt 0 means"
            ))),
            line => Err(reader.inconsistent(format!("interrupt {line} of 0 to 3"))),
        },
        4 => Ok(Hint::Fence),
        kind => Err(reader.inconsistent(format!("a DMA hint of kind {kind}"))),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Input,
    Output,
}

fn layer(reader: &Reader<'_>, side: Side) -> Result<Layer> {
    let name = reader.text(0)?;
    let dimension = |field| reader.count(field, 0, "dimension of a layer");
    let dimensions = [dimension(2)?, dimension(3)?, dimension(4)?];
    let data_type = match reader.i16(6)? {
        0 => DataType::Unsigned8,
        1 => DataType::Unsigned16,
        2 => DataType::Signed32,
        3 => DataType::Bfloat16,
        4 => DataType::Half,
        5 => DataType::Single,
        8 => DataType::Signed8,
        9 => DataType::Signed16,
        kind => return Err(reader.inconsistent(format!("layer {name:?} has data type {kind}"))),
    };
    let kind = reader.u8(7)?;
    let executions = reader.count(9, 1, "executions of a layer")?;
    let shape = reader.sub(11)?.map(|shape| spans(&shape)).transpose()?;
    let arrangement = match (side, kind) {
        (Side::Input, 0 | 2) => Arrangement::Linear,
        (Side::Output, 1) => match reader.sub(8)? {
            Some(output) => arrangement(&output, executions)?,
            None => Arrangement::Linear,
        },
        (Side::Input | Side::Output, _) => {
            return Err(reader.inconsistent(format!("layer {name:?} is on the wrong side")));
        }
    };
    let numerics = reader.sub(5)?;
    let (zero_point, scale) = match numerics {
        Some(numerics) => (numerics.i32(0, 0)?, numerics.f32(1)?),
        None => (0, 1.0),
    };
    let elements = match &shape {
        Some(spans) => check::product(spans.iter().map(|span| span.len())),
        None => check::product(dimensions),
    };
    let elements = elements.filter(|n| (1..=COUNT_MAX).contains(n));
    let Some(elements) = elements else {
        return Err(reader.inconsistent(format!("layer {name:?} has an impossible shape")));
    };
    let layer = Layer {
        padded_bytes: reader.count(1, 0, "size of a layer")?,
        executions,
        name,
        dimensions,
        elements,
        data_type,
        zero_point,
        scale,
        shape,
        arrangement,
    };
    check::layer(reader.part, &layer)?;
    Ok(layer)
}

fn spans(shape: &Reader<'_>) -> Result<Vec<Span>> {
    let fail = PackageError::damaged(shape.part);
    let list = shape.bytes.vector(shape.table, 0, 8).map_err(&fail)?;
    shape.spend(list.len.saturating_mul(size_of::<Span>()))?;
    (0..list.len)
        .map(|index| {
            let at = list.start + 8 * index;
            let start = shape.bytes.i32(at).map_err(&fail)?;
            let end = shape.bytes.i32(at + 4).map_err(&fail)?;
            let (Ok(start), Ok(end)) = (usize::try_from(start), usize::try_from(end)) else {
                return Err(shape.inconsistent("a shape with negative indices"));
            };
            if start > end {
                return Err(shape.inconsistent("a shape that ends before it starts"));
            }
            Ok(Span { start, end })
        })
        .collect()
}

/// Slices are for one execution; what comes several times comes in tiles.
fn arrangement(output: &Reader<'_>, executions: usize) -> Result<Arrangement> {
    if executions == 1
        && let Some(info) = output.sub(2)?
    {
        let offsets = info.counts(1)?;
        let layouts: Vec<_> = info.tables(0)?.collect();
        if layouts.is_empty() || layouts.len() != offsets.len() {
            return Err(info.inconsistent(format!(
                "{} slices with {} offsets",
                layouts.len(),
                offsets.len()
            )));
        }
        let slice = |(layout, offset): (Reader<'_>, usize)| {
            let Some(shape) = layout.sub(0)? else {
                return Err(layout.inconsistent("a slice without shape"));
            };
            Ok(Slice {
                shape: spans(&shape)?,
                strides: layout.counts(1)?,
                offset,
            })
        };
        let slices = layouts.into_iter().zip(offsets).map(slice);
        return Ok(Arrangement::Slices(slices.collect::<Result<_>>()?));
    }
    let Some(layout) = output.sub(0)? else {
        return Ok(Arrangement::Linear);
    };
    Ok(Arrangement::Tiles(TileMaps {
        tile_of_row: layout.counts(0)?,
        tile_of_column: layout.counts(1)?,
        tile_offset: layout.counts(2)?,
        column_offset: layout.counts(3)?,
        row_in_tile: layout.counts(4)?,
        row_length: layout.counts(5)?,
    }))
}

/// A table with the name of what it is part of.
#[derive(Clone, Copy)]
struct Reader<'a> {
    bytes: Bytes<'a>,
    table: Table,
    part: &'static str,
    budget: &'a Budget,
}

impl<'a> Reader<'a> {
    fn root(bytes: &'a [u8], part: &'static str, budget: &'a Budget) -> Result<Self> {
        let bytes = Bytes(bytes);
        let table = bytes.follow(0).and_then(|at| bytes.table(at));
        Ok(Self {
            bytes,
            table: table.map_err(PackageError::damaged(part))?,
            part,
            budget,
        })
    }

    /// Bytes are about to be made of the package.
    fn spend(&self, bytes: usize) -> Result<()> {
        let Budget(left) = self.budget;
        let Some(rest) = left.get().checked_sub(bytes) else {
            return Err(
                self.inconsistent("its parts would take more memory than any model has use for")
            );
        };
        left.set(rest);
        Ok(())
    }

    fn inconsistent(&self, reason: impl Into<String>) -> PackageError {
        PackageError::Inconsistent {
            part: self.part,
            reason: reason.into(),
        }
    }

    /// A scalar; `default` where the field is absent.
    fn scalar<T>(
        &self,
        field: usize,
        size: usize,
        default: T,
        read: impl Fn(Bytes<'a>, usize) -> std::result::Result<T, FlatbufferError>,
    ) -> Result<T> {
        let found = self.bytes.field(self.table, field, size);
        let value = found.and_then(|at| at.map_or(Ok(default), |at| read(self.bytes, at)));
        value.map_err(PackageError::damaged(self.part))
    }

    fn u8(&self, field: usize) -> Result<u8> {
        self.scalar(field, 1, 0, Bytes::u8)
    }

    fn i16(&self, field: usize) -> Result<i16> {
        self.scalar(field, 2, 0, Bytes::i16)
    }

    fn i32(&self, field: usize, default: i32) -> Result<i32> {
        self.scalar(field, 4, default, Bytes::i32)
    }

    fn i64(&self, field: usize) -> Result<i64> {
        self.scalar(field, 8, 0, Bytes::i64)
    }

    fn u64(&self, field: usize) -> Result<u64> {
        self.scalar(field, 8, 0, Bytes::u64)
    }

    fn f32(&self, field: usize) -> Result<f32> {
        self.scalar(field, 4, 0.0, Bytes::f32)
    }

    /// A 32-bit number that counts something and is therefore not negative.
    fn count(&self, field: usize, default: i32, what: &str) -> Result<usize> {
        let value = self.i32(field, default)?;
        usize::try_from(value).map_err(|_negative| self.inconsistent(format!("{what}: {value}")))
    }

    fn counts(&self, field: usize) -> Result<Vec<usize>> {
        let values = self.bytes.i32s(self.table, field);
        let values = values.map_err(PackageError::damaged(self.part))?;
        self.spend(size_of::<usize>() * values.len())?;
        let count = |value: i32| {
            usize::try_from(value).map_err(|_negative| {
                self.inconsistent(format!("{value} where only positions make sense"))
            })
        };
        values.into_iter().map(count).collect()
    }

    fn text(&self, field: usize) -> Result<String> {
        let text = self.bytes.text(self.table, field);
        let text = text.map_err(PackageError::damaged(self.part))?;
        self.spend(text.len())?;
        Ok(text.to_owned())
    }

    fn copied(&self, field: usize) -> Result<Arc<[u8]>> {
        let bytes = self.blob(field)?;
        self.spend(bytes.len())?;
        Ok(Arc::from(bytes))
    }

    fn blob(&self, field: usize) -> Result<&'a [u8]> {
        let blob = self.bytes.blob(self.table, field);
        blob.map_err(PackageError::damaged(self.part))
    }

    fn sub(&self, field: usize) -> Result<Option<Self>> {
        let table = self.bytes.sub_table(self.table, field);
        let table = table.map_err(PackageError::damaged(self.part))?;
        Ok(table.map(|table| Self { table, ..*self }))
    }

    fn tables(&self, field: usize) -> Result<impl Iterator<Item = Self> + use<'a>> {
        let damaged = PackageError::damaged(self.part);
        let count = self.bytes.table_count(self.table, field);
        // What is made of a table is larger than the reference to it.
        self.spend(TABLE_BYTES * count.map_err(&damaged)?)?;
        let tables = self.bytes.tables(self.table, field).map_err(&damaged)?;
        let this = *self;
        Ok(tables.into_iter().map(move |table| Self { table, ..this }))
    }
}
