// Where an element is scrolled to and how large it is.

import { onBeforeUnmount, ref, watch, type Ref } from "vue";

export function useBox(element: Ref<HTMLElement | null>) {
  const top = ref(0);
  const height = ref(0);
  const width = ref(0);
  let seen: HTMLElement | null = null;
  const measure = () => {
    if (!seen) return;
    height.value = seen.clientHeight;
    width.value = seen.clientWidth;
    top.value = seen.scrollTop;
  };
  const scrolled = () => {
    if (seen) top.value = seen.scrollTop;
  };
  const observer = new ResizeObserver(measure);
  watch(
    element,
    (next) => {
      if (seen) {
        observer.unobserve(seen);
        seen.removeEventListener("scroll", scrolled);
      }
      seen = next;
      if (seen) {
        observer.observe(seen);
        seen.addEventListener("scroll", scrolled, { passive: true });
        measure();
      }
    },
    { flush: "post" },
  );
  onBeforeUnmount(() => {
    observer.disconnect();
    seen?.removeEventListener("scroll", scrolled);
  });
  return { top, height, width };
}
