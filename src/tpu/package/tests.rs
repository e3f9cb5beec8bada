#![allow(clippy::unwrap_used, reason = "a failure is the message")]

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::tpu::layout::OutputLayout;
use crate::tpu::test_models;

#[test]
fn the_classifier_is_what_the_compilers_log_says() {
    let Some(package) = test_models::package("classifier_edgetpu.tflite") else {
        return;
    };
    let caching = package.caching.as_ref().unwrap();
    assert_eq!(package.token(), CachingToken(0x36e1_aee9_1da8_0a82));
    assert_eq!(caching.chunks[0].bytes.len(), 6_480);
    assert_eq!(caching.parameters.len(), 2_496_832);
    let traffic = package.traffic();
    assert_eq!(traffic.streamed_bytes, 598_080);
    assert_eq!(traffic.to_chip_bytes, 898_192);
    assert_eq!(traffic.from_chip_bytes, 8);
    assert_eq!(package.main.outputs[0].actual_bytes(), 2);
}

#[test]
fn every_real_package_is_taken() {
    for name in test_models::ALL {
        let Some(package) = test_models::package(name) else {
            return;
        };
        assert!(package.caching.is_some(), "{name}");
        assert_eq!(package.main.hints.last(), Some(&Hint::Completion), "{name}");
    }
}

#[test]
fn models_compiled_together_share_a_token() {
    let [Some(a), Some(b), Some(alone)] =
        [2, 4, 3].map(|i| test_models::package(test_models::ALL[i]))
    else {
        return;
    };
    assert_eq!(a.token(), CachingToken(0xe2c3_66fd_5d62_fa6b));
    assert_eq!(a.token(), b.token());
    assert_ne!(a.token(), alone.token());
    let parameters = |package: &Package| package.caching.as_ref().unwrap().parameters.clone();
    assert_eq!(parameters(&a), parameters(&alone));
}

/// Whatever can be read must also be usable.
fn use_all(package: &Package) {
    for executable in package.caching.iter().chain([&package.main]) {
        let addresses = crate::tpu::link::Addresses::synthetic(executable);
        for chunk in &executable.chunks {
            assert_eq!(
                crate::tpu::link::link(chunk, &addresses).len(),
                chunk.bytes.len()
            );
        }
        for layer in &executable.outputs {
            if let Ok(layout) = OutputLayout::new(layer) {
                let mut tensor = vec![0; layout.tensor_bytes()];
                layout
                    .decode(&vec![0; layout.wire_bytes()], &mut tensor)
                    .unwrap();
            }
        }
    }
}

#[test]
fn random_bytes_are_refused() {
    proptest!(|(bytes in prop::collection::vec(any::<u8>(), 0..400))| {
        prop_assert!(Package::parse(&bytes).is_err());
        prop_assert!(Package::from_custom_options(&bytes).is_err());
        let mut named = bytes;
        if named.len() >= 8 {
            named[4..8].copy_from_slice(b"DWN1");
            let _ = Package::parse(&named).map(|package| use_all(&package));
        }
    });
}

/// Options of a package to be damaged: of one that is made here, and of a real one where there is one.
fn to_damage() -> impl Iterator<Item = Vec<u8>> {
    let made = test_models::made_options(
        &[("picture", &[1, 5, 5, 3], 9), ("more", &[1, 16], 3)],
        &[("map", &[1, 7, 9, 5], 9), ("scores", &[1, 11], 3)],
        7,
        1,
    );
    let real = test_models::custom_options("split_concat_edgetpu.tflite");
    std::iter::once(made).chain(real)
}

#[test]
fn a_damaged_package_is_refused_or_works() {
    to_damage().for_each(|options| damage_at_random(&options));
}

fn damage_at_random(options: &[u8]) {
    Package::from_custom_options(options).unwrap();
    let length = options.len();
    let mut runner = TestRunner::new(Config::with_cases(2_000));
    // Most of a package is instructions; the tables that matter are mostly small numbers.
    let edits = prop::collection::vec((0..length, any::<u8>(), any::<bool>()), 1..6);
    let refused = std::cell::Cell::new(0);
    let result = runner.run(&(edits, 0..length * 4), |(edits, cut)| {
        let mut damaged = options.to_vec();
        for (at, value, small) in edits {
            damaged[at] = if small { value & 3 } else { value };
        }
        damaged.truncate(cut.max(1));
        match Package::from_custom_options(&damaged) {
            Ok(package) => use_all(&package),
            Err(error) => {
                prop_assert!(error.to_string().len() > 10);
                refused.set(refused.get() + 1);
            }
        }
        Ok(())
    });
    result.unwrap();
    assert!(refused.get() > 300, "only {} refused", refused.get());
}

#[test]
fn each_word_of_the_tables_overwritten_is_refused_or_works() {
    to_damage().for_each(|options| overwrite_each_word(&options));
}

/// Where instructions and parameters lie in a package: what is in them is not looked into.
fn contents(package: &[u8]) -> Vec<std::ops::Range<usize>> {
    let read = Package::parse(package).unwrap();
    let executables = read.caching.iter().chain([&read.main]);
    executables
        .flat_map(|executable| {
            let chunks = executable.chunks.iter().map(|chunk| &chunk.bytes[..]);
            chunks.chain([&executable.parameters[..]])
        })
        .filter(|part| !part.is_empty())
        .map(|part| {
            let mut places = package.windows(part.len());
            let at = places.position(|window| window == part).unwrap();
            at..at + part.len()
        })
        .collect()
}

fn overwrite_each_word(options: &[u8]) {
    let start = options.windows(4).position(|w| w == b"DWN1").unwrap() - 4;
    let package = &options[start..];
    let contents = contents(package);
    for at in (0..package.len()).step_by(4) {
        let is_inside = contents.iter().any(|part| part.contains(&at));
        if is_inside && at % 256 != 0 {
            continue;
        }
        for value in [0_u32, 1, 0x7fff_ffff, 0xffff_ffff, 0x8000_0000] {
            let mut damaged = package.to_vec();
            let Some(word) = damaged.get_mut(at..at + 4) else {
                continue;
            };
            word.copy_from_slice(&value.to_le_bytes());
            let _ = Package::parse(&damaged).map(|package| use_all(&package));
        }
    }
}

#[test]
fn bytes_that_are_referred_to_again_and_again_are_counted_each_time() {
    to_damage().for_each(|options| refer_again_and_again(&options));
}

fn refer_again_and_again(options: &[u8]) {
    // Each part of a package is counted when it is copied, however often it is referred to.
    let bytes = super::read::package_of_options(options).unwrap();
    assert!(super::read::package(bytes, bytes.len() / 2).is_err());
    let mut package = super::read::package(bytes, 16 * bytes.len()).unwrap();
    // What the check sees before anything is copied for the runs.
    let hint = package
        .main
        .hints
        .iter()
        .find(|hint| matches!(hint, Hint::Input { .. }));
    let hint = *hint.unwrap();
    let Hint::Input { length, .. } = hint else {
        unreachable!("it is one");
    };
    let many = (1 << 27) / length + 1;
    let end = package.main.hints.pop().unwrap();
    package.main.hints.extend(std::iter::repeat_n(hint, many));
    package.main.hints.push(end);
    let error = super::check::executable(&package.main)
        .unwrap_err()
        .to_string();
    assert!(error.contains("a run moves"), "{error}");
}
