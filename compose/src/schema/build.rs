//! `build`, `develop`, `provider` and `models`: keys of a service that an orchestrator notes but
//! does not act on. They are checked all the same.

use super::{
    ANY, BOOL, Field, Kind, Others, PAIRS, TEXT, TEXT_OR_LIST, TEXTS, VARIABLES, WORD, field, shape,
};
use super::{Shape, mounts, service};

/// Compose accepts more here with every release, and nothing of it is used: what is not known passes.
pub const BUILD: Shape = shape("build", BUILD_FIELDS).others(Others::LeftOutUnlessMisspelt);

const BUILD_FIELDS: &[Field] = &[
    field("context", &TEXT),
    field("dockerfile", &TEXT),
    field("dockerfile_inline", &TEXT),
    field("entitlements", &TEXTS),
    field("args", &VARIABLES),
    field("ssh", &VARIABLES),
    field("labels", &PAIRS),
    field("cache_from", &TEXTS),
    field("cache_to", &TEXTS),
    field("no_cache", &BOOL),
    field("no_cache_filter", &TEXT_OR_LIST),
    field("additional_contexts", &PAIRS),
    field("network", &TEXT),
    field("provenance", &ANY),
    field("sbom", &ANY),
    field("pull", &BOOL),
    field("target", &TEXT),
    // Not looked at: the docker CLI does not either, and nobody uses it.
    field("shm_size", &WORD),
    field("extra_hosts", &Kind::Hosts),
    field("isolation", &TEXT),
    field("privileged", &BOOL),
    field("secrets", &mounts::FILE_USES),
    field("tags", &TEXTS),
    field("ulimits", &service::ULIMITS),
    field("platforms", &TEXTS),
];

/// `develop`
pub const DEVELOP: Shape = shape("develop", &[field("watch", &Kind::List(&WATCH))]);

const WATCH: Kind = Kind::Object(&WATCH_SHAPE);
const WATCH_SHAPE: Shape = shape(
    "watch",
    &[
        field("ignore", &TEXT_OR_LIST),
        field("include", &TEXT_OR_LIST),
        field("path", &TEXT),
        field("action", &Kind::OneOf(&["rebuild", "sync", "restart", "sync+restart", "sync+exec"])),
        field("target", &TEXT),
        field("exec", &ANY),
        field("initial_sync", &BOOL),
    ],
)
.required(&["path", "action"]);

/// `provider`
pub const PROVIDER: Shape =
    shape("provider", &[field("type", &TEXT), field("options", &Kind::Map(&ANY))])
        .required(&["type"]);

/// One use of a model by a service.
pub const MODEL_USE: Shape =
    shape("models", &[field("endpoint_var", &TEXT), field("model_var", &TEXT)]);
