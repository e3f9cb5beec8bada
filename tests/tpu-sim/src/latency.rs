//! How long things take.

use std::time::Duration;

/// Signalling rate of the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    /// USB 2, 480 Mbit/s.
    High,
    /// USB 3, 5 Gbit/s.
    Super,
}

impl Speed {
    /// Largest packet of a bulk endpoint in bytes.
    #[must_use]
    pub fn packet_bytes(self) -> usize {
        match self {
            Self::High => 512,
            Self::Super => 1024,
        }
    }

    /// Bytes per second that a bulk endpoint reaches: 307,200 bytes take 1.0 ms on USB 3 and 7.7 ms
    /// on USB 2.
    #[must_use]
    pub fn bytes_per_second(self) -> u64 {
        match self {
            Self::High => 40_000_000,
            Self::Super => 307_200_000,
        }
    }
}

/// How fast bytes move.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    /// 0 for no time at all.
    bytes_per_second: u64,
}

impl Wire {
    /// Time that bytes take.
    #[must_use]
    pub fn time(self, bytes: usize) -> Duration {
        let nanos = (bytes as u64)
            .saturating_mul(1_000_000_000)
            .checked_div(self.bytes_per_second)
            .unwrap_or(0);
        Duration::from_nanos(nanos)
    }
}

/// Durations of the simulated device.
#[derive(Clone, Debug)]
pub struct Latency {
    /// A control transfer.
    pub control: Duration,
    /// What every bulk transfer costs beyond its bytes.
    pub transfer: Duration,
    /// Bytes per second on the wire; `None` for the port's speed, 0 for no time at all.
    pub bytes_per_second: Option<u64>,
    /// From the last input byte to the first output byte, for executables that no rule below names.
    pub compute: Duration,
    /// The same for models whose name contains a text.
    pub compute_of: Vec<(String, Duration)>,
    /// From the last parameter byte to the completion of a caching executable.
    pub caching: Duration,
    /// From a reset with new firmware, or replugging, to the device's reappearance.
    pub enumeration: Duration,
    /// A reset of the port, which its caller waits for.
    pub reset: Duration,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            control: Duration::from_micros(125),
            transfer: Duration::from_micros(5),
            bytes_per_second: None,
            compute: Duration::from_millis(1),
            compute_of: Vec::new(),
            caching: Duration::from_micros(50),
            enumeration: Duration::from_millis(300),
            reset: Duration::from_millis(60),
        }
    }
}

impl Latency {
    /// Nothing takes any time except control transfers, which let polls end.
    #[must_use]
    pub fn none() -> Self {
        Self {
            transfer: Duration::ZERO,
            bytes_per_second: Some(0),
            compute: Duration::ZERO,
            caching: Duration::ZERO,
            ..Self::default()
        }
    }

    /// Coral's published figures at 500 MHz: 8.0 ms for the detector and 2.6 ms for the
    /// classifier, as time from the last input byte to the first output byte.
    #[must_use]
    pub fn coral() -> Self {
        Self {
            compute: Duration::from_micros(8000),
            compute_of: vec![
                ("classifier".to_owned(), Duration::from_micros(2600)),
                ("mobilenet_v2".to_owned(), Duration::from_micros(2600)),
            ],
            ..Self::default()
        }
    }

    /// The wire of a port.
    #[must_use]
    pub fn wire(&self, speed: Speed) -> Wire {
        Wire {
            bytes_per_second: self
                .bytes_per_second
                .unwrap_or_else(|| speed.bytes_per_second()),
        }
    }

    /// Computing time of a model.
    #[must_use]
    pub fn compute_time(&self, model: &str) -> Duration {
        self.compute_of
            .iter()
            .find(|(text, _)| model.contains(text.as_str()))
            .map_or(self.compute, |(_, time)| *time)
    }
}
