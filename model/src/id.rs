//! Identifiers: 128-bit numbers written as 25 characters of `[0-9a-z]`, as Swarm's clients expect.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A 128-bit identifier. Its text form is exactly 25 base-36 digits, padded with zeros.
///
/// Ids are made in `State::apply` from the position in the log, through a bijection
/// ([`Id::derive`]), so they are unique without randomness and look unordered to people who
/// shorten them.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u128);

/// Digits in the text form: 36^25 > 2^128 > 36^24.
const DIGITS: usize = 25;

impl Id {
    /// The id that belongs to position `index` and running number `nth` of the cluster `seed`.
    ///
    /// A four-round Feistel network over (index, nth), keyed by the seed. A Feistel network is a
    /// bijection, so two positions never share an id under one seed.
    #[must_use]
    pub fn derive(seed: u64, index: u64, nth: u64) -> Id {
        let (mut left, mut right) = (index, nth);
        for round in 0..4u64 {
            let mixed =
                mix(right ^ seed.rotate_left(u32::try_from(round * 16).unwrap_or(0)) ^ round);
            (left, right) = (right, left ^ mixed);
        }
        Id((u128::from(left) << 64) | u128::from(right))
    }
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A text that is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an id (25 characters of 0-9 and a-z)")]
pub struct ParseIdError(pub String);

impl FromStr for Id {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseIdError(text.to_owned());
        if text.len() != DIGITS {
            return Err(wrong());
        }
        let mut value: u128 = 0;
        for byte in text.bytes() {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'z' => byte - b'a' + 10,
                _ => return Err(wrong()),
            };
            value = value
                .checked_mul(36)
                .and_then(|v| v.checked_add(u128::from(digit)))
                .ok_or_else(wrong)?;
        }
        Ok(Id(value))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [b'0'; DIGITS];
        let mut value = self.0;
        for place in digits.iter_mut().rev() {
            let digit = u8::try_from(value % 36).unwrap_or(0);
            *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
            value /= 36;
        }
        f.pad(std::str::from_utf8(&digits).unwrap_or(""))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl JsonSchema for Id {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Id")
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9a-z]{25}$"})
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub Id);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map($name)
            }
        }

        impl From<Id> for $name {
            fn from(id: Id) -> Self {
                $name(id)
            }
        }
    )+};
}

ids! {
    /// The cluster itself.
    ClusterId,
    /// A host that has joined. Also the name of a manager in Raft.
    NodeId,
    /// A service.
    ServiceId,
    /// One attempt to run one slot of a service.
    TaskId,
    /// An overlay network.
    NetworkId,
    /// A secret.
    SecretId,
    /// A config.
    ConfigId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_text() {
        for value in [0, 1, 35, 36, u128::MAX, 0x1234_5678_9abc_def0] {
            let text = Id(value).to_string();
            assert_eq!(text.len(), DIGITS);
            assert_eq!(text.parse::<Id>(), Ok(Id(value)));
        }
    }

    #[test]
    fn a_text_of_another_form_is_no_id() {
        for text in [
            "",
            "0",
            "000000000000000000000000A",
            "zzzzzzzzzzzzzzzzzzzzzzzzz",
            "é00000000000000000000000",
        ] {
            assert!(text.parse::<Id>().is_err(), "{text}");
        }
    }

    #[test]
    fn positions_do_not_share_an_id() {
        let mut seen = std::collections::BTreeSet::new();
        for index in 0..100 {
            for nth in 0..100 {
                assert!(seen.insert(Id::derive(42, index, nth)));
            }
        }
    }
}
