//! Between a tensor as TFLite has it and the bytes on the wire: padding, sign flip, tiles.
//!
//! The chip computes in unsigned numbers: signed elements travel with their sign bit flipped. It
//! pads, and it sends outputs tile by tile. Both directions work on copies; the caller's tensor is
//! read or written once. What is to be copied is worked out when the model is loaded. Pure.

use super::package::{Arrangement, DataType, Layer, Slice, Span, TileMaps};

/// Why a layer's arrangement makes no tensor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Two elements from one place, or to one place.
    #[error("layer {layer:?} is laid out so that {what} {element} is used twice")]
    Twice {
        /// The layer.
        layer: String,
        /// Whose.
        what: &'static str,
        /// Which.
        element: usize,
    },
    /// An element that lies outside.
    #[error("layer {layer:?} is laid out so that {what} {element} lies outside")]
    Outside {
        /// The layer.
        layer: String,
        /// Whose.
        what: &'static str,
        /// Which.
        element: usize,
    },
}

/// A tensor or wire buffer of another length than the layer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} has {found} bytes, not {expected}")]
pub struct WrongLength {
    /// Which of the two.
    pub what: &'static str,
    /// Its bytes.
    pub found: usize,
    /// The layer's.
    pub expected: usize,
}

fn of_length(what: &'static str, found: usize, expected: usize) -> Result<(), WrongLength> {
    if found == expected {
        return Ok(());
    }
    Err(WrongLength {
        what,
        found,
        expected,
    })
}

/// How an input tensor becomes wire bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputLayout {
    actual: usize,
    padded: usize,
    executions: usize,
    flip: Flip,
}

impl InputLayout {
    /// Of a layer.
    #[must_use]
    pub const fn new(layer: &Layer) -> Self {
        Self {
            actual: layer.elements * layer.data_type.bytes(),
            padded: layer.padded_bytes,
            executions: layer.executions,
            flip: Flip::of(layer.data_type),
        }
    }

    /// Bytes of the tensor.
    #[must_use]
    pub const fn tensor_bytes(&self) -> usize {
        self.actual * self.executions
    }

    /// Bytes on the wire.
    #[must_use]
    pub const fn wire_bytes(&self) -> usize {
        self.padded * self.executions
    }

    /// Writes what goes over the wire. Padding is zero.
    ///
    /// # Errors
    ///
    /// A buffer of another length than the layer has.
    pub fn encode(&self, tensor: &[u8], wire: &mut [u8]) -> Result<(), WrongLength> {
        of_length("the input tensor", tensor.len(), self.tensor_bytes())?;
        of_length("the input's wire buffer", wire.len(), self.wire_bytes())?;
        if self.actual == 0 || self.padded < self.actual {
            return Ok(());
        }
        for (from, to) in tensor
            .chunks_exact(self.actual)
            .zip(wire.chunks_exact_mut(self.padded))
        {
            let (values, padding) = to.split_at_mut(self.actual);
            values.copy_from_slice(from);
            self.flip.apply(values);
            padding.fill(0);
        }
        Ok(())
    }
}

/// How wire bytes become an output tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLayout {
    strips: Vec<Strip>,
    tensor: usize,
    wire: usize,
    flip: Flip,
}

/// Pieces of equal length at equal distances, which lie one after the other in the tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Strip {
    from: usize,
    to: usize,
    length: usize,
    step: usize,
    count: usize,
}

impl OutputLayout {
    /// Of a layer.
    ///
    /// # Errors
    ///
    /// Its arrangement uses an element twice, or one that is not there.
    pub fn new(layer: &Layer) -> Result<Self, LayoutError> {
        let size = layer.data_type.bytes();
        let mut plan = Plan::new(layer);
        for execution in 0..layer.executions {
            let (from, to) = (
                execution * layer.padded_bytes,
                execution * layer.elements * size,
            );
            let [rows, columns, channels] = layer.dimensions;
            match &layer.arrangement {
                Arrangement::Tiles(maps) if rows * columns > 1 => {
                    plan.tiles(maps, [rows, columns, channels], size, from, to)?;
                }
                Arrangement::Linear | Arrangement::Tiles(_) => {
                    plan.piece(from, to, layer.elements * size)?;
                }
                Arrangement::Slices(slices) => {
                    let whole = layer.shape.as_deref().unwrap_or_default();
                    for slice in slices {
                        plan.slice(slice, whole, size, from, to)?;
                    }
                }
            }
        }
        Ok(Self {
            strips: plan.finish()?,
            tensor: layer.actual_bytes(),
            wire: layer.wire_bytes(),
            flip: Flip::of(layer.data_type),
        })
    }

    /// Bytes of the tensor.
    #[must_use]
    pub const fn tensor_bytes(&self) -> usize {
        self.tensor
    }

    /// Bytes on the wire.
    #[must_use]
    pub const fn wire_bytes(&self) -> usize {
        self.wire
    }

    /// Writes the tensor.
    ///
    /// # Errors
    ///
    /// A buffer of another length than the layer has.
    pub fn decode(&self, wire: &[u8], tensor: &mut [u8]) -> Result<(), WrongLength> {
        of_length("the output's wire buffer", wire.len(), self.wire)?;
        of_length("the output tensor", tensor.len(), self.tensor)?;
        for strip in &self.strips {
            // Both ranges were checked when the layout was made.
            let from = wire.get(strip.from..).unwrap_or_default();
            let to = strip.to..strip.to + strip.length * strip.count;
            let to = tensor.get_mut(to).unwrap_or_default();
            if strip.count == 1 {
                to.copy_from_slice(from.get(..strip.length).unwrap_or_default());
            } else if strip.length == 1 {
                for (to, from) in to.iter_mut().zip(from.iter().step_by(strip.step)) {
                    *to = *from;
                }
            } else {
                let pieces = from.chunks(strip.step);
                for (to, from) in to.chunks_exact_mut(strip.length).zip(pieces) {
                    to.copy_from_slice(from.get(..strip.length).unwrap_or_default());
                }
            }
        }
        self.flip.apply(tensor);
        Ok(())
    }
}

/// Collects pieces, each used once, and joins neighbours.
struct Plan<'a> {
    layer: &'a Layer,
    read: Used,
    written: Used,
    strips: Vec<Strip>,
}

impl<'a> Plan<'a> {
    fn new(layer: &'a Layer) -> Self {
        Self {
            layer,
            read: Used::of(layer.wire_bytes()),
            written: Used::of(layer.actual_bytes()),
            strips: Vec::new(),
        }
    }

    fn tiles(
        &mut self,
        maps: &TileMaps,
        [rows, columns, channels]: [usize; 3],
        size: usize,
        from: usize,
        to: usize,
    ) -> Result<(), LayoutError> {
        let piece = channels * size;
        for row in 0..rows {
            for column in 0..columns {
                let pixel = row * columns + column;
                let element = maps.element(row, column);
                let element = element.ok_or_else(|| self.outside("pixel", pixel))?;
                self.piece(from + element * size, to + pixel * piece, piece)?;
            }
        }
        Ok(())
    }

    /// Copies a slice run by run of its innermost dimension, whose elements lie side by side.
    fn slice(
        &mut self,
        slice: &Slice,
        whole: &[Span],
        size: usize,
        from: usize,
        to: usize,
    ) -> Result<(), LayoutError> {
        let Some((inner, outer)) = slice.shape.split_last() else {
            return Ok(());
        };
        let mut position: Vec<usize> = slice.shape.iter().map(|span| span.start).collect();
        loop {
            let mut source = 0;
            let mut target = 0;
            let dimensions = position.iter().zip(&slice.shape).zip(whole);
            for (((at, span), whole), stride) in dimensions.zip(&slice.strides) {
                source += (at - span.start) * stride;
                target = target * whole.len() + (at - whole.start);
            }
            self.piece(
                from + slice.offset + source * size,
                to + target * size,
                inner.len() * size,
            )?;
            // The next position of the outer dimensions, the last of them fastest.
            let mut next = position.iter_mut().zip(outer).rev();
            let advanced = next.any(|(at, span)| {
                *at += 1;
                if *at > span.end {
                    *at = span.start;
                    return false;
                }
                true
            });
            if !advanced {
                return Ok(());
            }
        }
    }

    fn piece(&mut self, from: usize, to: usize, length: usize) -> Result<(), LayoutError> {
        let name = || self.layer.name.clone();
        self.read.mark(from, length, "wire byte", name)?;
        self.written.mark(to, length, "tensor byte", name)?;
        if let Some(strip) = self.strips.last_mut()
            && strip.to + strip.length * strip.count == to
        {
            if strip.count == 1 && strip.from + strip.length == from {
                strip.length += length;
                return Ok(());
            }
            if strip.count == 1 && strip.length == length && from > strip.from {
                strip.step = from - strip.from;
                strip.count = 2;
                return Ok(());
            }
            if strip.length == length && from == strip.from + strip.step * strip.count {
                strip.count += 1;
                return Ok(());
            }
        }
        self.strips.push(Strip {
            from,
            to,
            length,
            step: length.max(1),
            count: 1,
        });
        Ok(())
    }

    fn outside(&self, what: &'static str, element: usize) -> LayoutError {
        LayoutError::Outside {
            layer: self.layer.name.clone(),
            what,
            element,
        }
    }

    fn finish(self) -> Result<Vec<Strip>, LayoutError> {
        match self.written.first_unused() {
            Some(byte) => Err(self.outside("tensor byte", byte)),
            None => Ok(self.strips),
        }
    }
}

/// Which bytes have been used.
struct Used(Vec<bool>);

impl Used {
    fn of(bytes: usize) -> Self {
        Self(vec![false; bytes])
    }

    fn mark(
        &mut self,
        from: usize,
        length: usize,
        what: &'static str,
        layer: impl Fn() -> String,
    ) -> Result<(), LayoutError> {
        let range = from
            .checked_add(length)
            .and_then(|end| self.0.get_mut(from..end));
        let Some(range) = range else {
            return Err(LayoutError::Outside {
                layer: layer(),
                what,
                element: from,
            });
        };
        if range.contains(&true) {
            return Err(LayoutError::Twice {
                layer: layer(),
                what,
                element: from,
            });
        }
        range.fill(true);
        Ok(())
    }

    fn first_unused(&self) -> Option<usize> {
        self.0.iter().position(|used| !used)
    }
}

/// What happens to the sign bits of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flip {
    Nothing,
    /// Of each byte.
    Bytes,
    /// Of the second of each two, which is the higher.
    Pairs,
}

impl Flip {
    const fn of(data_type: DataType) -> Self {
        match (data_type.is_sign_flipped(), data_type.bytes()) {
            (false, _) => Self::Nothing,
            (true, 1) => Self::Bytes,
            (true, _) => Self::Pairs,
        }
    }

    fn apply(self, values: &mut [u8]) {
        match self {
            Self::Nothing => {}
            Self::Bytes => values.iter_mut().for_each(|byte| *byte ^= 0x80),
            Self::Pairs => {
                let high = values.iter_mut().skip(1).step_by(2);
                high.for_each(|byte| *byte ^= 0x80);
            }
        }
    }
}

/// How a classifier's wide scores become the 8-bit ones of its tensor; compilers before 2020 left
/// this to the host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Narrowing {
    /// From 16 bits: what does not fit becomes 0 or 255.
    Clamp,
    /// From real numbers, with the tensor's quantisation.
    Quantise {
        /// Difference between neighbouring values.
        scale: f32,
        /// The stored value that means 0.
        zero_point: i32,
    },
}

impl Narrowing {
    /// Whether a layer's elements are to be narrowed for a tensor of `u8`: scores that are all in
    /// one pixel.
    #[must_use]
    pub fn of(layer: &Layer, scale: f32, zero_point: i32) -> Option<Self> {
        let [rows, columns, _] = layer.dimensions;
        if rows != 1 || columns != 1 {
            return None;
        }
        match layer.data_type {
            DataType::Unsigned16 => Some(Self::Clamp),
            DataType::Single => Some(Self::Quantise { scale, zero_point }),
            DataType::Unsigned8
            | DataType::Signed8
            | DataType::Signed16
            | DataType::Signed32
            | DataType::Bfloat16
            | DataType::Half => None,
        }
    }

    /// Narrows little-endian elements.
    pub fn apply(self, wide: &[u8], narrow: &mut [u8]) {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 0..=255 first"
        )]
        let clamped = |value: i32| value.clamp(0, 255) as u8;
        match self {
            Self::Clamp => {
                for (narrow, wide) in narrow.iter_mut().zip(wide.as_chunks().0) {
                    *narrow = clamped(i32::from(i16::from_le_bytes(*wide)));
                }
            }
            Self::Quantise { scale, zero_point } => {
                for (narrow, wide) in narrow.iter_mut().zip(wide.as_chunks().0) {
                    #[allow(
                        clippy::cast_precision_loss,
                        clippy::cast_possible_truncation,
                        reason = "towards zero, as libedgetpu does; a zero point has eight bits"
                    )]
                    let value = (f32::from_le_bytes(*wide) / scale + zero_point as f32) as i32;
                    *narrow = clamped(value);
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
