#![allow(clippy::unwrap_used, reason = "a failure is the message")]

use std::path::Path;

use super::*;
use crate::inference::registry::Registry;

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
