//! Small models made by hand: what tests of the post-process operator feed to TFLite.

/// A value of a flatbuffer table, or the table itself.
pub(super) enum Field {
    U8(u8),
    U32(u32),
    Text(&'static str),
    Bytes(Vec<u8>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
    I64s(Vec<i64>),
    Table(Fields),
    Tables(Vec<Fields>),
}

/// Field numbers of the schema with their values.
pub(super) type Fields = Vec<(usize, Field)>;

fn u32_of(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn u16_of(value: usize) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

/// Fills up so that what comes `ahead` bytes later lies on a multiple of `alignment`.
fn align(out: &mut Vec<u8>, alignment: usize, ahead: usize) {
    while !(out.len() + ahead).is_multiple_of(alignment) {
        out.push(0);
    }
}

/// Writes the table and, behind it, all it refers to. Returns where it is.
fn table(out: &mut Vec<u8>, fields: &Fields) -> usize {
    let slots = fields.iter().map(|(slot, _)| slot + 1).max().unwrap_or(0);
    let vtable_size = 4 + 2 * slots;
    align(out, 4, vtable_size);
    out.extend(u16_of(vtable_size).to_le_bytes());
    out.extend(u16_of(4 + 4 * fields.len()).to_le_bytes());
    for slot in 0..slots {
        let position = fields.iter().position(|(s, _)| *s == slot);
        let offset = position.map_or(0, |position| 4 + 4 * position);
        out.extend(u16_of(offset).to_le_bytes());
    }
    let at = out.len();
    out.extend(u32_of(vtable_size).to_le_bytes());
    for (_, field) in fields {
        out.extend(match field {
            Field::U8(value) => u32::from(*value).to_le_bytes(),
            Field::U32(value) => value.to_le_bytes(),
            Field::Text(_)
            | Field::Bytes(_)
            | Field::I32s(_)
            | Field::F32s(_)
            | Field::I64s(_)
            | Field::Table(_)
            | Field::Tables(_) => [0; 4],
        });
    }
    for (position, (_, field)) in fields.iter().enumerate() {
        if let Some(target) = outside(out, field) {
            point(out, at + 4 + 4 * position, target);
        }
    }
    at
}

fn point(out: &mut [u8], from: usize, target: usize) {
    out[from..from + 4].copy_from_slice(&u32_of(target - from).to_le_bytes());
}

/// Writes what does not lie within its table; returns where it is.
fn outside(out: &mut Vec<u8>, field: &Field) -> Option<usize> {
    Some(match field {
        Field::U8(_) | Field::U32(_) => return None,
        Field::Text(text) => {
            let at = vector(out, 4, text.len(), text.bytes());
            out.push(0);
            at
        }
        Field::Bytes(bytes) => vector(out, 16, bytes.len(), bytes.iter().copied()),
        Field::I32s(v) => vector(out, 4, v.len(), v.iter().flat_map(|v| v.to_le_bytes())),
        Field::F32s(v) => vector(out, 4, v.len(), v.iter().flat_map(|v| v.to_le_bytes())),
        Field::I64s(v) => vector(out, 8, v.len(), v.iter().flat_map(|v| v.to_le_bytes())),
        Field::Table(fields) => table(out, fields),
        Field::Tables(tables) => {
            let at = vector(
                out,
                4,
                tables.len(),
                std::iter::repeat_n(0, 4 * tables.len()),
            );
            for (index, fields) in tables.iter().enumerate() {
                let target = table(out, fields);
                point(out, at + 4 + 4 * index, target);
            }
            at
        }
    })
}

fn vector(
    out: &mut Vec<u8>,
    alignment: usize,
    length: usize,
    bytes: impl Iterator<Item = u8>,
) -> usize {
    align(out, alignment.max(4), 4);
    let at = out.len();
    out.extend(u32_of(length).to_le_bytes());
    out.extend(bytes);
    at
}

/// Options of a small `TFLite_Detection_PostProcess`; one of the scales is a whole number.
pub(super) const POST_PROCESS_OPTIONS: [(&str, OptionValue); 10] = [
    ("max_detections", OptionValue::Int(10)),
    ("max_classes_per_detection", OptionValue::Int(1)),
    ("num_classes", OptionValue::Int(2)),
    ("nms_score_threshold", OptionValue::Float(0.25)),
    ("nms_iou_threshold", OptionValue::Float(0.5)),
    ("y_scale", OptionValue::Float(10.0)),
    ("x_scale", OptionValue::Int(10)),
    ("h_scale", OptionValue::Float(5.0)),
    ("w_scale", OptionValue::Float(5.0)),
    ("use_regular_nms", OptionValue::Truth(false)),
];

/// A tensor of [`model`].
#[derive(Clone, Debug)]
pub(super) struct TestTensor {
    pub(super) shape: Vec<i32>,
    /// `TensorType` of the schema: 0 f32, 3 u8, 9 i8.
    pub(super) element: u8,
    pub(super) quantisation: Option<(f32, i64)>,
    /// Empty unless it is a constant.
    pub(super) data: Vec<u8>,
}

/// An operator of [`model`].
#[derive(Clone, Debug)]
pub(super) struct TestOperator {
    /// `BuiltinOperator` of the schema.
    pub(super) builtin: u8,
    pub(super) custom: &'static str,
    pub(super) inputs: Vec<i32>,
    pub(super) outputs: Vec<i32>,
    pub(super) options: Vec<u8>,
}

/// A TFLite file of one subgraph.
pub(super) fn model(
    tensors: &[TestTensor],
    operators: &[TestOperator],
    inputs: &[i32],
    outputs: &[i32],
) -> Vec<u8> {
    model_of_subgraphs(1, tensors, operators, inputs, outputs)
}

/// A TFLite file of several subgraphs, all of which are the same.
pub(super) fn model_of_subgraphs(
    count: usize,
    tensors: &[TestTensor],
    operators: &[TestOperator],
    inputs: &[i32],
    outputs: &[i32],
) -> Vec<u8> {
    let tensor = |(index, tensor): (usize, &TestTensor)| {
        let mut fields = vec![
            (0, Field::I32s(tensor.shape.clone())),
            (1, Field::U8(tensor.element)),
            (2, Field::U32(u32_of(index + 1))),
            (3, Field::Text("tensor")),
        ];
        if let Some((scale, zero_point)) = tensor.quantisation {
            let parameters = vec![
                (2, Field::F32s(vec![scale])),
                (3, Field::I64s(vec![zero_point])),
            ];
            fields.push((4, Field::Table(parameters)));
        }
        fields
    };
    let operator = |(index, operator): (usize, &TestOperator)| {
        let mut fields = vec![
            (0, Field::U32(u32_of(index))),
            (1, Field::I32s(operator.inputs.clone())),
            (2, Field::I32s(operator.outputs.clone())),
        ];
        if !operator.options.is_empty() {
            fields.push((5, Field::Bytes(operator.options.clone())));
        }
        fields
    };
    let code = |operator: &TestOperator| {
        let mut fields = vec![
            (0, Field::U8(operator.builtin)),
            (2, Field::U32(1)),
            (3, Field::U32(u32::from(operator.builtin))),
        ];
        if !operator.custom.is_empty() {
            fields.push((1, Field::Text(operator.custom)));
        }
        fields
    };
    let buffer = |tensor: &TestTensor| match tensor.data.as_slice() {
        [] => vec![],
        data => vec![(0, Field::Bytes(data.to_vec()))],
    };
    let graph = |_| {
        vec![
            (
                0,
                Field::Tables(tensors.iter().enumerate().map(tensor).collect()),
            ),
            (1, Field::I32s(inputs.to_vec())),
            (2, Field::I32s(outputs.to_vec())),
            (
                3,
                Field::Tables(operators.iter().enumerate().map(operator).collect()),
            ),
        ]
    };
    let buffers = std::iter::once(vec![]).chain(tensors.iter().map(buffer));
    let root = vec![
        (0, Field::U32(3)),
        (1, Field::Tables(operators.iter().map(code).collect())),
        (2, Field::Tables((0..count).map(graph).collect())),
        (4, Field::Tables(buffers.collect())),
    ];
    let mut out = vec![0; 8];
    out[4..8].copy_from_slice(b"TFL3");
    let at = table(&mut out, &root);
    point(&mut out, 0, at);
    align(&mut out, 16, 0);
    out
}

/// A value of an operator's options.
#[derive(Clone, Copy, Debug)]
pub(super) enum OptionValue {
    Int(i32),
    Float(f32),
    Truth(bool),
}

/// A flexbuffer map, all in words of four bytes.
pub(super) fn flexbuffer(options: &[(&str, OptionValue)]) -> Vec<u8> {
    let mut options = options.to_vec();
    options.sort_by_key(|(key, _)| *key);
    let (mut out, mut keys) = (Vec::new(), Vec::new());
    for (key, _) in &options {
        keys.push(out.len());
        out.extend(key.bytes());
        out.push(0);
    }
    align(&mut out, 4, 0);
    let count = u32_of(options.len()).to_le_bytes();
    out.extend(count);
    let keys_at = out.len();
    for key in keys {
        out.extend(u32_of(out.len() - key).to_le_bytes());
    }
    out.extend(u32_of(out.len() - keys_at).to_le_bytes());
    out.extend([4, 0, 0, 0]);
    out.extend(count);
    let map_at = out.len();
    for (_, value) in &options {
        out.extend(match value {
            OptionValue::Int(value) => value.to_le_bytes(),
            OptionValue::Float(value) => value.to_le_bytes(),
            OptionValue::Truth(value) => u32::from(*value).to_le_bytes(),
        });
    }
    for (_, value) in &options {
        out.push(match value {
            OptionValue::Int(_) => 1 << 2 | 2,
            OptionValue::Float(_) => 3 << 2 | 2,
            OptionValue::Truth(_) => 26 << 2 | 2,
        });
    }
    align(&mut out, 4, 0);
    out.extend(u32_of(out.len() - map_at).to_le_bytes());
    out.extend([9 << 2 | 2, 4]);
    out
}
