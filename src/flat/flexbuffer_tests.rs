#![allow(clippy::unwrap_used, reason = "a failure is the message")]

use proptest::prelude::*;

use super::*;

/// The options of the shipped detector, byte for byte.
const SHIPPED: &[u8] = b"max_detections\0max_classes_per_detection\0num_classes\0nms_score_threshold\0\
nms_iou_threshold\0y_scale\0x_scale\0h_scale\0w_scale\0use_regular_nms\0\
\x0a\x21\x7e\x8e\x46\x5b\x68\x17\x20\x31\x3a\x00\x00\x0c\x00\x00\x00\x01\x00\x00\x00\x0a\x00\x00\x00\
\x00\x00\xa0\x40\x01\x00\x00\x00\x32\x00\x00\x00\x9a\x99\x19\x3f\xcd\xcc\xcc\x3d\x5a\x00\x00\x00\
\x00\x00\x00\x00\x00\x00\xa0\x40\x00\x00\x20\x41\x00\x00\x20\x41\
\x0e\x06\x06\x0e\x0e\x06\x06\x0e\x0e\x0e\x32\x26\x01";

/// `{"a": value}` with a value of one byte.
fn tiny(kind: u8, value: u8) -> Vec<u8> {
    // Key, keys (length, offset back to the key), map (offset back to the keys, their width, length,
    // value, type), root (offset back to the value, type, width).
    let packed = kind << 2;
    vec![b'a', 0, 1, 3, 1, 1, 1, value, packed, 2, kind::MAP << 2, 1]
}

#[test]
fn the_shipped_options_are_read() {
    let map = Map::root(SHIPPED).unwrap();
    let number = |key| map.number(key).unwrap();
    assert_eq!(number("max_detections"), Some(Number::Int(50)));
    assert_eq!(number("num_classes"), Some(Number::Int(90)));
    assert_eq!(number("y_scale"), Some(Number::Float(10.0)));
    assert_eq!(
        number("nms_score_threshold"),
        Some(Number::Float(f64::from(0.1_f32)))
    );
    assert_eq!(number("use_regular_nms"), Some(Number::Int(0)));
    assert_eq!(number("detections_per_class"), None);
    assert_eq!(number("max_detection"), None);
}

#[test]
fn types_are_kept_apart() {
    let number = |kind, value| {
        let bytes = tiny(kind, value);
        Map::root(&bytes).unwrap().number("a")
    };
    assert_eq!(number(kind::INT, 0xff), Ok(Some(Number::Int(-1))));
    assert_eq!(number(kind::UINT, 0xff), Ok(Some(Number::Int(255))));
    assert_eq!(number(kind::BOOL, 1), Ok(Some(Number::Int(1))));
    assert_eq!(number(kind::NULL, 7), Ok(None));
    // Seven back from position 7 stands the key's first letter.
    assert_eq!(number(kind::INDIRECT_UINT, 7), Ok(Some(Number::Int(97))));
    for (kind, value) in [
        (kind::FLOAT, 1),          // no float has one byte
        (kind::INDIRECT_FLOAT, 7), // nor here
        (kind::MAP, 1),
        (5, 7),
        (63, 0),
    ] {
        let found = number(kind, value);
        assert!(
            matches!(found, Err(FlexbufferError::NotANumber { .. })),
            "{kind}: {found:?}"
        );
    }
    assert!(number(kind::INDIRECT_UINT, 8).is_err());
}

#[test]
fn what_is_no_map_is_refused() {
    for bytes in [&b""[..], b"\x01", b"\x24\x01", b"\x05\x04\x01", &[0xff; 40]] {
        assert!(Map::root(bytes).is_err(), "{bytes:?}");
    }
    let mut bytes = SHIPPED.to_vec();
    // The keys are found by bisection; `h_scale` as `z_scale` is out of order.
    let at = bytes.windows(7).position(|w| w == b"h_scale").unwrap();
    bytes[at] = b'z';
    assert_eq!(Map::root(&bytes).unwrap_err(), FlexbufferError::Keys);
}

#[test]
fn no_shortened_options_are_read() {
    for start in 1..SHIPPED.len() {
        let map = Map::root(&SHIPPED[..start]);
        assert!(map.is_err(), "the first {start} bytes");
    }
}

proptest! {
    #[test]
    fn damaged_options_never_panic(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = SHIPPED.to_vec();
        for (index, value) in damage {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(map) = Map::root(&bytes) {
            for key in ["max_detections", "h_scale", "use_regular_nms"] {
                let _ = map.number(key);
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 2..60)) {
        let end = bytes.len() - 2;
        bytes[end] = kind::MAP << 2 | bytes[end] & 3;
        bytes[end + 1] = 1 << (bytes[end + 1] & 3);
        if let Ok(map) = Map::root(&bytes) {
            let keys = map.keys.clone();
            for key in keys {
                let _ = map.number(&String::from_utf8_lossy(key));
            }
        }
    }
}
