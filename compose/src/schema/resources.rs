//! The sections beside `services`: networks, volumes, secrets, configs, models.

use super::{
    ANY, BOOL, Field, INT, Kind, PAIRS, Shape, Short, TEXT, TEXTS, WORD, WORDS_BY_KEY, field, shape,
};

const EXTERNAL: Kind = Kind::Short { expand: Short::External, long: &Kind::Bool };

/// One network.
pub const NETWORK: Shape = shape(
    "networks",
    &[
        field("name", &TEXT).to("Name"),
        field("driver", &TEXT).to("Driver"),
        field("driver_opts", &WORDS_BY_KEY).to("Options"),
        field("ipam", &Kind::Object(&IPAM)).to("IPAM"),
        field("external", &EXTERNAL).used("the network must exist already"),
        field("internal", &BOOL).to("Internal"),
        field("attachable", &BOOL).to("Attachable"),
        field("enable_ipv4", &BOOL).to("EnableIPv4").keep_empty(),
        field("enable_ipv6", &BOOL).to("EnableIPv6").keep_empty(),
        field("labels", &PAIRS).to("Labels"),
    ],
);

const IPAM: Shape = shape(
    "ipam",
    &[
        field("driver", &TEXT).to("Driver"),
        field("config", &Kind::List(&POOL)).to("Config").merge(super::Merge::Replace),
        field("options", &WORDS_BY_KEY).to("Options"),
    ],
);

const POOL: Kind = Kind::Object(&POOL_SHAPE);
const POOL_SHAPE: Shape = shape(
    "ipam.config",
    &[
        field("subnet", &TEXT).to("Subnet"),
        field("ip_range", &TEXT).to("IPRange"),
        field("gateway", &TEXT).to("Gateway"),
        field("aux_addresses", &Kind::Map(&TEXT)).to("AuxiliaryAddresses"),
    ],
);

/// One volume.
pub const VOLUME: Shape = shape(
    "volumes",
    &[
        field("name", &TEXT).to("Mounts[].Source"),
        field("driver", &TEXT).to("Mounts[].VolumeOptions.DriverConfig.Name"),
        field("driver_opts", &WORDS_BY_KEY).to("Mounts[].VolumeOptions.DriverConfig.Options"),
        field("external", &EXTERNAL).used("the volume must exist already"),
        field("labels", &PAIRS).to("Mounts[].VolumeOptions.Labels"),
        field("x-cluster-spec", &ANY).noted("cluster volumes are created with `docker volume`"),
    ],
);

/// One secret.
pub const SECRET: Shape = shape("secrets", FILE_FIELDS);
/// One config.
pub const CONFIG: Shape = shape("configs", CONFIG_FIELDS);

const FILE_FIELDS: &[Field] = &[
    field("name", &TEXT).to("Name"),
    field("file", &TEXT).to("Data"),
    field("environment", &TEXT).to("Data"),
    field("external", &EXTERNAL).used("it must exist already"),
    field("labels", &PAIRS).to("Labels"),
    field("driver", &TEXT).to("Driver.Name"),
    field("driver_opts", &WORDS_BY_KEY).to("Driver.Options"),
    field("template_driver", &TEXT).to("Templating.Name"),
];

const CONFIG_FIELDS: &[Field] = &[
    field("name", &TEXT).to("Name"),
    field("file", &TEXT).to("Data"),
    field("environment", &TEXT).to("Data"),
    field("content", &TEXT).to("Data").keep_empty(),
    field("external", &EXTERNAL).used("it must exist already"),
    field("labels", &PAIRS).to("Labels"),
    field("template_driver", &TEXT).to("Templating.Name"),
];

/// One model.
pub const MODEL: Shape = shape(
    "models",
    &[
        field("name", &WORD),
        field("model", &TEXT),
        field("context_size", &INT),
        field("runtime_flags", &TEXTS),
    ],
)
.required(&["model"]);
