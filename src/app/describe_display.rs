//! What `andon check-config` and `andon probe` say of monitors.

use std::fmt::Write as _;

use crate::config::{DisplayChoice, DisplayConfig};
use crate::ui::gles::ImportKind;
use crate::ui::kms::{CardFound, CardSurvey, Connection, ConnectorInfo, survey};

/// Most modes of a monitor that are listed.
const MODES_MAX: usize = 12;

/// Where the picture goes, in words.
pub(super) fn display(config: &DisplayConfig) -> String {
    let kms = &config.kms;
    match config.display {
        DisplayChoice::None => "no picture but for films and snapshots".to_owned(),
        DisplayChoice::Headless => format!("picture of {}, drawn without a monitor", config.size),
        DisplayChoice::Kms => {
            let card = match &kms.card {
                Some(path) => path.display().to_string(),
                None => "the first card with one".to_owned(),
            };
            let connector = kms.connector.as_deref().unwrap_or("first connected");
            let import = if kms.import {
                "drawn from the cameras' memory where the driver can"
            } else {
                "copied"
            };
            format!(
                "picture on a monitor: {card}, connector {connector}, mode {}, virtual terminal {}; frames {import}",
                kms.mode, kms.vt
            )
        }
    }
}

/// The machine's cards and monitors, in words, and whether one of them could show the picture.
pub(super) fn cards(config: &DisplayConfig) -> (String, bool) {
    match survey(&config.kms) {
        Ok(cards) => {
            let usable = |card: &CardSurvey| {
                card.found
                    .as_ref()
                    .is_ok_and(|found| found.choice.is_ok() && found.graphics.is_ok())
            };
            let any = cards.iter().any(usable);
            (cards.iter().map(card).collect(), any)
        }
        Err(error) => (format!("{:<18} none: {error}\n", "cards"), false),
    }
}

fn card(card: &CardSurvey) -> String {
    let name = card.path.display().to_string();
    match &card.found {
        Ok(found) => found_card(&name, found),
        Err(error) => format!("{name:<18} unusable: {error}\n"),
    }
}

fn found_card(name: &str, found: &CardFound) -> String {
    let mut text = format!(
        "{name:<18} {}, {} modesetting\n",
        found.driver,
        found.modesetting.name()
    );
    for connector in &found.connectors {
        let _ = writeln!(text, "  {}", connector_line(connector));
    }
    match &found.choice {
        Ok((taken, remarks)) => {
            let _ = writeln!(text, "  display = \"kms\" takes {taken}");
            for remark in remarks {
                let _ = writeln!(text, "  {remark}");
            }
        }
        Err(error) => {
            let _ = writeln!(text, "  display = \"kms\" shows nothing: {error}");
        }
    }
    if !found.overlays.is_empty() {
        let planes: Vec<String> = found.overlays.iter().map(|plane| plane.join(" ")).collect();
        let _ = writeln!(
            text,
            "  planes above the picture, not used: {}",
            planes.join("; ")
        );
    }
    match &found.graphics {
        Ok(graphics) => {
            let of = |wanted: ImportKind| {
                let kind = |(name, kind): &(String, ImportKind)| {
                    (*kind == wanted).then(|| name.trim_end().to_owned())
                };
                let names: Vec<String> = graphics.imports.iter().filter_map(kind).collect();
                if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(" ")
                }
            };
            let _ = writeln!(text, "  drawn by {}", graphics.device);
            let _ = writeln!(
                text,
                "  drawn from a camera's memory: {}; converted by the driver: {}",
                of(ImportKind::Texture),
                of(ImportKind::ExternalOnly)
            );
        }
        Err(error) => {
            let _ = writeln!(text, "  cannot draw: {error}");
        }
    }
    text
}

fn connector_line(connector: &ConnectorInfo) -> String {
    let state = match connector.connection {
        Connection::Connected => "connected",
        Connection::Disconnected => "nothing connected",
        Connection::Unknown => "unknown whether connected",
    };
    let mut text = format!("{:<16} {state}", connector.name);
    if let Some((width, height)) = connector.millimetres {
        let _ = write!(text, ", {width} x {height} mm");
    }
    if !connector.modes.is_empty() {
        let shown: Vec<String> = connector
            .modes
            .iter()
            .take(MODES_MAX)
            .map(|mode| {
                let mark = if mode.preferred { " (preferred)" } else { "" };
                format!("{mode}{mark}")
            })
            .collect();
        let _ = write!(text, ": {}", shown.join(", "));
        let more = connector.modes.len().saturating_sub(MODES_MAX);
        if more > 0 {
            let _ = write!(text, " and {more} more");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;
    use crate::ui::kms::{Graphics, ModeInfo, Modesetting};

    #[test]
    fn a_card_is_told_with_its_connectors_and_what_would_be_taken() {
        let mode = ModeInfo {
            size: Size {
                width: 1920,
                height: 1080,
            },
            refresh_mhz: 60_000,
            preferred: true,
            interlaced: false,
        };
        let connector = |name: &str, connection, modes: &[ModeInfo]| ConnectorInfo {
            name: name.to_owned(),
            connection,
            modes: modes.to_vec(),
            millimetres: (!modes.is_empty()).then_some((510, 290)),
            crtc: None,
            crtcs: 1,
        };
        let found = CardFound {
            driver: "vc4".to_owned(),
            modesetting: Modesetting::Atomic,
            connectors: vec![
                connector("HDMI-A-1", Connection::Connected, &[mode; 14]),
                connector("HDMI-A-2", Connection::Disconnected, &[]),
            ],
            choice: Ok(("HDMI-A-1 in 1920x1080@60.00".to_owned(), Vec::new())),
            overlays: vec![vec!["NV12".to_owned(), "YUYV".to_owned()]],
            graphics: Ok(Graphics {
                device: "V3D 4.2, OpenGL ES 3.1".to_owned(),
                imports: vec![
                    ("NV12".to_owned(), ImportKind::ExternalOnly),
                    ("R8  ".to_owned(), ImportKind::Texture),
                ],
            }),
        };
        let text = found_card("/dev/dri/card0", &found);
        for words in [
            "/dev/dri/card0     vc4, atomic modesetting\n",
            "  HDMI-A-1         connected, 510 x 290 mm: 1920x1080@60.00 (preferred), ",
            " and 2 more\n",
            "  HDMI-A-2         nothing connected\n",
            "  display = \"kms\" takes HDMI-A-1 in 1920x1080@60.00\n",
            "  planes above the picture, not used: NV12 YUYV\n",
            "  drawn by V3D 4.2, OpenGL ES 3.1\n",
            "  drawn from a camera's memory: R8; converted by the driver: NV12\n",
        ] {
            assert!(text.contains(words), "`{words}` is not in\n{text}");
        }
    }
}
