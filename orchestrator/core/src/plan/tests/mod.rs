//! What the planner does, told as examples.

mod changes;
mod nodes;
mod places;
mod slots;
mod trust;

use model::object::RolloutState;
use model::spec::{ServiceMode, UpdateConfig};

use crate::test_kit::World;

fn image(name: &str) -> impl FnOnce(&mut model::spec::ServiceSpec) + '_ {
    move |spec| {
        let container = spec.task_template.container_spec.as_mut().expect("a container");
        name.clone_into(&mut container.image);
    }
}

fn with_update(spec: &mut model::spec::ServiceSpec, edit: impl FnOnce(&mut UpdateConfig)) {
    let mut config = spec.effective_update();
    edit(&mut config);
    spec.update_config = Some(config);
}

fn scale(world: &mut World, replicas: u64) {
    world.update("web", |spec| spec.mode = ServiceMode::replicated(replicas));
}

fn state_of(world: &World, name: &str) -> RolloutState {
    let service = world.state.service_named(name).expect("there");
    service.rollout.as_ref().expect("a change").state
}
