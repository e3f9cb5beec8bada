//! `andon events`, on top of `app::events`.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::SystemTime;

use super::commands::Failure;
use super::{ConfigArgs, EventsArgs, Exit};
use crate::app::events::{self, EventForm, EventQuery};

pub(super) fn events(args: &EventsArgs) -> Result<Exit, Failure> {
    let query = EventQuery {
        since: match &args.since {
            Some(text) => Some(
                events::parse_since(text, SystemTime::now())
                    .map_err(|error| Failure::usage(format!("--since: {error}")))?,
            ),
            None => None,
        },
        kinds: match &args.kind {
            Some(text) => events::parse_kinds(text)
                .map_err(|error| Failure::usage(format!("--kind: {error}")))?,
            None => Vec::new(),
        },
        form: if args.json {
            EventForm::Json
        } else {
            EventForm::Words
        },
    };
    let directory = directory(args)?;
    let mut out = io::BufWriter::new(Pipe(io::stdout()));
    let tally = events::show(&directory, &query, &mut out)
        .map_err(|error| Failure::new(Exit::Input, error))?;
    let _ = out.flush();
    let complaint = |text: String| {
        let _ = writeln!(io::stderr(), "{text}");
    };
    if tally.torn > 0 {
        complaint(format!(
            "{} damaged lines were left out: a power cut or a full disk cut them off",
            tally.torn
        ));
    }
    if tally.lost > 0 {
        complaint(format!(
            "{} events are missing: they could not be written in time",
            tally.lost
        ));
    }
    Ok(Exit::Done)
}

fn directory(args: &EventsArgs) -> Result<PathBuf, Failure> {
    if let Some(directory) = &args.directory {
        return Ok(directory.clone());
    }
    let config = ConfigArgs {
        config: args.config.clone(),
        ..ConfigArgs::default()
    };
    let loaded = config.load()?;
    loaded.config.events.directory.ok_or_else(|| {
        Failure::usage(format!(
            "no event log: {} has no [events] directory; name one with --directory DIR",
            loaded.main.path.display()
        ))
    })
}

/// Standard output; a reader that went away (`| head`) is no error.
struct Pipe(io::Stdout);

impl io::Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            result => result,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }
}
