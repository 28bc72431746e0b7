//! Placement constraints: `node.labels.zone == north`, `node.role != manager`.
//!
//! Grammar and meaning are SwarmKit's: values compare without regard to case, a label that a node
//! lacks counts as empty, a property that nodes do not have is never met.

use std::net::Ipv4Addr;

use model::object::{Node, Subnet};

/// One constraint, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    pub property: Property,
    pub equal: bool,
    pub value: String,
}

/// What of a node a constraint looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Property {
    Id,
    Hostname,
    Role,
    Ip,
    Os,
    Arch,
    Label(String),
    EngineLabel(String),
    /// One that no node has.
    Unknown(String),
}

/// A text that is no constraint. The words are Docker's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintError {
    #[error("constraint expected one operator from ==, !=")]
    Operator,
    #[error("key '{0}' is invalid")]
    Key(String),
    #[error("value '{0}' is invalid")]
    Value(String),
}

impl std::str::FromStr for Constraint {
    type Err = ConstraintError;

    fn from_str(text: &str) -> Result<Constraint, ConstraintError> {
        let (key, value, equal) = if let Some((key, value)) = text.split_once("==") {
            (key, value, true)
        } else if let Some((key, value)) = text.split_once("!=") {
            (key, value, false)
        } else {
            return Err(ConstraintError::Operator);
        };
        let (key, value) = (key.trim(), value.trim());
        let mut letters = key.chars();
        let key_start = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        let key_rest = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !key_start || key.len() < 2 || !letters.all(key_rest) {
            return Err(ConstraintError::Key(key.to_owned()));
        }
        let in_value = |c: char| {
            c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || ":-_.*()?+[]\\^$|/".contains(c)
        };
        if value.is_empty() || !value.chars().all(in_value) {
            return Err(ConstraintError::Value(value.to_owned()));
        }
        Ok(Constraint { property: property(key), equal, value: value.to_owned() })
    }
}

fn property(key: &str) -> Property {
    let lower = key.to_ascii_lowercase();
    match lower.as_str() {
        "node.id" => Property::Id,
        "node.hostname" => Property::Hostname,
        "node.role" => Property::Role,
        "node.ip" => Property::Ip,
        "node.platform.os" => Property::Os,
        "node.platform.arch" => Property::Arch,
        _ if lower.starts_with("node.labels.") && key.len() > 12 => {
            Property::Label(key[12..].to_owned())
        }
        _ if lower.starts_with("engine.labels.") && key.len() > 14 => {
            Property::EngineLabel(key[14..].to_owned())
        }
        _ => Property::Unknown(key.to_owned()),
    }
}

impl Constraint {
    /// Whether the node meets it.
    #[must_use]
    pub fn met_by(&self, node: &Node) -> bool {
        let label = |labels: &model::spec::Labels, name: &str| {
            labels.get(name).cloned().unwrap_or_default()
        };
        let actual = match &self.property {
            Property::Id => node.id.to_string(),
            Property::Hostname => node.description.hostname.clone(),
            Property::Role => node.spec.role.name().to_owned(),
            Property::Ip => return self.ip_matches(node) == self.equal,
            Property::Os => node.description.platform.os.clone(),
            Property::Arch => {
                let same = architecture(&node.description.platform.architecture)
                    == architecture(&self.value);
                return same == self.equal;
            }
            Property::Label(name) => label(&node.spec.labels, name),
            Property::EngineLabel(name) => label(&node.description.engine.labels, name),
            Property::Unknown(_) => return false,
        };
        actual.eq_ignore_ascii_case(&self.value) == self.equal
    }

    fn ip_matches(&self, node: &Node) -> bool {
        let Ok(address) = node.description.address.parse::<Ipv4Addr>() else {
            return node.description.address == self.value;
        };
        match self.value.parse::<Ipv4Addr>() {
            Ok(value) => value == address,
            Err(_) => self.value.parse::<Subnet>().is_ok_and(|net| net.contains(address)),
        }
    }
}

/// One name for each architecture: registries say `amd64`, engines `x86_64`.
#[must_use]
pub fn architecture(name: &str) -> &str {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        let mut node = Node::default();
        node.description.hostname = "Alpha".to_owned();
        node.description.address = "10.1.2.3".to_owned();
        node.description.platform.architecture = "x86_64".to_owned();
        node.spec.labels.insert("zone".to_owned(), "north".to_owned());
        node
    }

    #[test]
    fn a_node_meets_what_is_true_of_it() {
        for (text, met) in [
            ("node.labels.zone==north", true),
            ("node.labels.zone == NORTH", true),
            ("node.labels.zone!=north", false),
            ("node.labels.disk!=ssd", true),
            ("node.labels.disk==ssd", false),
            ("node.hostname==alpha", true),
            ("node.role==worker", true),
            ("node.role!=manager", true),
            ("node.ip==10.1.0.0/16", true),
            ("node.ip!=10.1.2.3", false),
            ("node.platform.arch==amd64", true),
            ("engine.labels.x==y", false),
            ("node.colour==red", false),
            ("node.colour!=red", false),
        ] {
            let constraint: Constraint = text.parse().expect(text);
            assert_eq!(constraint.met_by(&node()), met, "{text}");
        }
    }

    #[test]
    fn what_is_no_constraint_is_refused_in_dockers_words() {
        for (text, message) in [
            ("bogus", "constraint expected one operator from ==, !="),
            ("node role==x", "key 'node role' is invalid"),
            ("node.role==", "value '' is invalid"),
            ("node.role==a,b", "value 'a,b' is invalid"),
        ] {
            assert_eq!(text.parse::<Constraint>().expect_err(text).to_string(), message);
        }
    }
}
