use super::*;

fn model(name: &str, task: &str, bytes: u64, cpu_ms: u64, tpu_ms: Option<f64>) -> ModelRow {
    ModelRow {
        name: name.to_owned(),
        task: task.to_owned(),
        training_set: Some("COCO".to_owned()),
        input: [300, 300],
        bytes,
        on_chip: on_chip(bytes, None),
        cpu: vec![CpuCost {
            threads: 1,
            inference: Duration::from_millis(cpu_ms),
            preprocess: Duration::ZERO,
            fastest: Duration::from_millis(cpu_ms),
        }],
        cpu_reason: None,
        tpu: tpu_ms.map(|milliseconds| TpuCost {
            milliseconds,
            published: Some("a page".to_owned()),
        }),
        accuracy: None,
    }
}

fn rates(safety: f64, inspection: f64) -> [Rate; 2] {
    [safety, inspection].map(|fps| Rate {
        fps,
        assumed: false,
    })
}

/// What would be printed of these models, for cameras of 10 and 25 frames a second.
fn table(models: Vec<ModelRow>, crops: f64) -> ModelsTable {
    let rates = rates(10.0, 25.0);
    ModelsTable {
        engine: "CPU".to_owned(),
        pairs: pairs(&models, rates, crops),
        rates,
        crops,
        models,
    }
}

#[test]
fn what_the_compiler_said_goes_before_the_estimate() {
    let estimate = on_chip(1_000_000, None);
    assert_eq!((estimate.bytes, estimate.estimate), (1_110_000, true));
    let listed = ListedTpu {
        on_chip_bytes: Some(2_496_832),
        streamed_bytes: Some(598_080),
        published_ms: None,
        source: None,
    };
    let said = on_chip(3_281_456, Some(&listed));
    let expected = OnChip {
        bytes: 2_496_832,
        streamed_bytes: 598_080,
        estimate: false,
        token: None,
    };
    assert_eq!(said, expected);
}

#[test]
fn two_streams_of_30_with_one_crop_take_what_they_are_known_to_take() {
    let models = [
        model("d", "detection", 5_343_248, 4, Some(9.0)),
        model("c", "classification", 969_664, 2, Some(2.6)),
    ];
    let pairs = pairs(&models, rates(30.0, 30.0), 1.0);
    let [pair] = pairs.as_slice() else {
        unreachable!("one detector and one classifier: {pairs:?}");
    };
    assert!((pair.inferences_per_second - 90.0).abs() < 1e-9);
    // 60 detections and 30 grades a second: 62 % of one TPU with Coral's figures.
    let share = pair.tpu_load.map(|load| load.share).unwrap_or_default();
    assert!((share - 0.618).abs() < 1e-9, "{share}");
    assert!((pair.cpu_load.unwrap_or_default() - 0.30).abs() < 1e-9);
    assert_eq!(pair.fits, Fits::Yes, "{pair:?}");
}

#[test]
fn a_pair_that_streams_or_is_too_large_does_not_fit() {
    let mut models = [
        model("d", "detection", 5_343_248, 4, None),
        model("c", "classification", 3_000_000, 2, None),
    ];
    let fits = |models: &[ModelRow]| {
        pairs(models, rates(30.0, 30.0), 1.0)
            .iter()
            .all(|pair| pair.fits == Fits::Yes)
    };
    assert!(!fits(&models));
    models[1].on_chip.bytes = 500_000;
    assert!(fits(&models));
    models[1].on_chip.streamed_bytes = 1;
    assert!(!fits(&models));
}

#[test]
fn models_that_were_compiled_apart_do_not_fit_together() {
    let compiled = |token: Option<u64>| OnChip {
        bytes: 1_000_000,
        streamed_bytes: 0,
        estimate: token.is_none(),
        token,
    };
    assert_eq!(fits(compiled(Some(7)), compiled(Some(7))), Fits::Yes);
    assert_eq!(fits(compiled(Some(7)), compiled(Some(8))), Fits::Apart);
    assert_eq!(fits(compiled(Some(0)), compiled(Some(0))), Fits::Apart);
    assert_eq!(fits(compiled(Some(7)), compiled(None)), Fits::Yes);
    let mut models = [
        model("d", "detection", 1_000_000, 4, None),
        model("c", "classification", 1_000_000, 2, None),
    ];
    models[0].on_chip = compiled(Some(7));
    models[1].on_chip = compiled(Some(8));
    let table = table(models.to_vec(), 1.0);
    assert!(
        table
            .table()
            .contains("apart: compiled, but not in one call")
    );
    assert!(table.to_json().contains(r#""fits": "apart""#));
}

#[test]
fn a_configured_file_outside_the_list_is_compared_with_what_its_card_says() {
    let folder = std::env::temp_dir().join(format!("andon-bench-models-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    for name in ["parts.tflite", "parts_edgetpu.tflite"] {
        std::fs::write(folder.join(name), b"x").expect("written");
    }
    let registry = Registry::read(Path::new("models")).expect("the shipped list");
    let bare = outside(&folder.join("parts.tflite"));
    assert_eq!(bare.name, "parts");
    assert_eq!(
        bare.compiled,
        Some(ModelRef::File(folder.join("parts_edgetpu.tflite")))
    );
    assert!(bare.listed.training_set.is_none());

    let card = std::fs::read_to_string("models/models.toml").expect("the shipped list");
    let card = card.replace("classifier_apple_224_int8.tflite", "parts.tflite");
    std::fs::write(folder.join("models.toml"), card).expect("written");
    for name in ["parts.tflite", "parts_edgetpu.tflite"] {
        let found = outside(&folder.join(name));
        assert_eq!(found.name, "parts");
        assert_eq!(found.cpu, Some(ModelRef::File(folder.join("parts.tflite"))));
        assert!(found.listed.accuracy.is_some());
        assert!(found.has(&registry, &folder.join("parts_edgetpu.tflite")));
        assert!(!found.has(&registry, &folder.join("other.tflite")));
    }
    std::fs::remove_dir_all(folder).expect("removed");

    let shipped = Path::new("models/classifier_apple_224_int8.tflite");
    assert!(
        candidates(&registry)
            .iter()
            .any(|known| known.has(&registry, shipped))
    );
}

#[test]
fn a_busy_machine_is_said() {
    let mut models = vec![model("d", "detection", 5_343_248, 9, None)];
    let table = |models: &[ModelRow]| ModelsTable {
        engine: "CPU".to_owned(),
        rates: rates(10.0, 25.0),
        crops: 1.0,
        models: models.to_vec(),
        pairs: Vec::new(),
    };
    assert!(!table(&models).table().contains("other things to do"));
    models[0].cpu[0].fastest = Duration::from_millis(4);
    let text = table(&models).table();
    assert!(
        text.contains("9.0! (1)") && text.contains("other things to do"),
        "{text}"
    );
}

#[test]
fn the_table_marks_what_was_not_measured() {
    let mut bare = model("bare", "classification", 1_000_000, 2, None);
    bare.cpu.clear();
    bare.cpu_reason = Some("only the compiled file is here".to_owned());
    let models = vec![model("d", "detection", 5_343_248, 4, Some(7.3)), bare];
    let table = table(models, 2.0);
    let text = table.table();
    for part in [
        "7.3†",
        "~5.66 MiB",
        "† d: a page",
        "only the compiled file",
        "4.0 (1)",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let json: serde_json::Value = serde_json::from_str(&table.to_json()).expect("JSON");
    assert_eq!(json["models"][0]["tpu"]["published"], true);
    assert_eq!(json["pairs"][0]["inferences_per_second"], 85.0);
    assert_eq!(json["pairs"][0]["cpu_load"], serde_json::Value::Null);
}
