//! sample-services
