//! Small models made on the spot, packed by the crate's own packer.

use andon_tpu_sim::model::Model;
use andon_tpu_sim::pack::{Layout, Options, pack};
use andon_tpu_sim::package::{Executable, Kind, Package};
use andon_tpu_sim::write::{Table, Value, write};

/// Shape and element type of a tensor.
pub(crate) type Spec<'a> = (&'a str, &'a [i32], u8);

fn tensor(spec: Spec<'_>, buffer: u32) -> Table {
    let (name, shape, kind) = spec;
    let quantization = Table::new()
        .with(2, Value::F32s(vec![0.5]))
        .with(3, Value::I64s(vec![3]));
    Table::new()
        .with(0, Value::I32s(shape.to_vec()))
        .with(1, Value::U8(kind))
        .with(2, Value::U32(buffer))
        .with(3, Value::Text(name.to_owned()))
        .with(4, Value::Table(quantization))
}

/// A CPU model of one operator (of no meaning) over inputs and some weights.
pub(crate) fn cpu_model(inputs: &[Spec<'_>], outputs: &[Spec<'_>], weights: &[u8]) -> Vec<u8> {
    let mut tensors: Vec<Table> = inputs
        .iter()
        .chain(outputs)
        .map(|s| tensor(*s, 0))
        .collect();
    let weight_shape = [i32::try_from(weights.len()).expect("small")];
    tensors.push(tensor(("weights", &weight_shape, 9), 1));
    let count = |n: usize| i32::try_from(n).expect("small");
    let input_numbers: Vec<i32> = (0..count(inputs.len())).collect();
    let output_numbers: Vec<i32> =
        (count(inputs.len())..count(inputs.len() + outputs.len())).collect();
    let mut operator_inputs = input_numbers.clone();
    operator_inputs.push(count(inputs.len() + outputs.len()));
    let operator = Table::new()
        .with(1, Value::I32s(operator_inputs))
        .with(2, Value::I32s(output_numbers.clone()));
    let graph = Table::new()
        .with(0, Value::Tables(tensors))
        .with(1, Value::I32s(input_numbers))
        .with(2, Value::I32s(output_numbers))
        .with(3, Value::Tables(vec![operator]));
    let code = Table::new().with(0, Value::U8(2)).with(3, Value::I32(2));
    let buffers = vec![
        Table::new(),
        Table::new().with(0, Value::Bytes(weights.to_vec())),
    ];
    let root = Table::new()
        .with(0, Value::U32(3))
        .with(1, Value::Tables(vec![code]))
        .with(2, Value::Tables(vec![graph]))
        .with(4, Value::Tables(buffers));
    write(&root, Some(*b"TFL3"))
}

/// A packed model: an input that needs padding and a sign flip, and three outputs (tiled and signed,
/// a row, a vector).
pub(crate) fn small(
    token: u64,
    seed: u64,
    cached_bytes: usize,
    layout: Layout,
) -> (Vec<u8>, Package) {
    let weights: Vec<u8> = (0..5000u32).map(|i| (i * 7 + 3).to_le_bytes()[0]).collect();
    let cpu = cpu_model(
        &[("picture", &[1, 5, 5, 3], 9), ("more", &[1, 16], 3)],
        &[
            ("map", &[1, 7, 9, 5], 9),
            ("row", &[1, 31, 6], 3),
            ("scores", &[1, 11], 3),
        ],
        &weights,
    );
    let options = Options {
        token,
        cached_bytes,
        instruction_bytes: 3000,
        layout,
        seed,
    };
    let packed = pack(&cpu, &options).expect("it packs");
    let model = Model::read(&packed.model).expect("it reads back");
    let package = model.packages().next().expect("a package").clone();
    (packed.model, package)
}

/// The two executables of a package: caching and execution.
pub(crate) fn pair(package: &Package) -> (&Executable, &Executable) {
    (
        package.executable(Kind::ParameterCaching).expect("caching"),
        package.executable(Kind::ExecutionOnly).expect("execution"),
    )
}

/// Plain inputs of a package's executable.
pub(crate) fn inputs(executable: &Executable, salt: u8) -> Vec<Vec<u8>> {
    executable
        .inputs
        .iter()
        .map(|layer| {
            (0..layer.plain_bytes())
                .map(|k| (13 * k + 5).to_le_bytes()[0] ^ salt)
                .collect()
        })
        .collect()
}
