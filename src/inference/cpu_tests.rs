#![allow(clippy::unwrap_used, reason = "a failure is the message")]

use std::path::Path;

use super::*;
use crate::inference::detection::Detector;
use crate::inference::registry::Registry;
use crate::inference::tflite_graph::Graph;

const MODELS: &str = "models";

fn shipped() -> Vec<ModelFile> {
    let registry = Registry::read(Path::new(MODELS)).unwrap();
    let models = registry.models().iter();
    models
        .map(|model| registry.load_listed(model).unwrap())
        .collect()
}

/// The model as it is in the file, input operator and all.
fn untouched(file: &ModelFile) -> CpuModel {
    CpuModel::open(file.clone(), 1, Fold::Nothing).unwrap()
}

fn folded(file: &ModelFile) -> CpuModel {
    CpuModel::open(file.clone(), 1, Fold::InputQuantize).unwrap()
}

/// Fills the input with the same picture of noise whatever its element type.
fn fill(model: &mut CpuModel, seed: u64) {
    let mut state = seed;
    let mut noise = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    };
    match model.input_mut() {
        TensorMut::U8(bytes) => bytes.fill_with(noise),
        TensorMut::I8Bits(bytes) => bytes.fill_with(|| noise() ^ 0x80),
        TensorMut::F32(values) => values.fill_with(|| f32::from(noise())),
    }
}

/// Every output's bits, of a detector only the rows that count.
fn outputs(model: &CpuModel) -> Vec<Vec<u32>> {
    let rows = match model.output(3) {
        Some(TensorView::F32(&[count])) => Some(count),
        Some(_) | None => None,
    };
    let bits = |index: usize| match model.output(index).unwrap() {
        TensorView::U8(values) => values.iter().map(|v| u32::from(*v)).collect(),
        TensorView::I8(values) => values
            .iter()
            .map(|v| u32::from(v.cast_unsigned()))
            .collect(),
        TensorView::F32(values) => {
            let all = values.iter().map(|v| v.to_bits());
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a count"
            )]
            match rows {
                Some(count) if index == 0 => all.take(4 * count as usize).collect(),
                Some(count) if index < 3 => all.take(count as usize).collect(),
                Some(_) | None => all.collect(),
            }
        }
    };
    (0..model.outputs().len()).map(bits).collect()
}

#[test]
fn folding_the_input_operator_away_changes_no_output() {
    for file in shipped() {
        let (mut before, mut after) = (untouched(&file), folded(&file));
        assert_eq!(before.input().element, ElementType::U8, "{}", file.name);
        assert_eq!(after.input().element, ElementType::I8, "{}", file.name);
        for seed in 0..12 {
            for model in [&mut before, &mut after] {
                fill(model, seed);
                model.invoke().unwrap();
            }
            assert_eq!(
                outputs(&before),
                outputs(&after),
                "{} seed {seed}",
                file.name
            );
        }
    }
}

/// Damage that the checks let through is no more than TFLite can bear.
#[test]
fn damaged_models_are_refused_or_run() {
    let shipped = shipped().remove(0);
    let (mut refused, mut ran) = (0, 0);
    for seed in 0..150_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below as u64).unwrap()
        };
        let mut bytes = shipped.bytes.clone();
        // Two thirds of the damage goes where the tables are, behind the weights.
        let from = if seed % 3 == 0 {
            0
        } else {
            bytes.len() * 9 / 10
        };
        for _ in 0..=random(3) {
            let at = from + random(bytes.len() - from);
            bytes[at] ^= 1 << random(8);
        }
        let model = Graph::parse(&bytes).map(|graph| ModelFile {
            bytes,
            graph,
            ..shipped.clone()
        });
        let engine = CpuEngine::new(1);
        // As it is, and as the detector changes it.
        let result = model.map(|file| match seed % 2 {
            0 => engine.load(file).and_then(|mut model| model.invoke()),
            _ => Detector::new(file, &engine).map(|_detector| ()),
        });
        match result {
            Ok(Ok(())) => ran += 1,
            Ok(Err(_)) | Err(_) => refused += 1,
        }
    }
    assert!(ran > 0 && refused > 0, "{ran} ran, {refused} refused");
}

#[test]
fn a_model_compiled_for_an_edge_tpu_is_said_to_be_one() {
    let path = Path::new("models/coral/classifier_edgetpu.tflite");
    if !path.exists() {
        eprintln!(
            "skipped: {} is not there; `andon models fetch coral` gets it",
            path.display()
        );
        return;
    }
    let error = CpuEngine::new(1)
        .load(ModelFile::read(path).unwrap())
        .unwrap_err();
    assert!(error.to_string().contains("Edge TPU"), "{error}");
}
