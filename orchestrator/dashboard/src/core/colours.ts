// A colour for each service: the same after every reload, different from its neighbours'.

/** Hands out hues by name. */
export class Hues {
  private readonly given = new Map<string, number>();
  private readonly taken = new Map<number, string>();

  constructor(private readonly places = 24) {}

  /** Degrees. A name keeps its hue as long as the page is open. */
  of(name: string): number {
    let place = this.given.get(name);
    if (place === undefined) {
      place = this.free(hash(name) % this.places);
      this.given.set(name, place);
      this.taken.set(place, name);
    }
    return Math.round((place * 360) / this.places);
  }

  /** A place far from others while there is one, then any that is free, then the first. */
  private free(first: number): number {
    const at = (step: number) => (first + step * 5) % this.places;
    const isFree = (place: number) => !this.taken.has((place + this.places) % this.places);
    const steps = Array.from({ length: this.places }, (_, step) => at(step));
    return steps.find((place) => [-1, 0, 1].every((by) => isFree(place + by))) ?? steps.find(isFree) ?? first;
  }
}

function hash(text: string): number {
  let value = 2166136261;
  for (let i = 0; i < text.length; i += 1) value = Math.imul(value ^ text.charCodeAt(i), 16777619) >>> 0;
  return value;
}
