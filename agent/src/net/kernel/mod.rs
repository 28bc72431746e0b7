//! What the data plane does to the kernel: links, rule sets, connection tracking, settings.
//!
//! Everything works in the network namespace of the process (a host, perhaps one of several that
//! share a kernel) or, through [`netns`], in that of a container.

pub mod conntrack;
pub mod links;
pub mod netns;
pub mod nft;
pub mod sysctl;

/// The kernel did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// A netlink request was refused; the steps before it are done. Read the state and try again.
    #[error("{what}: {message}")]
    Netlink { what: String, message: String },
    /// The rule set was refused as a whole; the old one holds.
    #[error("nft: {message}")]
    Rules { message: String },
    /// There is no `nft` program on this host.
    #[error("the program nft is not installed")]
    NoNft,
    /// Nothing was changed.
    #[error("{what}")]
    Io {
        what: String,
        #[source]
        source: std::io::Error,
    },
}
