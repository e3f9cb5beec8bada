//! Switching outputs: the relays, or their recorded simulation.
