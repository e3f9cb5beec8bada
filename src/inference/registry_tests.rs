#![allow(clippy::unwrap_used, reason = "a failure is the message")]

use super::*;
use std::fs;

const DETECTOR: &str = "detector_coco_ssd_300_int8";

/// A copy of the shipped models that may be damaged.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        REGISTRY_FILE,
        "coco_labels.txt",
        "detector_coco_ssd_300_int8.tflite",
    ] {
        fs::copy(Path::new("models").join(name), folder.path().join(name)).unwrap();
    }
    folder
}

fn named(name: &str) -> ModelRef {
    ModelRef::Named(name.to_owned())
}

fn error(folder: &Path, model: &ModelRef) -> String {
    load_model(folder, model).unwrap_err().to_string()
}

#[test]
fn a_listed_model_comes_with_its_labels() {
    let file = load_model(Path::new("models"), &named(DETECTOR)).unwrap();
    assert_eq!(file.name, DETECTOR);
    assert_eq!(file.labels.names()[0], "person");
    assert_eq!(file.sha256, sha256_hex(&file.bytes));
}

#[test]
fn an_unknown_name_lists_the_known_ones() {
    let error = error(Path::new("models"), &named("detectr"));
    assert!(
        error.contains("detectr") && error.contains(DETECTOR),
        "{error}"
    );
}

#[test]
fn one_flipped_bit_is_refused_by_name_and_by_path() {
    let folder = copy();
    let path = folder.path().join("detector_coco_ssd_300_int8.tflite");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    for model in [named(DETECTOR), ModelRef::File(path.clone())] {
        let error = error(folder.path(), &model);
        assert!(
            error.contains("sha256") && error.contains("detector_coco"),
            "{error}"
        );
    }
}

#[test]
fn changed_labels_are_refused() {
    let folder = copy();
    fs::write(folder.path().join("coco_labels.txt"), "0 nobody\n").unwrap();
    let error = error(folder.path(), &named(DETECTOR));
    assert!(
        error.contains("coco_labels.txt") && error.contains("sha256"),
        "{error}"
    );
}

#[test]
fn missing_files_are_named() {
    let folder = copy();
    fs::remove_file(folder.path().join("detector_coco_ssd_300_int8.tflite")).unwrap();
    assert!(error(folder.path(), &named(DETECTOR)).contains("detector_coco_ssd_300_int8.tflite"));
    fs::remove_file(folder.path().join(REGISTRY_FILE)).unwrap();
    assert!(error(folder.path(), &named(DETECTOR)).contains(REGISTRY_FILE));
}

#[test]
fn a_path_works_without_a_list_when_labels_are_beside_it() {
    let folder = copy();
    fs::remove_file(folder.path().join(REGISTRY_FILE)).unwrap();
    let path = folder.path().join("mine.tflite");
    fs::rename(
        folder.path().join("detector_coco_ssd_300_int8.tflite"),
        &path,
    )
    .unwrap();
    let model = ModelRef::File(path);
    assert_eq!(load_model(folder.path(), &model).unwrap().name, "mine");
    fs::remove_file(folder.path().join("coco_labels.txt")).unwrap();
    assert!(error(folder.path(), &model).contains("mine_labels.txt"));
    fs::write(folder.path().join("mine_labels.txt"), "0 person\n1 apple\n").unwrap();
    assert_eq!(
        load_model(folder.path(), &model)
            .unwrap()
            .labels
            .names()
            .len(),
        2
    );
}

#[test]
fn a_truncated_model_outside_the_list_is_refused() {
    let folder = copy();
    let bytes = fs::read(folder.path().join("detector_coco_ssd_300_int8.tflite")).unwrap();
    let path = folder.path().join("half.tflite");
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = error(folder.path(), &ModelRef::File(path));
    assert!(
        error.contains("half.tflite") && error.contains("cut short"),
        "{error}"
    );
}

#[test]
fn a_list_of_another_layout_or_with_paths_is_refused() {
    let folder = copy();
    let list = folder.path().join(REGISTRY_FILE);
    let text = fs::read_to_string(&list).unwrap();
    fs::write(&list, text.replacen("schema = 1\n", "schema = 2\n", 1)).unwrap();
    assert!(error(folder.path(), &named(DETECTOR)).contains("schema"));
    fs::write(&list, text.replace("file = \"det", "file = \"../det")).unwrap();
    assert!(error(folder.path(), &named(DETECTOR)).contains("plain file name"));
    fs::write(&list, "schema = ").unwrap();
    assert!(error(folder.path(), &named(DETECTOR)).contains(REGISTRY_FILE));
}
