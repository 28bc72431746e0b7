//! Which commands make a stack what it should be, tried one by one on a copy of the state.

use std::collections::BTreeSet;

use model::api::{Backup, StackAction, StackChange, StackRequest};
use model::object::Revision;
use model::spec::{ConfigSpec, Labels, NetworkSpec, SecretSpec, ServiceSpec};
use orchestrator_core::check;
use orchestrator_core::command::{
    Batch, Command, Entry, Kind, Refusal, RegistryAuth, Response, ServiceChange,
};
use orchestrator_core::state::State;

use super::{diff, stack_of};

/// Whether services that the request does not name are removed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Prune {
    Yes,
    No,
}

/// What may be changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// What carries the stack's label.
    Stack,
    /// Everything.
    Cluster,
}

/// A copy of the state with what has been tried on it.
pub(in crate::api) struct Trial {
    state: State,
    scope: Scope,
    /// In the order in which they are to be proposed; one for each change that is not `Keep`, then
    /// what keeps or forgets revisions.
    pub(in crate::api) commands: Vec<Command>,
    pub(in crate::api) changes: Vec<StackChange>,
    pub(in crate::api) warnings: Vec<String>,
    pub(in crate::api) problems: Vec<String>,
}

impl Trial {
    pub(in crate::api) fn new(state: &State) -> Trial {
        Trial {
            state: state.clone(),
            scope: Scope::Stack,
            commands: Vec::new(),
            changes: Vec::new(),
            warnings: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// One that may change whatever there is.
    pub(in crate::api) fn of_everything(state: &State) -> Trial {
        Trial { scope: Scope::Cluster, ..Trial::new(state) }
    }

    /// The state after what has been tried so far.
    pub(in crate::api) fn state(&self) -> &State {
        &self.state
    }

    /// Whether an object of this name belongs to somebody else.
    fn is_foreign(&self, old: &Labels, new: &Labels) -> bool {
        self.scope == Scope::Stack && stack_of(old) != stack_of(new)
    }

    pub(in crate::api) fn deploy(
        &mut self,
        stack: &str,
        request: &StackRequest,
        prune: Prune,
        registry_auth: Option<&str>,
    ) {
        if prune == Prune::Yes {
            // First, as the docker CLI does: a port may move to another service.
            let named: BTreeSet<&str> = request.services.iter().map(|s| s.name.as_str()).collect();
            self.remove_services(stack, |name| !named.contains(name));
        }
        request.networks.iter().for_each(|spec| self.network(spec));
        request.secrets.iter().for_each(|spec| self.secret(spec));
        request.configs.iter().for_each(|spec| self.config(spec));
        request.services.iter().for_each(|spec| self.service(spec, registry_auth));
    }

    /// Keeps the request as the stack's next revision, unless it is what was deployed last.
    pub(in crate::api) fn record(
        &mut self,
        stack: &str,
        request: &StackRequest,
        rollback_to: Option<u64>,
    ) {
        let request = request.without_secrets();
        let newest = self.state.stack(stack).and_then(|s| s.newest());
        if newest.is_some_and(|newest| newest.request == request) {
            return;
        }
        self.commands.push(Command::RecordStack {
            name: stack.to_owned(),
            number: self.state.next_stack_revision(stack),
            at: None,
            rollback_to,
            request: Box::new(request),
        });
    }

    /// The revision that the stack is at once all is done.
    pub(in crate::api) fn revision(&self, stack: &str) -> Option<u64> {
        let recorded = self.commands.iter().find_map(|command| {
            if let Command::RecordStack { number, .. } = command { Some(*number) } else { None }
        });
        recorded.or_else(|| Some(self.state.stack(stack)?.newest()?.number))
    }

    /// Everything that carries the stack's label: users first, then what they use.
    pub(in crate::api) fn remove(&mut self, stack: &str) {
        self.remove_services(stack, |_| true);
        let of_stack = |labels: &Labels, _: &str| stack_of(labels) == Some(stack);
        self.remove_secrets(of_stack);
        self.remove_configs(of_stack);
        self.remove_networks(of_stack);
        if self.state.stack(stack).is_some() {
            self.commands.push(Command::ForgetStack { name: stack.to_owned() });
        }
    }

    /// Every service but those that are known by name.
    pub(in crate::api) fn remove_services_but(&mut self, known: impl Fn(&str) -> bool) {
        let state = self.state.clone();
        for service in state.services().filter(|s| s.removed.is_none()) {
            if !known(&service.spec.name) {
                let command = Command::RemoveService { id: service.id };
                self.try_one(StackAction::Remove, Kind::Service, &service.spec.name, command);
                self.identify(service.id);
            }
        }
    }

    /// Secrets, configs and networks that the backup has not.
    pub(in crate::api) fn remove_unnamed(&mut self, backup: &Backup) {
        self.remove_secrets(|_, name| backup.secrets.iter().all(|s| s.name != name));
        self.remove_configs(|_, name| backup.configs.iter().all(|c| c.name != name));
        self.remove_networks(|_, name| backup.networks.iter().all(|n| n.name != name));
    }

    fn remove_secrets(&mut self, which: impl Fn(&Labels, &str) -> bool) {
        let state = self.state.clone();
        for secret in state.secrets().filter(|s| which(&s.spec.labels, &s.spec.name)) {
            let command = Command::RemoveSecret { id: secret.id };
            self.try_one(StackAction::Remove, Kind::Secret, &secret.spec.name, command);
            self.identify(secret.id);
        }
    }

    fn remove_configs(&mut self, which: impl Fn(&Labels, &str) -> bool) {
        let state = self.state.clone();
        for config in state.configs().filter(|c| which(&c.spec.labels, &c.spec.name)) {
            let command = Command::RemoveConfig { id: config.id };
            self.try_one(StackAction::Remove, Kind::Config, &config.spec.name, command);
            self.identify(config.id);
        }
    }

    fn remove_networks(&mut self, which: impl Fn(&Labels, &str) -> bool) {
        let state = self.state.clone();
        let networks = state.networks().filter(|n| n.removed.is_none() && !n.spec.ingress);
        for network in networks.filter(|n| which(&n.spec.labels, &n.spec.name)) {
            let command = Command::RemoveNetwork { id: network.id };
            self.try_one(StackAction::Remove, Kind::Network, &network.spec.name, command);
            self.identify(network.id);
        }
    }

    fn remove_services(&mut self, stack: &str, which: impl Fn(&str) -> bool) {
        let state = self.state.clone();
        for service in super::services_of(&state, stack) {
            if which(&service.spec.name) {
                let command = Command::RemoveService { id: service.id };
                self.try_one(StackAction::Remove, Kind::Service, &service.spec.name, command);
                self.identify(service.id);
            }
        }
    }

    pub(in crate::api) fn network(&mut self, spec: &NetworkSpec) {
        let Some(old) = self.state.network_named(&spec.name).cloned() else {
            let command = Command::CreateNetwork { spec: Box::new(spec.clone()) };
            self.try_one(StackAction::Create, Kind::Network, &spec.name, command);
            return;
        };
        if self.is_foreign(&old.spec.labels, &spec.labels) {
            self.problems.push(format!("network {} exists and is not of this stack", spec.name));
            return;
        }
        // What is stored has the driver and scope filled in.
        let mut wanted = spec.clone();
        wanted.driver.clone_from(&old.spec.driver);
        wanted.scope.clone_from(&old.spec.scope);
        let fields = diff::fields(&*old.spec, &wanted);
        if !fields.is_empty() {
            self.warnings.push(format!(
                "network {} stays as it is; to change its {} remove the stack first",
                spec.name,
                fields.join(", ")
            ));
        }
        self.keep(Kind::Network, &spec.name, old.id);
    }

    pub(in crate::api) fn secret(&mut self, spec: &SecretSpec) {
        let Some(old) = self.state.secret_named(&spec.name).cloned() else {
            let command = Command::CreateSecret { spec: Box::new(spec.clone()) };
            self.try_one(StackAction::Create, Kind::Secret, &spec.name, command);
            return;
        };
        let fields = diff::fields(&old.spec.labels, &spec.labels);
        if fields.is_empty() && (spec.data.is_empty() || spec.data == old.spec.data) {
            self.keep(Kind::Secret, &spec.name, old.id);
            return;
        }
        let spec = Box::new(spec.clone());
        let name = spec.name.clone();
        let command = Command::UpdateSecret { id: old.id, version: old.meta.version, spec };
        self.try_one(StackAction::Update, Kind::Secret, &name, command);
        self.identify(old.id);
        self.changed("Labels", fields);
    }

    pub(in crate::api) fn config(&mut self, spec: &ConfigSpec) {
        let Some(old) = self.state.config_named(&spec.name).cloned() else {
            let command = Command::CreateConfig { spec: Box::new(spec.clone()) };
            self.try_one(StackAction::Create, Kind::Config, &spec.name, command);
            return;
        };
        let fields = diff::fields(&old.spec.labels, &spec.labels);
        if fields.is_empty() && (spec.data.is_empty() || spec.data == old.spec.data) {
            self.keep(Kind::Config, &spec.name, old.id);
            return;
        }
        let spec = Box::new(spec.clone());
        let name = spec.name.clone();
        let command = Command::UpdateConfig { id: old.id, version: old.meta.version, spec };
        self.try_one(StackAction::Update, Kind::Config, &name, command);
        self.identify(old.id);
        self.changed("Labels", fields);
    }

    pub(in crate::api) fn service(&mut self, spec: &ServiceSpec, registry_auth: Option<&str>) {
        let Some(old) = self.state.service_named(&spec.name).cloned() else {
            let spec = Box::new(spec.clone());
            let name = spec.name.clone();
            let registry_auth = registry_auth.map(str::to_owned);
            let command = Command::CreateService { spec, registry_auth };
            self.try_one(StackAction::Create, Kind::Service, &name, command);
            return;
        };
        if self.is_foreign(&old.spec.labels, &spec.labels) {
            self.problems.push(format!("service {} exists and is not of this stack", spec.name));
            return;
        }
        let mut spec = spec.clone();
        // Counted up by `service update --force`; a file does not say it.
        if spec.task_template.force_update == 0 {
            spec.task_template.force_update = old.spec.task_template.force_update;
        }
        // Compared as it would be stored, so that an unchanged file changes nothing.
        let fields = match check::service(&self.state, &spec, Some(&old)) {
            Ok(checked) => diff::fields(&*old.spec, &checked.spec),
            Err(refusal) => {
                self.refused(Kind::Service, &spec.name, &refusal);
                return;
            }
        };
        let new_credentials =
            registry_auth.filter(|auth| old.registry_auth.as_deref() != Some(*auth));
        if fields.is_empty() && new_credentials.is_none() {
            self.keep(Kind::Service, &spec.name, old.id);
            return;
        }
        let name = spec.name.clone();
        let command = Command::UpdateService {
            id: old.id,
            version: old.meta.version,
            change: ServiceChange::Spec(Box::new(spec)),
            registry_auth: match registry_auth {
                Some(auth) => RegistryAuth::Set(auth.to_owned()),
                None => RegistryAuth::Keep,
            },
        };
        self.try_one(StackAction::Update, Kind::Service, &name, command);
        self.identify(old.id);
        if let Some(change) = self.changes.last_mut() {
            change.fields = fields;
        }
    }

    /// Applies the command to the copy and notes what it did.
    pub(in crate::api) fn try_one(
        &mut self,
        action: StackAction,
        kind: Kind,
        name: &str,
        command: Command,
    ) {
        let next = Revision(self.state.revision().0 + 1);
        let batch = Batch { commands: vec![command.clone()], base: None };
        let entry = Entry { at: self.state.clock(), batch };
        let applied = self.state.apply(next, &entry);
        match applied.responses.into_iter().next() {
            Some(Ok(response)) => {
                if let Response::Created { warnings, .. } | Response::Updated { warnings } =
                    response
                {
                    let named = warnings.into_iter().map(|w| format!("{kind} {name}: {w}"));
                    self.warnings.extend(named);
                }
                self.commands.push(command);
                self.changes.push(StackChange {
                    action,
                    kind: kind.name().to_owned(),
                    name: name.to_owned(),
                    id: String::new(),
                    fields: Vec::new(),
                });
            }
            Some(Err(refusal)) => self.refused(kind, name, &refusal),
            None => {}
        }
    }

    fn refused(&mut self, kind: Kind, name: &str, refusal: &Refusal) {
        match refusal {
            Refusal::Invalid { problems } => {
                self.problems.extend(problems.iter().map(|p| format!("{kind} {name}: {p}")));
            }
            other => self.problems.push(format!("{kind} {name}: {other}")),
        }
    }

    fn keep(&mut self, kind: Kind, name: &str, id: impl ToString) {
        self.changes.push(StackChange {
            action: StackAction::Keep,
            kind: kind.name().to_owned(),
            name: name.to_owned(),
            id: id.to_string(),
            fields: Vec::new(),
        });
    }

    /// Writes the id of what exists already into the last change.
    fn identify(&mut self, id: impl ToString) {
        if let Some(change) = self.changes.last_mut() {
            change.id = id.to_string();
        }
    }

    fn changed(&mut self, place: &str, fields: Vec<String>) {
        if let Some(change) = self.changes.last_mut() {
            change.fields = fields.into_iter().map(|f| format!("{place}.{f}")).collect();
        }
    }
}

/// Writes the ids of what was created into the changes that the responses belong to.
pub(in crate::api) fn write_ids(
    changes: &mut [StackChange],
    responses: &[Result<Response, Refusal>],
) {
    let done = changes.iter_mut().filter(|change| change.action != StackAction::Keep);
    for (change, response) in done.zip(responses) {
        if let Ok(Response::Created { id, .. }) = response {
            change.id = id.to_string();
        }
    }
}
