//! Chance for tests whose walk must be the same every time.

/// A small generator of numbers (Knuth's linear congruential one), from a seed.
pub struct Dice(pub u64);

impl Dice {
    /// A number from 0 to `limit`, which is not reached.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit.max(1)
    }
}
