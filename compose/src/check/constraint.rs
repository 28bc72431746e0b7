//! Constraints on nodes: `node.labels.zone == a`.

use crate::nearest::did_you_mean;

/// What is wrong with a constraint.
pub(super) struct ConstraintError {
    pub message: String,
    pub allowed: Option<String>,
    pub help: Option<String>,
}

const FIELDS: [&str; 6] =
    ["node.id", "node.hostname", "node.role", "node.platform.os", "node.platform.arch", "node.ip"];

const ALLOWED: &str = "node.id, node.hostname, node.role, node.ip, node.platform.os, \
                       node.platform.arch, node.labels.NAME, engine.labels.NAME";

/// Judges one constraint.
pub(super) fn check(text: &str) -> Result<(), ConstraintError> {
    let (at, operator) = match (text.find("=="), text.find("!=")) {
        (Some(a), Some(b)) if b < a => (b, "!="),
        (Some(a), _) => (a, "=="),
        (None, Some(b)) => (b, "!="),
        (None, None) => {
            return Err(ConstraintError {
                message: format!("`{text}` compares nothing"),
                allowed: Some("`FIELD == VALUE` or `FIELD != VALUE`".to_owned()),
                help: text.contains('=').then(|| {
                    let (field, value) = text.split_once('=').unwrap_or((text, ""));
                    let field = field.trim_end_matches(['~', '<', '>', ' ']);
                    format!("write `{field} == {}`", value.trim())
                }),
            });
        }
    };
    let (field, value) = (text[..at].trim(), text[at + operator.len()..].trim());
    if !is_property(field) && !FIELDS.contains(&field.to_ascii_lowercase().as_str()) {
        return Err(ConstraintError {
            message: format!("`{field}` is not a property of nodes"),
            allowed: Some(ALLOWED.to_owned()),
            help: did_you_mean(field, FIELDS)
                .or_else(|| {
                    field.strip_prefix("node.label.").map(|n| format!("write `node.labels.{n}`"))
                })
                .or_else(|| {
                    (!field.contains('.')).then(|| format!("a label? Write `node.labels.{field}`"))
                }),
        });
    }
    if value.is_empty() {
        return Err(ConstraintError {
            message: format!("`{text}` has no value to compare with"),
            allowed: None,
            help: None,
        });
    }
    if field.eq_ignore_ascii_case("node.role") && !matches!(value, "manager" | "worker") {
        return Err(ConstraintError {
            message: format!("no node has the role `{value}`"),
            allowed: Some("manager, worker".to_owned()),
            help: did_you_mean(value, ["manager", "worker"]),
        });
    }
    Ok(())
}

/// True for labels, which can have any name.
pub(super) fn is_property(field: &str) -> bool {
    let lower = field.to_ascii_lowercase();
    ["node.labels.", "engine.labels."].iter().any(|p| lower.len() > p.len() && lower.starts_with(p))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_compare_known_properties() {
        for good in [
            "node.role == manager",
            "node.role==worker",
            "node.labels.a.b != x y",
            "engine.labels.os == linux",
            "node.Labels.x == y",
            "node.platform.arch==amd64",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "node.role = manager",
            "node.role =~ manager",
            "node.rle == manager",
            "node.role == boss",
            "zone == a",
            "node.labels. == a",
            "node.id ==",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
