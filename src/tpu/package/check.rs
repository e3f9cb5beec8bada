//! What must hold in a package beyond being readable.

use std::collections::HashSet;

use super::{
    Arrangement, CachingToken, Executable, ExecutableKind, Hint, Layer, PackageError, Slice,
    TileMaps,
};

/// Most layers of a side: names of layers are looked up one by one.
const LAYERS_MAX: usize = 1024;

/// Most bytes of a layer on the wire: a picture of 4096 × 4096 in colour.
const LAYER_BYTES_MAX: usize = 1 << 26;

/// Most bytes of all layers, and of everything that goes over the bus in a run: what is kept ready for
/// each run is a few times this.
const RUN_BYTES_MAX: usize = 1 << 27;

type Result<T> = std::result::Result<T, PackageError>;

fn inconsistent<T>(part: &'static str, reason: impl Into<String>) -> Result<T> {
    Err(PackageError::Inconsistent {
        part,
        reason: reason.into(),
    })
}

/// The product, unless it overflows.
pub(super) fn product(factors: impl IntoIterator<Item = usize>) -> Option<usize> {
    factors.into_iter().try_fold(1_usize, usize::checked_mul)
}

/// Which executable loads weights and which computes.
pub(super) fn roles(executables: Vec<Executable>) -> Result<(Option<Executable>, Executable)> {
    const PART: &str = "the multi-executable";
    let mut slots: [Option<Executable>; 3] = [None, None, None];
    for executable in executables {
        let slot = match executable.kind {
            ExecutableKind::StandAlone => 0,
            ExecutableKind::ParameterCaching => 1,
            ExecutableKind::ExecutionOnly => 2,
        };
        let name = executable.kind.name();
        if let Some(slot) = slots.get_mut(slot)
            && slot.replace(executable).is_some()
        {
            return inconsistent(PART, format!("two {name} executables"));
        }
    }
    match slots {
        // With all three the one that needs no other is taken.
        [Some(main), None, None] | [Some(main), Some(_), Some(_)] => Ok((None, main)),
        [None, Some(caching), Some(main)] => {
            if caching.token != main.token {
                return inconsistent(
                    PART,
                    format!(
                        "its executables have the caching tokens {} and {}",
                        caching.token, main.token
                    ),
                );
            }
            if !caching.hints.iter().any(is_parameters) {
                return inconsistent(caching.part(), "it loads no parameters");
            }
            Ok((Some(caching), main))
        }
        slots => {
            let kinds: Vec<&str> = slots.iter().flatten().map(|e| e.kind.name()).collect();
            inconsistent(
                PART,
                format!("it holds only {}, which cannot work", kinds.join(" and ")),
            )
        }
    }
}

const fn is_parameters(hint: &Hint) -> bool {
    matches!(hint, Hint::Parameters { .. })
}

/// Layers have names, and different ones: instructions refer to them by name.
pub(super) fn names(part: &'static str, inputs: &[Layer], outputs: &[Layer]) -> Result<()> {
    for (layers, side) in [(inputs, "input"), (outputs, "output")] {
        if layers.len() > LAYERS_MAX {
            let count = layers.len();
            return inconsistent(
                part,
                format!("{count} {side} layers; {LAYERS_MAX} are the most"),
            );
        }
        let mut seen = HashSet::new();
        for layer in layers {
            if layer.name.is_empty() || !seen.insert(layer.name.as_str()) {
                return inconsistent(part, format!("two {side} layers {:?}", layer.name));
            }
        }
        for layer in layers.iter().filter(|_| side == "output") {
            let [rows, columns, _] = layer.dimensions;
            if layer.arrangement == Arrangement::Linear && rows * columns != 1 {
                return inconsistent(
                    part,
                    format!("output {:?} does not say how it is laid out", layer.name),
                );
            }
            if layer.name.ends_with("_variable_output") {
                return Err(PackageError::Unsupported(format!(
                    "keeps state between inferences (output {:?})",
                    layer.name
                )));
            }
        }
    }
    Ok(())
}

/// A layer by itself.
pub(super) fn layer(part: &'static str, layer: &Layer) -> Result<()> {
    let name = &layer.name;
    let bytes = layer.elements * layer.data_type.bytes();
    let wire = layer.padded_bytes.checked_mul(layer.executions);
    if layer.executions == 0 || wire.is_none_or(|wire| wire > LAYER_BYTES_MAX) {
        return inconsistent(
            part,
            format!(
                "layer {name:?} has {} bytes {} times",
                layer.padded_bytes, layer.executions
            ),
        );
    }
    if layer.padded_bytes < bytes {
        return inconsistent(
            part,
            format!(
                "layer {name:?} has {bytes} bytes and room for {}",
                layer.padded_bytes
            ),
        );
    }
    let dimensions = product(layer.dimensions);
    if dimensions
        .is_none_or(|dimensions| dimensions == 0 || !layer.elements.is_multiple_of(dimensions))
    {
        return inconsistent(
            part,
            format!(
                "layer {name:?} has {} elements in {:?}",
                layer.elements, layer.dimensions
            ),
        );
    }
    match &layer.arrangement {
        Arrangement::Linear => Ok(()),
        Arrangement::Tiles(maps) => tiles(layer, maps),
        Arrangement::Slices(slices) => self::slices(layer, slices),
    }
    .or_else(|reason| inconsistent(part, format!("output {name:?}: {reason}")))
}

fn tiles(layer: &Layer, maps: &TileMaps) -> std::result::Result<(), String> {
    let [rows, columns, channels] = layer.dimensions;
    if rows == 1 && columns == 1 {
        return Ok(());
    }
    if layer.elements != rows * columns * channels {
        return Err("tile maps are for one picture, not for several".to_owned());
    }
    let lengths = [
        (maps.tile_of_row.len(), rows, "rows to tiles"),
        (maps.row_in_tile.len(), rows, "rows to rows of tiles"),
        (maps.tile_of_column.len(), columns, "columns to tiles"),
        (maps.column_offset.len(), columns, "columns to offsets"),
        (maps.row_length.len(), columns, "columns to lengths of rows"),
    ];
    for (found, expected, what) in lengths {
        if found != expected {
            return Err(format!(
                "its map from {what} has {found} entries, not {expected}"
            ));
        }
    }
    let room = layer.padded_bytes / layer.data_type.bytes();
    for row in 0..rows {
        for column in 0..columns {
            let end = maps
                .element(row, column)
                .and_then(|element| element.checked_add(channels));
            if end.is_none_or(|end| end > room) {
                return Err(format!("row {row}, column {column} lies outside"));
            }
        }
    }
    Ok(())
}

impl TileMaps {
    /// Where the first channel of a pixel lies, in elements; `None` outside.
    pub(in crate::tpu) fn element(&self, row: usize, column: usize) -> Option<usize> {
        let tile = self.tile_of_row.get(row)?;
        let tile = tile.checked_add(*self.tile_of_column.get(column)?)?;
        let row_in_tile = self.row_in_tile.get(row)?;
        let row_offset = row_in_tile.checked_mul(*self.row_length.get(column)?)?;
        let offset = self.tile_offset.get(tile)?.checked_add(row_offset)?;
        offset.checked_add(*self.column_offset.get(column)?)
    }
}

fn slices(layer: &Layer, slices: &[Slice]) -> std::result::Result<(), String> {
    let Some(shape) = &layer.shape else {
        return Err("it comes in slices of a shape that it does not have".to_owned());
    };
    if layer.executions != 1 {
        return Err("it comes in slices and several times".to_owned());
    }
    let size = layer.data_type.bytes();
    let mut elements = 0;
    for (index, slice) in slices.iter().enumerate() {
        let inside = slice.shape.len() == shape.len()
            && slice
                .shape
                .iter()
                .zip(shape)
                .all(|(slice, whole)| slice.start >= whole.start && slice.end <= whole.end);
        if !inside || slice.strides.len() != shape.len() {
            return Err(format!("slice {index} is no part of its shape"));
        }
        let lengths = slice.shape.iter().map(|span| span.len());
        let inner = lengths.clone().zip(&slice.strides).skip(1);
        let nested = slice
            .strides
            .iter()
            .zip(inner)
            .all(|(outer, (length, stride))| {
                stride
                    .checked_mul(length)
                    .is_some_and(|bytes| *outer >= bytes)
            });
        if !nested || slice.strides.last() != Some(&1) || !slice.offset.is_multiple_of(size) {
            return Err(format!("the strides of slice {index} do not fit its shape"));
        }
        let last = lengths
            .clone()
            .zip(&slice.strides)
            .try_fold(0_usize, |last, (n, stride)| {
                stride
                    .checked_mul(n - 1)
                    .and_then(|step| last.checked_add(step))
            });
        let end = last.and_then(|last| (last + 1).checked_mul(size));
        let end = end.and_then(|bytes| bytes.checked_add(slice.offset));
        if end.is_none_or(|end| end > layer.padded_bytes) {
            return Err(format!("slice {index} lies outside"));
        }
        elements += product(lengths).unwrap_or(usize::MAX >> 8);
    }
    if elements != layer.elements {
        return Err(format!(
            "its slices have {elements} elements, its shape {}",
            layer.elements
        ));
    }
    Ok(())
}

/// An executable as a whole.
pub(super) fn executable(executable: &Executable) -> Result<()> {
    let part = executable.part();
    chunks(executable)?;
    hints(executable)?;
    size(executable)?;
    match executable.kind {
        ExecutableKind::ParameterCaching => {
            if !executable.inputs.is_empty() || !executable.outputs.is_empty() {
                return inconsistent(part, "it has inputs or outputs");
            }
        }
        ExecutableKind::ExecutionOnly | ExecutableKind::StandAlone => {
            if executable.outputs.is_empty() {
                return inconsistent(part, "it has no outputs");
            }
        }
    }
    if executable.kind == ExecutableKind::StandAlone && executable.token != CachingToken(0) {
        log::debug!(
            "a STAND_ALONE executable with caching token {}",
            executable.token
        );
    }
    Ok(())
}

/// Nothing of it is copied before this has been looked at.
fn size(executable: &Executable) -> Result<()> {
    let layers = executable.inputs.iter().chain(&executable.outputs);
    let layers: usize = layers.map(Layer::wire_bytes).fold(0, usize::saturating_add);
    let hints = executable.hints.iter().map(|hint| match *hint {
        Hint::Instructions { chunk } => executable.chunks.get(chunk).map_or(0, |c| c.bytes.len()),
        Hint::Parameters { length, .. }
        | Hint::Input { length, .. }
        | Hint::Output { length, .. } => length,
        Hint::Completion | Hint::Fence => 0,
    });
    let hints = hints.fold(0, usize::saturating_add);
    for (bytes, what) in [(layers, "its layers have"), (hints, "a run moves")] {
        if bytes > RUN_BYTES_MAX {
            return inconsistent(
                executable.part(),
                format!("{what} {bytes} bytes, more than {RUN_BYTES_MAX}"),
            );
        }
    }
    Ok(())
}

fn chunks(executable: &Executable) -> Result<()> {
    let part = executable.part();
    if executable.chunks.is_empty() {
        return inconsistent(part, "it has no instructions");
    }
    for (index, chunk) in executable.chunks.iter().enumerate() {
        if chunk.bytes.is_empty() || chunk.bytes.len() > LAYER_BYTES_MAX {
            return inconsistent(
                part,
                format!("instruction chunk {index} has {} bytes", chunk.bytes.len()),
            );
        }
        let mut free_from = 0;
        for field in &chunk.fields {
            if field.bit < free_from {
                return inconsistent(
                    part,
                    format!(
                        "address fields of chunk {index} overlap at bit {}",
                        field.bit
                    ),
                );
            }
            free_from = field.bit.saturating_add(32);
            if free_from > 8 * chunk.bytes.len() {
                return inconsistent(
                    part,
                    format!(
                        "an address field of chunk {index} lies outside, at bit {}",
                        field.bit
                    ),
                );
            }
        }
    }
    Ok(())
}

fn hints(executable: &Executable) -> Result<()> {
    let part = executable.part();
    let mut chunks_sent = vec![0_u32; executable.chunks.len()];
    let mut sent: Vec<Vec<(usize, usize)>> = vec![Vec::new(); executable.inputs.len()];
    let mut received: Vec<Vec<(usize, usize)>> = vec![Vec::new(); executable.outputs.len()];
    for (index, hint) in executable.hints.iter().enumerate() {
        let last = index + 1 == executable.hints.len();
        if (*hint == Hint::Completion) != last {
            return inconsistent(part, "its DMA hints do not end with the one completion");
        }
        let range = match *hint {
            Hint::Completion | Hint::Fence => continue,
            Hint::Instructions { chunk } => {
                let Some(count) = chunks_sent.get_mut(chunk) else {
                    return inconsistent(part, format!("there is no instruction chunk {chunk}"));
                };
                *count += 1;
                continue;
            }
            Hint::Parameters { offset, length } => {
                (offset, length, Some(executable.parameters.len()))
            }
            Hint::Input {
                layer,
                offset,
                length,
            } => {
                let ranges = sent.get_mut(layer).into_iter();
                ranges.for_each(|ranges| ranges.push((offset, length)));
                (
                    offset,
                    length,
                    executable.inputs.get(layer).map(Layer::wire_bytes),
                )
            }
            Hint::Output {
                layer,
                offset,
                length,
            } => {
                let ranges = received.get_mut(layer).into_iter();
                ranges.for_each(|ranges| ranges.push((offset, length)));
                (
                    offset,
                    length,
                    executable.outputs.get(layer).map(Layer::wire_bytes),
                )
            }
        };
        let (offset, length, room) = range;
        let end = offset.checked_add(length);
        let fits = end.zip(room).is_some_and(|(end, room)| end <= room);
        if !fits || length == 0 {
            return inconsistent(part, format!("DMA hint {index} lies outside: {hint:?}"));
        }
    }
    if executable.hints.is_empty() || chunks_sent.iter().any(|count| *count != 1) {
        return inconsistent(
            part,
            "its DMA hints do not send each instruction chunk once",
        );
    }
    // A chip that waits for the rest of its input waits until the deadline, in every run. Padding is nothing
    // that it computes with, and some of an input may be sent twice.
    for (layer, ranges) in executable.inputs.iter().zip(&mut sent) {
        ranges.sort_unstable();
        let covered = ranges.iter().try_fold(0, |covered, (offset, length)| {
            (*offset <= covered).then_some(covered.max(offset + length))
        });
        if covered.is_none_or(|covered| covered < layer.actual_bytes()) {
            return inconsistent(part, format!("input {:?} is not sent whole", layer.name));
        }
    }
    for (layer, ranges) in executable.outputs.iter().zip(&mut received) {
        ranges.sort_unstable();
        let mut next = 0;
        let whole = ranges.iter().all(|(offset, length)| {
            let in_order = *offset == next;
            next = offset + length;
            in_order
        });
        if !whole || next != layer.wire_bytes() {
            return inconsistent(
                part,
                format!("output {:?} does not come whole and once", layer.name),
            );
        }
    }
    Ok(())
}
