use super::*;

/// What happens to the display, and what must come of it.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Asked what is due.
    Due(Todo),
    /// Asked, and the kernel spoke of a card.
    DueChanged(Todo),
    Lit(Told),
    NoMonitor(Told),
    NoCard(Told),
    Taken(Told),
    NoFlip(Told),
}

/// News.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Lost,
    Shown,
    /// After so many milliseconds.
    Back(u64),
}

fn at(ms: u64) -> MonotonicTime {
    MonotonicTime::from_duration(Duration::from_millis(ms))
}

fn told(news: Option<DisplayNews>) -> Told {
    match news {
        None => Told::Nothing,
        Some(DisplayNews::Lost(_)) => Told::Lost,
        Some(DisplayNews::Shown { after: None, .. }) => Told::Shown,
        Some(DisplayNews::Shown {
            after: Some(after), ..
        }) => Told::Back(u64::try_from(after.as_millis()).expect("short")),
    }
}

fn play(name: &str, steps: &[(u64, Step)]) {
    let mut watch = Watch::new(at(0));
    for (ms, step) in steps {
        let now = at(*ms);
        let lost = |watch: &mut Watch, loss| told(watch.lost(now, loss));
        let (got, expected) = match *step {
            Step::Due(todo) => {
                assert_eq!(watch.due(now, false), todo, "{name} at {ms} ms");
                continue;
            }
            Step::DueChanged(todo) => {
                assert_eq!(watch.due(now, true), todo, "{name} at {ms} ms");
                continue;
            }
            Step::Lit(expected) => (told(watch.lit(now, "HDMI-A-1")), expected),
            Step::NoMonitor(expected) => (
                lost(&mut watch, Loss::Monitor("no monitor".to_owned())),
                expected,
            ),
            Step::NoCard(expected) => (lost(&mut watch, Loss::Card("gone".to_owned())), expected),
            Step::Taken(expected) => (
                lost(&mut watch, Loss::Master("another".to_owned())),
                expected,
            ),
            Step::NoFlip(expected) => (lost(&mut watch, Loss::Flip(String::new())), expected),
        };
        assert_eq!(got, expected, "{name} at {ms} ms");
        assert_eq!(
            watch.is_lit(),
            matches!(step, Step::Lit(_)),
            "{name} at {ms} ms"
        );
    }
}

#[allow(clippy::too_many_lines, reason = "a table of cases")]
#[test]
fn the_display_is_looked_at_tried_again_and_told_about() {
    use Step::{Due, DueChanged, Lit, NoCard, NoFlip, NoMonitor, Taken};
    use Todo::{Look, LookClosely, Nothing, Try};
    for (name, steps) in [
        (
            "comes up at once and is looked at every second",
            &[
                (0, Due(Try)),
                (5, Lit(Told::Shown)),
                (500, Due(Nothing)),
                (1005, Due(Look)),
                (1006, Due(Nothing)),
                (2005, Due(Look)),
                (2006, Lit(Told::Nothing)),
            ][..],
        ),
        (
            "unplugged, replugged",
            &[
                (0, Due(Try)),
                (0, Lit(Told::Shown)),
                (300, DueChanged(Nothing)),
                (400, Due(LookClosely)),
                (410, NoMonitor(Told::Lost)),
                (1000, Due(Nothing)),
                (1410, Due(Try)),
                (1410, NoMonitor(Told::Nothing)),
                (2000, DueChanged(Nothing)),
                (2099, Due(Nothing)),
                (2100, Due(Try)),
                (2110, Lit(Told::Back(1700))),
            ],
        ),
        (
            "no monitor at the start is told, once",
            &[
                (0, Due(Try)),
                (0, NoMonitor(Told::Lost)),
                (1000, Due(Try)),
                (1000, NoMonitor(Told::Nothing)),
                (2000, Due(Try)),
                (2000, Lit(Told::Back(2000))),
            ],
        ),
        (
            "a card that does not work is tried ever more rarely",
            &[
                (0, Due(Try)),
                (0, NoCard(Told::Lost)),
                (999, Due(Nothing)),
                (1000, Due(Try)),
                (1000, NoCard(Told::Nothing)),
                (2999, Due(Nothing)),
                (3000, Due(Try)),
                (3000, NoCard(Told::Nothing)),
                (7000, Due(Try)),
                (7000, NoCard(Told::Nothing)),
                (15_000, Due(Try)),
                (15_000, NoCard(Told::Nothing)),
                (24_999, Due(Nothing)),
                (25_000, Due(Try)),
                (25_000, NoCard(Told::Nothing)),
                (34_999, Due(Nothing)),
                // A module was loaded.
                (34_999, DueChanged(Nothing)),
                (35_000, Due(Try)),
                (35_000, NoMonitor(Told::Lost)),
                (36_000, Due(Try)),
            ],
        ),
        (
            "taken by another program and given back",
            &[
                (0, Due(Try)),
                (0, Lit(Told::Shown)),
                (20, Taken(Told::Lost)),
                (1020, Due(Try)),
                (1020, Taken(Told::Nothing)),
                (2020, Due(Try)),
                (2020, Lit(Told::Back(2000))),
                (3020, Due(Look)),
            ],
        ),
        (
            "another reason is told, too, and time counts from the first",
            &[
                (0, Due(Try)),
                (0, Lit(Told::Shown)),
                (100, NoFlip(Told::Lost)),
                (1100, Due(Try)),
                (1100, NoCard(Told::Lost)),
                (3100, Due(Try)),
                (3100, Lit(Told::Back(3000))),
                // The waits start again.
                (3200, NoFlip(Told::Lost)),
                (4200, Due(Try)),
            ],
        ),
        (
            "a stream of changes does not make it try without end",
            &[
                (0, Due(Try)),
                (0, NoMonitor(Told::Lost)),
                (10, DueChanged(Nothing)),
                (60, DueChanged(Nothing)),
                (109, DueChanged(Nothing)),
                (110, DueChanged(Try)),
                (110, NoMonitor(Told::Nothing)),
                (120, DueChanged(Nothing)),
            ],
        ),
    ] {
        play(name, steps);
    }
}

#[test]
fn what_is_kept_depends_on_what_was_lost() {
    for (loss, kept) in [
        (Loss::Card(String::new()), Kept::Nothing),
        (Loss::Flip(String::new()), Kept::Nothing),
        (Loss::Drawing(String::new()), Kept::Nothing),
        (Loss::Monitor(String::new()), Kept::Card),
        (Loss::Master(String::new()), Kept::Everything),
    ] {
        assert_eq!(loss.keeps(), kept, "{loss:?}");
    }
}
