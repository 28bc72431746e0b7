//! The log with a toy machine: storage by openraft's suite, one manager, three managers.

mod cluster;
mod gate;
mod simulated;
mod single;
mod suite;
mod toy;
