//! A scene as text, one command per line: what tests compare.

use std::fmt;

use super::{Command, Path, Rgba, Scene, Stroke};
use crate::geometry::{Point, Rect, ScreenPixels};

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            size,
            background,
            commands,
        } = self;
        writeln!(f, "scene {}x{} on {background}", size.width, size.height)?;
        for command in commands {
            writeln!(f, "{command}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block { rect, color } => write!(f, "block {} {color}", Corners(*rect)),
            Self::Outline { rect, stroke } => {
                write!(
                    f,
                    "outline {}{}",
                    Corners(*rect),
                    Paints(None, Some(*stroke))
                )
            }
            Self::Video { stream, rect } => write!(f, "video {stream} {}", Corners(*rect)),
            Self::Mask { rect, color } => write!(f, "mask {} {color}", Corners(*rect)),
            Self::Polygon {
                points,
                path,
                fill,
                stroke,
            } => {
                let kind = match path {
                    Path::Closed => "polygon",
                    Path::Open => "line",
                };
                write!(f, "{kind}{}", Paints(*fill, *stroke))?;
                points
                    .iter()
                    .try_for_each(|point| write!(f, " {}", At(*point)))
            }
            Self::Text {
                at,
                text,
                size,
                weight,
                align,
                color,
            } => write!(
                f,
                "text {} {size:.1}px {weight:?} {align:?} {color} {text:?}",
                At(*at)
            ),
        }
    }
}

impl fmt::Display for Rgba {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { r, g, b, a } = self;
        write!(f, "#{r:02x}{g:02x}{b:02x}")?;
        if *a == u8::MAX {
            Ok(())
        } else {
            write!(f, "/{a}")
        }
    }
}

struct At(Point<ScreenPixels>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1},{:.1}", self.0.x, self.0.y)
    }
}

struct Corners(Rect<ScreenPixels>);

impl fmt::Display for Corners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(r) = self;
        write!(
            f,
            "{:.1},{:.1}..{:.1},{:.1}",
            r.left(),
            r.top(),
            r.right(),
            r.bottom()
        )
    }
}

struct Paints(Option<Rgba>, Option<Stroke>);

impl fmt::Display for Paints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(fill) = self.0 {
            write!(f, " fill {fill}")?;
        }
        if let Some(stroke) = self.1 {
            write!(f, " stroke {:.1}px {}", stroke.width, stroke.color)?;
        }
        Ok(())
    }
}
