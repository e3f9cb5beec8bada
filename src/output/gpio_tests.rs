//! GPIO lines on a board that exists in memory only: levels are electrical, as on a real one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use embedded_hal::digital::{ErrorKind, ErrorType, InputPin};
use proptest::prelude::*;

use super::super::FieldInputs;
use super::super::board::Chip;
use super::*;
use crate::config::{ChipSpec, LineName};
use crate::message::{Cause, Feedback, FieldLevels, InputState, ResetPrompt};
use crate::units::MonotonicTime;
use OutputName::{Fault, Heartbeat, Reject, RunPermission, Warning};
use OutputState::{Active, Inactive};
use Polarity::{ActiveHigh, ActiveLow};

#[derive(Clone, Debug)]
struct FakeLine {
    level: PinState,
    consumer: Option<String>,
    broken: bool,
    /// Levels it was given as an output, the request's first.
    history: Vec<PinState>,
}

type Lines = BTreeMap<(PathBuf, u32), FakeLine>;

/// A board with one chip `relays` (8 lines, some with names) and one `buttons` (4 lines without).
#[derive(Clone, Debug)]
struct FakeBoard {
    chips: Vec<Chip>,
    lines: Arc<Mutex<Lines>>,
}

#[derive(Debug)]
struct FakeError;

impl fmt::Display for FakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the fake line is broken")
    }
}

impl embedded_hal::digital::Error for FakeError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

#[derive(Debug)]
struct FakePin {
    lines: Arc<Mutex<Lines>>,
    key: (PathBuf, u32),
}

impl FakePin {
    fn with<R>(&self, act: impl FnOnce(&mut FakeLine) -> R) -> R {
        act(self.lines.lock().unwrap().get_mut(&self.key).unwrap())
    }

    fn set(&self, level: PinState) -> Result<(), FakeError> {
        self.with(|line| {
            if line.broken {
                return Err(FakeError);
            }
            line.level = level;
            line.history.push(level);
            Ok(())
        })
    }
}

impl ErrorType for FakePin {
    type Error = FakeError;
}

impl OutputPin for FakePin {
    fn set_low(&mut self) -> Result<(), FakeError> {
        self.set(PinState::Low)
    }

    fn set_high(&mut self) -> Result<(), FakeError> {
        self.set(PinState::High)
    }
}

impl InputPin for FakePin {
    fn is_high(&mut self) -> Result<bool, FakeError> {
        self.with(|line| {
            if line.broken {
                Err(FakeError)
            } else {
                Ok(line.level == PinState::High)
            }
        })
    }

    fn is_low(&mut self) -> Result<bool, FakeError> {
        self.is_high().map(|high| !high)
    }
}

impl Drop for FakePin {
    fn drop(&mut self) {
        self.with(|line| line.consumer = None);
    }
}

fn path(number: u32) -> PathBuf {
    PathBuf::from(format!("/dev/gpiochip{number}"))
}

fn chip(number: u32, label: &str, names: &[Option<&str>]) -> Chip {
    let lines = names.iter().map(|name| Line {
        name: name.map(str::to_owned),
        usage: Usage::Free,
    });
    Chip {
        path: path(number),
        name: format!("gpiochip{number}"),
        label: label.to_owned(),
        lines: lines.collect(),
    }
}

impl FakeBoard {
    fn new() -> Self {
        let named = ["PERMIT", "LAMP", "PUSH", "FAULT", "BEAT", "TWICE", "TWICE"].map(Some);
        let mut relays = named.to_vec();
        relays.push(None);
        let chips = vec![chip(0, "relays", &relays), chip(1, "buttons", &[None; 4])];
        let board = Self {
            chips,
            lines: Arc::default(),
        };
        for chip in &board.chips {
            for (offset, _) in (0..).zip(&chip.lines) {
                let line = FakeLine {
                    level: PinState::Low,
                    consumer: None,
                    broken: false,
                    history: Vec::new(),
                };
                board.all().insert((chip.path.clone(), offset), line);
            }
        }
        board
    }

    fn all(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap()
    }

    fn line(&self, number: u32, offset: u32) -> FakeLine {
        self.all()[&(path(number), offset)].clone()
    }

    fn change(&self, number: u32, offset: u32, change: impl FnOnce(&mut FakeLine)) {
        change(self.all().get_mut(&(path(number), offset)).unwrap());
    }

    fn relay(&self, offset: u32) -> PinState {
        self.line(0, offset).level
    }

    fn request(&self, place: &Place<'_>, consumer: &str) -> Result<FakePin, String> {
        let key = (place.chip.path.clone(), place.offset);
        let mut lines = self.all();
        let line = lines.get_mut(&key).ok_or("no such line")?;
        if line.consumer.is_some() {
            return Err("EBUSY".to_owned());
        }
        line.consumer = Some(consumer.to_owned());
        drop(lines);
        let lines = Arc::clone(&self.lines);
        Ok(FakePin { lines, key })
    }
}

impl Board for FakeBoard {
    type Output = FakePin;
    type Input = FakePin;

    fn devices(&self) -> Vec<PathBuf> {
        self.chips.iter().map(|chip| chip.path.clone()).collect()
    }

    fn chip(&self, path: &Path) -> Result<Chip, OutputError> {
        let chip = self.chips.iter().find(|chip| chip.path == path);
        let mut chip = chip.cloned().ok_or_else(|| OutputError::NotPermitted {
            path: path.to_owned(),
            source: io::ErrorKind::PermissionDenied.into(),
        })?;
        for (offset, line) in (0..).zip(&mut chip.lines) {
            let now = self.all().get(&(path.to_owned(), offset)).cloned();
            if let Some(consumer) = now.and_then(|line| line.consumer) {
                line.usage = Usage::Used(Some(consumer));
            }
        }
        Ok(chip)
    }

    fn output(
        &self,
        place: &Place<'_>,
        level: PinState,
        consumer: &str,
    ) -> Result<FakePin, String> {
        let pin = self.request(place, consumer)?;
        pin.with(|line| {
            line.level = level;
            line.history.push(level);
        });
        Ok(pin)
    }

    fn input(&self, place: &Place<'_>, consumer: &str) -> Result<FakePin, String> {
        self.request(place, consumer)
    }
}

fn by_name(name: &str, polarity: Polarity) -> LineSpec {
    LineSpec {
        chip: ChipSpec::Label("relays".to_owned()),
        line: LineName::Name(name.to_owned()),
        polarity,
    }
}

fn button(offset: u32, polarity: Polarity) -> LineSpec {
    LineSpec {
        chip: ChipSpec::Path(path(1)),
        line: LineName::Offset(offset),
        polarity,
    }
}

/// Everything wired; run permission, reset and edm active high, pusher and mute active low.
fn config() -> GpioConfig {
    GpioConfig {
        run_permission: by_name("PERMIT", ActiveHigh),
        warning: Some(by_name("LAMP", ActiveHigh)),
        reject: Some(by_name("PUSH", ActiveLow)),
        fault: Some(by_name("FAULT", ActiveHigh)),
        heartbeat: Some(by_name("BEAT", ActiveHigh)),
        reset: Some(button(0, ActiveHigh)),
        edm: Some(button(1, ActiveHigh)),
        mute: Some(button(2, ActiveLow)),
        edm_within: Duration::from_millis(100),
        debounce: Duration::from_millis(20),
        mute_limit: Some(Duration::from_secs(10)),
    }
}

fn at(ms: u64) -> MonotonicTime {
    MonotonicTime::from_duration(Duration::from_millis(ms))
}

fn order(output: OutputName, state: OutputState) -> OutputChange {
    OutputChange {
        at: at(0),
        command: OutputCommand { output, state },
        cause: Cause::Reset,
    }
}

fn opened(board: &FakeBoard) -> (GpioOutput<FakePin>, GpioInputs<FakePin>) {
    open(board, &config()).unwrap()
}

fn complaint(board: &FakeBoard, edit: impl FnOnce(&mut GpioConfig)) -> String {
    let mut config = config();
    edit(&mut config);
    let error = open(board, &config).map(drop).unwrap_err();
    let free = board.all().values().all(|line| line.consumer.is_none());
    assert!(free, "every line is given back");
    assert!(
        board.all().values().all(|line| line.history.is_empty()),
        "a wrong configuration switches nothing"
    );
    error.to_string()
}

#[test]
fn every_output_is_inactive_from_its_first_moment_and_has_a_consumer_label() {
    let board = FakeBoard::new();
    let opened = opened(&board);
    let expected = [
        (PinState::Low, "andon run_permission"),
        (PinState::Low, "andon warning"),
        (PinState::High, "andon reject"),
        (PinState::Low, "andon fault"),
        (PinState::Low, "andon heartbeat"),
    ];
    for (offset, (level, consumer)) in (0..).zip(expected) {
        let line = board.line(0, offset);
        assert_eq!(line.history, [level], "{consumer}");
        assert_eq!(line.consumer.as_deref(), Some(consumer));
    }
    for (offset, consumer) in (0..).zip(["andon reset", "andon edm", "andon mute"]) {
        assert_eq!(board.line(1, offset).consumer.as_deref(), Some(consumer));
    }
    drop(opened);
}

#[test]
fn orders_reach_their_lines_with_their_polarity() {
    let board = FakeBoard::new();
    let (mut output, _inputs) = opened(&board);
    for (name, offset, active, inactive) in [
        (RunPermission, 0, PinState::High, PinState::Low),
        (Warning, 1, PinState::High, PinState::Low),
        (Reject, 2, PinState::Low, PinState::High),
        (Fault, 3, PinState::High, PinState::Low),
        (Heartbeat, 4, PinState::High, PinState::Low),
    ] {
        output.apply(&order(name, Active)).unwrap();
        assert_eq!(board.relay(offset), active, "{name:?}");
        output.apply(&order(name, Inactive)).unwrap();
        assert_eq!(board.relay(offset), inactive, "{name:?}");
    }
}

#[test]
fn an_output_that_is_not_wired_takes_orders_and_does_nothing() {
    let board = FakeBoard::new();
    let config = GpioConfig {
        reject: None,
        ..config()
    };
    let (mut output, _inputs) = open(&board, &config).unwrap();
    output.apply(&order(Reject, Active)).unwrap();
    assert!(board.line(0, 2).history.is_empty());
}

#[test]
fn dropping_drives_every_line_inactive_and_gives_it_back() {
    let board = FakeBoard::new();
    let (mut output, inputs) = opened(&board);
    for name in OutputName::ALL {
        output.apply(&order(name, Active)).unwrap();
    }
    board.change(0, 0, |line| line.broken = true);
    drop((output, inputs));
    let levels: Vec<_> = (1..5).map(|offset| board.relay(offset)).collect();
    use PinState::{High, Low};
    assert_eq!(
        levels,
        [Low, High, Low, Low],
        "one that fails stops no other"
    );
    assert!(board.all().values().all(|line| line.consumer.is_none()));
}

#[test]
fn a_panic_of_the_owner_drives_every_line_inactive() {
    let board = FakeBoard::new();
    let (mut output, _inputs) = opened(&board);
    let thread = std::thread::spawn(move || {
        output.apply(&order(RunPermission, Active)).unwrap();
        panic!("as planned");
    });
    assert!(thread.join().is_err());
    use PinState::{High, Low};
    assert_eq!(board.line(0, 0).history, [Low, High, Low]);
}

#[test]
fn after_a_line_has_failed_nothing_that_moves_is_switched_on_again() {
    let board = FakeBoard::new();
    let (mut output, _inputs) = opened(&board);
    for name in [RunPermission, Heartbeat, Reject] {
        output.apply(&order(name, Active)).unwrap();
    }
    board.change(0, 1, |line| line.broken = true);
    let error = output.apply(&order(Warning, Active)).unwrap_err();
    let told =
        "cannot drive output line warning: the fake line is broken; check wiring and [output]";
    assert_eq!(error.to_string(), told);
    let levels = [0, 4, 2].map(|offset| board.relay(offset));
    assert_eq!(levels, [PinState::Low, PinState::Low, PinState::High]);
    board.change(0, 1, |line| line.broken = false);
    for name in [RunPermission, Heartbeat, Reject] {
        assert!(output.apply(&order(name, Active)).is_err(), "{name:?}");
        assert!(output.apply(&order(name, Inactive)).is_ok(), "{name:?}");
    }
    assert_eq!(board.relay(0), PinState::Low);
    output.apply(&order(Fault, Active)).unwrap();
    assert_eq!(board.relay(3), PinState::High, "somebody has to be called");
}

#[test]
fn a_run_permission_that_cannot_be_taken_away_stops_the_heartbeat() {
    let board = FakeBoard::new();
    let (mut output, _inputs) = opened(&board);
    output.apply(&order(RunPermission, Active)).unwrap();
    output.apply(&order(Heartbeat, Active)).unwrap();
    board.change(0, 0, |line| line.broken = true);
    assert!(output.apply(&order(RunPermission, Inactive)).is_err());
    assert_eq!(board.relay(4), PinState::Low);
    assert!(output.apply(&order(Heartbeat, Active)).is_err());
}

/// Reads the inputs at these times; nothing else happens in between.
fn read(inputs: &mut GpioInputs<FakePin>, times: &[u64]) -> Vec<FieldLevels> {
    let read = |ms: &u64| inputs.read(at(*ms), ResetPrompt::Wait).unwrap();
    times.iter().map(read).collect()
}

#[test]
fn before_an_input_was_stable_it_proves_nothing() {
    let board = FakeBoard::new();
    let (_output, mut inputs) = opened(&board);
    // Nobody presses, the sensor sees nothing (low is active), the relay has dropped out.
    board.change(1, 1, |line| line.level = PinState::High);
    board.change(1, 2, |line| line.level = PinState::High);
    let levels = read(&mut inputs, &[0, 19, 20]);
    let unproven = FieldLevels {
        reset: InputState::Active,
        mute: InputState::Active,
        feedback: Feedback::Pending,
    };
    assert_eq!(levels, [unproven, unproven, FieldLevels::default()]);
}

#[test]
fn inputs_are_read_with_their_polarity() {
    let board = FakeBoard::new();
    let (_output, mut inputs) = opened(&board);
    read(&mut inputs, &[0, 20]);
    for (reset, mute) in [
        (PinState::High, PinState::Low),
        (PinState::Low, PinState::High),
    ] {
        board.change(1, 0, |line| line.level = reset);
        board.change(1, 2, |line| line.level = mute);
        let levels = read(&mut inputs, &[100, 120])[1];
        let expected = if reset == PinState::High {
            InputState::Active
        } else {
            InputState::Inactive
        };
        assert_eq!((levels.reset, levels.mute), (expected, expected));
    }
}

#[test]
fn the_feedback_contact_is_compared_with_what_was_ordered() {
    let board = FakeBoard::new();
    let (mut output, mut inputs) = opened(&board);
    let contact = |level| board.change(1, 1, |line| line.level = level);
    let mut feedback = |times: &[u64]| -> Vec<Feedback> {
        let levels = read(&mut inputs, times);
        levels.iter().map(|levels| levels.feedback).collect()
    };
    use Feedback::{Agrees, Disagrees, Pending};
    contact(PinState::High);
    assert_eq!(feedback(&[0, 20]), [Pending, Agrees]);
    output.apply(&order(RunPermission, Active)).unwrap();
    assert_eq!(feedback(&[100]), [Pending]);
    contact(PinState::Low);
    assert_eq!(feedback(&[130, 150]), [Pending, Agrees]);
    output.apply(&order(RunPermission, Inactive)).unwrap();
    assert_eq!(
        feedback(&[200, 300, 301]),
        [Pending, Pending, Disagrees],
        "welded"
    );
}

#[test]
fn an_input_that_cannot_be_read_is_named_and_stays_lost() {
    let board = FakeBoard::new();
    let (_output, mut inputs) = opened(&board);
    board.change(1, 1, |line| line.broken = true);
    let error = inputs.read(at(0), ResetPrompt::Wait).unwrap_err();
    let told = "cannot read input line edm: the fake line is broken; check wiring and [output]";
    assert_eq!(error.to_string(), told);
    board.change(1, 1, |line| line.broken = false);
    assert!(inputs.read(at(100), ResetPrompt::Wait).is_err());
}

#[test]
fn without_inputs_nobody_presses_and_the_feedback_agrees() {
    let board = FakeBoard::new();
    let config = GpioConfig {
        reset: None,
        edm: None,
        mute: None,
        ..config()
    };
    let (_output, mut inputs) = open(&board, &config).unwrap();
    assert_eq!(read(&mut inputs, &[0, 1000]), [FieldLevels::default(); 2]);
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let board = FakeBoard::new();
    let label = |label: &str| ChipSpec::Label(label.to_owned());
    assert_eq!(
        complaint(&board, |c| c.run_permission.chip = label("relais")),
        "output.lines.run_permission: there is no gpiochip relais; there are /dev/gpiochip0 [relays], /dev/gpiochip1 [buttons]"
    );
    assert_eq!(
        complaint(&board, |c| c.edm = Some(LineSpec {
            chip: ChipSpec::Path(path(7)),
            ..button(0, ActiveHigh)
        })),
        "output.inputs.edm: there is no gpiochip /dev/gpiochip7; there are /dev/gpiochip0 [relays], /dev/gpiochip1 [buttons]"
    );
    assert_eq!(
        complaint(&board, |c| c.reject = Some(by_name("SHOVE", ActiveHigh))),
        "output.lines.reject: gpiochip /dev/gpiochip0 [relays] has no line \"SHOVE\"; its lines are PERMIT, LAMP, PUSH, FAULT, BEAT, TWICE, TWICE"
    );
    assert_eq!(
        complaint(&board, |c| c.mute = Some(LineSpec {
            chip: label("buttons"),
            ..by_name("M", ActiveHigh)
        })),
        "output.inputs.mute: gpiochip /dev/gpiochip1 [buttons] has no line \"M\"; its 4 lines have no names, use an offset"
    );
    assert_eq!(
        complaint(&board, |c| c.mute = Some(button(4, ActiveHigh))),
        "output.inputs.mute: gpiochip /dev/gpiochip1 [buttons] has no line 4; it has 4, counted from 0"
    );
}

#[test]
fn a_machine_without_chips_says_so() {
    let mut board = FakeBoard::new();
    board.chips.clear();
    let told = "output.lines.run_permission: there is no gpiochip relays; this machine shows none";
    assert_eq!(complaint(&board, |_| {}), told);
}

/// A board with a chip that may not be opened.
#[derive(Debug)]
struct Guarded(FakeBoard);

impl Board for Guarded {
    type Output = FakePin;
    type Input = FakePin;

    fn devices(&self) -> Vec<PathBuf> {
        vec![path(5)]
    }

    fn chip(&self, path: &Path) -> Result<Chip, OutputError> {
        self.0.chip(path)
    }

    fn output(&self, _: &Place<'_>, _: PinState, _: &str) -> Result<FakePin, String> {
        unreachable!("no chip can be opened")
    }

    fn input(&self, _: &Place<'_>, _: &str) -> Result<FakePin, String> {
        unreachable!("no chip can be opened")
    }
}

#[test]
fn a_chip_that_may_not_be_opened_is_told() {
    let error = open(&Guarded(FakeBoard::new()), &config())
        .map(drop)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "output.lines.run_permission: there is no gpiochip relays; this machine shows none; may not open /dev/gpiochip5: permission denied; add the user to the group that owns it (often gpio)"
    );
}

#[test]
fn what_could_mean_two_things_is_refused() {
    let mut board = FakeBoard::new();
    assert_eq!(
        complaint(&board, |c| c.reject = Some(by_name("TWICE", ActiveHigh))),
        "output.lines.reject: lines 5, 6 of gpiochip /dev/gpiochip0 [relays] are all called \"TWICE\"; name one of them by its offset"
    );
    assert_eq!(
        complaint(&board, |c| c.reject = Some(LineSpec {
            chip: ChipSpec::Path(path(0)),
            line: LineName::Offset(0),
            polarity: ActiveLow
        })),
        "output.lines.reject and output.lines.run_permission are the same line, line 0 (\"PERMIT\") of /dev/gpiochip0 [relays]; give each a line of its own"
    );
    board.chips[1].label = "relays".to_owned();
    assert_eq!(
        complaint(&board, |_| {}),
        "output.lines.run_permission: /dev/gpiochip0, /dev/gpiochip1 all have the label relays; name one of them by its device"
    );
}

#[test]
fn a_link_beside_a_device_is_not_another_chip() {
    let mut board = FakeBoard::new();
    let mut link = board.chips[0].clone();
    link.path = path(4);
    board.chips.push(link);
    assert!(open(&board, &config()).is_ok());
}

#[test]
fn a_line_in_use_is_told_with_its_user() {
    let board = FakeBoard::new();
    let running = opened(&board);
    let error = open(&board, &config()).map(drop).unwrap_err();
    assert_eq!(
        error.to_string(),
        "output.lines.run_permission: line 0 (\"PERMIT\") of /dev/gpiochip0 [relays] is in use by \"andon run_permission\"; end it, or choose another line"
    );
    drop(running);
    assert!(open(&board, &config()).is_ok(), "given back");
}

#[test]
fn a_line_that_is_refused_leaves_those_taken_before_inactive() {
    let board = FakeBoard::new();
    // Somebody takes the line between the look and the request.
    #[derive(Debug)]
    struct Racing(FakeBoard);
    impl Board for Racing {
        type Output = FakePin;
        type Input = FakePin;
        fn devices(&self) -> Vec<PathBuf> {
            self.0.devices()
        }
        fn chip(&self, path: &Path) -> Result<Chip, OutputError> {
            self.0.chip(path)
        }
        fn output(&self, place: &Place<'_>, level: PinState, c: &str) -> Result<FakePin, String> {
            self.0.output(place, level, c)
        }
        fn input(&self, _: &Place<'_>, _: &str) -> Result<FakePin, String> {
            Err("EBUSY".to_owned())
        }
    }
    let error = open(&Racing(board.clone()), &config())
        .map(drop)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "output.inputs.reset: cannot request line 0 of /dev/gpiochip1 [buttons]: EBUSY"
    );
    assert_eq!(board.relay(0), PinState::Low);
    assert!(board.all().values().all(|line| line.consumer.is_none()));
}

#[test]
fn outputs_off_drives_what_it_can_and_tells_the_rest() {
    let board = FakeBoard::new();
    for offset in 0..5 {
        board.change(0, offset, |line| line.level = PinState::High);
    }
    board.change(0, 2, |line| line.level = PinState::Low);
    board.change(0, 4, |line| line.consumer = Some("somebody".to_owned()));
    let (done, errors) = outputs_off(&board, &config());
    assert_eq!(done, [RunPermission, Warning, Reject, Fault]);
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "output.lines.heartbeat: line 4 (\"BEAT\") of /dev/gpiochip0 [relays] is in use by \"somebody\"; end it, or choose another line"
        ]
    );
    use PinState::{High, Low};
    assert_eq!(
        [0, 1, 2, 3].map(|offset| board.relay(offset)),
        [Low, Low, High, Low]
    );
    assert!(board.line(1, 0).consumer.is_none(), "inputs are left alone");
}

proptest! {
    /// Whatever is ordered and whatever breaks: a line is active only if its last order said so, and
    /// once an order failed nothing that moves becomes active again.
    #[test]
    fn a_line_is_active_only_by_order_and_never_after_a_failure(
        steps in prop::collection::vec((0_usize..5, any::<bool>(), prop::option::weighted(0.1, 0_u32..5)), 1..40),
    ) {
        let board = FakeBoard::new();
        let (mut output, _inputs) = opened(&board);
        let mut ordered = [Inactive; 5];
        let mut failed = false;
        for (index, active, breaks) in steps {
            if let Some(offset) = breaks {
                board.change(0, offset, |line| line.broken = !line.broken);
            }
            let name = OutputName::ALL[index];
            let state = if active { Active } else { Inactive };
            let before = (0..5).map(|offset| board.relay(offset)).collect::<Vec<_>>();
            match output.apply(&order(name, state)) {
                Ok(()) => ordered[index] = state,
                Err(_) => failed = true,
            }
            for (i, (offset, name)) in (0_u32..).zip(OutputName::ALL).enumerate() {
                let active = if name == Reject { PinState::Low } else { PinState::High };
                let is_active = board.relay(offset) == active;
                let broken = board.line(0, offset).broken;
                prop_assert!(!is_active || ordered[i] == Active || broken, "{name:?}");
                if failed && moves_something(name) && !broken {
                    prop_assert!(!is_active || before[i] == active, "{name:?} became active after a failure");
                }
            }
        }
    }
}
