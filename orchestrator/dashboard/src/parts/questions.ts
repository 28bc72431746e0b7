// The questions that are asked before something is done to the cluster.

import { wrongImage, wrongReplicas } from "../core/actions";
import { imageOfSpec, nodeName, type Node, type Service } from "../core/objects";
import { many } from "../core/words";
import { actions, cluster, question } from "../state";

export function askScale(service: Service): void {
  const { Name, Mode } = service.Spec;
  question.value = {
    title: `Scale ${Name}`,
    text: "Tasks are added at once; those that are too many finish what they have and stop.",
    label: "Scale",
    input: { label: "Replicas", value: String(Mode.Replicated?.Replicas ?? 1), kind: "number", wrong: wrongReplicas },
    act: (input) => actions.value.scale(service.ID, Number(input)),
  };
}

export function askImage(service: Service): void {
  const { Name, UpdateConfig } = service.Spec;
  const parallelism = UpdateConfig?.Parallelism ?? 1;
  const pace = parallelism === 0 ? "all at once" : `${many(parallelism, "task")} at a time`;
  question.value = {
    title: `Update ${Name}`,
    text: `Its tasks are replaced ${pace}${UpdateConfig?.Order === "start-first" ? ", the new one first" : ""}.`,
    label: "Update",
    input: { label: "Image", value: imageOfSpec(service.Spec), kind: "text", wrong: wrongImage },
    act: (input) => actions.value.setImage(service.ID, input.trim()),
  };
}

export function askReplace(service: Service): void {
  question.value = {
    title: `Replace all tasks of ${service.Spec.Name}`,
    text: `${many(cluster().tally(service.ID).running, "running task")} will be replaced by new ones of the same image, as in an update. They are spread anew over the nodes.`,
    label: "Replace all",
    act: () => actions.value.replaceAll(service.ID),
  };
}

export function askRollBack(service: Service): void {
  const before = imageOfSpec(service.PreviousSpec);
  const same = before === imageOfSpec(service.Spec);
  question.value = {
    title: `Roll ${service.Spec.Name} back`,
    text: same ? "Its previous settings come back; the image is the same." : `It goes back to ${before}, with the settings it had then.`,
    label: "Roll back",
    grave: true,
    act: () => actions.value.rollBack(service.ID),
  };
}

const AVAILABILITY = {
  drain: { word: "Drain", text: "Its tasks are replaced on other nodes and it gets no new ones." },
  pause: { word: "Pause", text: "It keeps its tasks and gets no new ones." },
  active: { word: "Activate", text: "It takes new tasks again. Running tasks elsewhere stay where they are." },
};

export function askAvailability(node: Node, availability: keyof typeof AVAILABILITY): void {
  const { word, text } = AVAILABILITY[availability];
  const running = cluster().tasksOn(node.ID).size;
  question.value = {
    title: `${word} ${nodeName(node)}`,
    text: availability === "drain" ? `${text} ${many(running, "task")} ${running === 1 ? "is" : "are"} there now.` : text,
    label: word,
    grave: availability === "drain",
    act: () => actions.value.setAvailability(node.ID, availability),
  };
}
