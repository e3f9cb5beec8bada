//! Things that go wrong, by script: at transfer N do X.

use std::time::Duration;

use thiserror::Error;

/// When.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// At the transfer of this number, counted from 0 over all control, bulk and interrupt
    /// transfers of the port in the order in which they were submitted.
    Transfer(u64),
    /// At the bulk-out transfer of this number on the stream endpoint.
    BulkOut(u64),
    /// At the event of this number that the chip sends.
    Event(u64),
    /// At the inference of this number, when it would compute.
    Inference(u64),
    /// At a time.
    Time(Duration),
}

/// What.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The transfer stalls; a bulk or interrupt endpoint stays halted.
    Stall,
    /// The transfer never ends by itself.
    Never,
    /// The transfer breaks on the bus.
    Broken,
    /// The transfer takes that much longer.
    Delay(Duration),
    /// Only that many bytes get through, and it counts as complete.
    Short(usize),
    /// What the device sends is replaced by these bytes.
    Garbage(Vec<u8>),
    /// The plug is pulled, and put back after a while or never.
    Unplug(Option<Duration>),
    /// The device falls back into its boot loader and comes back as such.
    FallIntoDfu,
    /// The chip stops: nothing is taken or sent any more, until reset or, with `true`, until the
    /// plug is pulled.
    Hang(bool),
    /// A fatal error: this status in the registers, and bit 0 on the interrupt endpoint.
    Fatal(u64),
    /// An interrupt word without any cause in the registers.
    Interrupt(u32),
    /// The event is not sent.
    DropEvent,
    /// The event is sent this often.
    RepeatEvent(u32),
    /// The event is sent before the outputs.
    EarlyEvent,
    /// One byte of the outputs is wrong. (Nothing on the wire tells: the driver cannot see it.)
    WrongOutput,
    /// The power state stays as it is from now on.
    PowerSticks,
    /// Firmware reads back wrong.
    DfuCorrupt,
    /// The boot loader reports this status.
    DfuStatus(u8),
    /// The next port resets fail: the device is gone after them.
    ResetKills,
    /// Transfers that the host withdraws do not come back, until the port is reset or the device closed.
    KeepsWithdrawn,
}

/// A line of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub trigger: Trigger,
    /// What.
    pub fault: Fault,
}

/// A script. Each step happens once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script(Vec<Step>);

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("fault script, line {line}: {reason}: \"{text}\"")]
pub struct ScriptError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: &'static str,
    /// The line.
    pub text: String,
}

impl Script {
    /// An empty script.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a step.
    #[must_use]
    pub fn with(mut self, trigger: Trigger, fault: Fault) -> Self {
        self.0.push(Step { trigger, fault });
        self
    }

    /// Adds a step to a script in use.
    pub fn push(&mut self, trigger: Trigger, fault: Fault) {
        self.0.push(Step { trigger, fault });
    }

    /// Takes out what is due at a trigger.
    pub(crate) fn due(&mut self, trigger: Trigger) -> Option<Fault> {
        let at = self.0.iter().position(|step| step.trigger == trigger)?;
        Some(self.0.remove(at).fault)
    }

    /// Takes out a step whose time has come.
    pub(crate) fn due_by(&mut self, now: Duration) -> Option<Fault> {
        let at = self
            .0
            .iter()
            .position(|step| matches!(step.trigger, Trigger::Time(time) if time <= now))?;
        Some(self.0.remove(at).fault)
    }

    /// The next time at which a step is due.
    pub(crate) fn next_time(&self) -> Option<Duration> {
        self.0
            .iter()
            .filter_map(|step| match step.trigger {
                Trigger::Time(time) => Some(time),
                Trigger::Transfer(_)
                | Trigger::BulkOut(_)
                | Trigger::Event(_)
                | Trigger::Inference(_) => None,
            })
            .min()
    }

    /// Steps that have not happened.
    #[must_use]
    pub fn left(&self) -> &[Step] {
        &self.0
    }

    /// Reads a script: one step a line, `WHEN NUMBER WHAT [ARGUMENT]`, `#` for remarks. WHEN is
    /// `transfer`, `bulk-out`, `event`, `inference` or `time-ms`; WHAT is `stall`, `never`, `broken`,
    /// `delay-ms N`, `short N`, `garbage HEX`, `unplug [MS]`, `dfu`, `hang`, `hang-hard`,
    /// `fatal HEX`, `interrupt HEX`, `drop-event`, `repeat-event N`, `early-event`, `wrong-output`,
    /// `power-sticks`, `dfu-corrupt`, `dfu-status N`, `reset-kills` or `keeps-withdrawn`.
    ///
    /// # Errors
    ///
    /// A line that means nothing.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut script = Self::new();
        for (number, line) in text.lines().enumerate() {
            let content = line.split('#').next().unwrap_or_default().trim();
            if content.is_empty() {
                continue;
            }
            let error = |reason| ScriptError {
                line: number + 1,
                reason,
                text: line.to_owned(),
            };
            let words: Vec<&str> = content.split_whitespace().collect();
            let [when, count, what, rest @ ..] = words.as_slice() else {
                return Err(error("too few words"));
            };
            let count: u64 = match count.parse() {
                Ok(count) => count,
                Err(_) => return Err(error("no number")),
            };
            let trigger = match *when {
                "transfer" => Trigger::Transfer(count),
                "bulk-out" => Trigger::BulkOut(count),
                "event" => Trigger::Event(count),
                "inference" => Trigger::Inference(count),
                "time-ms" => Trigger::Time(Duration::from_millis(count)),
                _ => return Err(error("unknown trigger")),
            };
            let fault = fault(what, rest.first().copied()).ok_or_else(|| error("unknown fault"))?;
            script.push(trigger, fault);
        }
        Ok(script)
    }
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}

fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text
        .chars()
        .map(|c| c.to_digit(16))
        .collect::<Option<_>>()?;
    digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(high * 16 + low).ok(),
            _ => None,
        })
        .collect()
}

fn fault(what: &str, argument: Option<&str>) -> Option<Fault> {
    let milliseconds = || argument?.parse().ok().map(Duration::from_millis);
    Some(match what {
        "stall" => Fault::Stall,
        "never" => Fault::Never,
        "broken" => Fault::Broken,
        "delay-ms" => Fault::Delay(milliseconds()?),
        "short" => Fault::Short(argument?.parse().ok()?),
        "garbage" => Fault::Garbage(hex_bytes(argument?)?),
        "unplug" => Fault::Unplug(match argument {
            Some(_) => Some(milliseconds()?),
            None => None,
        }),
        "dfu" => Fault::FallIntoDfu,
        "hang" => Fault::Hang(false),
        "hang-hard" => Fault::Hang(true),
        "fatal" => Fault::Fatal(hex(argument?)?),
        "interrupt" => Fault::Interrupt(u32::try_from(hex(argument?)?).ok()?),
        "drop-event" => Fault::DropEvent,
        "repeat-event" => Fault::RepeatEvent(argument?.parse().ok()?),
        "early-event" => Fault::EarlyEvent,
        "wrong-output" => Fault::WrongOutput,
        "power-sticks" => Fault::PowerSticks,
        "dfu-corrupt" => Fault::DfuCorrupt,
        "dfu-status" => Fault::DfuStatus(argument?.parse().ok()?),
        "reset-kills" => Fault::ResetKills,
        "keeps-withdrawn" => Fault::KeepsWithdrawn,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_line_by_line() {
        let script = Script::parse(
            "# power\ntransfer 17 stall\n\nbulk-out 3 unplug 250  # and back\ntime-ms 9 fatal 0x40\nevent 0 garbage 00ff",
        )
        .expect("a script");
        assert_eq!(
            script,
            Script::new()
                .with(Trigger::Transfer(17), Fault::Stall)
                .with(
                    Trigger::BulkOut(3),
                    Fault::Unplug(Some(Duration::from_millis(250)))
                )
                .with(Trigger::Time(Duration::from_millis(9)), Fault::Fatal(0x40))
                .with(Trigger::Event(0), Fault::Garbage(vec![0, 0xff]))
        );
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = Script::parse("transfer 1 stall\ntransfer x stall").expect_err("no number");
        assert_eq!(error.line, 2);
    }
}
