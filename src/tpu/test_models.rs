//! Compiled models for tests. Real ones are no part of the repository: `ANDON_EDGETPU`, or
//! `../shared/edgetpu`, is a folder with `models/` and `traces/`. [`made`] makes small ones on the spot.

use std::path::PathBuf;

use super::package::Package;
use crate::flat::flatbuffer::Bytes;

#[path = "../../tests/tpu-sim/tests/support/models.rs"]
#[allow(dead_code, reason = "a part is used")]
pub(crate) mod made;

/// The options of an operator for the Edge TPU that is made here, of layers of these names, shapes and
/// types. Of equal layers and tokens, each `seed` gives another program.
pub(crate) fn made_options(
    inputs: &[made::Spec<'_>],
    outputs: &[made::Spec<'_>],
    token: u64,
    seed: u64,
) -> Vec<u8> {
    let options = andon_tpu_sim::pack::Options {
        token,
        cached_bytes: 2_048,
        instruction_bytes: 3_000,
        // These come with tile maps as well.
        layout: andon_tpu_sim::pack::Layout::Slices,
        seed,
    };
    let weights: Vec<u8> = (0..5_000_u32)
        .map(|i| (i * 7 + 3).to_le_bytes()[0])
        .collect();
    let cpu = made::cpu_model(inputs, outputs, &weights);
    let packed = andon_tpu_sim::pack::pack(&cpu, &options).expect("it packs");
    first_options(&packed.model).expect("it is packed")
}

/// The folder; says loudly where it is missing.
pub(crate) fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("ANDON_EDGETPU").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| PathBuf::from("../shared/edgetpu"));
    if folder.join("models").is_dir() {
        return Some(folder);
    }
    eprintln!(
        "SKIPPED: no compiled models in {} (set ANDON_EDGETPU to the folder that holds models/ and traces/)",
        folder.display()
    );
    None
}

/// The options of the first operator of a model for the Edge TPU.
pub(crate) fn custom_options(name: &str) -> Option<Vec<u8>> {
    let path = folder()?.join("models").join(name);
    first_options(&std::fs::read(&path).expect("a model can be read"))
}

fn first_options(file: &[u8]) -> Option<Vec<u8>> {
    let bytes = Bytes(file);
    let read = || {
        let model = bytes.table(bytes.follow(0)?)?;
        for graph in bytes.tables(model, 2)? {
            for operator in bytes.tables(graph, 3)? {
                let options = bytes.blob(operator, 5)?;
                if options.windows(4).any(|word| word == b"DWN1") {
                    return Ok(Some(options.to_vec()));
                }
            }
        }
        Ok::<_, crate::flat::flatbuffer::FlatbufferError>(None)
    };
    read().expect("a model file")
}

/// The package of a model.
pub(crate) fn package(name: &str) -> Option<Package> {
    let options = custom_options(name)?;
    Some(Package::from_custom_options(&options).expect("a package"))
}

/// Every compiled model of the folder.
pub(crate) const ALL: [&str; 8] = [
    "classifier_edgetpu.tflite",
    "deeplabv3_mnv2_dm05_pascal_quant_edgetpu.tflite",
    "mobilenet_v1_0.25_128_quant_cocompiled_with_mobilenet_v1_0.5_160_quant_edgetpu.tflite",
    "mobilenet_v1_0.25_128_quant_edgetpu.tflite",
    "mobilenet_v1_0.5_160_quant_cocompiled_with_mobilenet_v1_0.25_128_quant_edgetpu.tflite",
    "movenet_single_pose_lightning_ptq_edgetpu.tflite",
    "split_concat_edgetpu.tflite",
    "ssd_mobilenet_v1_coco_quant_postprocess_segment_1_of_2_edgetpu.tflite",
];
