//! The slots of a service: what each holds, and what it needs.

use model::lifecycle::Desired;
use model::object::{Restarts, Service, Slot, Task, Template, TemplateVersion};
use model::reason::{Objection, Reason};
use model::{NodeId, TaskId, TaskState, Timestamp};

use super::draft::Draft;
use super::gate;
use super::place::Places;
use super::restart::{self, Verdict};
use crate::State;
use crate::command::{Command, CreateTask};
use crate::fit::Demand;

/// One slot: all its tasks on record, oldest first.
pub(super) struct View<'a> {
    pub(super) slot: Slot,
    pub(super) tasks: Vec<&'a Task>,
}

/// Every slot of a service that has a task on record.
pub(super) fn views<'a>(state: &'a State, service: &Service) -> Vec<View<'a>> {
    let mut views: Vec<View<'_>> = Vec::new();
    for task in state.tasks_of(service.id) {
        match views.last_mut() {
            Some(view) if view.slot == task.slot => view.tasks.push(task),
            Some(_) | None => views.push(View { slot: task.slot, tasks: vec![task] }),
        }
    }
    views
}

/// The task did not end; its node did. One that had ended before is not lost, whatever its node does.
pub(super) fn is_lost(task: &Task) -> bool {
    task.status.state == TaskState::Orphaned
}

fn wanted(task: &Task) -> bool {
    task.desired <= Desired::Running
}

impl<'a> View<'a> {
    /// Wanted and not ended, oldest first: one, or two during a start-first replacement.
    pub(super) fn live(&self) -> impl DoubleEndedIterator<Item = &'a Task> {
        self.tasks.iter().copied().filter(|t| wanted(t) && !t.status.state.is_terminal())
    }

    /// The newest that ended although it was wanted; nobody has dealt with it yet, or its restart
    /// policy is exhausted.
    pub(super) fn ended(&self) -> Option<&'a Task> {
        self.tasks.iter().rev().copied().find(|t| wanted(t) && t.status.state.is_terminal())
    }

    /// A task is still on its way out.
    pub(super) fn is_leaving(&self) -> bool {
        self.tasks.iter().any(|t| !wanted(t) && !t.status.state.is_terminal())
    }

    /// The slot counts as one of the service's.
    pub(super) fn is_held(&self) -> bool {
        self.tasks.iter().any(|t| wanted(t))
    }

    /// The slot had a task of another template. One that never had a node counts for none: nobody
    /// had it.
    pub(super) fn is_replaced(&self, current: TemplateVersion) -> bool {
        self.tasks.iter().any(|t| t.template != current && t.node.is_some())
    }

    /// A task of the slot has run.
    pub(super) fn has_run(&self) -> bool {
        self.tasks.iter().any(|t| t.has_run())
    }

    /// Whether `a` was made before `b`.
    pub(super) fn is_older(&self, a: &Task, b: &Task) -> bool {
        let at = |task: &Task| self.tasks.iter().position(|t| t.id == task.id);
        at(a) < at(b)
    }
}

/// A task that is to be made, once it has a place.
pub(super) struct Start<'a> {
    pub(super) slot: Slot,
    pub(super) template: TemplateVersion,
    pub(super) restarts: Restarts,
    pub(super) not_before: Option<Timestamp>,
    /// The slot's task had a place.
    pub(super) had_place: bool,
    /// An older task of the slot must end first.
    pub(super) old_stopping: bool,
    /// Start-first: this one runs on until the new one does.
    pub(super) beside: Option<&'a Task>,
}

impl Start<'_> {
    /// The first task of a slot.
    pub(super) fn fresh(slot: Slot, template: TemplateVersion) -> Self {
        Start {
            slot,
            template,
            restarts: Restarts::default(),
            not_before: None,
            had_place: false,
            old_stopping: false,
            beside: None,
        }
    }
}

/// A task that has no place yet.
struct Unplaced<'a> {
    task: &'a Task,
    /// The one it is to follow, if that still lives.
    old: Option<&'a Task>,
    /// An earlier task of its slot had one.
    had_place: bool,
}

/// The plan of one service being written.
pub(super) struct Work<'d, 'a> {
    pub(super) draft: &'d mut Draft<'a>,
    pub(super) service: &'a Service,
    wake: Option<Timestamp>,
    starts: Vec<Start<'a>>,
    unplaced: Vec<Unplaced<'a>>,
    /// The service gets another spec by this plan: the rest is planned once that is written.
    over: bool,
}

impl<'d, 'a> Work<'d, 'a> {
    pub(super) fn new(draft: &'d mut Draft<'a>, service: &'a Service) -> Self {
        Work { draft, service, wake: None, starts: Vec::new(), unplaced: Vec::new(), over: false }
    }

    /// Asks to be called again then.
    pub(super) fn wake_at(&mut self, at: Timestamp) {
        if at > self.draft.now {
            self.wake = Some(self.wake.map_or(at, |known| known.min(at)));
        }
    }

    /// A planned stop: one that serves drains first, another ends at once as `end`.
    pub(super) fn stop(&mut self, task: &Task, end: Desired) {
        let desired = if task.status.state == TaskState::Running { Desired::Draining } else { end };
        if let Some(node) = task.node.filter(|_| wanted(task)) {
            self.draft.leaves(self.service.id, node);
        }
        self.raise(task, desired);
    }

    pub(super) fn raise(&mut self, task: &Task, desired: Desired) {
        if task.desired < desired {
            self.draft.push(Command::SetDesired { task: task.id, desired });
        }
    }

    pub(super) fn wait(&mut self, task: &Task, waiting: Reason) {
        if task.waiting.as_ref() != Some(&waiting) {
            let waiting = Some(waiting);
            self.draft.push(Command::SetWaiting { task: task.id, waiting });
        }
    }

    /// Drops the record of an ended task: its container first, if anybody can be asked.
    pub(super) fn forget(&mut self, task: &Task) {
        use model::object::NodeState::{Disconnected, Down};
        let node = task.node.and_then(|id| self.draft.state.node(id));
        if node.is_none_or(|n| matches!(n.status.state, Down | Disconnected)) {
            self.draft.push(Command::DeleteTask { task: task.id });
        } else {
            self.raise(task, Desired::Remove);
        }
    }

    pub(super) fn start(&mut self, start: Start<'a>) {
        self.starts.push(start);
    }

    /// Looks after a live task that is to stay: lets it start when nothing holds it back, queues it
    /// for a place when it has none.
    pub(super) fn tend(&mut self, view: &View<'a>, task: &'a Task) {
        if task.node.is_none() {
            let old = view.live().find(|old| view.is_older(old, task));
            let had_place = view.tasks.iter().any(|t| t.id != task.id && t.node.is_some());
            self.unplaced.push(Unplaced { task, old, had_place });
        }
        if task.desired != Desired::Ready {
            return;
        }
        let held_back = gate::closed(
            self.draft,
            self.service,
            task.not_before,
            task.restarts,
            view.is_leaving(),
        );
        match held_back {
            None => self.raise(task, Desired::Running),
            Some(reason) => {
                if let Reason::BackOff { until, .. } = &reason {
                    self.wake_at(*until);
                }
                if task.node.is_some() {
                    self.wait(task, reason);
                }
            }
        }
    }

    /// Deals with a wanted slot whose only task ended by itself and whose template is not being
    /// changed. Answers whether this is news (so that an update may count it).
    pub(super) fn renew(&mut self, view: &View<'a>, ended: &'a Task, template: TemplateVersion) {
        if is_lost(ended) {
            self.raise(ended, Desired::Shutdown);
            self.start(Start {
                restarts: ended.passed_on(),
                // It may have been waiting for its time; a lost node does not make that come earlier.
                not_before: ended.not_before,
                had_place: true,
                old_stopping: view.is_leaving(),
                ..Start::fresh(view.slot, template)
            });
            return;
        }
        match self.verdict(ended, template) {
            Verdict::Again { restarts, not_before } => {
                self.raise(ended, Desired::Shutdown);
                self.start(Start {
                    restarts,
                    not_before,
                    had_place: true,
                    old_stopping: view.is_leaving(),
                    ..Start::fresh(view.slot, template)
                });
            }
            Verdict::Exhausted { attempts } => {
                self.wait(ended, Reason::RestartsExhausted { attempts });
            }
            Verdict::Finished => {}
        }
    }

    /// What the restart policy of `template` says about an ended task.
    pub(super) fn verdict(&self, ended: &Task, template: TemplateVersion) -> Verdict {
        let Some(template) = self.service.templates.get(&template) else {
            return Verdict::Finished;
        };
        restart::verdict(ended, &template.task, self.service.job.is_some(), self.draft.now)
    }

    /// Whether the old task of a start-first replacement ends although the new one has no place.
    fn gives_way(&self, old: &Task, reason: &Reason) -> bool {
        would_make_room(reason) || self.must_leave(old)
    }

    /// The task's node no longer suits it.
    pub(super) fn must_leave(&self, task: &Task) -> bool {
        let node = task.node.and_then(|id| self.draft.state.node(id));
        let (Some(node), Some(template)) = (node, self.service.templates.get(&task.template))
        else {
            return false;
        };
        !Demand::of(self.draft.state, template).still_suits(node)
    }

    /// Gives the service its previous spec back. What comes after that in the same batch would be
    /// refused, and the whole of it again and again.
    pub(super) fn roll_back(&mut self, message: String) {
        let (service, template) = (self.service.id, self.service.template);
        self.draft.push(Command::RollBack { service, template, message });
        self.over = true;
    }

    /// Nothing more is to be written for this service now.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Finds places for everything that needs one, and writes it down. Answers when to look again.
    pub(super) fn finish(mut self) -> Option<Timestamp> {
        if self.over {
            return self.wake;
        }
        let mut places: Vec<(TemplateVersion, Places<'a>)> = Vec::new();
        // A slot that gave its place up gets one before a slot that never had any: an update waits
        // for it, and would for ever.
        let (back, first): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.unplaced).into_iter().partition(|it| it.had_place);
        let (anew, fresh): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.starts).into_iter().partition(|start| start.had_place);
        self.assign(&mut places, back);
        self.create_all(&mut places, anew);
        self.assign(&mut places, first);
        self.create_all(&mut places, fresh);
        self.wake
    }

    fn assign(
        &mut self,
        places: &mut Vec<(TemplateVersion, Places<'a>)>,
        unplaced: Vec<Unplaced<'a>>,
    ) {
        for Unplaced { task, old, .. } in unplaced {
            match self.place(places, task.slot, task.template) {
                Some(Ok(node)) => self.draft.push(Command::Assign { task: task.id, node }),
                Some(Err(reason)) => {
                    if let Some(old) = old.filter(|old| self.gives_way(old, &reason)) {
                        self.stop(old, Desired::Shutdown);
                    }
                    self.wait(task, reason);
                }
                None => {}
            }
            self.draft.may_cut();
        }
    }

    fn create_all(
        &mut self,
        places: &mut Vec<(TemplateVersion, Places<'a>)>,
        starts: Vec<Start<'a>>,
    ) {
        for start in starts {
            if self.draft.is_full() {
                self.draft.services.insert(self.service.id);
                break;
            }
            if let Some(place) = self.place(places, start.slot, start.template) {
                self.create(&start, place);
            }
            self.draft.may_cut();
        }
    }

    fn place(
        &mut self,
        places: &mut Vec<(TemplateVersion, Places<'a>)>,
        slot: Slot,
        version: TemplateVersion,
    ) -> Option<Result<NodeId, Reason>> {
        let template: &'a Template = self.service.templates.get(&version)?;
        if let Slot::Node(node) = slot {
            return Some(Places::only(self.draft, self.service, template, node));
        }
        let at = places.iter().position(|(v, _)| *v == version).unwrap_or_else(|| {
            places.push((version, Places::open(self.draft, self.service, template)));
            places.len() - 1
        });
        Some(places[at].1.next(self.draft))
    }

    fn create(&mut self, start: &Start<'a>, place: Result<NodeId, Reason>) {
        let (mut beside, mut old_stopping) = (start.beside, start.old_stopping);
        if let (Some(old), Err(reason)) = (beside, &place)
            && self.gives_way(old, reason)
        {
            // Both do not fit at once: this slot is replaced stop-first after all.
            self.stop(old, Desired::Shutdown);
            (beside, old_stopping) = (None, true);
        }
        let held_back =
            gate::closed(self.draft, self.service, start.not_before, start.restarts, old_stopping);
        if let Some(Reason::BackOff { until, .. }) = &held_back {
            self.wake_at(*until);
        }
        let desired = if held_back.is_some() { Desired::Ready } else { Desired::Running };
        let (node, waiting) = match place {
            Ok(node) => (Some(node), held_back),
            Err(reason) => (None, Some(reason)),
        };
        self.draft.push(Command::CreateTask(Box::new(CreateTask {
            service: self.service.id,
            slot: start.slot,
            template: start.template,
            job_iteration: self.service.iteration(),
            node,
            desired,
            not_before: start.not_before,
            restarts: start.restarts,
            waiting,
            beside: beside.map(|task: &Task| -> TaskId { task.id }),
        })));
    }
}

/// Whether the old task's end could change the answer.
fn would_make_room(reason: &Reason) -> bool {
    match reason {
        Reason::NoSuitableNode { objections } => objections.keys().any(|objection| {
            matches!(objection, Objection::Resources | Objection::HostPort | Objection::MaxReplicas)
        }),
        Reason::NoAddress { .. } => true,
        Reason::BackOff { .. }
        | Reason::RestartsExhausted { .. }
        | Reason::OldTaskStopping
        | Reason::UpdateInProgress
        | Reason::UpdatePaused
        | Reason::Dependency { .. }
        | Reason::NodeSilent { .. }
        | Reason::Draining { .. }
        | Reason::StartLimit { .. } => false,
    }
}
