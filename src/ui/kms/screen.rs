//! The picture on a monitor: keeps it there, and says when it is not.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use super::card::{self, Card, Look};
use super::stage::{Shown, Stage};
use super::uevent::Uevents;
use super::vt::{VtGuard, VtSwitch};
use super::watch::{DisplayNews, Kept, Loss, Todo, Watch};
use crate::config::KmsConfig;
use crate::frame::Frame;
use crate::geometry::Size;
use crate::sys::monotonic_now;
use crate::ui::UiError;
use crate::ui::gles::FrameCopies;
use crate::ui::scene::Scene;
use crate::ui::screen::Seen;
use crate::units::MonotonicTime;

/// Time between two looks at the wires where the kernel says nothing: a driver that is not told of a
/// plug looks as seldom itself.
const PROBE_EVERY: Duration = Duration::from_secs(10);

/// Takes the pixels of a picture.
pub(super) type Keep<'a> = &'a mut dyn FnMut(&[u8]);

/// News that nobody has asked for yet; the oldest are dropped beyond it.
const NEWS_MAX: usize = 32;

/// Shows scenes on a monitor. Belongs to the thread that made it.
///
/// Nothing that goes wrong with the display is an error here: it is news ([`KmsScreen::take_news`]),
/// the picture is left out, and the display is tried again for as long as the program runs.
// The terminal is put back after the card was let go.
#[derive(Debug)]
pub struct KmsScreen {
    stage: Option<Stage>,
    /// Whether the stage has a monitor that may be drawn to.
    ready: bool,
    watch: Watch,
    config: KmsConfig,
    /// Of the last picture, and until there is one what the configuration says.
    size: Size,
    uevents: Option<Uevents>,
    /// Whether the kernel spoke of a card since the wires were looked at.
    changed: bool,
    /// When they were.
    probed: MonotonicTime,
    news: VecDeque<DisplayNews>,
    /// Of stages that are gone.
    copies: FrameCopies,
    vt: Option<VtGuard>,
}

impl KmsScreen {
    /// Takes the virtual terminal; card and monitor come with [`KmsScreen::attend`], because a slow
    /// graphics driver must not delay whoever waits for this. `size` is that of pictures until a
    /// monitor says otherwise.
    ///
    /// # Errors
    ///
    /// The configured terminal cannot be used. A display that is not there is no error.
    pub fn new(config: &KmsConfig, size: Size) -> Result<Self, UiError> {
        let vt = VtGuard::take(&config.vt).map_err(|error| UiError::Terminal(error.to_string()))?;
        if let Some(vt) = &vt {
            log::info!("{} is in graphics mode", vt.path().display());
        }
        let uevents = Uevents::open()
            .inspect_err(|error| {
                log::info!(
                    "no messages from the kernel ({error}): monitors are looked for every second"
                );
            })
            .ok();
        Ok(Self {
            stage: None,
            ready: false,
            watch: Watch::new(monotonic_now()),
            config: config.clone(),
            size,
            uevents,
            changed: false,
            probed: monotonic_now(),
            news: VecDeque::new(),
            copies: FrameCopies::default(),
            vt,
        })
    }

    /// Size of the pictures to draw: the mode's.
    #[must_use]
    pub const fn size(&self) -> Size {
        self.size
    }

    /// Width and height of the monitor in millimetres, where it says so.
    #[must_use]
    pub fn millimetres(&self) -> Option<(u32, u32)> {
        self.stage.as_ref()?.millimetres()
    }

    /// Whether a picture would be drawn now.
    #[must_use]
    pub const fn can_draw(&self) -> bool {
        self.ready
    }

    /// What the card has said that it shows, as of the last [`KmsScreen::attend`].
    #[must_use]
    pub fn seen(&self) -> Seen {
        let stage = self.stage.as_ref().filter(|_| self.ready);
        stage.map_or(Seen::Nothing, Stage::seen)
    }

    /// Frames by how they came to the graphics device.
    #[must_use]
    pub fn copies(&self) -> FrameCopies {
        let stage = self.stage.as_ref();
        let now = stage.map_or_else(FrameCopies::default, |stage| stage.renderer().copies());
        self.copies + now
    }

    /// The oldest news.
    pub fn take_news(&mut self) -> Option<DisplayNews> {
        self.news.pop_front()
    }

    /// What is to be done between pictures: looks after monitor, card and terminal. Waits for the
    /// card only where the display is being taken, then up to a second.
    pub fn attend(&mut self) {
        self.attend_terminal();
        if let Some(stage) = &mut self.stage {
            stage.release_frames();
        }
        self.hear_of_flip();
        let changed = self.uevents.as_ref().is_some_and(Uevents::card_changed);
        self.changed |= changed;
        match self.watch.due(monotonic_now(), changed) {
            Todo::Nothing => {}
            // Without messages a driver that tells nothing else would never be asked.
            Todo::Look if self.uevents.is_none() && self.is_probe_due() => self.look(Look::Fresh),
            Todo::Look => self.look(Look::Known),
            Todo::LookClosely => self.look(Look::Fresh),
            Todo::Try => {
                if let Err(loss) = self.take() {
                    self.lost(loss);
                }
            }
        }
    }

    /// Whoever operates the screen wants to know soon what is on it.
    fn hear_of_flip(&mut self) {
        let stage = self.stage.as_mut().filter(|_| self.ready);
        if let Some(Err(loss)) = stage.map(|stage| stage.wait_for_flip(Duration::ZERO)) {
            self.lost(loss);
        }
    }

    fn is_probe_due(&self) -> bool {
        self.changed || monotonic_now().saturating_since(self.probed) >= PROBE_EVERY
    }

    fn note(&mut self, look: Look) {
        if look == Look::Fresh {
            self.changed = false;
            self.probed = monotonic_now();
        }
    }

    fn look(&mut self, look: Look) {
        self.note(look);
        let looked = self.stage.as_mut().map(|stage| {
            stage.wait_for_flip(Duration::ZERO)?;
            stage.look(look)
        });
        if let Some(Err(loss)) = looked {
            self.lost(loss);
        }
    }

    /// Somebody switched to another terminal, or back.
    fn attend_terminal(&mut self) {
        match self.vt.as_ref().and_then(VtGuard::asked) {
            Some(VtSwitch::Away) => {
                if let Some(stage) = &mut self.stage {
                    stage.give_away();
                }
                let why = "another virtual terminal is in front".to_owned();
                self.lost(Loss::Master(why));
                if let Some(vt) = &self.vt {
                    vt.agree();
                }
            }
            Some(VtSwitch::Back) => {
                if let Some(vt) = &self.vt {
                    vt.acknowledge();
                }
                if let Err(loss) = self.take() {
                    self.lost(loss);
                }
            }
            None => {}
        }
    }

    /// Gets as far as a monitor that the next picture can light.
    fn take(&mut self) -> Result<(), Loss> {
        if self.vt.as_ref().is_some_and(VtGuard::is_away) {
            return Err(Loss::Master(
                "another virtual terminal is in front".to_owned(),
            ));
        }
        let look = if self.stage.is_none() || self.is_probe_due() {
            Look::Fresh
        } else {
            Look::Known
        };
        self.note(look);
        match &mut self.stage {
            Some(stage) if stage.size().is_some() => stage.take_again(),
            Some(stage) => stage.take_monitor(&self.config, look),
            None => {
                self.stage = Some(open(&self.config)?);
                Ok(())
            }
        }?;
        if let Some(size) = self.stage.as_ref().and_then(Stage::size) {
            self.size = size;
        }
        self.ready = true;
        Ok(())
    }

    /// Draws a scene of [`KmsScreen::size`] with the streams' frames, by
    /// [`crate::units::StreamId::index`], and puts it on its way to the monitor; it is there from the
    /// next vertical blank on. `keep` is given the pixels, as [`crate::ui::gles::ReadBack::read`] has
    /// them. Says whether it was drawn.
    ///
    /// Waits for the picture before to be shown, a tenth of a second at most.
    pub fn show(
        &mut self,
        scene: &Scene,
        frames: [Option<&Frame>; 2],
        keep: Option<Keep<'_>>,
    ) -> bool {
        // A scene that was laid out for another monitor, before it was swapped, is left out.
        if scene.size != self.size {
            return false;
        }
        let Some(stage) = self.stage.as_mut().filter(|_| self.ready) else {
            return false;
        };
        match stage.show(scene, frames, keep) {
            Ok(Shown::Yes) => {
                if !self.watch.is_lit() {
                    let on = stage.words();
                    let news = self.watch.lit(monotonic_now(), &on);
                    self.tell(news);
                }
                true
            }
            Ok(Shown::TooEarly) => false,
            Err(loss) => {
                self.lost(loss);
                false
            }
        }
    }

    fn lost(&mut self, loss: Loss) {
        self.ready = false;
        match loss.keeps() {
            Kept::Everything => {}
            Kept::Card => {
                if let Some(stage) = &mut self.stage {
                    stage.drop_monitor();
                }
            }
            Kept::Nothing => {
                if let Some(stage) = self.stage.take() {
                    self.copies = self.copies + stage.renderer().copies();
                }
            }
        }
        let news = self.watch.lost(monotonic_now(), loss);
        self.tell(news);
    }

    fn tell(&mut self, news: Option<DisplayNews>) {
        if let Some(news) = news {
            if self.news.len() >= NEWS_MAX {
                self.news.pop_front();
            }
            self.news.push_back(news);
        }
    }
}

/// The configured card, or the first that has a monitor.
fn open(config: &KmsConfig) -> Result<Stage, Loss> {
    let paths = match &config.card {
        Some(path) => vec![path.clone()],
        None => card::paths()
            .map_err(|error| Loss::Card(format!("there is no card: /dev/dri: {error}")))?,
    };
    if paths.is_empty() {
        return Err(Loss::Card("there is no card in /dev/dri".to_owned()));
    }
    let mut losses = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        match open_one(path, config) {
            Ok(stage) => {
                let others: Vec<String> = paths
                    .iter()
                    .skip(index + 1)
                    .map(|path| path.display().to_string())
                    .collect();
                if !others.is_empty() {
                    log::info!(
                        "other cards, not used: {}; display.card chooses",
                        others.join(", ")
                    );
                }
                return Ok(stage);
            }
            Err(loss) => losses.push(loss),
        }
    }
    Err(gravest(losses))
}

fn open_one(path: &Path, config: &KmsConfig) -> Result<Stage, Loss> {
    let card = Card::open(path).map_err(|error| {
        let help = "check display.card, and that the program may open it (group video, or root)";
        Loss::Card(format!("cannot open {}: {error}; {help}", path.display()))
    })?;
    let mut stage = Stage::open(card, config)?;
    stage.take_monitor(config, Look::Fresh)?;
    Ok(stage)
}

/// Of several cards' reasons: a monitor that is not there may come, and is looked for most often.
fn gravest(losses: Vec<Loss>) -> Loss {
    let words: Vec<String> = losses.iter().map(ToString::to_string).collect();
    let words = words.join("; ");
    let rank = |loss: &Loss| match loss {
        Loss::Monitor(_) => 0,
        Loss::Master(_) => 1,
        Loss::Card(_) | Loss::Flip(_) | Loss::Drawing(_) => 2,
    };
    match losses.into_iter().min_by_key(rank) {
        Some(Loss::Monitor(_)) => Loss::Monitor(words),
        // Nothing was kept of it: the card is opened anew.
        Some(Loss::Master(_)) => Loss::Master(words),
        Some(Loss::Card(_) | Loss::Flip(_) | Loss::Drawing(_)) | None => Loss::Card(words),
    }
}
