//! Readers of the two serialised forms in model files: flatbuffers and flexbuffers.
//!
//! Every access is checked against the end of the bytes, so that a damaged file is an error and
//! nothing else. They know no schema; whoever reads a file brings its field numbers. Pure.

pub(crate) mod flatbuffer;
pub(crate) mod flexbuffer;
