//! Whose weights are on the chip.
//!
//! The chip keeps what was uploaded until something else is put over it. Models compiled together
//! have one *token* and lie side by side; models with different tokens, or with token 0, lie over
//! each other. So the resident set belongs to one token, and whatever runs under another one
//! forgets all of it. It is kept by executable, not by its bytes: the same weights compiled with
//! other companions lie elsewhere. Pure.

use super::package::CachingToken;

/// An executable that loads weights, by a number of its owner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LoaderId(pub u32);

/// What is to be done about weights before a model runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upload {
    /// Nothing: they are there, or the model has none.
    Nothing,
    /// They are loaded beside others.
    Beside,
    /// They are loaded, and everything that was there is lost.
    Anew,
}

/// The resident weights.
#[derive(Clone, Debug, Default)]
pub struct Residency {
    token: CachingToken,
    resident: Vec<LoaderId>,
}

impl Residency {
    /// A model of a token is about to run; `loader` loads its weights. Says whether it must, and
    /// takes it that it will: a failure to upload is followed by [`Residency::clear`]. A model without
    /// one brings its weights itself, and whatever its token, they lie where others' did.
    pub fn prepare(&mut self, token: CachingToken, loader: Option<LoaderId>) -> Upload {
        let forgotten = token == CachingToken(0) || token != self.token;
        if forgotten {
            self.resident.clear();
            self.token = token;
        }
        let Some(loader) = loader else {
            self.clear();
            return Upload::Nothing;
        };
        if self.resident.contains(&loader) {
            return Upload::Nothing;
        }
        self.resident.push(loader);
        if forgotten {
            Upload::Anew
        } else {
            Upload::Beside
        }
    }

    /// Nothing is known to be on the chip: it was reset, closed, or an upload failed.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether a loader's weights are on the chip.
    #[must_use]
    pub fn is_resident(&self, loader: LoaderId) -> bool {
        self.resident.contains(&loader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHARED: CachingToken = CachingToken(0xe2c3);
    const ALONE: CachingToken = CachingToken(0);
    const OTHER: CachingToken = CachingToken(0x6d14);
    const A: Option<LoaderId> = Some(LoaderId(0));
    const B: Option<LoaderId> = Some(LoaderId(1));
    const C: Option<LoaderId> = Some(LoaderId(2));

    #[test]
    fn models_compiled_together_are_uploaded_once_each() {
        let mut chip = Residency::default();
        let runs = [A, B, A, B].map(|loader| chip.prepare(SHARED, loader));
        let expected = [
            Upload::Anew,
            Upload::Beside,
            Upload::Nothing,
            Upload::Nothing,
        ];
        assert_eq!(runs, expected);
    }

    #[test]
    fn another_token_evicts_all() {
        let mut chip = Residency::default();
        chip.prepare(SHARED, A);
        chip.prepare(SHARED, B);
        assert_eq!(chip.prepare(OTHER, C), Upload::Anew);
        assert_eq!(chip.prepare(SHARED, A), Upload::Anew);
        assert_eq!(chip.prepare(SHARED, B), Upload::Beside);
    }

    #[test]
    fn the_same_weights_under_another_token_are_uploaded_again() {
        let mut chip = Residency::default();
        chip.prepare(OTHER, A);
        assert_eq!(chip.prepare(SHARED, A), Upload::Anew);
    }

    #[test]
    fn token_0_is_nobody_elses_and_not_even_its_own() {
        let mut chip = Residency::default();
        assert_eq!(chip.prepare(ALONE, A), Upload::Anew);
        assert_eq!(chip.prepare(ALONE, A), Upload::Anew);
        chip.prepare(SHARED, B);
        // A model that loads nothing may still overwrite what is there.
        assert_eq!(chip.prepare(ALONE, None), Upload::Nothing);
        assert_eq!(chip.prepare(SHARED, B), Upload::Anew);
    }

    #[test]
    fn a_model_that_brings_its_own_weights_evicts_those_of_its_token() {
        let mut chip = Residency::default();
        chip.prepare(SHARED, A);
        assert_eq!(chip.prepare(SHARED, None), Upload::Nothing);
        assert_eq!(chip.prepare(SHARED, A), Upload::Anew);
        assert_eq!(chip.prepare(SHARED, B), Upload::Beside);
    }

    /// The chip's memory as it is: places overwritten by whatever else has another token.
    #[derive(Default)]
    struct Chip(Vec<(CachingToken, LoaderId)>);

    impl Chip {
        fn upload(&mut self, token: CachingToken, loader: LoaderId) {
            self.0
                .retain(|(other, _)| *other == token && token != ALONE);
            self.0.push((token, loader));
        }
    }

    proptest! {
        #[test]
        fn what_runs_finds_its_weights(
            runs in prop::collection::vec((0_u64..4, 0_u32..4, 0_u8..20), 1..200),
        ) {
            let mut chip = Chip::default();
            let mut residency = Residency::default();
            for (token, loader, event) in runs {
                if event == 0 {
                    chip = Chip::default();
                    residency.clear();
                }
                let (token, loader) = (CachingToken(token), LoaderId(loader));
                let there = chip.0.contains(&(token, loader)) && token != ALONE;
                match residency.prepare(token, Some(loader)) {
                    Upload::Nothing => prop_assert!(there),
                    Upload::Beside | Upload::Anew => {
                        prop_assert!(!there, "uploaded twice");
                        chip.upload(token, loader);
                    }
                }
                prop_assert!(residency.is_resident(loader));
            }
        }
    }
}
