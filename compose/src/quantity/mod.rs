//! Small languages inside values: durations, sizes, CPU shares, command lines, images, ports,
//! volumes. Each reads a text into a value, says what is wrong with it, and has no idea of files.

pub mod cpus;
pub mod duration;
pub mod image;
pub mod port;
pub mod size;
pub mod volume;
pub mod words;
