//! From a frame to a tensor: crop, resize, colour conversion, quantise, in one pass.
