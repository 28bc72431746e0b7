//! The file as a whole.

use super::{Kind, Shape, Short, TEXT, TEXT_OR_LIST, field, resources, service, shape};

/// A Compose file.
pub const FILE: Kind = Kind::Object(&FILE_SHAPE);

/// The keys of a Compose file.
pub const FILE_SHAPE: Shape = shape(
    "the file",
    &[
        field("version", &crate::schema::WORD)
            .noted("the version of a Compose file means nothing any more"),
        field("name", &TEXT).used("the stack's name, when none is given"),
        field("include", &Kind::List(&INCLUDE)).used("other files that belong to the stack"),
        field("services", &Kind::Named(&service::SERVICE)).to("services"),
        field("networks", &Kind::Named(&Kind::Nullable(&NETWORK))).to("networks").keep_empty(),
        field("volumes", &Kind::Named(&Kind::Nullable(&VOLUME))).to("services").keep_empty(),
        field("secrets", &Kind::Named(&Kind::Object(&resources::SECRET)))
            .to("secrets")
            .keep_empty(),
        field("configs", &Kind::Named(&Kind::Object(&resources::CONFIG)))
            .to("configs")
            .keep_empty(),
        field("models", &Kind::Named(&Kind::Object(&resources::MODEL)))
            .noted("models are run by Docker Desktop's model runner, not by a cluster"),
    ],
);

const NETWORK: Kind = Kind::Object(&resources::NETWORK);
const VOLUME: Kind = Kind::Object(&resources::VOLUME);

const INCLUDE: Kind = Kind::Short { expand: Short::Include, long: &Kind::Object(&INCLUDE_SHAPE) };
const INCLUDE_SHAPE: Shape = shape(
    "include",
    &[
        field("path", &TEXT_OR_LIST).used("the file, and files that override it"),
        field("env_file", &TEXT_OR_LIST).used("variables for the included file"),
        field("project_directory", &TEXT).used("where its relative paths start"),
    ],
)
.required(&["path"]);
