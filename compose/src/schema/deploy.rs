//! `deploy`: how many tasks, where, and how they are replaced.

use super::{
    COUNT, DURATION, Field, INT, Kind, PAIRS, Shape, SizeForm, TEXT, TEXT_SET, TEXTS, WORD, field,
    shape,
};

/// `deploy`
pub const DEPLOY: Shape = shape(
    "deploy",
    &[
        field("mode", &MODE).to("Mode"),
        field("endpoint_mode", &Kind::OneOf(&["vip", "dnsrr"])).to("EndpointSpec.Mode"),
        field("replicas", &COUNT).to("Mode.Replicated.Replicas").keep_empty(),
        field("labels", &PAIRS).to("Labels"),
        field("rollback_config", &Kind::Object(&UPDATE)).to("RollbackConfig").keep_empty(),
        field("update_config", &Kind::Object(&UPDATE)).to("UpdateConfig").keep_empty(),
        field("resources", &Kind::Object(&RESOURCES)).to("TaskTemplate.Resources"),
        field("restart_policy", &Kind::Object(&RESTART))
            .to("TaskTemplate.RestartPolicy")
            .keep_empty(),
        field("placement", &Kind::Object(&PLACEMENT)).to("TaskTemplate.Placement"),
    ],
);

const MODE: Kind = Kind::OneOf(&["replicated", "global", "replicated-job", "global-job"]);

const UPDATE: Shape = shape("update_config", UPDATE_FIELDS);
const UPDATE_FIELDS: &[Field] = &[
    field("parallelism", &COUNT).to("Parallelism").keep_empty(),
    field("delay", &DURATION).to("Delay"),
    field("failure_action", &Kind::OneOf(&["pause", "continue", "rollback"])).to("FailureAction"),
    field("monitor", &DURATION).to("Monitor"),
    field("max_failure_ratio", &Kind::Number).to("MaxFailureRatio"),
    field("order", &Kind::OneOf(&["start-first", "stop-first"])).to("Order"),
];

const RESOURCES: Shape = shape(
    "resources",
    &[
        field("limits", &Kind::Object(&LIMITS)).to("Limits").keep_empty(),
        field("reservations", &Kind::Object(&RESERVATIONS)).to("Reservations").keep_empty(),
    ],
);

const LIMITS: Shape = shape(
    "limits",
    &[
        field("cpus", &Kind::Cpus).to("NanoCPUs"),
        field("memory", &Kind::Size(SizeForm::TextOnly)).to("MemoryBytes"),
        field("pids", &INT).to("Pids"),
    ],
);

const RESERVATIONS: Shape = shape(
    "reservations",
    &[
        field("cpus", &Kind::Cpus).to("NanoCPUs"),
        field("memory", &Kind::Size(SizeForm::TextOnly)).to("MemoryBytes"),
        field("generic_resources", &Kind::List(&GENERIC)).to("GenericResources"),
        field("devices", &Kind::List(&DEVICE_REQUEST))
            .to("TaskTemplate.ContainerSpec.Engine.DeviceRequests"),
    ],
);

const GENERIC: Kind = Kind::Object(&GENERIC_SHAPE);
const GENERIC_SHAPE: Shape = shape(
    "generic_resources",
    &[field("discrete_resource_spec", &Kind::Object(&DISCRETE)).to("DiscreteResourceSpec")],
);
const DISCRETE: Shape = shape(
    "discrete_resource_spec",
    &[field("kind", &TEXT).to("Kind"), field("value", &INT).to("Value").keep_empty()],
);

/// A request for devices such as GPUs.
pub const DEVICE_REQUEST: Kind = Kind::Object(&DEVICE_REQUEST_SHAPE);
const DEVICE_REQUEST_SHAPE: Shape = shape(
    "devices",
    &[
        field("capabilities", &TEXT_SET).to("Capabilities"),
        field("count", &WORD).to("Count"),
        field("device_ids", &TEXT_SET).to("DeviceIDs"),
        field("driver", &TEXT).to("Driver"),
        field("options", &PAIRS).to("Options"),
    ],
);

const RESTART: Shape = shape(
    "restart_policy",
    &[
        field("condition", &Kind::OneOf(&["none", "on-failure", "any"])).to("Condition"),
        field("delay", &DURATION).to("Delay").keep_empty(),
        field("max_attempts", &COUNT).to("MaxAttempts").keep_empty(),
        field("window", &DURATION).to("Window").keep_empty(),
    ],
);

const PLACEMENT: Shape = shape(
    "placement",
    &[
        field("constraints", &TEXTS).to("Constraints"),
        field("preferences", &Kind::List(&PREFERENCE)).to("Preferences"),
        field("max_replicas_per_node", &COUNT).to("MaxReplicas"),
    ],
);
const PREFERENCE: Kind = Kind::Object(&PREFERENCE_SHAPE);
const PREFERENCE_SHAPE: Shape = shape("preferences", &[field("spread", &TEXT).to("Spread")]);
