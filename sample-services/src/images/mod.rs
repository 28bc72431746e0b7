//! Makes the images of the demo stack as files for `docker load`, with no engine and no network.
//!
//! Every image of ours is one static program (this one) in a shared layer, and a configuration.
//! Redis comes from Debian's package. Same inputs, same bytes: no clock, no owner names, sorted.
//! `catalogue` says which images there are, `debian` packs programs of this machine with the
//! libraries they need, `image` writes the archive, `context` the same for `docker build`.

pub mod catalogue;
pub mod command;
pub mod context;
pub mod debian;
pub mod image;
pub mod tar;

/// The names that the program goes by; each is a link to it in `/bin` of every image.
pub const APPLETS: [&str; 9] = [
    "customers",
    "products",
    "invoices",
    "webapp",
    "api-gateway",
    "viz",
    "healthcheck",
    "probe",
    "images",
];
