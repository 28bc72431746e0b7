//! A cluster of one node, in memory: requests in, the node's orders out.

use model::api::StackRequest;
use model::object::{NodeDescription, Revision};
use model::spec::{Availability, Platform, Resources, Role};
use model::wire::orders::Orders;
use model::{NodeId, Timestamp};
use orchestrator_core::command::{Batch, Bootstrap, Command, Entry, JoinNode, Response};
use orchestrator_core::plan::{Agenda, Limits, Live, plan};
use orchestrator_core::{State, project};

/// A cluster of one node, in memory.
pub struct Cluster {
    state: State,
    node: NodeId,
    revision: u64,
}

impl Cluster {
    pub fn new() -> Cluster {
        let mut cluster = Cluster { state: State::default(), node: NodeId::default(), revision: 0 };
        let plugins = [("Volume", "local"), ("Network", "overlay"), ("Log", "json-file")];
        let mut description = NodeDescription {
            hostname: "m1".into(),
            platform: Platform { os: "linux".into(), architecture: "x86_64".into() },
            resources: Resources {
                nano_cpus: 8_000_000_000,
                memory_bytes: 64 << 30,
                ..Resources::default()
            },
            address: "192.168.1.1".into(),
            ..NodeDescription::default()
        };
        description.engine.plugins =
            plugins.map(|(kind, name)| (kind.to_owned(), vec![name.to_owned()])).into();
        let start = Bootstrap::bare(
            7,
            JoinNode {
                description,
                role: Role::Manager,
                availability: Availability::Active,
                manager_address: Some("192.168.1.1:2377".into()),
            },
        );
        let joined = cluster.command(Command::Bootstrap(Box::new(start)));
        let Response::Joined { node } = joined else { panic!("{joined:?}") };
        cluster.node = node;
        cluster
    }

    fn command(&mut self, command: Command) -> Response {
        self.batch(Batch { commands: vec![command], base: None }).remove(0)
    }

    fn batch(&mut self, batch: Batch) -> Vec<Response> {
        self.revision += 1;
        let entry = Entry { at: Timestamp(1_000_000), batch };
        let applied = self.state.apply(Revision(self.revision), &entry);
        applied.responses.into_iter().map(|r| r.unwrap_or_else(|e| panic!("{e}"))).collect()
    }

    /// Creates everything and plans until nothing is left to plan.
    pub fn deploy(&mut self, request: StackRequest) -> Orders {
        for spec in request.networks {
            self.command(Command::CreateNetwork { spec: Box::new(spec) });
        }
        for spec in request.secrets {
            self.command(Command::CreateSecret { spec: Box::new(spec) });
        }
        for spec in request.configs {
            self.command(Command::CreateConfig { spec: Box::new(spec) });
        }
        for spec in request.services {
            self.command(Command::CreateService { spec: Box::new(spec), registry_auth: None });
        }
        let now = Timestamp(1_000_000);
        let mut live = Live::since(now);
        let mut agenda = Agenda::default();
        agenda.everything(&self.state);
        for _ in 0..100 {
            live.heard(self.node, now);
            live.applied(self.node, Revision(self.revision));
            agenda.note_heartbeat(&self.state, self.node);
            let planned = plan(&self.state, &live, now, &mut agenda, &Limits::default());
            if planned.batches.is_empty() {
                break;
            }
            for batch in planned.batches {
                self.batch(batch);
            }
            agenda.everything(&self.state);
        }
        project::orders(&self.state, self.node, 1)
    }
}
