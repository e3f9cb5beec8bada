//! How the machine is: temperatures, memory, time since it was started. To be shown, never decided by.

use std::path::Path;
use std::time::Duration;

use nix::sys::sysinfo::sysinfo;
use nix::time::{ClockId, clock_gettime};

/// Where the kernel keeps its temperature sensors (Documentation/driver-api/thermal/sysfs-api.rst).
pub const THERMAL_FOLDER: &str = "/sys/class/thermal";

/// More sensors are not shown.
const SENSORS_MAX: usize = 8;

/// Name and °C of each temperature sensor in a folder, by name; those that do not answer are left out.
#[must_use]
#[allow(
    clippy::cast_precision_loss,
    reason = "millidegrees of a board are far below 2^24"
)]
pub fn temperatures(folder: &Path) -> Vec<(String, f32)> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut sensors: Vec<(String, f32)> = entries
        .filter_map(|entry| {
            let place = entry.ok()?.path();
            let read = |name: &str| std::fs::read_to_string(place.join(name)).ok();
            let millidegrees: i32 = read("temp")?.trim().parse().ok()?;
            let name = read("type")?.trim().to_owned();
            Some((name, millidegrees as f32 / 1000.0))
        })
        .collect();
    sensors.sort_by(|one, other| one.0.cmp(&other.0));
    sensors.truncate(SENSORS_MAX);
    sensors
}

/// Memory and load of the machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MachineLoad {
    /// Bytes that nothing uses.
    pub memory_free: u64,
    /// Bytes.
    pub memory_total: u64,
    /// Runnable tasks on average over a minute.
    pub load: f32,
}

/// What `sysinfo(2)` says; `None` where it fails.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    reason = "a load average of two decimals"
)]
pub fn machine_load() -> Option<MachineLoad> {
    let info = sysinfo().ok()?;
    Some(MachineLoad {
        memory_free: info.ram_unused(),
        memory_total: info.ram_total(),
        load: info.load_average().0 as f32,
    })
}

/// Time since the machine was started, asleep or not; `None` where the kernel does not say.
#[must_use]
pub fn uptime() -> Option<Duration> {
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .ok()
        .map(Duration::from)
}

/// Bytes that this process keeps in memory now; `None` where the kernel does not say.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sensors_are_read_and_those_that_do_not_answer_are_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        for (zone, kind, temp) in [
            ("thermal_zone1", "gpu-thermal\n", Some("43250\n")),
            ("thermal_zone0", "cpu-thermal\n", Some("51500\n")),
            ("thermal_zone2", "broken\n", Some("soon\n")),
            ("cooling_device0", "fan\n", None),
        ] {
            let place = folder.path().join(zone);
            std::fs::create_dir(&place).expect("made");
            std::fs::write(place.join("type"), kind).expect("written");
            if let Some(temp) = temp {
                std::fs::write(place.join("temp"), temp).expect("written");
            }
        }
        let read = temperatures(folder.path());
        let expected = [("cpu-thermal", 51.5), ("gpu-thermal", 43.25)];
        assert_eq!(
            read,
            expected.map(|(name, celsius)| (name.to_owned(), celsius))
        );
        assert_eq!(temperatures(Path::new("/nowhere")), []);
    }

    #[test]
    fn this_machine_tells_of_itself() {
        let load = machine_load().expect("sysinfo works");
        assert!(load.memory_free <= load.memory_total && load.memory_total > 1 << 20);
        assert!(uptime().is_some_and(|uptime| uptime > Duration::from_secs(1)));
        let resident = resident_bytes().expect("/proc is there");
        assert!(
            (1 << 20..load.memory_total).contains(&resident),
            "{resident}"
        );
    }
}
