#![allow(clippy::unwrap_used, reason = "a failure is the message")]

use std::io::Write as _;
use std::path::PathBuf;

use super::*;
use crate::config::EngineChoice;
use crate::inference::TensorView;
use crate::preprocess::TensorMut;
use crate::tpu::test_models;
use crate::tpu::usb::fake::{FakeHost, expected_outputs, port};
use crate::tpu::usb::transport::{PortPath, Speed};
use crate::tpu::usb::{Sockets, Usb};

fn model_file(name: &str) -> Option<ModelFile> {
    let path = test_models::folder()?.join("models").join(name);
    Some(ModelFile::read(&path).unwrap())
}

/// An engine on one device that follows the hints of these models.
fn engine(models: &[&str], on_loss: OnTpuLoss) -> Option<(EdgeTpuEngine, FakeHost)> {
    let packages = models
        .iter()
        .map(|name| test_models::package(name).map(Arc::new));
    let host = FakeHost::new(Speed::Super, packages.collect::<Option<_>>()?);
    let mut firmware = tempfile::NamedTempFile::new().unwrap();
    firmware.write_all(&[0x5a; 1_000]).unwrap();
    let (_, path) = firmware.keep().unwrap();
    let usb = Usb::new(
        Box::new(host.clone()),
        port(),
        UsbOptions {
            firmware: path.clone(),
            ..UsbOptions::default()
        },
    );
    let pool = Pool::new(vec![Supervised::new(Box::new(usb), Limits::default())]).unwrap();
    let config = EngineConfig {
        engine: EngineChoice::EdgeTpu,
        threads: 1,
        on_tpu_loss: on_loss,
        ..EngineConfig::default()
    };
    let engine = EdgeTpuEngine::new(pool, &config, OtherModels::Refused).unwrap();
    // Only the first start needs it: these tests do not replug without asking.
    if on_loss == OnTpuLoss::Stop {
        std::fs::remove_file(path).unwrap();
    }
    Some((engine, host))
}

const CLASSIFIER: &str = "classifier_edgetpu.tflite";

/// The fake chip's scores for an input.
fn expected(input: &[u8]) -> Vec<u8> {
    let package = test_models::package(CLASSIFIER).unwrap();
    expected_outputs(&package.main, &[input]).remove(0)
}

#[test]
fn a_compiled_classifier_runs_through_the_driver() {
    let Some((engine, host)) = engine(&[CLASSIFIER], OnTpuLoss::Stop) else {
        return;
    };
    let mut model = engine.load(model_file(CLASSIFIER).unwrap()).unwrap();
    let TensorMut::U8(input) = model.input_mut() else {
        unreachable!("the classifier takes uint8")
    };
    for (at, byte) in input.iter_mut().enumerate() {
        *byte = u8::try_from(at % 253).unwrap();
    }
    let sent: Vec<u8> = input.to_vec();
    model.invoke().unwrap();
    assert_eq!(host.world().inputs.last(), Some(&sent));
    let Some(TensorView::U8(scores)) = model.output(0) else {
        unreachable!("the classifier puts out uint8")
    };
    assert_eq!(scores, expected(&sent));
    assert_eq!(model.outputs().len(), 1);
    assert_eq!(host.world().uploads, 1);
    assert!(
        engine.description().contains("USB 3 1-2"),
        "{}",
        engine.description()
    );
}

#[test]
fn without_its_device_a_model_fails_at_once() {
    let Some((engine, host)) = engine(&[CLASSIFIER], OnTpuLoss::Stop) else {
        return;
    };
    let mut model = engine.load(model_file(CLASSIFIER).unwrap()).unwrap();
    while engine.take_event().is_some() {}
    host.world().unplug();
    for _ in 0..5 {
        let before = host.world().now;
        let error = model.invoke().unwrap_err().to_string();
        assert!(
            error.contains("Edge TPU") || error.contains("disconnected"),
            "{error}"
        );
        assert!(host.world().now - before < Duration::from_millis(200));
    }
    let event = engine.take_event().unwrap();
    assert!(event.contains("usb 1-2"), "{event}");
}

#[test]
fn with_on_tpu_loss_cpu_the_counterpart_runs_until_it_is_back() {
    let Some((engine, host)) = engine(&[CLASSIFIER], OnTpuLoss::Cpu) else {
        return;
    };
    let file = model_file(CLASSIFIER).unwrap();
    let twin = twin_of(&file).unwrap();
    let mut model = engine.load(file).unwrap();
    let mut cpu = CpuEngine::new(1).load(twin).unwrap();
    for model in [&mut model, &mut cpu] {
        match model.input_mut() {
            TensorMut::U8(input) => input.fill(90),
            TensorMut::I8Bits(input) => input.fill(90 ^ 0x80),
            TensorMut::F32(_) => unreachable!("the classifier takes bytes"),
        }
    }
    cpu.invoke().unwrap();
    host.world().unplug();
    model.invoke().unwrap();
    let events = || std::iter::from_fn(|| engine.take_event()).collect::<Vec<_>>();
    let says = |events: &[String], words: &str| events.iter().any(|event| event.contains(words));
    assert_eq!(model.processor(), Processor::Cpu);
    let told = events();
    assert!(says(&told, "runs on the CPU until"), "{told:?}");
    assert!(engine.description_of(Processor::Cpu).contains("CPU"));
    let scores = |model: &dyn Model| match model.output(0) {
        Some(TensorView::U8(scores)) => scores.to_vec(),
        other => unreachable!("{other:?}"),
    };
    assert_eq!(scores(model.as_ref()), scores(cpu.as_ref()));
    for _ in 0..100 {
        model.invoke().unwrap();
        engine.tick();
        host.world().now += Duration::from_millis(100);
    }
    assert_eq!(model.processor(), Processor::EdgeTpu);
    let told = events();
    assert!(says(&told, "runs on an Edge TPU again"), "{told:?}");
    let bytes = model.input().shape.iter().product();
    let sent = vec![90; bytes];
    assert_eq!(scores(model.as_ref()), expected(&sent));
}

#[test]
fn a_model_that_is_not_compiled_says_that_it_runs_on_the_cpu() {
    let Some((mut engine, _)) = engine(&[CLASSIFIER], OnTpuLoss::Stop) else {
        return;
    };
    engine.others = OtherModels::OnCpu;
    while engine.take_event().is_some() {}
    let model = engine
        .load(model_file("classifier.tflite").unwrap())
        .unwrap();
    assert_eq!(model.processor(), Processor::Cpu);
    assert!(engine.take_event().unwrap().contains("runs on the CPU"));
}

#[test]
fn what_an_edge_tpu_cannot_do_is_refused_by_name() {
    let Some((engine, _)) = engine(&[CLASSIFIER], OnTpuLoss::Stop) else {
        return;
    };
    let error = engine
        .load(model_file("classifier.tflite").unwrap())
        .unwrap_err();
    assert!(error.to_string().contains("not compiled"), "{error}");
    let path = test_models::folder().unwrap().join("models");
    let name = "deeplabv3_mnv2_dm05_pascal_quant_edgetpu.tflite";
    let file = ModelFile::new(
        name.to_owned(),
        path.join(name),
        std::fs::read(path.join(name)).unwrap(),
        crate::inference::Labels::parse(&PathBuf::from("x"), "a\n").unwrap(),
    );
    let error = engine.load(file.unwrap()).unwrap_err().to_string();
    assert!(error.contains("RESIZE_BILINEAR"), "{error}");
}

#[test]
fn the_description_follows_an_accelerator_that_was_moved_to_another_socket() {
    let options = test_models::made_options(
        &[("picture", &[1, 5, 5, 3], 3)],
        &[("scores", &[1, 11], 3)],
        7,
        1,
    );
    let package = Arc::new(crate::tpu::package::Package::from_custom_options(&options).unwrap());
    let host = FakeHost::new(Speed::Super, vec![Arc::clone(&package)]);
    let firmware = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(firmware.path(), [0x5a; 1_000]).unwrap();
    let options = UsbOptions {
        firmware: firmware.path().to_owned(),
        ..UsbOptions::default()
    };
    let usb = Usb::new(Box::new(host.clone()), port(), options).among(&Sockets::default());
    let pool = Pool::new(vec![Supervised::new(Box::new(usb), Limits::default())]).unwrap();
    let config = EngineConfig::default();
    let engine = EdgeTpuEngine::new(pool, &config, OtherModels::Refused).unwrap();
    let model = engine.pool.lock().load(&package).unwrap();
    let run = || {
        let layer = package.main.outputs[0].actual_bytes();
        let mut outputs = [vec![0; layer]];
        engine.pool.lock().run(model, &[&[9; 75]], &mut outputs)
    };
    run().unwrap();
    assert_eq!(engine.description(), "Edge TPU, USB 3 1-2, 500 MHz");
    {
        let mut world = host.world();
        world.unplug();
        world.port = PortPath("2-4".to_owned());
    }
    run().unwrap_err();
    for _ in 0..100 {
        engine.tick();
        host.world().now += Duration::from_millis(100);
    }
    run().unwrap();
    let moved = "Edge TPU, USB 3 2-4, 500 MHz";
    assert_eq!(engine.description(), moved);
    assert_eq!(engine.description_of(Processor::EdgeTpu), moved);
}
