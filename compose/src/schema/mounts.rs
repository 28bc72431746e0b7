//! Files in a container's tree: volumes, and uses of secrets and configs.

use super::{BOOL, Kind, Others, PAIRS, Shape, Short, SizeForm, TEXT, field, shape};

/// One item of a service's `volumes`.
pub const MOUNT: Kind = Kind::Short { expand: Short::Mount, long: &Kind::Object(&MOUNT_SHAPE) };

const MOUNT_SHAPE: Shape = shape(
    "volumes",
    &[
        field("type", &TYPE).to("Type"),
        field("source", &TEXT).to("Source"),
        field("target", &TEXT).to("Target"),
        field("read_only", &BOOL).to("ReadOnly"),
        field("consistency", &TEXT).to("Consistency"),
        field("bind", &Kind::Object(&BIND)).to("BindOptions").keep_empty(),
        field("volume", &Kind::Object(&VOLUME)).to("VolumeOptions").keep_empty(),
        field("tmpfs", &Kind::Object(&TMPFS)).to("TmpfsOptions").keep_empty(),
        field("image", &Kind::Object(&IMAGE)).to("ImageOptions").keep_empty(),
        field("cluster", &Kind::Map(&super::ANY)).to("ClusterOptions").keep_empty(),
    ],
)
.required(&["type"]);

const TYPE: Kind = Kind::OneOf(&["volume", "bind", "tmpfs", "image", "npipe", "cluster"]);

const BIND: Shape = shape(
    "bind",
    &[
        field("propagation", &Kind::OneOf(&crate::quantity::volume::PROPAGATIONS))
            .to("Propagation"),
        field("create_host_path", &BOOL).to("CreateMountpoint"),
        field("recursive", &Kind::OneOf(&["enabled", "disabled", "writable", "readonly"]))
            .to("NonRecursive, ReadOnlyNonRecursive, ReadOnlyForceRecursive"),
        field("selinux", &Kind::OneOf(&["z", "Z"]))
            .noted("the engine relabels only what it is given as `-v`; label the directory itself"),
    ],
)
.others(Others::LeftOut);

const VOLUME: Shape = shape(
    "volume",
    &[
        field("nocopy", &BOOL).to("NoCopy"),
        field("subpath", &TEXT).to("Subpath"),
        field("labels", &PAIRS).to("Labels"),
    ],
)
.others(Others::LeftOut);

const TMPFS: Shape = shape(
    "tmpfs",
    &[
        field("size", &Kind::Size(SizeForm::Number)).to("SizeBytes"),
        field("mode", &Kind::Mode).to("Mode"),
    ],
)
.others(Others::LeftOut);

const IMAGE: Shape = shape("image", &[field("subpath", &TEXT).to("Subpath")]);

/// A service's `secrets` or `configs`.
pub const FILE_USES: Kind = Kind::List(&FILE_USE);

const FILE_USE: Kind = Kind::Short { expand: Short::FileUse, long: &Kind::Object(&FILE_USE_SHAPE) };
const FILE_USE_SHAPE: Shape = shape(
    "secrets and configs",
    &[
        field("source", &TEXT).to("SecretName"),
        field("target", &TEXT).to("File.Name"),
        field("uid", &TEXT).to("File.UID"),
        field("gid", &TEXT).to("File.GID"),
        field("mode", &Kind::Mode).to("File.Mode").keep_empty(),
    ],
)
.others(Others::LeftOut);
