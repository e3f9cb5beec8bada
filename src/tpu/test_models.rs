//! Compiled models for tests, which are no part of the repository: `ANDON_EDGETPU`, or
//! `../shared/edgetpu`, is a folder with `models/` and `traces/`.

use std::path::PathBuf;

use super::package::Package;
use crate::flat::flatbuffer::Bytes;

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
    let file = std::fs::read(&path).expect("a model can be read");
    let bytes = Bytes(&file);
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
