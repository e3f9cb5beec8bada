//! Engines, detection, classification, scheduling.
