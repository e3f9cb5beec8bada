//! Narrowing a detector to some of its classes, in memory: fewer output channels, fewer scores.
//!
//! An SSD scores every class of every anchor. Its class heads, where most detectors have the same form,
//!
//! ```text
//! conv [1,h,w,A*C] ─▶ reshape [1,h*w*A,C] ─┐
//! conv [1,h,w,A*C] ─▶ reshape [1,h*w*A,C] ─┴▶ concatenation [1,N,C] ─▶ logistic [1,N,C] ─▶ out
//! ```
//!
//! compute each score by itself: taking columns out of the C leaves all others as they are, to the bit. In
//! the file that makes vectors shorter (weights, biases, their scales) and numbers smaller (shapes), so
//! that nothing moves. Whatever is not of exactly this form is refused, and what came out is compared
//! with what was meant, tensor by tensor.

use super::{ElementType, Graph, Operator};
use crate::flat::flatbuffer::{Bytes, FlatbufferError, Table, Vector};

/// Operators by `BuiltinOperator` of the schema.
const CONCATENATION: i32 = 2;
const CONV_2D: i32 = 3;
const LOGISTIC: i32 = 14;
const RESHAPE: i32 = 22;

type Result<T> = std::result::Result<T, String>;

/// What is to be narrowed.
#[derive(Debug)]
struct Heads {
    /// Columns there are.
    columns: usize,
    /// Tensors with a column per class, all of whose makers do the same to each column.
    wide: Vec<usize>,
    heads: Vec<Head>,
}

/// One class head.
#[derive(Debug)]
struct Head {
    /// Output channels: columns times anchors of a place.
    channels: usize,
    weights: usize,
    bias: Option<usize>,
    /// What the convolution makes.
    made: usize,
    /// Position of the operator that reshapes it, and the constant that says to what.
    reshape: usize,
    shape: Option<usize>,
}

impl Graph {
    /// The model with only some columns of output number `output`, `[1, anchors, columns]`, in ascending
    /// order. `file` is the file this graph was read from.
    ///
    /// # Errors
    ///
    /// Why the model is not of the form in which this can be done.
    pub(in super::super) fn keep_columns(
        &self,
        file: &[u8],
        output: usize,
        kept: &[usize],
    ) -> Result<(Vec<u8>, Self)> {
        if self.subgraphs != 1 {
            return Err(format!("it has {} subgraphs", self.subgraphs));
        }
        let scores = self.outputs.get(output).copied();
        let heads = self.heads(scores.ok_or("it has no such output")?)?;
        let ascending = kept.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = kept.last().is_some_and(|last| *last < heads.columns);
        if !ascending || !inside {
            return Err(format!("of {} columns {kept:?} are none", heads.columns));
        }
        let damaged = |error: FlatbufferError| error.to_string();
        let before = contents(file).map_err(damaged)?;
        let mut after = before.clone();
        heads.narrow(&mut after, kept)?;
        let mut bytes = file.to_vec();
        let layout = Layout::of(Bytes(file)).map_err(damaged)?;
        for (tensor, content) in after.tensors.iter().enumerate() {
            if before.tensors[tensor] != *content {
                layout.write_tensor(&mut bytes, tensor, content)?;
            }
        }
        for (operator, shape) in after.reshapes.iter().enumerate() {
            if before.reshapes[operator] != *shape {
                let vector = layout.reshapes[operator];
                overwrite(&mut bytes, vector, 4, &le_bytes(shape))?;
            }
        }
        // Parts may lie on top of each other in the file: what came out is what was meant, or it is
        // not used.
        let graph = Self::parse(&bytes).map_err(|error| format!("narrowed, {error}"))?;
        let same = graph.operators == self.operators
            && graph.inputs == self.inputs
            && graph.outputs == self.outputs;
        if !same || contents(&bytes).as_ref() != Ok(&after) {
            return Err("parts of it lie on top of each other".to_owned());
        }
        Ok((bytes, graph))
    }

    fn heads(&self, scores: usize) -> Result<Heads> {
        let spec = &self.tensors[scores].spec;
        let (&[1, anchors, columns], ElementType::I8 | ElementType::U8) =
            (spec.shape.as_slice(), spec.element)
        else {
            return Err(format!("its scores are {spec}"));
        };
        let mut wide = vec![scores];
        let mut tensor = scores;
        let joined = loop {
            let operator = self.made_by(tensor)?;
            match (operator.builtin, operator.inputs.as_slice()) {
                (CONCATENATION, inputs) => break inputs,
                (LOGISTIC, &[input]) => tensor = self.inner(input)?,
                _ => return Err(format!("its scores come from {}", name(operator))),
            }
            if self.tensors[tensor].spec.shape != [1, anchors, columns] {
                return Err(format!("its logits are {}", self.tensors[tensor].spec));
            }
            wide.push(tensor);
        };
        let (mut heads, mut rows) = (Vec::new(), 0);
        for flat in joined {
            let flat = self.inner(*flat)?;
            let &[1, flat_rows, flat_columns] = self.tensors[flat].spec.shape.as_slice() else {
                return Err(format!("a head is {}", self.tensors[flat].spec));
            };
            if flat_columns != columns || wide.contains(&flat) {
                return Err(format!("a head is {}", self.tensors[flat].spec));
            }
            rows += flat_rows;
            wide.push(flat);
            heads.push(self.head(flat, columns)?);
        }
        if rows != anchors {
            return Err(format!("its heads have {rows} rows, not {anchors}"));
        }
        Ok(Heads {
            columns,
            wide,
            heads,
        })
    }

    fn head(&self, flat: usize, columns: usize) -> Result<Head> {
        let (reshape, operator) = self.maker(flat).ok_or("nothing makes a head")?;
        let (made, shape) = match (operator.builtin, operator.inputs.as_slice()) {
            (RESHAPE, &[made]) => (made, None),
            (RESHAPE, &[made, shape]) => (made, Some(self.own_constant(shape)?)),
            _ => return Err(format!("a head comes from {}", name(operator))),
        };
        let made = self.inner(made)?;
        let &[1, height, width, channels] = self.tensors[made].spec.shape.as_slice() else {
            return Err(format!("a head comes from {}", self.tensors[made].spec));
        };
        let values = self.tensors[flat].spec.shape.iter().product::<usize>();
        if channels % columns != 0 || height * width * channels != values {
            return Err(format!("a head comes from {}", self.tensors[made].spec));
        }
        let operator = self.made_by(made)?;
        let (weights, bias) = match (operator.builtin, operator.inputs.as_slice()) {
            (CONV_2D, &[_, weights] | &[_, weights, -1]) => (weights, None),
            (CONV_2D, &[_, weights, bias]) => (weights, Some(self.own_constant(bias)?)),
            _ => return Err(format!("a head comes from {}", name(operator))),
        };
        let weights = self.own_constant(weights)?;
        let (w, b) = (
            &self.tensors[weights].spec,
            bias.map(|b| &self.tensors[b].spec),
        );
        let fits = w.shape.len() == 4
            && w.shape[0] == channels
            && matches!(w.element, ElementType::I8 | ElementType::U8)
            && b.is_none_or(|b| b.shape == [channels] && b.element.name() == "int32");
        if !fits {
            return Err(format!("a head's weights are {w}"));
        }
        Ok(Head {
            channels,
            weights,
            bias,
            made,
            reshape,
            shape,
        })
    }

    fn made_by(&self, tensor: usize) -> Result<&Operator> {
        let maker = self.maker(tensor);
        let operator = maker.map(|(_, operator)| operator);
        operator
            .filter(|operator| operator.outputs.len() == 1)
            .ok_or_else(|| "no operator makes its scores alone".to_owned())
    }

    /// A tensor that one operator makes for one other and that is not put out.
    fn inner(&self, tensor: i32) -> Result<usize> {
        let tensor = usize::try_from(tensor).ok();
        tensor
            .filter(|tensor| !self.outputs.contains(tensor) && self.only_user(*tensor).is_some())
            .ok_or_else(|| "something else uses what its heads make".to_owned())
    }

    /// A constant that one operator uses.
    fn own_constant(&self, tensor: i32) -> Result<usize> {
        let own = self.inner(tensor)?;
        let tensor = &self.tensors[own];
        if tensor.is_constant() && tensor.dense && !tensor.variable && self.maker(own).is_none() {
            return Ok(own);
        }
        Err("a head's weights are no plain constant".to_owned())
    }
}

fn name(operator: &Operator) -> String {
    super::order::operator_name(operator)
}

impl Heads {
    /// Takes all columns but these out of the contents.
    fn narrow(&self, contents: &mut Contents, kept: &[usize]) -> Result<()> {
        for tensor in &self.wide {
            contents.tensors[*tensor].set_last(self.columns, kept.len())?;
        }
        for head in &self.heads {
            let anchors = head.channels / self.columns;
            let chosen: Vec<usize> = (0..anchors)
                .flat_map(|anchor| {
                    kept.iter()
                        .map(move |column| anchor * self.columns + column)
                })
                .collect();
            contents.tensors[head.made].set_last(head.channels, chosen.len())?;
            for constant in [Some(head.weights), head.bias].into_iter().flatten() {
                contents.tensors[constant].choose(head.channels, &chosen)?;
            }
            if let Some(shape) = head.shape {
                let data = &mut contents.tensors[shape].data;
                let mut shape: Vec<i32> = as_i32s(data);
                set_target(&mut shape, self.columns, kept.len())?;
                *data = le_bytes(&shape);
            }
            let written = &mut contents.reshapes[head.reshape];
            if !written.is_empty() {
                set_target(written, self.columns, kept.len())?;
            }
        }
        Ok(())
    }
}

/// Of a shape that a reshape aims at, the last number; -1 stands for whatever comes out.
fn set_target(shape: &mut [i32], from: usize, to: usize) -> Result<()> {
    match shape {
        [_, _, last] if usize::try_from(*last) == Ok(from) => {
            *last = i32::try_from(to).map_err(|error| error.to_string())?;
            Ok(())
        }
        [_, _, -1] => Ok(()),
        _ => Err(format!("a head is reshaped to {shape:?}")),
    }
}

/// All that a tensor says in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Content {
    shape: Vec<i32>,
    /// Of sizes that are only known at run time.
    signature: Vec<i32>,
    buffer: u32,
    data: Vec<u8>,
    scales: Vec<u32>,
    zero_points: Vec<u64>,
    channels_in: i32,
}

impl Content {
    /// Changes the last number of its shape.
    fn set_last(&mut self, from: usize, to: usize) -> Result<()> {
        self.check()?;
        if self.scales.len() > 1 {
            return Err("a head's result has several scales".to_owned());
        }
        match self.shape.last_mut() {
            Some(last) if usize::try_from(*last) == Ok(from) => {
                *last = i32::try_from(to).map_err(|error| error.to_string())?;
                Ok(())
            }
            Some(_) | None => Err(format!("a head's shape is {:?}", self.shape)),
        }
    }

    /// Keeps these of its `channels` outermost parts.
    fn choose(&mut self, channels: usize, chosen: &[usize]) -> Result<()> {
        self.check()?;
        let size = self.data.len() / channels;
        let rows = chosen.iter().map(|row| &self.data[row * size..][..size]);
        self.data = rows.collect::<Vec<_>>().concat();
        self.shape[0] = i32::try_from(chosen.len()).map_err(|error| error.to_string())?;
        match self.scales.len() {
            0 | 1 => Ok(()),
            length if length == channels && self.channels_in == 0 => {
                self.scales = chosen.iter().map(|row| self.scales[*row]).collect();
                self.zero_points = chosen.iter().map(|row| self.zero_points[*row]).collect();
                Ok(())
            }
            length => Err(format!("a head's weights have {length} scales")),
        }
    }

    fn check(&self) -> Result<()> {
        if self.signature.is_empty() {
            return Ok(());
        }
        Err("a head's sizes are only known at run time".to_owned())
    }
}

/// What the tensors of a file say, and the shapes that are written into its reshapes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Contents {
    tensors: Vec<Content>,
    /// By operator; empty for others.
    reshapes: Vec<Vec<i32>>,
}

/// Where they lie.
#[derive(Debug)]
struct Layout {
    tensors: Vec<Place>,
    /// By operator; empty for others.
    reshapes: Vec<Vector>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    shape: Vector,
    signature: Vector,
    buffer: u32,
    data: Vector,
    scales: Vector,
    zero_points: Vector,
    channels_in: i32,
}

impl Layout {
    fn of(bytes: Bytes<'_>) -> std::result::Result<Self, FlatbufferError> {
        let model = bytes.table(bytes.follow(0)?)?;
        let buffers = bytes.tables(model, 4)?;
        let mut layout = Self {
            tensors: Vec::new(),
            reshapes: Vec::new(),
        };
        let Some(graph) = bytes.tables(model, 2)?.into_iter().next() else {
            return Ok(layout);
        };
        for tensor in bytes.tables(graph, 0)? {
            layout.tensors.push(place(bytes, tensor, &buffers)?);
        }
        let codes = bytes.tables(model, 1)?;
        for operator in bytes.tables(graph, 3)? {
            let code = bytes.field(operator, 0, 4)?;
            let code = code.map_or(Ok(0), |at| bytes.u32(at))? as usize;
            let builtin = codes.get(code).copied().map(|code| builtin(bytes, code));
            let options = match builtin.transpose()? {
                Some(RESHAPE) => bytes.sub_table(operator, 4)?,
                Some(_) | None => None,
            };
            let shape = options.map(|options| bytes.vector(options, 0, 4));
            layout.reshapes.push(shape.transpose()?.unwrap_or_default());
        }
        Ok(layout)
    }

    fn write_tensor(&self, bytes: &mut [u8], tensor: usize, content: &Content) -> Result<()> {
        let place = self.tensors[tensor];
        overwrite(bytes, place.shape, 4, &le_bytes(&content.shape))?;
        overwrite(bytes, place.data, 1, &content.data)?;
        let scales: Vec<u8> = content
            .scales
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        overwrite(bytes, place.scales, 4, &scales)?;
        let zero_points = content.zero_points.iter();
        let zero_points: Vec<u8> = zero_points.flat_map(|v| v.to_le_bytes()).collect();
        overwrite(bytes, place.zero_points, 8, &zero_points)
    }
}

fn builtin(bytes: Bytes<'_>, code: Table) -> std::result::Result<i32, FlatbufferError> {
    let old = bytes.field(code, 0, 1)?.map_or(Ok(0), |at| bytes.u8(at))?;
    let new = bytes.field(code, 3, 4)?.map_or(Ok(0), |at| bytes.i32(at))?;
    Ok(new.max(i32::from(old)))
}

fn place(
    bytes: Bytes<'_>,
    tensor: Table,
    buffers: &[Table],
) -> std::result::Result<Place, FlatbufferError> {
    let buffer = bytes.field(tensor, 2, 4)?;
    let buffer = buffer.map_or(Ok(0), |at| bytes.u32(at))?;
    let data = buffers.get(buffer as usize).copied();
    let data = data.map(|table| bytes.vector(table, 0, 1)).transpose()?;
    let quantisation = bytes.sub_table(tensor, 4)?;
    let vector = |field: usize, size: usize| {
        let vector = quantisation.map(|table| bytes.vector(table, field, size));
        vector.transpose().map(Option::unwrap_or_default)
    };
    let channels_in = quantisation.map(|table| bytes.field(table, 6, 4));
    let channels_in = channels_in.transpose()?.flatten();
    Ok(Place {
        shape: bytes.vector(tensor, 0, 4)?,
        signature: bytes.vector(tensor, 7, 4)?,
        buffer,
        data: data.unwrap_or_default(),
        scales: vector(2, 4)?,
        zero_points: vector(3, 8)?,
        channels_in: channels_in.map_or(Ok(0), |at| bytes.i32(at))?,
    })
}

fn contents(file: &[u8]) -> std::result::Result<Contents, FlatbufferError> {
    let bytes = Bytes(file);
    let layout = Layout::of(bytes)?;
    let i32s = |vector: Vector| -> std::result::Result<Vec<i32>, FlatbufferError> {
        let numbers = 0..vector.len;
        numbers.map(|i| bytes.i32(vector.start + 4 * i)).collect()
    };
    let content = |place: &Place| {
        let zero_points = 0..place.zero_points.len;
        let zero_points = zero_points.map(|i| bytes.u64(place.zero_points.start + 8 * i));
        let scales = (0..place.scales.len).map(|i| bytes.u32(place.scales.start + 4 * i));
        Ok(Content {
            shape: i32s(place.shape)?,
            signature: i32s(place.signature)?,
            buffer: place.buffer,
            data: bytes.slice(place.data)?.to_vec(),
            scales: scales.collect::<std::result::Result<_, _>>()?,
            zero_points: zero_points.collect::<std::result::Result<_, _>>()?,
            channels_in: place.channels_in,
        })
    };
    Ok(Contents {
        tensors: layout
            .tensors
            .iter()
            .map(content)
            .collect::<std::result::Result<_, _>>()?,
        reshapes: layout
            .reshapes
            .iter()
            .map(|v| i32s(*v))
            .collect::<std::result::Result<_, _>>()?,
    })
}

/// Writes a vector that is at most as long as the one that lies there, and its length.
fn overwrite(bytes: &mut [u8], there: Vector, element: usize, values: &[u8]) -> Result<()> {
    let length = values.len() / element;
    if length == 0 && there.len == 0 {
        return Ok(());
    }
    let outside = || "a vector does not fit".to_owned();
    let count = u32::try_from(length).map_err(|error| error.to_string())?;
    if length > there.len {
        return Err(outside());
    }
    let end = there.start + values.len();
    let from = there.start.checked_sub(4).ok_or_else(outside)?;
    let place = bytes.get_mut(from..end).ok_or_else(outside)?;
    place[..4].copy_from_slice(&count.to_le_bytes());
    place[4..].copy_from_slice(values);
    Ok(())
}

fn le_bytes(values: &[i32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn as_i32s(data: &[u8]) -> Vec<i32> {
    let words = data.as_chunks::<4>().0;
    words.iter().map(|word| i32::from_le_bytes(*word)).collect()
}

#[cfg(test)]
#[path = "columns_tests.rs"]
mod tests;
