//! The twin: the same file, ending where the chip's part ends.
//!
//! The file is not written anew but edited: the graph's list of operators is reordered and
//! shortened where it stands, and a new list of outputs is appended. So nothing that TensorFlow
//! Lite knows about operators has to be understood here.

use std::path::{Path, PathBuf};

use crate::flat::{Buffer, FlatError};
use crate::model::ModelError;

use super::PackError;
use super::cut::Cut;

/// Where the twin of a packed model lies: `NAME.tflite` → `NAME.twin.tflite`.
#[must_use]
pub fn twin_path(model: &Path) -> PathBuf {
    model.with_extension("twin.tflite")
}

fn flat(error: FlatError) -> PackError {
    PackError::Model(ModelError::Flat(error))
}

fn put(bytes: &mut [u8], at: usize, value: usize) -> Result<(), PackError> {
    let value = u32::try_from(value);
    match (bytes.get_mut(at..at + 4), value) {
        (Some(place), Ok(value)) => {
            place.copy_from_slice(&value.to_le_bytes());
            Ok(())
        }
        _ => Err(PackError::Structure("an offset leaves the file")),
    }
}

pub(super) fn cut_file(bytes: &[u8], cut: &Cut) -> Result<Vec<u8>, PackError> {
    let root = Buffer::new(bytes).root().map_err(flat)?;
    let graphs = root.tables(2).map_err(flat)?;
    let graph = graphs.first().ok_or(PackError::Structure("no graph"))?;
    let (first, count) = graph
        .vector_position(3)
        .map_err(flat)?
        .ok_or(PackError::Structure("no operators"))?;
    let outputs = graph
        .position(2)
        .map_err(flat)?
        .ok_or(PackError::Structure("no outputs"))?;
    let mut targets = Vec::new();
    for index in 0..count {
        let at = first + 4 * index;
        let raw: [u8; 4] = bytes
            .get(at..at + 4)
            .and_then(|raw| raw.try_into().ok())
            .ok_or(PackError::Structure("an offset leaves the file"))?;
        targets.push(at + u32::from_le_bytes(raw) as usize);
    }
    let mut out = bytes.to_vec();
    for (new, old) in cut.chip.iter().enumerate() {
        let at = first + 4 * new;
        let target = targets
            .get(*old)
            .and_then(|target| target.checked_sub(at))
            .ok_or(PackError::Structure("operators stand before their list"))?;
        put(&mut out, at, target)?;
    }
    put(&mut out, first - 4, cut.chip.len())?;
    while !out.len().is_multiple_of(4) {
        out.push(0);
    }
    let appended = out.len();
    put(&mut out, outputs, appended - outputs)?;
    let count = u32::try_from(cut.outputs.len()).unwrap_or(u32::MAX);
    out.extend(count.to_le_bytes());
    for tensor in &cut.outputs {
        out.extend(tensor.to_le_bytes());
    }
    Ok(out)
}
