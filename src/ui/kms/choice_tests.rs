use super::*;

fn mode(width: u32, height: u32, hertz: u32) -> ModeInfo {
    ModeInfo {
        size: Size { width, height },
        refresh_mhz: hertz * 1000,
        preferred: false,
        interlaced: false,
    }
}

fn preferred(mode: ModeInfo) -> ModeInfo {
    ModeInfo {
        preferred: true,
        ..mode
    }
}

fn monitor(name: &str, modes: &[ModeInfo]) -> ConnectorInfo {
    ConnectorInfo {
        name: name.to_owned(),
        connection: Connection::Connected,
        modes: modes.to_vec(),
        millimetres: None,
        crtc: None,
        crtcs: 0b11,
    }
}

fn empty(name: &str) -> ConnectorInfo {
    ConnectorInfo {
        connection: Connection::Disconnected,
        ..monitor(name, &[])
    }
}

fn wish(text: &str) -> ModeWish {
    text.parse().expect("a mode")
}

#[test]
fn the_first_connector_with_a_monitor_is_taken_and_the_others_are_said() {
    let full = preferred(mode(1920, 1080, 60));
    let list = [
        empty("DP-1"),
        monitor("HDMI-A-1", &[full]),
        monitor("HDMI-A-2", &[full]),
    ];
    let chosen = choose(&list, None, ModeWish::Preferred).expect("a monitor is there");
    assert_eq!((chosen.connector, chosen.mode), (1, 0));
    assert_eq!(
        chosen.remarks,
        ["also connected and not used: HDMI-A-2; display.connector chooses"]
    );
    let chosen = choose(&list, Some("hdmi-a-2"), ModeWish::Preferred).expect("it is there");
    assert_eq!(chosen.connector, 2);
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let list = [empty("DP-1"), monitor("HDMI-A-1", &[mode(640, 480, 60)])];
    let said = |wished| {
        choose(&list, Some(wished), ModeWish::Preferred)
            .expect_err("it is not there")
            .to_string()
    };
    assert_eq!(
        said("VGA-1"),
        "it has no connector VGA-1; it has DP-1, HDMI-A-1"
    );
    assert_eq!(said("DP-1"), "no monitor on DP-1; connected: HDMI-A-1");
    let none = choose(&[empty("DP-1"), empty("DP-2")], None, ModeWish::Preferred);
    assert_eq!(
        none.expect_err("nothing is there").to_string(),
        "no monitor is connected (looked at DP-1, DP-2)"
    );
    let none = choose(&[], None, ModeWish::Preferred);
    assert_eq!(
        none.expect_err("nothing is there").to_string(),
        "no monitor is connected (looked at none)"
    );
}

#[test]
fn a_connector_of_unknown_state_is_taken_last() {
    let modes = [mode(800, 480, 60)];
    let unknown = ConnectorInfo {
        connection: Connection::Unknown,
        ..monitor("DPI-1", &modes)
    };
    let list = [unknown.clone(), monitor("HDMI-A-1", &modes)];
    let chosen = choose(&list, None, ModeWish::Preferred).expect("a monitor is there");
    assert_eq!(chosen.connector, 1);
    let alone = choose(&[unknown], None, ModeWish::Preferred).expect("better than nothing");
    assert_eq!(alone.connector, 0);
    assert!(choose(&list, Some("DPI-1"), ModeWish::Preferred).is_ok());
}

#[test]
fn modes_are_chosen_by_wish_then_preference_then_size() {
    let interlaced = ModeInfo {
        interlaced: true,
        ..mode(1920, 1080, 60)
    };
    let ntsc = ModeInfo {
        refresh_mhz: 59_940,
        ..mode(1920, 1080, 60)
    };
    let huge = preferred(mode(7680, 4320, 60));
    let list: [(&str, Vec<ModeInfo>, Option<usize>, usize); 10] = [
        // wish, offered, taken, remarks
        (
            "preferred",
            vec![mode(640, 480, 60), preferred(mode(1280, 720, 60))],
            Some(1),
            0,
        ),
        // Without a preferred one the largest, the fastest of these, the first of these.
        (
            "preferred",
            vec![mode(640, 480, 75), mode(800, 600, 60), mode(800, 600, 75)],
            Some(2),
            0,
        ),
        (
            "preferred",
            vec![mode(800, 600, 60), mode(800, 600, 60)],
            Some(0),
            0,
        ),
        (
            "preferred",
            vec![huge, mode(1920, 1080, 60), mode(3840, 2160, 30)],
            Some(2),
            1,
        ),
        (
            "1280x720",
            vec![
                preferred(mode(1920, 1080, 60)),
                mode(1280, 720, 50),
                mode(1280, 720, 60),
            ],
            Some(2),
            0,
        ),
        (
            "1280x720@50",
            vec![
                preferred(mode(1920, 1080, 60)),
                mode(1280, 720, 50),
                mode(1280, 720, 60),
            ],
            Some(1),
            0,
        ),
        (
            "1920x1080@60",
            vec![interlaced, ntsc, mode(1920, 1080, 50)],
            Some(1),
            0,
        ),
        (
            "1920x1080@59.94",
            vec![mode(1920, 1080, 60), ntsc],
            Some(1),
            0,
        ),
        (
            "1024x768",
            vec![mode(640, 480, 60), preferred(mode(1280, 720, 60))],
            Some(1),
            1,
        ),
        ("preferred", vec![interlaced, huge], None, 0),
    ];
    for (number, (text, modes, taken, remarks)) in list.into_iter().enumerate() {
        let connectors = [monitor("HDMI-A-1", &modes)];
        match (choose(&connectors, None, wish(text)), taken) {
            (Ok(chosen), Some(taken)) => {
                assert_eq!(chosen.mode, taken, "case {number}");
                assert_eq!(
                    chosen.remarks.len(),
                    remarks,
                    "case {number}: {:?}",
                    chosen.remarks
                );
            }
            (Err(NoChoice::NoMode { .. }), None) => {}
            (other, _) => unreachable!("case {number}: {other:?}"),
        }
    }
}

#[test]
fn a_mode_that_is_not_offered_is_told_with_those_that_are() {
    let modes = [preferred(mode(1280, 720, 60)), mode(640, 480, 60)];
    let connectors = [monitor("HDMI-A-1", &modes)];
    let chosen = choose(&connectors, None, wish("1024x768@60")).expect("the preferred one");
    assert_eq!(
        chosen.remarks,
        [
            "display.mode = \"1024x768@60\" is not offered by the monitor on HDMI-A-1: its preferred \
          mode is taken; it offers 1280x720@60.00, 640x480@60.00"
        ]
    );
}

#[test]
fn the_crtc_that_already_drives_it_comes_first_and_those_of_others_last() {
    let modes = [mode(640, 480, 60)];
    let with = |name, crtc, crtcs| ConnectorInfo {
        crtc,
        crtcs,
        ..monitor(name, &modes)
    };
    let order = |list: &[ConnectorInfo]| {
        choose(list, Some("A-1"), ModeWish::Preferred)
            .expect("a monitor is there")
            .crtcs
    };
    assert_eq!(order(&[with("A-1", Some(2), 0b111)]), [2, 0, 1]);
    let other = with("B-1", Some(0), 0b111);
    assert_eq!(order(&[with("A-1", None, 0b111), other.clone()]), [1, 2, 0]);
    assert_eq!(order(&[other, with("A-1", None, 0b1)]), [0]);
    assert_eq!(
        choose(&[with("A-1", None, 0)], None, ModeWish::Preferred),
        Err(NoChoice::NoCrtc {
            connector: "A-1".to_owned()
        })
    );
}
