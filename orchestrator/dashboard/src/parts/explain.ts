// Why an object is as it is, in the cluster's words; asked again when the object has changed.

import { onBeforeUnmount, ref, watch, type Ref } from "vue";
import { ask, inWords } from "../core/stream";
import { settings } from "../state";

interface Explanation {
  Sentences?: string[] | null;
}

/** Not more often than this, however fast the object changes. */
const PERIOD_MS = 1_000;

export function useExplanation(kind: "service" | "node" | "task", id: Ref<string>, mark: () => unknown) {
  const sentences = ref<string[]>([]);
  const failure = ref("");
  let timer: ReturnType<typeof setTimeout> | undefined;
  let last = 0;
  let asked = "";

  async function look() {
    timer = undefined;
    last = Date.now();
    const of = id.value;
    try {
      const answer = await ask(`${settings.value.api}explain/${kind}/${of}`);
      const body = (await answer.json()) as Explanation;
      if (of === id.value) sentences.value = body.Sentences ?? [];
      failure.value = "";
    } catch (error) {
      failure.value = inWords(error);
    }
  }

  watch(
    [id, mark],
    () => {
      if (asked !== id.value) {
        asked = id.value;
        sentences.value = [];
        last = 0;
      }
      timer ??= setTimeout(look, Math.max(0, last + PERIOD_MS - Date.now()));
    },
    { immediate: true },
  );
  onBeforeUnmount(() => clearTimeout(timer));
  return { sentences, failure };
}
