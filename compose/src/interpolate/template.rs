//! The language of variables in a value: `$X`, `${X:-default}`, `$$`.

use std::borrow::Cow;

/// Gives the value of a variable, when it is set.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Nested defaults deeper than this are refused.
const DEEPEST: usize = 16;

/// The longest text a value may grow to, in bytes.
const LONGEST: usize = 1024 * 1024;

/// What came of a template.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Substituted {
    pub text: String,
    /// Variables that were used without a default and are not set.
    pub unset: Vec<String>,
}

/// Why a template cannot be filled in, and at which byte of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("`$` begins no variable")]
    Lone { at: usize },
    #[error("`${{` is never closed")]
    Open { at: usize },
    #[error("`{name}` is not the name of a variable")]
    Name { at: usize, name: String },
    #[error("`{operator}` is not a way to use a variable")]
    Operator { at: usize, operator: String },
    #[error("the variable `{name}` is required: {}", or_default(.message))]
    Required { at: usize, name: String, message: String },
    #[error("defaults are nested more than {DEEPEST} deep")]
    Deep { at: usize },
    #[error("the value grows beyond {LONGEST} bytes")]
    Long { at: usize },
}

impl TemplateError {
    /// Where in the template, in bytes.
    #[must_use]
    pub fn at(&self) -> usize {
        match self {
            TemplateError::Lone { at }
            | TemplateError::Open { at }
            | TemplateError::Name { at, .. }
            | TemplateError::Operator { at, .. }
            | TemplateError::Required { at, .. }
            | TemplateError::Deep { at }
            | TemplateError::Long { at } => *at,
        }
    }

    /// What would be accepted, or what to do.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            TemplateError::Lone { .. } => Some("write `$$` for a dollar sign".to_owned()),
            TemplateError::Open { .. } => Some("close it with `}`".to_owned()),
            TemplateError::Name { .. } => Some(
                "letters, digits and `_`, not a digit first; `$$` for a dollar sign".to_owned(),
            ),
            TemplateError::Operator { .. } => Some(
                "one of ${X} ${X:-default} ${X-default} ${X:?message} ${X?message} \
                 ${X:+instead} ${X+instead}"
                    .to_owned(),
            ),
            TemplateError::Required { name, .. } => {
                Some(format!("set {name} in the environment or in `.env`"))
            }
            TemplateError::Deep { .. } | TemplateError::Long { .. } => None,
        }
    }
}

fn or_default(message: &str) -> Cow<'_, str> {
    if message.is_empty() { "it is not set".into() } else { message.into() }
}

/// Fills in the variables of `template`.
///
/// Defaults, messages and replacements may use variables themselves.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn substitute(template: &str, lookup: Lookup<'_>) -> Result<Substituted, TemplateError> {
    let mut out = Substituted::default();
    expand(template, 0, 0, lookup, &mut out)?;
    Ok(out)
}

/// True when there is nothing to fill in.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    !text.contains('$')
}

fn expand(
    template: &str,
    base: usize,
    depth: usize,
    lookup: Lookup<'_>,
    out: &mut Substituted,
) -> Result<(), TemplateError> {
    if depth > DEEPEST {
        return Err(TemplateError::Deep { at: base });
    }
    let mut rest = 0;
    while let Some(dollar) = template[rest..].find('$').map(|n| rest + n) {
        out.text.push_str(&template[rest..dollar]);
        let at = base + dollar;
        let after = &template[dollar + 1..];
        if after.starts_with('$') {
            out.text.push('$');
            rest = dollar + 2;
        } else if let Some(body) = after.strip_prefix('{') {
            let close = closing(body).ok_or(TemplateError::Open { at })?;
            braced(&body[..close], at, depth, lookup, out)?;
            rest = dollar + 2 + close + 1;
        } else {
            let len = name_len(after);
            if len == 0 {
                return Err(TemplateError::Lone { at });
            }
            value_of(&after[..len], lookup, out);
            rest = dollar + 1 + len;
        }
        if out.text.len() > LONGEST {
            return Err(TemplateError::Long { at });
        }
    }
    out.text.push_str(&template[rest..]);
    Ok(())
}

/// What stands between `${` and its `}`; `at` is the place of the dollar sign.
fn braced(
    body: &str,
    at: usize,
    depth: usize,
    lookup: Lookup<'_>,
    out: &mut Substituted,
) -> Result<(), TemplateError> {
    let len = name_len(body);
    let (name, rest) = body.split_at(len);
    if name.is_empty() {
        return Err(TemplateError::Name { at, name: body.to_owned() });
    }
    if rest.is_empty() {
        value_of(name, lookup, out);
        return Ok(());
    }
    let (operator, argument) = if rest.starts_with(':') && rest.len() > 1 {
        rest.split_at(1 + rest[1..].chars().next().map_or(0, char::len_utf8))
    } else {
        rest.split_at(rest.chars().next().map_or(0, char::len_utf8))
    };
    let value = lookup(name);
    let strict = operator.starts_with(':');
    let usable = value.as_ref().filter(|v| !strict || !v.is_empty());
    let argument_at = at + 2 + len + operator.len();
    match operator {
        ":-" | "-" => match usable {
            Some(value) => out.text.push_str(value),
            None => expand(argument, argument_at, depth + 1, lookup, out)?,
        },
        ":+" | "+" => {
            if usable.is_some() {
                expand(argument, argument_at, depth + 1, lookup, out)?;
            }
        }
        ":?" | "?" => match usable {
            Some(value) => out.text.push_str(value),
            None => {
                let mut message = Substituted::default();
                if expand(argument, argument_at, depth + 1, lookup, &mut message).is_err() {
                    argument.clone_into(&mut message.text);
                }
                let name = name.to_owned();
                return Err(TemplateError::Required { at, name, message: message.text });
            }
        },
        _ if name_like(rest) => {
            return Err(TemplateError::Name { at, name: body.to_owned() });
        }
        _ => return Err(TemplateError::Operator { at, operator: operator.to_owned() }),
    }
    Ok(())
}

fn name_like(rest: &str) -> bool {
    rest.chars().next().is_some_and(|c| c.is_alphanumeric() || c == ' ' || c == '.')
}

fn value_of(name: &str, lookup: Lookup<'_>, out: &mut Substituted) {
    match lookup(name) {
        Some(value) => out.text.push_str(&value),
        None => out.unset.push(name.to_owned()),
    }
}

fn name_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    if !bytes.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_') {
        return 0;
    }
    bytes.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count()
}

/// The place of the `}` that closes: braces inside are counted, so that `${X:-{{.Node.ID}}}` is one
/// template; where they do not match, only those of inner variables are.
fn closing(body: &str) -> Option<usize> {
    matching(body, |_| true).or_else(|| matching(body, |before| before == Some(b'$')))
}

fn matching(body: &str, opens: fn(Option<u8>) -> bool) -> Option<usize> {
    let bytes = body.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'$' if bytes.get(at + 1) == Some(&b'$') => at += 1,
            b'{' if opens(at.checked_sub(1).map(|n| bytes[n])) => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str, v: Option<&str>) -> Result<String, TemplateError> {
        let lookup = |name: &str| match name {
            "V" => v.map(str::to_owned),
            "W" => Some("w".to_owned()),
            _ => None,
        };
        substitute(template, &lookup).map(|s| s.text)
    }

    #[test]
    fn every_form_gives_what_a_shell_gives() {
        for (template, unset, empty, set) in [
            ("$V", "", "", "val"),
            ("a${V}b", "ab", "ab", "avalb"),
            ("${V-d}", "d", "", "val"),
            ("${V:-d}", "d", "d", "val"),
            ("${V+d}", "", "d", "d"),
            ("${V:+d}", "", "", "d"),
            ("${V:-${W}}", "w", "w", "val"),
            ("${V:-${X:-y}z}", "yz", "yz", "val"),
            ("${V:-$W}", "w", "w", "val"),
            ("${V:-a:b}", "a:b", "a:b", "val"),
            ("${V:-$$}", "$", "$", "val"),
            ("$$V", "$V", "$V", "$V"),
            ("$$$V", "$", "$", "$val"),
            ("$${V}", "${V}", "${V}", "${V}"),
            ("${V:-{{.Node.ID}}}", "{{.Node.ID}}", "{{.Node.ID}}", "val"),
            ("${V:-a{b}", "a{b", "a{b", "val"),
        ] {
            let expected = [unset, empty, set];
            for (value, expected) in [None, Some(""), Some("val")].into_iter().zip(expected) {
                assert_eq!(fill(template, value).as_deref(), Ok(expected), "{template} {value:?}");
            }
        }
    }

    #[test]
    fn what_is_no_template_is_refused_at_its_place() {
        assert_eq!(fill("a$", None), Err(TemplateError::Lone { at: 1 }));
        assert_eq!(fill("ab${V", None), Err(TemplateError::Open { at: 2 }));
        assert!(matches!(fill("${1}", None), Err(TemplateError::Name { at: 0, .. })));
        assert!(matches!(fill("${V%x}", None), Err(TemplateError::Operator { at: 0, .. })));
        assert!(matches!(fill("$1", None), Err(TemplateError::Lone { at: 0 })));
    }

    #[test]
    fn a_missing_required_variable_is_reported_with_its_message() {
        let error = fill("x${V:?set ${W}}", None).expect_err("required");
        assert_eq!(error.to_string(), "the variable `V` is required: set w");
        assert_eq!(error.at(), 1);
        assert_eq!(fill("${V?e}", Some("")).as_deref(), Ok(""));
        assert!(fill("${V:?e}", Some("")).is_err());
    }
}
