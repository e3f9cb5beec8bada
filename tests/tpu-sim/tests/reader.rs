//! The reader stands any bytes.

mod support;

use andon_tpu_sim::model::Model;
use andon_tpu_sim::pack::Layout;
use andon_tpu_sim::package::Package;
use andon_tpu_sim::usbredir::Decoder;
use proptest::prelude::*;

proptest! {
    #[test]
    fn random_bytes_are_no_model(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Model::read(&bytes).is_err());
        let _ = Package::from_custom_options(&bytes);
        let _ = Package::read(&bytes);
    }

    #[test]
    fn a_model_with_wrong_bytes_is_read_or_refused(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let (mut model, _) = support::models::small(5, 1, 1024, Layout::Slices);
        for (at, byte) in changes {
            let at = at.index(model.len());
            model[at] = byte;
        }
        let _ = Model::read(&model);
        model.truncate(cut.index(model.len()));
        let _ = Model::read(&model);
    }

    #[test]
    fn the_usbredir_decoder_stands_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        for _ in 0..200 {
            match decoder.next(true) {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
    }
}
