//! Packing the product's own models, and reading what real compilers made.

mod support;

use std::path::PathBuf;

use andon_tpu_sim::model::{CUSTOM_OP, Model};
use andon_tpu_sim::pack::{Layout, Options, PackError, Packed, pack};
use andon_tpu_sim::package::{Direction, Hint, Kind, Target};
use andon_tpu_sim::registry::Registry;
use support::reference;

fn shipped(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../models")
        .join(name);
    std::fs::read(path).expect("the model is part of the repository")
}

fn packed(name: &str, options: &Options) -> (Packed, Model) {
    let packed = pack(&shipped(name), options).expect("it packs");
    let model = Model::read(&packed.model).expect("it reads back");
    (packed, model)
}

#[test]
fn the_detector_becomes_one_custom_operator_and_its_tail() {
    for layout in [Layout::Tiles, Layout::Slices] {
        let options = Options {
            layout,
            ..Options::default()
        };
        let (packed, model) = packed("detector_coco_ssd_300_int8.tflite", &options);
        let graph = model.graphs.first().expect("a graph");
        let names: Vec<&str> = graph.operators.iter().map(|o| o.custom.as_str()).collect();
        assert_eq!(names, [CUSTOM_OP, "", "", "TFLite_Detection_PostProcess"]);
        let shapes: Vec<&[i32]> = graph.operators[0]
            .outputs
            .iter()
            .map(|t| {
                graph.tensors[usize::try_from(*t).expect("a tensor")]
                    .shape
                    .as_slice()
            })
            .collect();
        assert_eq!(shapes, [&[1, 1917, 4][..], &[1, 1917, 91]]);
        let package = model.packages().next().expect("a package");
        let execution = package.executable(Kind::ExecutionOnly).expect("one");
        let caching = package.executable(Kind::ParameterCaching).expect("one");
        assert_eq!(execution.token, options.token);
        assert_eq!(caching.token, options.token);
        assert!(caching.parameters.len() > 4_000_000);
        assert_eq!(execution.streamed_parameter_bytes(), 0);
        assert_eq!(execution.inputs[0].plain_bytes(), 270_000);
        assert_eq!(execution.outputs[1].plain_bytes(), 1917 * 91);
        assert!(execution.outputs[1].data_type.flipped(), "int8");
        assert_eq!(execution.bitstreams[0].fields.len(), 10);
        let identifier = format!("andon-tpu-sim:{:016x}", andon_tpu_sim::fnv1a(&packed.twin));
        assert_eq!(package.model_identifier, identifier);
        // The twin ends where the chip's part ends.
        let twin = Model::read(&packed.twin).expect("the twin reads");
        assert_eq!(twin.graphs[0].operators.len(), 118 - 3);
        assert_eq!(twin.graphs[0].outputs.len(), 2);
        let mut registry = Registry::default();
        registry
            .add_bytes("detector", &packed.model)
            .expect("layouts can be inverted");
    }
}

#[test]
fn parameters_beyond_the_cache_are_streamed() {
    let options = Options {
        cached_bytes: 500_000,
        token: 0xabc,
        ..Options::default()
    };
    let (_, model) = packed("classifier_apple_224_int8.tflite", &options);
    let package = model.packages().next().expect("a package");
    let execution = package.executable(Kind::ExecutionOnly).expect("one");
    let caching = package.executable(Kind::ParameterCaching).expect("one");
    assert_eq!(caching.parameters.len(), 500_000 / 64 * 64);
    assert_eq!(
        execution.streamed_parameter_bytes(),
        execution.parameters.len()
    );
    assert!(!execution.parameters.is_empty());
    let whole = Options::default();
    let (_, model) = self::packed("classifier_apple_224_int8.tflite", &whole);
    let all = model
        .packages()
        .next()
        .and_then(|p| p.executable(Kind::ParameterCaching));
    let together = [caching.parameters.as_slice(), &execution.parameters].concat();
    assert_eq!(
        all.map(|e| e.parameters.as_slice()),
        Some(together.as_slice())
    );
}

#[test]
fn another_token_makes_other_instructions() {
    let of = |token| {
        let options = Options {
            token,
            ..Options::default()
        };
        let (_, model) = packed("classifier_apple_224_int8.tflite", &options);
        let package = model.packages().next().expect("a package");
        package.executables[0].bitstreams[0].bytes.clone()
    };
    assert_ne!(of(1), of(2));
    assert_eq!(of(1), of(1));
}

#[test]
fn what_cannot_be_packed_is_refused_with_a_reason() {
    assert!(matches!(
        pack(b"no model", &Options::default()),
        Err(PackError::Model(_))
    ));
    let (packed, _) = packed("classifier_apple_224_int8.tflite", &Options::default());
    assert_eq!(
        pack(&packed.model, &Options::default()).err(),
        Some(PackError::Compiled)
    );
    let float = support::models::cpu_model(&[("in", &[1, 4], 0)], &[("out", &[1, 4], 9)], &[1]);
    assert_eq!(
        pack(&float, &Options::default()).err(),
        Some(PackError::Kind {
            name: "in".to_owned(),
            kind: 0
        })
    );
}

/// Bytes that the hints move: into the chip as inputs, as parameters, and out of it.
fn traffic(hints: &[Hint]) -> (usize, usize, usize) {
    let mut sums = (0, 0, 0);
    for hint in hints {
        match hint {
            Hint::Dma {
                direction: Direction::Outfeed,
                bytes,
                ..
            } => sums.2 += bytes,
            Hint::Dma {
                target: Target::Parameters,
                bytes,
                ..
            } => sums.1 += bytes,
            Hint::Dma { bytes, .. } => sums.0 += bytes,
            Hint::Instructions(_) | Hint::Interrupt(_) | Hint::Fence => {}
        }
    }
    sums
}

/// What the vendor's generated reader says of a compiled model.
struct Figures {
    file: &'static str,
    token: u64,
    load_instructions: usize,
    load_parameters: usize,
    instructions: usize,
    fields: usize,
    /// In, streamed, out.
    traffic: (usize, usize, usize),
    signed: bool,
}

const FIGURES: [Figures; 9] = [
    Figures {
        file: "classifier",
        token: 0x36e1_aee9_1da8_0a82,
        load_instructions: 6480,
        load_parameters: 2_496_832,
        instructions: 149_584,
        fields: 8,
        traffic: (150_528, 598_080, 8),
        signed: false,
    },
    Figures {
        file: "deeplabv3_mnv2_dm05_pascal_quant",
        token: 0x3695_9a24_102f_7acd,
        load_instructions: 8016,
        load_parameters: 766_720,
        instructions: 160_672,
        fields: 10,
        traffic: (789_512, 0, 279_040),
        signed: false,
    },
    Figures {
        file: "mobilenet_v1_0.25_128_quant_cocompiled_with_mobilenet_v1_0.5_160_quant",
        token: 0xe2c3_66fd_5d62_fa6b,
        load_instructions: 12_624,
        load_parameters: 566_912,
        instructions: 170_032,
        fields: 8,
        traffic: (49_152, 0, 1008),
        signed: false,
    },
    Figures {
        file: "mobilenet_v1_0.25_128_quant",
        token: 0x6d14_6c3f_97d6_648c,
        load_instructions: 12_624,
        load_parameters: 566_912,
        instructions: 170_032,
        fields: 8,
        traffic: (49_152, 0, 1008),
        signed: false,
    },
    Figures {
        file: "mobilenet_v1_0.5_160_quant_cocompiled_with_mobilenet_v1_0.25_128_quant",
        token: 0xe2c3_66fd_5d62_fa6b,
        load_instructions: 12_624,
        load_parameters: 1_473_280,
        instructions: 205_936,
        fields: 8,
        traffic: (76_800, 0, 1008),
        signed: false,
    },
    Figures {
        file: "mobilenet_v1_0.5_160_quant",
        token: 0x8ebc_2700_de21_d6aa,
        load_instructions: 12_624,
        load_parameters: 1_473_280,
        instructions: 205_936,
        fields: 8,
        traffic: (76_800, 0, 1008),
        signed: false,
    },
    Figures {
        file: "movenet_single_pose_lightning_ptq",
        token: 0x83f3_9819_5dd7_68f2,
        load_instructions: 10_032,
        load_parameters: 2_862_656,
        instructions: 133_408,
        fields: 16,
        traffic: (110_592, 2368, 267_264),
        signed: true,
    },
    Figures {
        file: "split_concat",
        token: 0x0f5d_af07_3fcc_3811,
        load_instructions: 1232,
        load_parameters: 192,
        instructions: 23_648,
        fields: 20,
        traffic: (384, 0, 1280),
        signed: false,
    },
    Figures {
        file: "ssd_mobilenet_v1_coco_quant_postprocess_segment_1_of_2",
        token: 0xaa51_4b81_5318_ea97,
        load_instructions: 4816,
        load_parameters: 3_694_528,
        instructions: 116_496,
        fields: 12,
        traffic: (287_232, 0, 184_040),
        signed: false,
    },
];

#[test]
fn real_packages_read_as_the_vendors_reader_reads_them() {
    let Some(reference) = reference("real_packages_read_as_the_vendors_reader_reads_them") else {
        return;
    };
    for f in &FIGURES {
        let name = format!("{}_edgetpu.tflite", f.file);
        let path = reference.join("models").join(&name);
        let model = Model::read(&std::fs::read(&path).expect("a model")).expect("it reads");
        let package = model.packages().next().expect("a package");
        let load = package.executable(Kind::ParameterCaching).expect("caching");
        let run = package.executable(Kind::ExecutionOnly).expect("execution");
        assert_eq!((load.token, run.token), (f.token, f.token), "{name}");
        assert_eq!(
            load.bitstreams[0].bytes.len(),
            f.load_instructions,
            "{name}"
        );
        assert_eq!(load.parameters.len(), f.load_parameters, "{name}");
        assert_eq!(run.bitstreams[0].bytes.len(), f.instructions, "{name}");
        assert_eq!(run.bitstreams[0].fields.len(), f.fields, "{name}");
        assert_eq!(traffic(&run.hints), f.traffic, "{name}");
        assert_eq!(run.outputs[0].data_type.flipped(), f.signed, "{name}");
        let mut registry = Registry::default();
        registry
            .add_file(&path)
            .expect("its layouts can be inverted");
    }
}
