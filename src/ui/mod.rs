//! The picture: a pure draw list, and renderers for it.
