//! What a Compose file may say: every key, its type, how it merges and what becomes of it.
//!
//! The tables follow the Compose Specification and, where it is wider, the docker CLI's stack
//! dialect 3.0 to 3.13. [`crate::canon`] holds a tree against them, [`crate::merge`] reads how two
//! files combine, and `docs/compose.md` is checked against them.

pub mod build;
pub mod deploy;
pub mod mounts;
pub mod resources;
pub mod service;
pub mod top;

/// The type of a value, and the one form that it is brought to.
#[derive(Debug)]
pub enum Kind {
    /// Anything at all.
    Any,
    /// A text.
    Text,
    /// A text or a number; becomes a text.
    Word,
    /// A text, a number or nothing; becomes a text.
    WordOrEmpty,
    /// A boolean, or a text that means one.
    Bool,
    /// A whole number within bounds, or a text that is one.
    Int { min: i64, max: i64 },
    /// Permission bits. A text is read as octal.
    Mode,
    /// Any number.
    Number,
    /// Time, as a text; becomes the docker CLI's form of it.
    Duration,
    /// A time as text, or a number of microseconds; becomes the number.
    Micros,
    /// Bytes.
    Size(SizeForm),
    /// A number of CPUs; becomes a text.
    Cpus,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list, each item of this kind.
    List(&'static Kind),
    /// A list without repetitions.
    Set(&'static Kind),
    /// One value or a list of them; becomes a list.
    OneOrMore(&'static Kind),
    /// A command line or a list of words; becomes the list.
    Command,
    /// A health check's command; becomes the list.
    HealthTest,
    /// A mapping with any keys.
    Map(&'static Kind),
    /// A mapping whose keys are names of things.
    Named(&'static Kind),
    /// A mapping of texts, or a list of `key=value`; becomes the mapping.
    Pairs(Bare),
    /// A mapping or list of host names and addresses; becomes a list of `name:address`.
    Hosts,
    /// A mapping with these keys.
    Object(&'static Shape),
    /// A null, or this.
    Nullable(&'static Kind),
    /// A short form that `expand` makes the long one of, then this.
    Short { expand: Short, long: &'static Kind },
    /// Published ports: a list whose items may stand for several.
    Ports,
}

/// What a key without a value means in [`Kind::Pairs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bare {
    /// The empty text.
    Empty,
    /// "Take it from the environment": stays null.
    Null,
}

/// How a size is given and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeForm {
    /// Only as text; becomes a text of digits.
    TextOnly,
    /// A text or a number; becomes a text of digits.
    Digits,
    /// A text or a number; becomes a number.
    Number,
    /// A text or a number, -1 allowed for "no limit"; becomes a text of digits.
    OrUnlimited,
    /// A text or a number; stays as given, as text.
    AsGiven,
}

/// The short forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// `x` for `{context: x}`
    Build,
    /// `x` for `{service: x}`
    Extends,
    /// `x` for `{path: x}`
    EnvFile,
    /// `x` for `{path: [x]}`
    Include,
    /// `x` for `{source: x}`
    FileUse,
    /// `[x]` for `{x: {condition: service_started, required: true}}`
    DependsOn,
    /// `[x]` for `{x: null}`
    Networks,
    /// `[x]` for `{x: null}`
    Models,
    /// `source:target:options` for its parts
    Mount,
    /// `{source, target, permissions}` for `source:target:permissions`
    Device,
    /// `all` for `[{count: -1}]`
    Gpus,
    /// `{name: x}` for `true`, with the name moved out
    External,
    /// A number, or `{soft, hard}`
    Ulimit,
}

/// The keys of a mapping.
#[derive(Debug)]
pub struct Shape {
    /// What a message calls it.
    pub name: &'static str,
    pub fields: &'static [Field],
    /// Whether `x-…` keys may stand here.
    pub extensions: bool,
    /// Keys that must be there.
    pub required: &'static [&'static str],
    /// What becomes of other keys.
    pub others: Others,
}

/// What becomes of a key that a mapping does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    Refused,
    /// Left out with a warning: the docker CLI does not check this mapping.
    LeftOut,
    /// Left out with a warning, but refused when it is nearly one that is known.
    LeftOutUnlessMisspelt,
}

/// One key.
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    /// The name's first bytes, by which it is found.
    begin: u64,
    pub kind: &'static Kind,
    pub merge: Merge,
    pub fate: Fate,
    /// Whether it reaches the request in one of our own fields, `ContainerSpec.Engine`.
    pub of_engine: bool,
    /// Whether an empty or false value differs from an absent one, so that it is written out.
    pub keep_empty: bool,
}

/// How the values of two files combine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// Mappings key by key, lists one after the other, anything else: the later one.
    Deep,
    /// The later one as a whole, unless it is empty.
    Replace,
    /// The later one, even when it is empty.
    Later,
    /// Ports, by published port, protocol and address.
    Ports,
    /// Mounts, by target.
    Mounts,
    /// Uses of secrets and configs, by target or source.
    FileUses,
    /// Options merge only for the same driver.
    Logging,
    /// A later test takes back an earlier `disable`, and the other way round.
    Health,
    /// A network, volume, secret or config: the stack's own one and an external one do not mix.
    Definition,
}

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It reaches the request to the cluster, in this field.
    Carried(&'static str),
    /// It is used while the file is read.
    Used(&'static str),
    /// It means nothing to an orchestrator, and the user is told this.
    Noted(&'static str),
}

/// A key of this kind that is used while reading.
#[must_use]
pub const fn field(name: &'static str, kind: &'static Kind) -> Field {
    Field {
        name,
        begin: begin(name),
        kind,
        merge: Merge::Deep,
        fate: Fate::Used(""),
        of_engine: false,
        keep_empty: false,
    }
}

impl Field {
    /// Reaches the request in `place`.
    #[must_use]
    pub const fn to(mut self, place: &'static str) -> Field {
        self.fate = Fate::Carried(place);
        self.of_engine = begins_with(place, "TaskTemplate.ContainerSpec.Engine.");
        self
    }

    /// Used in reading, for this.
    #[must_use]
    pub const fn used(mut self, purpose: &'static str) -> Field {
        self.fate = Fate::Used(purpose);
        self
    }

    /// Means nothing here, for this reason.
    #[must_use]
    pub const fn noted(mut self, reason: &'static str) -> Field {
        self.fate = Fate::Noted(reason);
        self
    }

    /// Merges like this.
    #[must_use]
    pub const fn merge(mut self, merge: Merge) -> Field {
        self.merge = merge;
        self
    }

    /// Empty is not the same as absent.
    #[must_use]
    pub const fn keep_empty(mut self) -> Field {
        self.keep_empty = true;
        self
    }
}

impl Shape {
    /// The key of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        let begin = begin(name);
        // Long tables are in the order of their names, which a test holds.
        if self.fields.len() > SEARCHED {
            let order = |field: &Field| field.begin.cmp(&begin).then_with(|| field.name.cmp(name));
            return self.fields.binary_search_by(order).ok().and_then(|at| self.fields.get(at));
        }
        self.fields.iter().find(|field| field.begin == begin && field.name == name)
    }
}

/// Tables up to this length are searched from the top.
const SEARCHED: usize = 48;

const fn begins_with(text: &str, begin: &str) -> bool {
    let (text, begin) = (text.as_bytes(), begin.as_bytes());
    let mut at = 0;
    while at < begin.len() && at < text.len() && text[at] == begin[at] {
        at += 1;
    }
    at == begin.len()
}

/// The first eight bytes as a number, which is in the order of the texts.
const fn begin(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let (mut number, mut at) = (0, 0);
    while at < 8 {
        number = number << 8 | if at < bytes.len() { bytes[at] as u64 } else { 0 };
        at += 1;
    }
    number
}

/// A mapping with extensions, nothing required.
#[must_use]
pub const fn shape(name: &'static str, fields: &'static [Field]) -> Shape {
    Shape { name, fields, extensions: true, required: &[], others: Others::Refused }
}

impl Shape {
    /// These keys must be there.
    #[must_use]
    pub const fn required(mut self, keys: &'static [&'static str]) -> Shape {
        self.required = keys;
        self
    }

    /// This becomes of other keys.
    #[must_use]
    pub const fn others(mut self, others: Others) -> Shape {
        self.others = others;
        self
    }
}

/// A text.
pub const TEXT: Kind = Kind::Text;
/// A text or number.
pub const WORD: Kind = Kind::Word;
/// A boolean.
pub const BOOL: Kind = Kind::Bool;
/// A duration.
pub const DURATION: Kind = Kind::Duration;
/// Any whole number.
pub const INT: Kind = Kind::Int { min: i64::MIN, max: i64::MAX };
/// 0 and up.
pub const COUNT: Kind = Kind::Int { min: 0, max: i64::MAX };
/// A list of texts.
pub const TEXTS: Kind = Kind::List(&TEXT);
/// A list of different texts.
pub const TEXT_SET: Kind = Kind::Set(&TEXT);
/// A text or a list of texts.
pub const TEXT_OR_LIST: Kind = Kind::OneOrMore(&TEXT);
/// Labels and the like.
pub const PAIRS: Kind = Kind::Pairs(Bare::Empty);
/// Environment variables.
pub const VARIABLES: Kind = Kind::Pairs(Bare::Null);
/// A mapping of words.
pub const WORDS_BY_KEY: Kind = Kind::Map(&WORD);
/// Anything.
pub const ANY: Kind = Kind::Any;

#[cfg(test)]
mod tests;
