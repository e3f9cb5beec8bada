//! The reason the product exists: zones, run permission, grades. Pure: no clock, no I/O.
