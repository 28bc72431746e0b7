//! Which images there are: their names, programs, ports, variables and health checks.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;

use super::image::{Config, Empty, Healthcheck, Image, Layer};
use super::tar::Tree;
use super::{APPLETS, debian};

const SECOND: u64 = 1_000_000_000;

/// One image of our own program: the name it is started by, its version, port and names.
struct Ours {
    applet: &'static str,
    version: &'static str,
    port: u16,
    tags: &'static [&'static str],
}

/// The demo's images under their original names, and under ours.
const DEMO: [Ours; 7] = [
    Ours {
        applet: "customers",
        version: "1",
        port: 8080,
        tags: &["embair/swarm-demo:customers", "swarm-demo/customers:1"],
    },
    Ours {
        applet: "customers",
        version: "2",
        port: 8080,
        tags: &["embair/swarm-demo:customers-v2", "swarm-demo/customers:2"],
    },
    Ours {
        applet: "products",
        version: "1",
        port: 8080,
        tags: &["embair/swarm-demo:products", "swarm-demo/products:1"],
    },
    Ours {
        applet: "invoices",
        version: "1",
        port: 8080,
        tags: &["embair/swarm-demo:invoices", "swarm-demo/invoices:1"],
    },
    Ours {
        applet: "webapp",
        version: "1",
        port: 80,
        tags: &["embair/swarm-demo:webapp", "swarm-demo/webapp:1"],
    },
    Ours {
        applet: "api-gateway",
        version: "1",
        port: 80,
        tags: &["embair/swarm-demo:api-gateway", "swarm-demo/api-gateway:1"],
    },
    Ours {
        applet: "viz",
        version: "1",
        port: 8080,
        tags: &["dockersamples/visualizer:latest", "swarm-demo/viz:1"],
    },
];

/// For tests; the second version differs by what it says of itself.
const PROBE: [Ours; 2] = [
    Ours { applet: "probe", version: "1", port: 8080, tags: &["swarm-demo/probe:1"] },
    Ours { applet: "probe", version: "2", port: 8080, tags: &["swarm-demo/probe:2"] },
];

/// Layers and the images made of them.
#[derive(Default)]
pub struct Catalogue {
    pub layers: Vec<Layer>,
    pub images: Vec<Image>,
}

impl Catalogue {
    /// The images of the demo stack, with `program` in them, the gateway with nginx where there is
    /// one. Without Redis.
    pub fn demo(program: &[u8]) -> Self {
        let mut all = Self::of(program, &DEMO);
        match nginx_layer() {
            Ok(layer) => {
                all.layers.push(layer);
                let gateways = all
                    .images
                    .iter_mut()
                    .filter(|image| image.config.entrypoint == ["/bin/api-gateway"]);
                for image in gateways {
                    image.layers.insert(0, 1);
                    // nginx finishes what it has and ends; SIGTERM breaks it off.
                    "SIGQUIT".clone_into(&mut image.config.stop_signal);
                }
            }
            Err(error) => eprintln!("images: the api-gateway is not nginx but our own: {error:#}"),
        }
        all
    }

    /// The test image.
    pub fn probe(program: &[u8]) -> Self {
        Self::of(program, &PROBE)
    }

    /// Redis from Debian's package `redis-server` as `redis:latest`.
    ///
    /// # Errors
    /// When the package is not installed.
    pub fn redis() -> anyhow::Result<Self> {
        let layer = redis_layer()?;
        Ok(Self { layers: vec![layer], images: vec![redis_image()] })
    }

    /// The command line alone: for pipelines, and for tasks that speak to the cluster. `program`
    /// is not this one.
    pub fn swarmctl(program: &[u8]) -> Self {
        let mut tree = base();
        tree.file("bin/swarmctl", 0o755, program);
        tree.directory("work", 0o755);
        let version = env!("CARGO_PKG_VERSION");
        let config = Config {
            env: vec!["PATH=/bin".to_owned()],
            entrypoint: vec!["/bin/swarmctl".to_owned()],
            working_dir: "/work".to_owned(),
            labels: labels("swarmctl", version, "swarmctl"),
            ..Config::default()
        };
        let tags = [version, "latest"].map(|tag| format!("swarmctl:{tag}")).to_vec();
        let layer = Layer { tree, made_by: "swarmctl, one static program".to_owned() };
        Self { layers: vec![layer], images: vec![Image { tags, layers: vec![0], config }] }
    }

    /// Both in one archive.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        let offset = self.layers.len();
        self.layers.extend(other.layers);
        self.images.extend(other.images.into_iter().map(|mut image| {
            image.layers.iter_mut().for_each(|layer| *layer += offset);
            image
        }));
        self
    }

    fn of(program: &[u8], list: &[Ours]) -> Self {
        Self { layers: vec![our_layer(program)], images: list.iter().map(our_image).collect() }
    }
}

/// The program, a link to it for each name, and the few files that programs expect.
fn our_layer(program: &[u8]) -> Layer {
    let mut tree = base();
    tree.file("bin/sample-services", 0o755, program);
    for applet in APPLETS {
        tree.link(&format!("bin/{applet}"), "sample-services");
    }
    Layer { tree, made_by: "sample-services, one static program".to_owned() }
}

fn our_image(ours: &Ours) -> Image {
    let Ours { applet, version, port, tags } = ours;
    let mut config = Config {
        env: vec![
            "PATH=/bin".to_owned(),
            format!("PORT={port}"),
            format!("SAMPLE_VERSION={version}"),
        ],
        entrypoint: vec![format!("/bin/{applet}")],
        working_dir: "/".to_owned(),
        exposed_ports: BTreeMap::from([(format!("{port}/tcp"), Empty {})]),
        labels: labels(applet, version, DEMO_VENDOR),
        ..Config::default()
    };
    if *applet == "probe" {
        // Tests choose for themselves what is healthy.
        config.cmd = vec!["serve".to_owned()];
    } else {
        config.healthcheck = Some(Healthcheck {
            test: vec!["CMD".to_owned(), "/bin/healthcheck".to_owned()],
            // An engine before 25 knows no start interval: this is then also how long a task waits
            // until it counts as running.
            interval: 2 * SECOND,
            timeout: 2 * SECOND,
            start_period: 5 * SECOND,
            start_interval: SECOND / 4,
            retries: 3,
        });
    }
    Image { tags: tags.iter().map(|tag| (*tag).to_owned()).collect(), layers: vec![0], config }
}

const DEMO_VENDOR: &str = "swarmctl demo";

fn labels(title: &str, version: &str, vendor: &str) -> BTreeMap<String, String> {
    [("title", title), ("version", version), ("vendor", vendor)]
        .map(|(name, value)| (format!("org.opencontainers.image.{name}"), value.to_owned()))
        .into()
}

/// What every root has: accounts, where names are looked up, a place for temporary files.
fn base() -> Tree {
    let mut tree = Tree::default();
    tree.file("etc/passwd", 0o644, "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n");
    tree.file("etc/group", 0o644, "root:x:0:\nnogroup:x:65534:\n");
    tree.file("etc/nsswitch.conf", 0o644, "hosts: files dns\n");
    tree.directory("tmp", 0o1777);
    tree
}

/// nginx of Debian's package; the program that is in every image writes its configuration.
fn nginx_layer() -> anyhow::Result<Layer> {
    let path = debian::find("nginx").context("nginx is not installed (apt-get install nginx)")?;
    let mut tree = Tree::default();
    debian::add_program(&mut tree, &path)?;
    let version = debian::package_version("nginx").unwrap_or_default();
    Ok(Layer { tree, made_by: format!("nginx {version} of Debian, with its libraries") })
}

/// Programs in the Redis image besides Redis, for health checks written for a shell.
const TOOLS: [&str; 7] = ["grep", "cat", "ls", "sleep", "env", "head", "id"];

/// As in the official image: options alone mean `redis-server` with them, and the server accepts
/// clients from other hosts unless told otherwise.
const REDIS_ENTRYPOINT: &str = "#!/bin/sh
set -e
case \"${1:-}\" in
    -* | *.conf) set -- redis-server \"$@\" ;;
esac
if [ \"$1\" = redis-server ]; then
    case \" $* \" in
        *' --protected-mode '*) ;;
        *) set -- \"$@\" --protected-mode no ;;
    esac
fi
exec \"$@\"
";

fn redis_layer() -> anyhow::Result<Layer> {
    let mut tree = base();
    for name in ["redis-server", "redis-cli", "dash"].iter().chain(&TOOLS) {
        let path = debian::find(name).with_context(|| match *name {
            "redis-server" | "redis-cli" => {
                format!("{name} is not installed (apt-get install redis-server)")
            }
            _ => format!("{name} is not installed"),
        })?;
        debian::add_program(&mut tree, Path::new(&path))?;
    }
    tree.link("bin/sh", "/usr/bin/dash");
    tree.file("usr/local/bin/docker-entrypoint.sh", 0o755, REDIS_ENTRYPOINT);
    tree.directory("data", 0o755);
    let version = debian::package_version("redis-server").unwrap_or_default();
    Ok(Layer { tree, made_by: format!("redis-server {version} of Debian, with its libraries") })
}

fn redis_image() -> Image {
    let version = debian::package_version("redis-server").unwrap_or_default();
    let config = Config {
        env: vec![
            "PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin".to_owned(),
            format!("REDIS_VERSION={version}"),
        ],
        entrypoint: vec!["docker-entrypoint.sh".to_owned()],
        cmd: vec!["redis-server".to_owned()],
        working_dir: "/data".to_owned(),
        exposed_ports: BTreeMap::from([("6379/tcp".to_owned(), Empty {})]),
        volumes: BTreeMap::from([("/data".to_owned(), Empty {})]),
        labels: labels("redis", &version, DEMO_VENDOR),
        ..Config::default()
    };
    Image { tags: vec!["redis:latest".to_owned()], layers: vec![0], config }
}
