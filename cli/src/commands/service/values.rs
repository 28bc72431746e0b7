//! The small languages in values of flags: ports, mounts, networks, files, limits, as docker has
//! them.
//!
//! Each function is a value parser of a flag: text in, the spec's own type out, else what is wrong
//! and what is allowed.

use compose::quantity::{cpus, duration, port, size, words};
use model::spec::{
    BindOptions, ConfigReference, DiscreteResource, Driver, FileTarget, GenericResource,
    ImageOptions, Mount, NamedResource, NetworkAttachmentConfig, PlacementPreference, PortConfig,
    Protocol, PublishMode, SecretReference, SpreadOver, TmpfsOptions, Ulimit, VolumeOptions,
};

/// `5s` in nanoseconds.
pub fn nanoseconds(text: &str) -> Result<i64, String> {
    let value = duration::parse(text).map_err(|e| with_help(e.to_string(), e.help()))?;
    if value < 0 { Err("it is negative".to_owned()) } else { Ok(value) }
}

/// `64M` in bytes.
pub fn bytes(text: &str) -> Result<i64, String> {
    size::parse(text).map_err(|e| with_help(e.to_string(), e.help(text)))
}

/// `0.5` in billionths of a CPU.
pub fn nano_cpus(text: &str) -> Result<i64, String> {
    cpus::parse(text).map_err(|e| e.to_string())
}

/// 0 to 1.
pub fn ratio(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "it is no number from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&number) { Ok(number) } else { Err("it is not from 0 to 1".to_owned()) }
}

fn with_help(what: String, help: Option<String>) -> String {
    help.map_or_else(|| what.clone(), |help| format!("{what}: {help}"))
}

/// Several ports of one flag.
#[derive(Clone, Debug)]
pub struct Ports(pub Vec<PortConfig>);

/// `8080:80/udp`, `8000-8010:8000-8010` or `published=8080,target=80,protocol=tcp,mode=host`.
pub fn ports(text: &str) -> Result<Ports, String> {
    if text.contains('=') {
        return long_port(text).map(|port| Ports(vec![port]));
    }
    let short = port::parse(text).map_err(|e| format!("{e}; allowed: {}", port::ALLOWED))?;
    let mut made = Vec::with_capacity(short.len());
    for port in short {
        if !port.host_ip.is_empty() {
            return Err(format!(
                "an ingress port is open on every address; for one address of the task's node: \
                 target={},published={},mode=host,host_ip={}",
                port.target,
                port.published.unwrap_or(0),
                port.host_ip
            ));
        }
        made.push(PortConfig {
            protocol: protocol(port.protocol)?,
            target_port: port.target,
            published_port: port.published.unwrap_or(0),
            publish_mode: PublishMode::Ingress,
            ..PortConfig::default()
        });
    }
    Ok(Ports(made))
}

fn long_port(text: &str) -> Result<PortConfig, String> {
    let mut made = PortConfig {
        protocol: Protocol::Tcp,
        publish_mode: PublishMode::Ingress,
        ..PortConfig::default()
    };
    let number = |key: &str, value: &str| {
        value.parse::<u16>().map_err(|_| format!("{key}={value} is no port from 1 to 65535"))
    };
    for (key, value) in pairs(text)? {
        match key.as_str() {
            "target" => made.target_port = number(&key, &value)?,
            "published" => made.published_port = number(&key, &value)?,
            "protocol" => made.protocol = protocol(&value)?,
            "mode" => {
                made.publish_mode = match value.as_str() {
                    "host" => PublishMode::Host,
                    "ingress" => PublishMode::Ingress,
                    _ => return Err(format!("there is no mode {value}; allowed: ingress, host")),
                }
            }
            "host_ip" | "host-ip" => {
                let _: std::net::IpAddr =
                    value.parse().map_err(|_| format!("{value} is no address"))?;
                made.extra.insert("HostIP".to_owned(), value.into());
            }
            _ => {
                return Err(unknown(&key, &["target", "published", "protocol", "mode", "host_ip"]));
            }
        }
    }
    if made.target_port == 0 {
        return Err("target=PORT is missing".to_owned());
    }
    if made.extra.contains_key("HostIP") && !made.publish_mode.is_host() {
        return Err("host_ip needs mode=host: an ingress port is open on every address".to_owned());
    }
    Ok(made)
}

fn protocol(text: &str) -> Result<Protocol, String> {
    match text {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        "sctp" => Ok(Protocol::Sctp),
        _ => Err(format!("there is no protocol {text}; allowed: tcp, udp, sctp")),
    }
}

/// A port that is no longer to be published: `80`, `80/udp`.
pub fn target_port(text: &str) -> Result<(u16, Protocol), String> {
    let (number, name) = text.split_once('/').unwrap_or((text, "tcp"));
    // As docker: `8080:80` means its target.
    let number = number.rsplit(':').next().unwrap_or(number);
    let number = number.parse().map_err(|_| format!("{number} is no port from 1 to 65535"))?;
    Ok((number, protocol(name)?))
}

/// `type=bind,source=/data,target=/data,readonly`.
pub fn mount(text: &str) -> Result<Mount, String> {
    let mut made = Mount { r#type: "volume".to_owned(), ..Mount::default() };
    let mut bind = BindOptions::default();
    let mut volume = VolumeOptions::default();
    let mut driver = Driver::default();
    let mut tmpfs = TmpfsOptions::default();
    let mut image = ImageOptions::default();
    for (key, value) in pairs_or_words(text)? {
        match key.as_str() {
            "type" => made.r#type.clone_from(&value.to_lowercase()),
            "source" | "src" => made.source.clone_from(&value),
            "target" | "dst" | "destination" => made.target.clone_from(&value),
            "readonly" | "ro" => made.read_only = truth(&key, &value)?,
            "consistency" => made.consistency.clone_from(&value.to_lowercase()),
            "bind-propagation" => bind.propagation.clone_from(&value.to_lowercase()),
            "bind-nonrecursive" => bind.non_recursive = truth(&key, &value)?,
            "bind-create-src" => bind.create_mountpoint = truth(&key, &value)?,
            "bind-recursive" => match value.as_str() {
                "enabled" => {}
                "disabled" => bind.non_recursive = true,
                "writable" => {
                    bind.extra.insert("ReadOnlyNonRecursive".to_owned(), true.into());
                }
                "readonly" => {
                    bind.extra.insert("ReadOnlyForceRecursive".to_owned(), true.into());
                }
                _ => {
                    return Err(format!(
                        "bind-recursive={value}; allowed: enabled, disabled, writable, readonly"
                    ));
                }
            },
            "volume-nocopy" => volume.no_copy = truth(&key, &value)?,
            "volume-subpath" => volume.subpath.clone_from(&value),
            "volume-label" => {
                let (name, value) = value.split_once('=').unwrap_or((&value, ""));
                volume.labels.insert(name.to_owned(), value.to_owned());
            }
            "volume-driver" => driver.name.clone_from(&value),
            "volume-opt" => {
                let (name, value) = value.split_once('=').unwrap_or((&value, ""));
                driver.options.insert(name.to_owned(), value.to_owned());
            }
            "image-subpath" => image.subpath.clone_from(&value),
            "tmpfs-size" => tmpfs.size_bytes = bytes(&value)?,
            "tmpfs-mode" => tmpfs.mode = octal(&value)?,
            _ => return Err(unknown(&key, MOUNT_KEYS)),
        }
    }
    if made.target.is_empty() {
        return Err("target=PATH is missing".to_owned());
    }
    if driver != Driver::default() {
        volume.driver_config = Some(driver);
    }
    let kind = made.r#type.clone();
    let foreign = |set: bool, of: &str| {
        if set && kind != of {
            Err(format!("options {of}-… do not go with type={kind}"))
        } else {
            Ok(set.then_some(()))
        }
    };
    made.bind_options = foreign(bind != BindOptions::default(), "bind")?.map(|()| bind);
    made.volume_options = foreign(volume != VolumeOptions::default(), "volume")?.map(|()| volume);
    made.tmpfs_options = foreign(tmpfs != TmpfsOptions::default(), "tmpfs")?.map(|()| tmpfs);
    made.image_options = foreign(image != ImageOptions::default(), "image")?.map(|()| image);
    match kind.as_str() {
        "bind" | "image" if made.source.is_empty() => Err(format!(
            "type={kind} needs source={}",
            if kind == "bind" { "PATH" } else { "IMAGE" }
        )),
        "bind" if !made.source.starts_with('/') => {
            Err(format!("source={}: a path of the host begins with /", made.source))
        }
        "tmpfs" if !made.source.is_empty() => Err("type=tmpfs has no source".to_owned()),
        "bind" | "volume" | "tmpfs" | "image" => Ok(made),
        _ => Err(format!("there is no type {kind}; allowed: volume, bind, tmpfs, image")),
    }
}

const MOUNT_KEYS: &[&str] = &[
    "type",
    "source",
    "target",
    "readonly",
    "consistency",
    "bind-propagation",
    "bind-recursive",
    "bind-create-src",
    "volume-nocopy",
    "volume-subpath",
    "volume-label",
    "volume-driver",
    "volume-opt",
    "image-subpath",
    "tmpfs-size",
    "tmpfs-mode",
];

/// `back` or `name=back,alias=db,driver-opt=key=value`.
pub fn network(text: &str) -> Result<NetworkAttachmentConfig, String> {
    let mut made = NetworkAttachmentConfig::default();
    if !text.contains('=') {
        text.clone_into(&mut made.target);
        return Ok(made);
    }
    for (key, value) in pairs(text)? {
        match key.as_str() {
            "name" => made.target = value,
            "alias" => made.aliases.push(value),
            "driver-opt" => {
                let (name, value) = value.split_once('=').ok_or("driver-opt=KEY=VALUE is meant")?;
                made.driver_opts.insert(name.to_owned(), value.to_owned());
            }
            _ => return Err(unknown(&key, &["name", "alias", "driver-opt"])),
        }
    }
    if made.target.is_empty() { Err("name=NETWORK is missing".to_owned()) } else { Ok(made) }
}

/// `password` or `source=password,target=db,uid=0,gid=0,mode=0400`.
pub fn secret(text: &str) -> Result<SecretReference, String> {
    let (source, file) = file(text)?;
    let file = file.unwrap_or_else(|| target(&source));
    Ok(SecretReference { file: Some(file), secret_id: source.clone(), secret_name: source })
}

/// `site` or `source=site,target=/etc/site.conf,uid=0,gid=0,mode=0444`.
pub fn config(text: &str) -> Result<ConfigReference, String> {
    let (source, file) = file(text)?;
    let file = file.unwrap_or_else(|| target(&source));
    Ok(ConfigReference {
        file: Some(file),
        runtime: None,
        config_id: source.clone(),
        config_name: source,
    })
}

fn target(name: &str) -> FileTarget {
    let root = "0".to_owned();
    FileTarget { name: name.to_owned(), uid: root.clone(), gid: root, mode: 0o444 }
}

fn file(text: &str) -> Result<(String, Option<FileTarget>), String> {
    if !text.contains('=') && !text.contains(',') {
        return Ok((text.to_owned(), None));
    }
    let mut source = String::new();
    let mut made = target("");
    for (key, value) in pairs(text)? {
        match key.as_str() {
            "source" | "src" => source = value,
            "target" => made.name = value,
            "uid" => made.uid = value,
            "gid" => made.gid = value,
            "mode" => made.mode = octal(&value)?,
            _ => return Err(unknown(&key, &["source", "target", "uid", "gid", "mode"])),
        }
    }
    if source.is_empty() {
        return Err("source=NAME is missing".to_owned());
    }
    if made.name.is_empty() {
        made.name.clone_from(&source);
    }
    Ok((source, Some(made)))
}

/// `nofile=1024:2048`.
pub fn ulimit(text: &str) -> Result<Ulimit, String> {
    const KNOWN: [&str; 15] = [
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];
    let (name, limits) = text.split_once('=').ok_or("NAME=SOFT[:HARD] is meant")?;
    if !KNOWN.contains(&name) {
        return Err(format!("there is no limit {name}; allowed: {}", KNOWN.join(", ")));
    }
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let number = |text: &str| {
        text.parse::<i64>().map_err(|_| format!("{text:?} is no number (-1: no limit)"))
    };
    let (soft, hard) = (number(soft)?, number(hard)?);
    if hard != -1 && (soft > hard || soft == -1) {
        return Err(format!("the soft limit {soft} is above the hard limit {hard}"));
    }
    Ok(Ulimit { name: name.to_owned(), hard, soft })
}

/// `spread=node.labels.zone`.
pub fn preference(text: &str) -> Result<PlacementPreference, String> {
    match text.split_once('=') {
        Some(("spread", over)) if !over.is_empty() => {
            let over = SpreadOver { spread_descriptor: over.to_owned() };
            Ok(PlacementPreference { spread: Some(over), ..PlacementPreference::default() })
        }
        _ => Err("spread=node.labels.NAME is meant".to_owned()),
    }
}

/// `gpu=2`: two of a kind; `gpu=UUID1`: a certain one.
pub fn generic(text: &str) -> Result<GenericResource, String> {
    let (kind, value) = text
        .split_once('=')
        .filter(|(kind, value)| !kind.is_empty() && !value.is_empty())
        .ok_or("KIND=NUMBER or KIND=NAME is meant")?;
    let kind = kind.to_owned();
    Ok(match value.parse() {
        Ok(value) => GenericResource {
            discrete_resource_spec: Some(DiscreteResource { kind, value }),
            ..GenericResource::default()
        },
        Err(_) => GenericResource {
            named_resource_spec: Some(NamedResource { kind, value: value.to_owned() }),
            ..GenericResource::default()
        },
    })
}

/// `name:address` as a line of `/etc/hosts`: `address name`.
pub fn host(text: &str) -> Result<String, String> {
    let (name, address) = text.split_once([':', '=']).ok_or("NAME:ADDRESS is meant")?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    if name.is_empty() || address.parse::<std::net::IpAddr>().is_err() {
        return Err(format!("{address:?} is no address; NAME:ADDRESS is meant"));
    }
    Ok(format!("{address} {name}"))
}

/// `KEY=VALUE`; without a value it is empty.
pub fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.trim().is_empty() {
        return Err("KEY=VALUE is meant".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// `NAME=VALUE`, or `NAME` for the variable of this shell.
pub fn variable(text: &str) -> Result<String, String> {
    let name = text.split('=').next().unwrap_or("");
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err("NAME=VALUE is meant".to_owned());
    }
    if text.contains('=') {
        return Ok(text.to_owned());
    }
    // As docker: what this shell does not have is left for the image.
    Ok(std::env::var(name).map_or_else(|_| text.to_owned(), |value| format!("{name}={value}")))
}

/// Words of a command line.
#[derive(Clone, Debug)]
pub struct Words(pub Vec<String>);

/// A command line, with quotes as in a shell.
pub fn command(text: &str) -> Result<Words, String> {
    words::split(text).map(Words).map_err(|e| e.to_string())
}

/// An address of a name server.
pub fn address(text: &str) -> Result<String, String> {
    match text.parse::<std::net::IpAddr>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("it is no IP address".to_owned()),
    }
}

/// A capability as the engine names it: `NET_ADMIN` becomes `CAP_NET_ADMIN`.
pub fn capability(text: &str) -> Result<String, String> {
    let name = text.trim().to_uppercase();
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') {
        return Err("a name as NET_ADMIN, or ALL, is meant".to_owned());
    }
    Ok(if name == "ALL" || name.starts_with("CAP_") { name } else { format!("CAP_{name}") })
}

/// Permission bits in octal.
pub fn octal(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| format!("mode {text} is no octal number as 0444"))
}

fn truth(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("{key}={value}: true or false is meant")),
    }
}

fn unknown(key: &str, allowed: &[&str]) -> String {
    let near = compose::nearest::nearest(key, allowed.iter().copied());
    let hint = near.map_or(String::new(), |near| format!(" (did you mean {near}?)"));
    format!("there is no key {key}{hint}; allowed: {}", allowed.join(", "))
}

/// `key=value,key=value`; a value in double quotes may have commas.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let pairs = pairs_or_words(text)?;
    let bare = |field: &str| !field.contains('=');
    match fields(text)?.iter().find(|field| bare(field)) {
        Some(field) => Err(format!("{field:?} is not of the form key=value")),
        None => Ok(pairs),
    }
}

/// As [`pairs`]; a key without a value is true.
fn pairs_or_words(text: &str) -> Result<Vec<(String, String)>, String> {
    let split = |field: &String| match field.split_once('=') {
        Some((key, value)) => (key.trim().to_lowercase(), value.to_owned()),
        None => (field.trim().to_lowercase(), "true".to_owned()),
    };
    Ok(fields(text)?.iter().map(split).collect())
}

/// The fields of a line of CSV.
fn fields(text: &str) -> Result<Vec<String>, String> {
    let mut fields = vec![String::new()];
    let mut chars = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                fields.last_mut().expect("there is always one").push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().expect("there is always one").push(c),
        }
    }
    if quoted {
        return Err("a quote is never closed".to_owned());
    }
    match fields.iter().any(String::is_empty) {
        true => Err("nothing stands between two commas".to_owned()),
        false => Ok(fields),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_docker_s() {
        assert_eq!(nanoseconds("500ms"), Ok(500_000_000));
        assert_eq!(nanoseconds("1m30s"), Ok(90_000_000_000));
        assert!(nanoseconds("5").expect_err("no unit").contains("5s"));
        assert!(nanoseconds("-5s").is_err());
    }

    #[test]
    fn ports_are_read_in_both_forms() {
        let read = |text: &str| {
            let ports = ports(text).expect(text).0;
            let one = |p: &PortConfig| {
                let mode = if p.publish_mode.is_host() { "host" } else { "ingress" };
                format!("{}:{}/{} {mode}", p.published_port, p.target_port, p.protocol.name())
            };
            ports.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(read("8080:80"), "8080:80/tcp ingress");
        assert_eq!(read("80/udp"), "0:80/udp ingress");
        assert_eq!(read("1-2:3-4"), "1:3/tcp ingress, 2:4/tcp ingress");
        assert_eq!(read("target=80,published=81,mode=host"), "81:80/tcp host");
        let wrong = |text: &str| ports(text).map(|_| ()).expect_err(text);
        assert!(wrong("127.0.0.1:80:80").contains("mode=host,host_ip=127.0.0.1"));
        assert!(wrong("published=80").contains("target=PORT is missing"));
        assert!(wrong("target=80,mod=host").contains("did you mean mode?"));
        assert!(wrong("target=70000").contains("no port"));
    }

    #[test]
    fn mounts_know_which_options_go_together() {
        let made = mount("type=bind,src=/a,dst=/b,ro,bind-propagation=rslave").expect("a mount");
        assert!(made.read_only && made.bind_options.is_some_and(|b| b.propagation == "rslave"));
        let made = mount("source=data,target=/d,volume-opt=\"o=addr=1,rw\"").expect("a mount");
        let driver = made.volume_options.and_then(|v| v.driver_config).expect("a driver");
        assert_eq!(driver.options.get("o").map(String::as_str), Some("addr=1,rw"));
        for (text, says) in [
            ("type=bind,target=/b", "needs source=PATH"),
            ("type=bind,source=a,target=/b", "begins with /"),
            ("type=volume,target=/b,tmpfs-size=1m", "do not go with type=volume"),
            ("type=disk,target=/b", "allowed: volume, bind, tmpfs, image"),
            ("source=a", "target=PATH is missing"),
            ("targt=/b", "did you mean target?"),
        ] {
            let wrong = mount(text).expect_err(text);
            assert!(wrong.contains(says), "{text}: {wrong}");
        }
    }

    #[test]
    fn files_of_secrets_have_docker_s_defaults() {
        let file = secret("pw").expect("a secret").file.expect("a file");
        assert_eq!((file.name.as_str(), file.uid.as_str(), file.mode), ("pw", "0", 0o444));
        let made = secret("source=pw,target=db,mode=0400").expect("a secret");
        assert_eq!(made.secret_name, "pw");
        assert_eq!(made.file.map(|f| (f.name, f.mode)), Some(("db".to_owned(), 0o400)));
        assert!(secret("target=db").is_err() && secret("source=a,mode=9").is_err());
    }

    #[test]
    fn the_smaller_languages_say_what_they_mean() {
        assert_eq!(host("db:10.0.0.1"), Ok("10.0.0.1 db".to_owned()));
        assert!(host("db").is_err() && host("db:x").is_err());
        assert_eq!(capability("net_admin"), Ok("CAP_NET_ADMIN".to_owned()));
        assert_eq!(ulimit("nofile=1:2").map(|u| (u.soft, u.hard)), Ok((1, 2)));
        assert!(ulimit("nofile=3:2").is_err() && ulimit("files=1").is_err());
        assert!(preference("node.labels.zone").is_err());
        assert!(generic("gpu=2").expect("two").discrete_resource_spec.is_some());
        assert!(generic("gpu=a").expect("one").named_resource_spec.is_some());
        assert_eq!(target_port("8080:80/udp"), Ok((80, Protocol::Udp)));
        assert_eq!(nano_cpus("0.5"), Ok(500_000_000));
        assert_eq!(bytes("64M"), Ok(64 << 20));
        assert!(ratio("1.5").is_err());
        let attached = network("name=back,alias=a,alias=b").expect("a network");
        assert_eq!((attached.target.as_str(), attached.aliases.len()), ("back", 2));
    }
}
