//! Wiring, threads, shutdown; the only place that spawns.
