//! Which connector, CRTC and mode are taken: pure, from descriptions of what the card offers.

use std::fmt;

use crate::config::ModeWish;
use crate::geometry::Size;

/// Longest edge of a picture, pixels: what every GLES 3.0 implementation of the target boards
/// renders to (2160p). A monitor that offers more is driven with less.
pub(super) const EDGE_MAX: u32 = 3840;

/// One display mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModeInfo {
    /// Visible pixels.
    pub size: Size,
    /// Pictures per second, thousandths.
    pub refresh_mhz: u32,
    /// The monitor's own choice.
    pub preferred: bool,
    /// Two half pictures: never taken, drawing is not prepared for it.
    pub interlaced: bool,
}

impl fmt::Display for ModeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size { width, height } = self.size;
        let hertz = f64::from(self.refresh_mhz) / 1e3;
        let scan = if self.interlaced { "i" } else { "" };
        write!(f, "{width}x{height}{scan}@{hertz:.2}")
    }
}

/// Whether a monitor is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// It is.
    Connected,
    /// It is not.
    Disconnected,
    /// The driver cannot tell: taken only where it is configured, or where nothing else is there.
    Unknown,
}

/// A connector as the card describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorInfo {
    /// `HDMI-A-1`, as in `/sys/class/drm/card0-HDMI-A-1`.
    pub name: String,
    /// Whether a monitor is there.
    pub connection: Connection,
    /// In the driver's order.
    pub modes: Vec<ModeInfo>,
    /// Width and height of the visible area, where the monitor says so.
    pub millimetres: Option<(u32, u32)>,
    /// The CRTC that drives it now, as a position in the card's list.
    pub crtc: Option<usize>,
    /// Which CRTCs can: one bit per position.
    pub crtcs: u32,
}

/// What is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    /// Position in the list of connectors.
    pub(super) connector: usize,
    /// Position in its list of modes.
    pub(super) mode: usize,
    /// Positions of CRTCs that can drive it, the best first.
    pub(super) crtcs: Vec<usize>,
    /// What the operator should know: the wished mode is not offered, others are connected.
    pub(super) remarks: Vec<String>,
}

/// Why nothing can be shown on a card.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoChoice {
    /// The card has no connector of the configured name.
    #[error("it has no connector {wished}; it has {}", list(has))]
    NoSuchConnector {
        /// As configured.
        wished: String,
        /// What it has.
        has: Vec<String>,
    },
    /// The configured connector has no monitor.
    #[error("no monitor on {wished}; connected: {}", list(connected))]
    NotConnected {
        /// As configured.
        wished: String,
        /// What is connected instead.
        connected: Vec<String>,
    },
    /// No connector has a monitor.
    #[error("no monitor is connected (looked at {})", list(looked_at))]
    NoMonitor {
        /// Every connector.
        looked_at: Vec<String>,
    },
    /// A monitor without a usable mode.
    #[error(
        "the monitor on {connector} offers no mode of at most {EDGE_MAX} pixels that is not interlaced"
    )]
    NoMode {
        /// Where.
        connector: String,
    },
    /// No CRTC can drive the connector.
    #[error("no CRTC of the card can drive {connector}")]
    NoCrtc {
        /// Where.
        connector: String,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}

/// Takes the configured connector, or the first that has a monitor, and its mode.
///
/// # Errors
///
/// Says what was looked for and what is there.
pub(super) fn choose(
    connectors: &[ConnectorInfo],
    wished: Option<&str>,
    mode: ModeWish,
) -> Result<Chosen, NoChoice> {
    let at = connector(connectors, wished)?;
    let Some(taken) = connectors.get(at) else {
        return Err(NoChoice::NoMonitor {
            looked_at: Vec::new(),
        });
    };
    let mut remarks = Vec::new();
    let others: Vec<String> = connectors
        .iter()
        .enumerate()
        .filter(|(index, other)| *index != at && other.connection == Connection::Connected)
        .map(|(_, other)| other.name.clone())
        .collect();
    if !others.is_empty() {
        remarks.push(format!(
            "also connected and not used: {}; display.connector chooses",
            others.join(", ")
        ));
    }
    let mode = choose_mode(taken, mode, &mut remarks)?;
    let crtcs = crtcs(connectors, at);
    if crtcs.is_empty() {
        return Err(NoChoice::NoCrtc {
            connector: taken.name.clone(),
        });
    }
    Ok(Chosen {
        connector: at,
        mode,
        crtcs,
        remarks,
    })
}

fn connector(connectors: &[ConnectorInfo], wished: Option<&str>) -> Result<usize, NoChoice> {
    let names = |which: &dyn Fn(&ConnectorInfo) -> bool| -> Vec<String> {
        let which = connectors.iter().filter(|connector| which(connector));
        which.map(|connector| connector.name.clone()).collect()
    };
    let connected = |connector: &ConnectorInfo| connector.connection == Connection::Connected;
    if let Some(wished) = wished {
        let at = connectors
            .iter()
            .position(|connector| connector.name.eq_ignore_ascii_case(wished))
            .ok_or_else(|| NoChoice::NoSuchConnector {
                wished: wished.to_owned(),
                has: names(&|_| true),
            })?;
        let usable = connectors
            .get(at)
            .is_some_and(|taken| taken.connection != Connection::Disconnected);
        return usable.then_some(at).ok_or_else(|| NoChoice::NotConnected {
            wished: wished.to_owned(),
            connected: names(&connected),
        });
    }
    let with_modes = |wanted: Connection| {
        connectors
            .iter()
            .position(|connector| connector.connection == wanted && !connector.modes.is_empty())
    };
    with_modes(Connection::Connected)
        .or_else(|| connectors.iter().position(connected))
        .or_else(|| with_modes(Connection::Unknown))
        .ok_or_else(|| NoChoice::NoMonitor {
            looked_at: names(&|_| true),
        })
}

/// The wished mode where it is offered, else the monitor's preferred one, else the driver's first.
fn choose_mode(
    connector: &ConnectorInfo,
    wish: ModeWish,
    remarks: &mut Vec<String>,
) -> Result<usize, NoChoice> {
    let modes = &connector.modes;
    let usable = |mode: &ModeInfo| {
        let Size { width, height } = mode.size;
        !mode.interlaced && width.max(height) <= EDGE_MAX && width.min(height) > 0
    };
    let candidates: Vec<(usize, &ModeInfo)> = modes
        .iter()
        .enumerate()
        .filter(|(_, m)| usable(m))
        .collect();
    if let ModeWish::Exact { size, refresh_mhz } = wish {
        let of_size = candidates.iter().filter(|(_, mode)| mode.size == size);
        let best = match refresh_mhz {
            // Half a hertz: 60 stands for 59.94 and 60.00, the nearest is taken.
            Some(wanted) => of_size
                .map(|(index, mode)| (mode.refresh_mhz.abs_diff(wanted), *index))
                .filter(|(distance, _)| *distance <= 500)
                .min(),
            // The preferred one of this size, else the fastest.
            None => of_size
                .map(|(index, mode)| {
                    let rank = u32::MAX - mode.refresh_mhz;
                    (if mode.preferred { 0 } else { rank }, *index)
                })
                .min(),
        };
        if let Some((_, index)) = best {
            return Ok(index);
        }
        let offered: Vec<String> = candidates.iter().map(|(_, m)| m.to_string()).collect();
        remarks.push(format!(
            "display.mode = \"{wish}\" is not offered by the monitor on {}: its preferred mode is \
             taken; it offers {}",
            connector.name,
            list(&offered)
        ));
    }
    let preferred = candidates.iter().find(|(_, mode)| mode.preferred);
    if preferred.is_none() && modes.iter().any(|mode| mode.preferred) {
        remarks.push(format!(
            "the preferred mode of the monitor on {} is interlaced or larger than {EDGE_MAX} \
             pixels: another is taken",
            connector.name
        ));
    }
    let largest = || {
        let pixels = |mode: &ModeInfo| u64::from(mode.size.width) * u64::from(mode.size.height);
        // Of equally good ones the driver's first.
        candidates
            .iter()
            .rev()
            .max_by_key(|(_, mode)| (pixels(mode), mode.refresh_mhz))
    };
    preferred
        .or_else(largest)
        .map(|(index, _)| *index)
        .ok_or_else(|| NoChoice::NoMode {
            connector: connector.name.clone(),
        })
}

/// CRTCs for a connector: the one that drives it now, then idle ones, then those of others.
fn crtcs(connectors: &[ConnectorInfo], at: usize) -> Vec<usize> {
    let Some(taken) = connectors.get(at) else {
        return Vec::new();
    };
    let others: Vec<usize> = connectors
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != at)
        .filter_map(|(_, other)| other.crtc)
        .collect();
    let mut possible: Vec<usize> = (0..32)
        .filter(|bit| taken.crtcs & (1 << bit) != 0)
        .collect();
    possible.sort_by_key(
        |crtc| match (Some(*crtc) == taken.crtc, others.contains(crtc)) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => 2,
        },
    );
    possible
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;
