//! The package of a packed model: executables, layers, layouts, hints.

use crate::link::set_field;
use crate::model::{Graph, Model, Tensor, tensor_kind};
use crate::write::{Table, Value, write};

use super::PackError;
use super::cut::Cut;

/// How outputs are described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// By tile maps, over four by four tiles, depth padded to a multiple of four.
    Tiles,
    /// By slices, likewise.
    Slices,
}

/// What the "compiler" is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The parameter caching token; models of equal token stay in the chip together. 0: one
    /// stand-alone executable that brings its parameters every time.
    pub token: u64,
    /// Parameter bytes that stay in the chip; the rest is streamed with every inference.
    pub cached_bytes: usize,
    /// Instruction bytes of the inference.
    pub instruction_bytes: usize,
    /// How outputs are described.
    pub layout: Layout,
    /// Makes other instructions of the same model.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            token: 0x5eed_0000_0000_0001,
            cached_bytes: 8 << 20,
            instruction_bytes: 149_584,
            layout: Layout::Tiles,
            seed: 0,
        }
    }
}

const CACHING_INSTRUCTION_BYTES: usize = 6480;

const OUTPUT: i16 = 0;
const INPUT: i16 = 1;
const PARAMETERS: i16 = 2;
const SCRATCH: i16 = 3;

/// Sizes fit: models are some megabytes.
fn i32_of(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// A layer at the chip's edge.
struct Edge {
    name: String,
    y: usize,
    x: usize,
    z: usize,
    element_bytes: usize,
    data_type: i16,
    zero_point: i32,
    scale: f32,
}

impl Edge {
    fn new(tensor: &Tensor) -> Result<Self, PackError> {
        let (data_type, element_bytes, signed) = match tensor.kind {
            tensor_kind::UINT8 => (0, 1, 0),
            tensor_kind::INT8 => (8, 1, 128),
            tensor_kind::INT16 => (9, 2, 32768),
            kind => {
                return Err(PackError::Kind {
                    name: tensor.name.clone(),
                    kind,
                });
            }
        };
        let bad_shape = || PackError::Shape {
            name: tensor.name.clone(),
            shape: tensor.shape.clone(),
        };
        let dimensions: Vec<usize> = tensor
            .shape
            .iter()
            .map(|d| usize::try_from(*d).ok().filter(|d| *d > 0))
            .collect::<Option<_>>()
            .ok_or_else(bad_shape)?;
        let (y, x, z) = match dimensions.as_slice() {
            [z] | [1, z] => (1, 1, *z),
            [1, x, z] => (1, *x, *z),
            [1, y, x, z] => (*y, *x, *z),
            _ => return Err(bad_shape()),
        };
        let zero_point = tensor.zero_points.first().copied().unwrap_or(0);
        Ok(Self {
            name: tensor.name.clone(),
            y,
            x,
            z,
            element_bytes,
            data_type,
            // The chip counts from the flipped value.
            zero_point: i32::try_from(zero_point).unwrap_or(0) + signed,
            scale: tensor.scales.first().copied().unwrap_or(1.0),
        })
    }

    fn plain_bytes(&self) -> usize {
        self.y * self.x * self.z * self.element_bytes
    }
}

/// How one dimension is spread over up to four tiles: index → (tile, index within the tile), and
/// the tiles' extents.
fn spread(extent: usize) -> (Vec<(usize, usize)>, Vec<usize>) {
    let tiles = extent.min(4);
    let (base, more) = (extent / tiles, extent % tiles);
    let sizes: Vec<usize> = (0..tiles).map(|t| base + usize::from(t < more)).collect();
    let places = sizes
        .iter()
        .enumerate()
        .flat_map(|(tile, size)| (0..*size).map(move |local| (tile, local)))
        .collect();
    (places, sizes)
}

/// The layout of an output and the bytes it takes.
struct Placed {
    layout: Value,
    shape_info: Option<Value>,
    shape: Option<Value>,
    bytes: usize,
}

fn shape_table(ranges: &[(usize, usize)]) -> Table {
    let pairs = ranges.iter().map(|(a, b)| (i32_of(*a), i32_of(*b)));
    Table::new().with(0, Value::Pairs(pairs.collect()))
}

fn place(edge: &Edge, layout: Layout) -> Placed {
    // A vector is sent as it is, padded to eight bytes.
    let vector = edge.y == 1 && edge.x == 1;
    let depth = if vector {
        edge.z
    } else {
        edge.z.next_multiple_of(4)
    };
    let (rows, row_sizes) = spread(edge.y);
    let (columns, column_sizes) = spread(edge.x);
    let mut starts = Vec::new();
    let mut next = 0;
    for rows in &row_sizes {
        for columns in &column_sizes {
            starts.push(next);
            next += rows * columns * depth;
        }
    }
    let across = column_sizes.len();
    let numbers = |values: Vec<usize>| Value::I32s(values.into_iter().map(i32_of).collect());
    let maps = Table::new()
        .with(
            0,
            numbers(rows.iter().map(|(tile, _)| tile * across).collect()),
        )
        .with(1, numbers(columns.iter().map(|(tile, _)| *tile).collect()))
        .with(2, numbers(starts.clone()))
        .with(
            3,
            numbers(columns.iter().map(|(_, local)| local * depth).collect()),
        )
        .with(4, numbers(rows.iter().map(|(_, local)| *local).collect()))
        .with(
            5,
            numbers(
                columns
                    .iter()
                    .map(|(tile, _)| column_sizes.get(*tile).copied().unwrap_or(0) * depth)
                    .collect(),
            ),
        );
    let bytes = (next * edge.element_bytes).next_multiple_of(8);
    if layout == Layout::Tiles {
        return Placed {
            layout: Value::Table(maps),
            shape_info: None,
            shape: None,
            bytes,
        };
    }
    let mut layouts = Vec::new();
    let mut offsets = Vec::new();
    let mut row = 0;
    for (tile_row, rows) in row_sizes.iter().enumerate() {
        let mut column = 0;
        for (tile_column, columns) in column_sizes.iter().enumerate() {
            let ranges = [
                (0, 0),
                (0, 0),
                (row, row + rows - 1),
                (column, column + columns - 1),
                (0, edge.z - 1),
            ];
            let area = rows * columns * depth;
            let strides = [area, area, columns * depth, depth, 1];
            layouts.push(
                Table::new()
                    .with(0, Value::Table(shape_table(&ranges)))
                    .with(1, numbers(strides.to_vec())),
            );
            let start = starts.get(tile_row * across + tile_column);
            offsets.push(start.copied().unwrap_or(0) * edge.element_bytes);
            column += columns;
        }
        row += rows;
    }
    let whole = [
        (0, 0),
        (0, 0),
        (0, edge.y - 1),
        (0, edge.x - 1),
        (0, edge.z - 1),
    ];
    Placed {
        layout: Value::Table(maps),
        shape_info: Some(Value::Table(
            Table::new()
                .with(0, Value::Tables(layouts))
                .with(1, numbers(offsets)),
        )),
        shape: Some(Value::Table(shape_table(&whole))),
        bytes,
    }
}

/// A layer's table; `placed` for outputs.
fn layer(edge: &Edge, size: usize, placed: Option<Placed>) -> Table {
    let numerics = Table::new()
        .with(0, Value::I32(edge.zero_point))
        .with(1, Value::F32(edge.scale));
    let mut table = Table::new()
        .with(0, Value::Text(edge.name.clone()))
        .with(1, Value::I32(i32_of(size)))
        .with(2, Value::I32(i32_of(edge.y)))
        .with(3, Value::I32(i32_of(edge.x)))
        .with(4, Value::I32(i32_of(edge.z)))
        .with(5, Value::Table(numerics))
        .with(6, Value::I16(edge.data_type));
    match placed {
        Some(placed) => {
            let mut output = Table::new().with(0, placed.layout);
            if let Some(info) = placed.shape_info {
                output = output.with(2, info);
            }
            table = table.with(7, Value::U8(1)).with(8, Value::Table(output));
            if let Some(shape) = placed.shape {
                table = table.with(11, shape);
            }
        }
        None => {
            table = table
                .with(7, Value::U8(2))
                .with(8, Value::Table(Table::new()));
        }
    }
    table
}

fn meta(description: i16, name: &str, position: i16) -> Table {
    let mut table = Table::new()
        .with(0, Value::I16(description))
        .with(3, Value::I16(position));
    if !name.is_empty() {
        table = table.with(2, Value::Text(name.to_owned()));
    }
    table
}

/// Noise that looks like instructions, and fields in it.
struct Instructions {
    bytes: Vec<u8>,
    fields: Vec<Table>,
    next_bit: usize,
}

impl Instructions {
    fn new(length: usize, seed: u64) -> Self {
        // Seeds next to each other must not give the same noise.
        let mut state = crate::fnv1a(&seed.to_le_bytes()) | 1;
        let bytes = (0..length.max(256))
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 56).to_le_bytes()[0]
            })
            .collect();
        Self {
            bytes,
            fields: Vec::new(),
            next_bit: 582,
        }
    }

    /// Both halves of an address, where the compiler puts them: bit 6 of a byte, 128 bits apart.
    fn address(&mut self, description: i16, name: &str, high_first: bool) {
        let order = if high_first { [1, 0] } else { [0, 1] };
        for position in order {
            // What stands there before linking is zero.
            set_field(&mut self.bytes, self.next_bit, 0);
            self.fields.push(
                Table::new()
                    .with(0, Value::Table(meta(description, name, position)))
                    .with(1, Value::I32(i32_of(self.next_bit))),
            );
            self.next_bit += 128;
        }
        self.next_bit += 1664;
    }

    fn table(self) -> Table {
        Table::new()
            .with(0, Value::Bytes(self.bytes))
            .with(1, Value::Tables(self.fields))
    }
}

fn instruction_hint() -> Table {
    Table::new()
        .with(0, Value::U8(2))
        .with(1, Value::Table(Table::new().with(0, Value::I32(0))))
}

fn interrupt_hint() -> Table {
    Table::new()
        .with(0, Value::U8(3))
        .with(1, Value::Table(Table::new().with(0, Value::I16(0))))
        .with(2, Value::I16(1))
}

fn dma_hint(description: i16, name: &str, offset: usize, bytes: usize) -> Table {
    let outfeed = i16::from(description == OUTPUT);
    let dma = Table::new()
        .with(0, Value::Table(meta(description, name, 0)))
        .with(1, Value::I32(i32_of(offset)))
        .with(2, Value::I32(i32_of(bytes)));
    Table::new()
        .with(0, Value::U8(1))
        .with(1, Value::Table(dma))
        .with(2, Value::I16(outfeed))
}

/// Type numbers of executables.
#[derive(Clone, Copy)]
enum Kind {
    StandAlone = 0,
    Caching = 1,
    Execution = 2,
}

struct Draft {
    kind: Kind,
    instructions: Instructions,
    parameters: Vec<u8>,
    hints: Vec<Table>,
    inputs: Vec<Table>,
    outputs: Vec<Table>,
}

fn executable(draft: Draft, token: u64) -> Vec<u8> {
    let hints = Table::new()
        .with(0, Value::Tables(draft.hints))
        .with(1, Value::U8(1));
    let mut table = Table::new()
        .with(1, Value::Text("packed".to_owned()))
        .with(3, Value::I32(1))
        .with(5, Value::Tables(vec![draft.instructions.table()]))
        .with(7, Value::Table(hints))
        .with(10, Value::Text("beagle".to_owned()))
        .with(13, Value::I16(draft.kind as i16))
        .with(14, Value::U64(token));
    if !draft.parameters.is_empty() {
        table = table.with(6, Value::Bytes(draft.parameters));
    }
    if !draft.inputs.is_empty() {
        table = table.with(8, Value::Tables(draft.inputs));
    }
    if !draft.outputs.is_empty() {
        table = table.with(9, Value::Tables(draft.outputs));
    }
    write(&table, Some(*b"DWN1"))
}

/// The constants that the chip's operators use, one after the other, padded to 64 bytes.
fn parameters(model: &Model, graph: &Graph, cut: &Cut) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut seen = Vec::new();
    for operator in cut.chip.iter().filter_map(|i| graph.operators.get(*i)) {
        for tensor in &operator.inputs {
            let tensor = usize::try_from(*tensor)
                .ok()
                .and_then(|t| graph.tensors.get(t));
            let Some(buffer) = tensor.map(|tensor| tensor.buffer as usize) else {
                continue;
            };
            if buffer == 0 || seen.contains(&buffer) {
                continue;
            }
            seen.push(buffer);
            bytes.extend(model.buffers.get(buffer).into_iter().flatten());
        }
    }
    bytes.resize(bytes.len().next_multiple_of(64).max(64), 0);
    bytes
}

fn edges(graph: &Graph, tensors: &[i32]) -> Result<Vec<Edge>, PackError> {
    tensors
        .iter()
        .map(|index| {
            let tensor = usize::try_from(*index)
                .ok()
                .and_then(|i| graph.tensors.get(i))
                .ok_or(PackError::Structure("a tensor that does not exist"))?;
            Edge::new(tensor)
        })
        .collect()
}

pub(super) fn build(
    model: &Model,
    graph: &Graph,
    cut: &Cut,
    twin: &[u8],
    options: &Options,
) -> Result<Vec<u8>, PackError> {
    let twin_hash = crate::fnv1a(twin);
    let all = parameters(model, graph, cut);
    let cached = match options.token {
        0 => 0,
        _ => (options.cached_bytes / 64 * 64).min(all.len()),
    };
    let (cached, streamed) = all.split_at(cached);
    let seed = crate::fnv1a(&options.token.to_le_bytes()) ^ twin_hash ^ options.seed;
    let mut draft = Draft {
        kind: if cached.is_empty() {
            Kind::StandAlone
        } else {
            Kind::Execution
        },
        instructions: Instructions::new(options.instruction_bytes, seed),
        parameters: streamed.to_vec(),
        hints: vec![instruction_hint()],
        inputs: Vec::new(),
        outputs: Vec::new(),
    };
    draft.instructions.address(PARAMETERS, "", false);
    draft.instructions.address(SCRATCH, "", false);
    for edge in edges(graph, &cut.inputs)? {
        let size = edge.plain_bytes().next_multiple_of(8);
        draft.instructions.address(INPUT, &edge.name, true);
        draft.hints.push(dma_hint(INPUT, &edge.name, 0, size));
        draft.inputs.push(layer(&edge, size, None));
    }
    if !streamed.is_empty() {
        draft
            .hints
            .push(dma_hint(PARAMETERS, "", 0, streamed.len()));
    }
    for edge in edges(graph, &cut.outputs)? {
        let placed = place(&edge, options.layout);
        let size = placed.bytes;
        draft.instructions.address(OUTPUT, &edge.name, true);
        draft.hints.push(dma_hint(OUTPUT, &edge.name, 0, size));
        draft.outputs.push(layer(&edge, size, Some(placed)));
    }
    draft.hints.push(interrupt_hint());
    let mut executables = vec![executable(draft, options.token)];
    if !cached.is_empty() {
        let mut instructions =
            Instructions::new(CACHING_INSTRUCTION_BYTES, seed.rotate_left(17) ^ 0xcac4e);
        instructions.address(PARAMETERS, "", false);
        let draft = Draft {
            kind: Kind::Caching,
            instructions,
            parameters: cached.to_vec(),
            hints: vec![
                instruction_hint(),
                dma_hint(PARAMETERS, "", 0, cached.len()),
                interrupt_hint(),
            ],
            inputs: Vec::new(),
            outputs: Vec::new(),
        };
        executables.push(executable(draft, options.token));
    }
    let multi = write(&Table::new().with(0, Value::Blobs(executables)), None);
    let package = Table::new()
        .with(0, Value::I32(13))
        .with(1, Value::Bytes(multi))
        .with(4, Value::Text("andon-tpu-sim".to_owned()))
        .with(7, Value::Text(format!("andon-tpu-sim:{twin_hash:016x}")));
    Ok(write(&package, Some(*b"DWN1")))
}
