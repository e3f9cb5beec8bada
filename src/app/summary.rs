//! The closing figures of a run: as a JSON object for the report and as a table for people.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::report::millis;
use crate::capture::{Losses, Slippage};
use crate::health::{Latencies, LatencySummary, StreamMetrics};
use crate::message::PartTally;
use crate::sys::ProcessUsage;
use crate::ui::gles::FrameCopies;
use crate::units::StreamId;

/// What a capture thread counted.
#[derive(Clone, Debug, Default)]
pub struct CaptureFigures {
    /// Frames the source delivered.
    pub frames: u64,
    /// Frames dropped because nobody took them in time.
    pub dropped: u64,
    /// What the source could not deliver.
    pub losses: Losses,
    /// How far the source fell behind its own rate, in real time.
    pub slippage: Slippage,
    /// Reading and decoding one frame.
    pub decode: Latencies,
}

/// Figures of a whole run.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Per stream, by [`StreamId::index`].
    pub capture: [CaptureFigures; 2],
    /// Per stream, by [`StreamId::index`].
    pub streams: [StreamMetrics; 2],
    /// Drawing one picture, where pictures were drawn.
    pub render: Latencies,
    /// Encoding one picture of the film.
    pub encode: Latencies,
    /// Frames by how they came to the graphics device, where pictures were drawn.
    pub copies: FrameCopies,
    /// Times the monitor was lost.
    pub display_losses: u64,
    /// Pictures written to the film.
    pub recorded: u64,
    /// Times the run permission went from ON to OFF.
    pub trips: u64,
    /// Parts by what became of them.
    pub parts: PartTally,
    /// Event lines that could not be handed on in time.
    pub events_dropped: u64,
    /// Ticks of the decide thread that came too late and were left out.
    pub ticks_missed: u64,
    /// Events that are missing from the event log.
    pub events_lost: u64,
    /// Wall-clock time of the run.
    pub wall: Duration,
    /// CPU time and memory of the process, models and start-up included.
    pub usage: ProcessUsage,
    /// CPU time between the first frame and the end: start-up left out.
    pub pipeline_cpu: Duration,
    /// What went wrong on the way without ending the run.
    pub faults: Vec<String>,
}

impl Summary {
    /// Inferences of all streams.
    #[must_use]
    pub fn inferences(&self) -> u64 {
        self.streams.iter().map(|stream| stream.inferences).sum()
    }

    /// Frames decided per second of wall-clock time.
    #[must_use]
    pub fn fps(&self, stream: StreamId) -> f64 {
        let seconds = self.wall.as_secs_f64();
        let frames = self.streams[stream.index()].frames;
        if seconds > 0.0 {
            as_f64(frames) / seconds
        } else {
            0.0
        }
    }

    /// Pairs of frames: the longer stream counts them.
    #[must_use]
    pub fn pairs(&self) -> u64 {
        self.streams
            .iter()
            .map(|stream| stream.frames)
            .max()
            .unwrap_or(0)
    }

    /// CPU milliseconds per pair of frames, start-up left out.
    #[must_use]
    pub fn cpu_ms_per_pair(&self) -> f64 {
        let pairs = self.pairs();
        if pairs == 0 {
            0.0
        } else {
            self.pipeline_cpu.as_secs_f64() * 1e3 / as_f64(pairs)
        }
    }

    /// Members of the report's last line.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut streams = serde_json::Map::new();
        for id in StreamId::ALL {
            let (capture, stream) = (&self.capture[id.index()], &self.streams[id.index()]);
            let figures = json!({
                "frames": stream.frames,
                "dropped": capture.dropped,
                "corrupt": capture.losses.undecodable,
                "missed": capture.losses.missed,
                "damaged": capture.losses.damaged,
                "out_of_order": capture.losses.out_of_order,
                "interruptions": capture.losses.interruptions,
                "failed": stream.failed,
                "restarts": capture.slippage.restarts,
                "behind_ms": millis(capture.slippage.behind),
                "fps": round(self.fps(id), 2),
                "inferences": stream.inferences,
                "latency_ms": latency(stream.latency.summary()),
                "decode_ms": latency(capture.decode.summary()),
                "queued_ms": latency(stream.queued.summary()),
                "preprocess_ms": latency(stream.preprocess.summary()),
                "inference_ms": latency(stream.inference.summary()),
            });
            streams.insert(id.name().to_owned(), figures);
        }
        json!({
            "streams": streams,
            "inferences": self.inferences(),
            "trips": self.trips,
            "parts": {
                "good": self.parts.good,
                "reject": self.parts.reject,
                "unsure": self.parts.unsure,
                "missed": self.parts.missed,
            },
            "frames_imported": self.copies.imported,
            "frames_copied": self.copies.copied,
            "display_losses": self.display_losses,
            "recorded": self.recorded,
            "render_ms": latency(self.render.summary()),
            "encode_ms": latency(self.encode.summary()),
            "events_dropped": self.events_dropped,
            "ticks_missed": self.ticks_missed,
            "events_lost": self.events_lost,
            "wall_s": round(self.wall.as_secs_f64(), 3),
            "cpu_s": round(self.usage.cpu.as_secs_f64(), 3),
            "cpu_ms_per_pair": round(self.cpu_ms_per_pair(), 2),
            "peak_rss_mb": round(as_f64(self.usage.peak_rss_bytes) / 1e6, 1),
            "faults": self.faults,
        })
    }

    /// The closing table, ready to print.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{:<20} {:>7} {:>8} {:>7} {:>7} {:>10} {:>9} {:>9} {:>9}",
            "stream",
            "frames",
            "dropped",
            "failed",
            "fps",
            "inferences",
            "p50 ms",
            "p99 ms",
            "max ms"
        );
        for id in StreamId::ALL {
            let (capture, stream) = (&self.capture[id.index()], &self.streams[id.index()]);
            let total = stream.latency.summary();
            let _ = writeln!(
                text,
                "{:<20} {:>7} {:>8} {:>7} {:>7.1} {:>10} {}",
                id.name(),
                stream.frames,
                capture.dropped,
                stream.failed,
                self.fps(id),
                stream.inferences,
                columns(total)
            );
            for (stage, figures) in [
                ("decode", capture.decode.summary()),
                ("queued", stream.queued.summary()),
                ("preprocess", stream.preprocess.summary()),
                ("inference", stream.inference.summary()),
            ] {
                let _ = writeln!(text, "  {stage:<60}   {}", columns(figures));
            }
        }
        for (stage, figures) in [
            ("render", self.render.summary()),
            ("encode", self.encode.summary()),
        ] {
            if figures.count > 0 {
                let _ = writeln!(text, "{stage:<62}   {}", columns(figures));
            }
        }
        let FrameCopies { imported, copied } = self.copies;
        if imported + copied > 0 {
            let _ = writeln!(
                text,
                "frames drawn: {imported} from the camera's memory, {copied} copied"
            );
        }
        let PartTally {
            good,
            reject,
            unsure,
            missed,
        } = self.parts;
        let missed = match missed {
            0 => String::new(),
            missed => format!(" ({missed} of them NOT IN TIME)"),
        };
        let _ = writeln!(
            text,
            "parts: {good} good, {reject} reject{missed}, {unsure} unsure · run permission lost {} times",
            self.trips
        );
        let _ = writeln!(
            text,
            "{:.1} s wall, {:.1} s CPU, {:.1} CPU ms per frame pair, peak memory {:.0} MB",
            self.wall.as_secs_f64(),
            self.usage.cpu.as_secs_f64(),
            self.cpu_ms_per_pair(),
            as_f64(self.usage.peak_rss_bytes) / 1e6
        );
        self.losses(&mut text);
        for fault in &self.faults {
            let _ = writeln!(text, "fault: {fault}");
        }
        text
    }

    /// Lines for what was lost or late; none where nothing was.
    fn losses(&self, text: &mut String) {
        if self.display_losses > 0 {
            let _ = writeln!(text, "monitor lost {} times", self.display_losses);
        }
        for id in StreamId::ALL {
            let CaptureFigures {
                losses, slippage, ..
            } = &self.capture[id.index()];
            let Losses {
                undecodable,
                missed,
                damaged,
                out_of_order,
                interruptions,
            } = *losses;
            for (count, words) in [
                (undecodable, "corrupt pictures skipped"),
                (missed, "pictures left out by the camera's driver"),
                (damaged, "damaged pictures skipped"),
                (out_of_order, "pictures skipped whose time did not advance"),
                (interruptions, "times without its camera"),
            ] {
                if count > 0 {
                    let _ = writeln!(text, "{id}: {count} {words}");
                }
            }
            if slippage.restarts > 0 {
                let _ = writeln!(
                    text,
                    "{id}: could not keep its rate, {:.1} s behind in {} steps",
                    slippage.behind.as_secs_f64(),
                    slippage.restarts
                );
            }
        }
    }
}

fn latency(summary: LatencySummary) -> Value {
    json!({
        "p50": millis(summary.p50),
        "p99": millis(summary.p99),
        "max": millis(summary.max),
    })
}

fn columns(summary: LatencySummary) -> String {
    let [p50, p99, max] = [summary.p50, summary.p99, summary.max].map(millis);
    format!("{p50:>9.2} {p99:>9.2} {max:>9.2}")
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
const fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_or_late_is_in_the_table_and_in_the_report() {
        let mut summary = Summary::default();
        summary.streams[0].failed = 8172;
        summary.capture[1].losses.undecodable = 41;
        summary.capture[0].losses.missed = 3;
        summary.capture[0].losses.interruptions = 2;
        summary.capture[1].slippage = Slippage {
            restarts: 14,
            behind: Duration::from_millis(600),
        };
        summary.events_dropped = 5;
        let table = summary.table();
        for words in [
            "failed",
            "8172",
            "visual_inspection: 41 corrupt pictures skipped",
            "worker_safety: 3 pictures left out by the camera's driver",
            "worker_safety: 2 times without its camera",
            "visual_inspection: could not keep its rate, 0.6 s behind in 14 steps",
        ] {
            assert!(table.contains(words), "`{words}` is not in\n{table}");
        }
        let json = summary.to_json();
        assert_eq!(json["streams"]["worker_safety"]["failed"], 8172);
        assert_eq!(json["streams"]["visual_inspection"]["corrupt"], 41);
        assert_eq!(json["streams"]["worker_safety"]["missed"], 3);
        assert_eq!(json["streams"]["worker_safety"]["interruptions"], 2);
        assert_eq!(json["streams"]["visual_inspection"]["restarts"], 14);
        assert_eq!(json["streams"]["visual_inspection"]["behind_ms"], 600.0);
        assert_eq!(json["events_dropped"], 5);
        assert!(!Summary::default().table().contains("behind"));
    }

    #[test]
    fn columns_stand_below_their_headings() {
        let table = Summary::default().table();
        let widths: Vec<usize> = table
            .lines()
            .take(11)
            .map(|line| line.chars().count())
            .collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{table}");
    }
}
