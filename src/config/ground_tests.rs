//! Floors and zones on them as people write them, with the words they are answered with.

#![allow(clippy::panic, reason = "a test that cannot go on stops")]

use std::fs;

use super::*;
use crate::config::{Config, Overrides, load};
use crate::geometry::{Normalised, Rect};

/// x = 1/2 + X / 4(1 + Y), y = 1/5 + 4 / 5(1 + Y); the fifth point is (0, 3).
const GROUND: &str = "[ground]
response_time_ms = 500
points = [
{ image = [0.25, 1.0], floor = [-1.0, 0.0] },
{ image = [0.75, 1.0], floor = [1.0, 0.0] },
{ image = [0.625, 0.6], floor = [1.0, 1.0] },
{ image = [0.375, 0.6], floor = [-1.0, 1.0] },
{ image = [0.5, 0.4], floor = [0.0, 3.0] },
]
";

const ZONE: &str = "[[zone]]
name = \"press\"
floor = [[-1, 1], [1, 1], [1, 3], [-1, 3]]
grow = true
";

fn read(keepout: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("k.toml");
    fs::write(&path, keepout).expect("written");
    let overrides = Overrides {
        keepout: Some(path),
        ..Overrides::default()
    };
    let loaded = load("config/andon.toml".as_ref(), &overrides);
    let folder = format!("{}/", folder.path().display());
    loaded
        .map(|loaded| loaded.config)
        .map_err(|error| error.to_string().replace(&folder, ""))
}

fn good(keepout: &str) -> Config {
    read(keepout).expect("a good configuration")
}

fn refusal(keepout: &str) -> String {
    match read(keepout) {
        Ok(_) => panic!("is not refused:\n{keepout}"),
        Err(said) => said,
    }
}

fn holds(polygon: &Polygon, x: f32, y: f32) -> bool {
    let point: Option<Rect<Normalised>> = Rect::new(x, y, x, y);
    point.is_some_and(|point| polygon.touches_rect(point))
}

#[test]
fn a_zone_on_the_floor_becomes_a_polygon_of_the_picture() {
    let config = good(&format!("{GROUND}{}", ZONE.replace("grow = true", "")));
    let polygon = &config.zones[0].polygon;
    assert!(holds(polygon, 0.375, 0.6) && holds(polygon, 0.5, 0.4));
    assert!(!holds(polygon, 0.3749, 0.6) && !holds(polygon, 0.5, 0.3999));
    let ground = config.ground.expect("a floor");
    let zone = ground.zone(ZoneIndex(0)).expect("on the floor");
    assert_eq!((zone.growth, &zone.drawn), (Growth::AsDrawn, &zone.grown));
    assert_eq!(zone.drawn.points().len(), 4);
}

#[test]
fn a_zone_grows_by_speed_times_time_and_what_is_added() {
    for (terms, expected) in [
        ("", 800),
        ("approach_speed_mm_s = 2000", 1000),
        ("intrusion_depth_mm = 850", 1650),
        ("approach_speed_mm_s = 1601\nintrusion_depth_mm = 1", 802),
    ] {
        let config = good(&format!(
            "{}{ZONE}",
            GROUND.replace("[ground]", &format!("[ground]\n{terms}"))
        ));
        let ground = config.ground.expect("a floor");
        let distance = Some(Millimetres(expected));
        assert_eq!(ground.approach.minimum_distance(), distance, "{terms}");
        assert_eq!(ground.zones[0].growth, Growth::By(Millimetres(expected)));
        // Straight before the square, at Y = 1 - S.
        let image = |y: f32| Point::<Floor>::new(0.0, y);
        let to_image = |y| {
            ground
                .fit
                .homography
                .to_image(image(y))
                .expect("before the camera")
        };
        let edge = 1.0 - Millimetres(expected).to_metres().0;
        let (within, beyond) = (to_image(edge + 0.001), to_image(edge - 0.01));
        let polygon = &config.zones[0].polygon;
        assert!(
            within.y > 1.0 || holds(polygon, within.x, within.y),
            "{terms}"
        );
        assert!(
            beyond.y > 1.0 || !holds(polygon, beyond.x, beyond.y),
            "{terms}"
        );
    }
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let config = good(&format!(
        "{}{}",
        GROUND.replace("response_time_ms = 500", ""),
        ZONE.replace("grow = true", "")
    ));
    let ground = config.ground.expect("a floor");
    assert_eq!(ground.residual_max, Metres(0.10));
    assert_eq!(ground.axes, AxisOrder::YLeftOfX);
    let approach = Approach {
        speed: MillimetresPerSecond(1600),
        response_time: None,
        intrusion_depth: Millimetres(0),
    };
    assert_eq!(ground.approach, approach);
    assert_eq!(approach.minimum_distance(), None);
}

#[test]
fn zones_of_both_kinds_stand_side_by_side() {
    let drawn = "[[zone]]\nname = \"aisle\"\nkind = \"warn\"\npoints = [[0.1, 0.1], [0.9, 0.1], [0.5, 0.2]]\n";
    let config = good(&format!("{drawn}{ZONE}{GROUND}"));
    let ground = config.ground.expect("a floor");
    assert!(ground.zone(ZoneIndex(0)).is_none());
    assert!(ground.zone(ZoneIndex(1)).is_some());
    assert_eq!(config.zones.len(), 2);
}

/// A replacement in the good file, and how the first line of the answer goes on after the position.
#[test]
fn each_wrong_value_is_named() {
    let pair = "it must be [x, y], two numbers";
    let reach = "floor is a pair of metres from -1000 to 1000";
    let share = "image is a pair of shares of the frame's width and height, 0 to 1";
    for (from, to, expected) in [
        ("[0.5, 0.4]", "[0.5, nan]", "ground: point 5 has a coordinate that is not a finite number".to_owned()),
        ("[0.0, 3.0]", "[nan, 3.0]", "ground: point 5 has a coordinate that is not a finite number".to_owned()),
        ("[0.5, 0.4]", "[320, 0.4]", format!("ground: point 5 lies outside the frame; {share}")),
        ("[0.5, 0.4]", "[0.5, -0.01]", format!("ground: point 5 lies outside the frame; {share}")),
        ("[0.5, 0.4]", "[0.5, inf]", format!("ground: point 5 lies outside the frame; {share}")),
        ("[0.0, 3.0]", "[0.0, 3000]", format!("ground: point 5 is too far away; {reach}")),
        ("[0.0, 3.0]", "[0.0, 1e300]", format!("ground: point 5 is too far away; {reach}")),
        ("[0.0, 3.0]", "[99999999999, 3.0]", format!("ground: point 5 is too far away; {reach}")),
        ("[0.0, 3.0]", "[0.0]", format!("ground: point 5: floor is [0.0]; {pair}")),
        ("[0.0, 3.0]", "\"here\"", format!("ground: point 5: floor is \"here\"; {pair}")),
        ("image = [0.5, 0.4], ", "", "ground: point 5: image is missing".to_owned()),
        ("{ image = [0.5, 0.4], ", "{ image = [0.5, 0.4], z = 1, ", "ground: point 5 has no key z".to_owned()),
        ("[0.5, 0.4]", "[0.25, 1.0]", "ground: point 5 repeats point 1 in the picture".to_owned()),
        ("[0.0, 3.0]", "[1, 1]", "ground: point 5 repeats point 3 on the floor".to_owned()),
        ("[0.0, 3.0]", "[0.0, 4.0]", "ground: point 5 lies 1.00 m from where the other points put it, more than residual_max_m = 0.10".to_owned()),
        ("[ground]", "[ground]\nresidual_max_m = 0.0", "ground.residual_max_m is 0.0; it must be a number from 0.001 to 2 metres".to_owned()),
        ("[ground]", "[ground]\nresidual_max_m = nan", "ground.residual_max_m is nan; it must be a number from 0.001 to 2 metres".to_owned()),
        ("[ground]", "[ground]\nresidual_max_m = 50", "ground.residual_max_m is 50; it must be a number from 0.001 to 2 metres".to_owned()),
        ("[ground]", "[ground]\napproach_speed_mm_s = 0", "ground.approach_speed_mm_s is 0; it must be a whole number from 100 to 10000 mm/s".to_owned()),
        ("[ground]", "[ground]\nintrusion_depth_mm = -1", "ground.intrusion_depth_mm is -1; it must be a whole number from 0 to 5000 millimetres".to_owned()),
        ("= 500", "= 0", "ground.response_time_ms is 0; it must be a whole number from 1 to 60000 milliseconds".to_owned()),
        ("= 500", "= 1e9", "ground.response_time_ms is 1e9; it must be a whole number from 1 to 60000 milliseconds".to_owned()),
        ("[ground]", "[ground]\naxes = \"left\"", "ground.axes is \"left\"; it must be \"y-left-of-x\" or \"y-right-of-x\"".to_owned()),
        ("[ground]", "[ground]\naxes = \"y-right-of-x\"", "ground: points 1, 2 and 5 turn to the left in the picture and the other way on the floor: the plan is mirrored; are points exchanged, or is Y to the left of X, seen from above?".to_owned()),
        ("[ground]", "[ground]\nspeed = 1", "ground has no key speed".to_owned()),
        ("= true", "= 1", "zone 1 \"press\": grow is 1; it must be true or false".to_owned()),
        ("[-1, 3]]", "[-1, 3000]]", "zone 1 \"press\": point 4 is too far away; X and Y are metres from -1000 to 1000".to_owned()),
        ("[-1, 3]]", "[-1, nan]]", "zone 1 \"press\": point 4 is not a pair of finite numbers".to_owned()),
        ("[-1, 3]]", "[1, 1]]", "zone 1 \"press\": point 4 repeats point 2".to_owned()),
        ("[1, 1], [1, 3]", "[1, 3], [1, 1]", "zone 1 \"press\": edge 1 (points 1-2) and edge 3 (points 3-4) cross or touch".to_owned()),
        ("[[-1, 1], [1, 1], [1, 3], [-1, 3]]", "[[-1, -9], [1, -9], [1, -7]]", "zone 1 \"press\": lies wholly outside the picture; nobody in it would be seen".to_owned()),
        ("[[-1, 1], [1, 1], [1, 3], [-1, 3]]", "[[-1, 1]]", "zone 1 \"press\": has 1 points; a zone needs at least 3".to_owned()),
    ] {
        let keepout = format!("{GROUND}{ZONE}");
        assert!(keepout.contains(from), "{from}");
        let said = refusal(&keepout.replace(from, to));
        let first = said.lines().next().unwrap_or_default();
        assert!(first.contains(&format!(": {expected}")), "{to}\n{said}");
        assert!(first.starts_with("k.toml:"), "{said}");
        assert!(said.ends_with("has 1 problem"), "{said}");
    }
}

#[test]
fn too_few_points_are_refused_and_so_is_what_is_no_list_of_them() {
    let only = |points: &str| refusal(&format!("[ground]\npoints = {points}\n{ZONE}"));
    for (points, expected) in [
        (
            "[]",
            "ground: has 0 points; a floor needs at least 4, and a fifth to check them",
        ),
        (
            "3",
            "ground.points is 3; it must be a list: write [[ground.points]] with two brackets, once for each",
        ),
        (
            "[[0.5, 0.5]]",
            "ground.points is [0.5, 0.5]; it must be a table, written as [[ground.points]]",
        ),
        (
            "[{ image = [0.5, 0.5], floor = [0, 0] }, { image = [0.7, 0.5], floor = [1, 0] }, { image = [0.5, 0.9], floor = [1, 2] }]",
            "ground: has 3 points; a floor needs at least 4, and a fifth to check them",
        ),
    ] {
        let said = only(points);
        assert!(
            said.lines().next().unwrap_or_default().ends_with(expected),
            "{said}"
        );
        assert!(said.ends_with("has 1 problem"), "{said}");
    }
    let many = vec!["{ image = [0.5, 0.5], floor = [0, 0] }"; 25].join(", ");
    assert!(only(&format!("[{many}]")).contains("has 25 points; a floor may have at most 24"));
    let none = refusal(&format!("[ground]\n{ZONE}"));
    assert!(
        none.starts_with("k.toml:1:1: ground.points is missing"),
        "{none}"
    );
}

#[test]
fn what_a_zone_needs_and_the_file_has_not_is_asked_for() {
    for (keepout, message, help) in [
        (
            ZONE.to_owned(),
            "k.toml:3:9: zone 1 \"press\": is drawn on the floor, and nothing says where the floor is in the picture",
            "write [ground] with its points, or draw the zone in the picture with points",
        ),
        (
            format!("{}{ZONE}", GROUND.replace("response_time_ms = 500\n", "")),
            "k.toml:12:8: zone 1 \"press\": grows with the response time, and nothing says how long that is",
            "write response_time_ms under [ground]",
        ),
        (
            format!("{GROUND}{ZONE}points = [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]\n"),
            "k.toml:12:9: zone 1 \"press\": floor is given, and points too; draw the zone once",
            "",
        ),
        (
            format!(
                "{GROUND}[[zone]]\nname = \"a\"\npoints = [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]\ngrow = true\n"
            ),
            "k.toml:13:8: zone 1 \"a\": only a zone drawn on the floor can grow",
            "draw it on the floor",
        ),
    ] {
        let said = refusal(&keepout);
        assert_eq!(said.lines().next().unwrap_or_default(), message, "{said}");
        assert!(said.contains(help), "{said}");
        assert!(said.ends_with("has 1 problem"), "{said}");
    }
}

#[test]
fn a_floor_that_is_wrong_is_told_once_and_not_again_for_each_zone() {
    let ground = GROUND.replace("[0.5, 0.4]", "[0.5, 4]");
    let said = refusal(&format!("{ground}{ZONE}{}", ZONE.replace("press", "robot")));
    assert!(said.ends_with("has 1 problem"), "{said}");
}

#[test]
fn a_point_that_misses_names_all_residuals() {
    let said = refusal(&format!(
        "{}{ZONE}",
        GROUND.replace("[0.0, 3.0]", "[0.0, 4.0]")
    ));
    assert!(said.contains("point 1 0."), "{said}");
    assert!(said.contains("point 5 1.00 m"), "{said}");
}

#[test]
fn the_example_of_the_readme_is_valid_and_says_what_it_shows() {
    let readme = fs::read_to_string("README.md").expect("the README");
    let block = readme
        .split("```toml\n")
        .find(|block| block.starts_with("[ground]"));
    let example = block
        .and_then(|block| block.split("```").next())
        .expect("an example");
    let ground = good(example).ground.expect("a floor");
    assert!(ground.fit.worst().1.miss().0 < 0.05, "{:?}", ground.fit);
    assert_eq!(ground.zones[0].growth, Growth::By(Millimetres(800)));
}
