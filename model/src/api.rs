//! What clients see: the answers of the API that the CLI reads too.
