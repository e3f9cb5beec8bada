//! Andon: worker safety and visual inspection on one factory appliance.
//!
//! Two cameras, one accelerator, one decision: may the machine run? Data flows one way:
//!
//! ```text
//! capture ──Frame──▶ preprocess ─▶ inference ──Inferred──▶ decision ──▶ output (relays)
//!    │                                                        │
//!    └────────────────Frame handle──────────▶ ui ◀──Snapshot──┘          events ─▶ report
//! ```
//!
//! Nothing flows backwards except buffer release and commands from `app`.
//!
//! Reading order: [`message`] says what the stages tell each other; [`decision`] is the reason the
//! product exists and is pure; [`app`] wires the stages into threads; [`capture`], [`inference`]
//! and [`ui`] are the edges to the world.
//!
//! Invariants (numbers as in `docs/architecture.md`): the run permission is ON only while everything
//! that guards it is fresh, clear and reset (1); missing, late or malformed data counts as an
//! occupied zone (2); nothing falls back silently (3); every restart ends in OFF (4); picture,
//! recorder and log can block without delaying a trip (5).

pub mod app;
pub mod capture;
pub mod cli;
pub mod config;
pub mod decision;
pub(crate) mod flat;
pub mod frame;
pub mod geometry;
pub mod health;
pub mod inference;
pub mod message;
pub mod output;
pub mod preprocess;
pub mod scrutiny;
pub mod sync;
pub mod sys;
pub mod tpu;
pub mod ui;
pub mod units;
