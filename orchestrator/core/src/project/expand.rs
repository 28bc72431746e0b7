//! Fills in `{{.Task.Slot}}` and the like in host name, environment and mounts.
//!
//! The words are those that Docker documents for services. A word that is not one of them stays as
//! it is, so that nothing is lost in silence.

use model::object::{Node, Service, Slot, Task};
use model::spec::ContainerSpec;

/// What the words of one task mean.
pub(super) struct Words<'a> {
    pub(super) service: &'a Service,
    pub(super) task: &'a Task,
    pub(super) task_name: &'a str,
    pub(super) node: &'a Node,
}

/// Expands everything in a container's spec that Docker expands.
pub(super) fn container(words: &Words<'_>, spec: &mut ContainerSpec) {
    expand(words, &mut spec.hostname);
    spec.env.iter_mut().for_each(|line| expand(words, line));
    for mount in &mut spec.mounts {
        expand(words, &mut mount.source);
        expand(words, &mut mount.target);
        if let Some(options) = &mut mount.volume_options {
            options.labels.values_mut().for_each(|value| expand(words, value));
            if let Some(driver) = &mut options.driver_config {
                driver.options.values_mut().for_each(|value| expand(words, value));
            }
        }
    }
}

fn expand(words: &Words<'_>, text: &mut String) {
    if !text.contains("{{") {
        return;
    }
    let mut done = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("{{") {
        done.push_str(before);
        let Some((word, after)) = after.split_once("}}") else {
            done.push_str("{{");
            rest = after;
            continue;
        };
        match words.meaning(word.trim()) {
            Some(meaning) => done.push_str(&meaning),
            None => {
                done.push_str("{{");
                done.push_str(word);
                done.push_str("}}");
            }
        }
        rest = after;
    }
    done.push_str(rest);
    *text = done;
}

impl Words<'_> {
    fn meaning(&self, word: &str) -> Option<String> {
        let spec = &self.service.spec;
        Some(match word {
            ".Service.ID" => self.service.id.to_string(),
            ".Service.Name" => spec.name.clone(),
            ".Node.ID" => self.node.id.to_string(),
            ".Node.Hostname" => self.node.description.hostname.clone(),
            ".Node.Platform.OS" => self.node.description.platform.os.clone(),
            ".Node.Platform.Architecture" => self.node.description.platform.architecture.clone(),
            ".Task.ID" => self.task.id.to_string(),
            ".Task.Name" => self.task_name.to_owned(),
            ".Task.Slot" => match self.task.slot {
                Slot::Replica(number) => number.to_string(),
                Slot::Node(node) => node.to_string(),
            },
            _ => {
                let label = word.strip_prefix(".Service.Labels.").or_else(|| {
                    let key = word.strip_prefix("index .Service.Labels ")?;
                    key.trim().strip_prefix('"')?.strip_suffix('"')
                })?;
                spec.labels.get(label).cloned().unwrap_or_default()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_kit;

    #[test]
    fn known_words_are_filled_in_and_others_stay() {
        let world = test_kit::one_running_task();
        let state = &world.state;
        let task = state.tasks().next().expect("a task");
        let service = state.service(task.service).expect("its service");
        let node = state.node(task.node.expect("placed")).expect("its node");
        let words = Words { service, task, task_name: "web.1.x", node };
        let mut text = "{{.Node.Hostname}}-{{ .Task.Slot }}-{{.Task.Name}}-{{.Odd}}-{{".to_owned();
        expand(&words, &mut text);
        assert_eq!(text, format!("{}-1-web.1.x-{{{{.Odd}}}}-{{{{", node.description.hostname));
    }
}
