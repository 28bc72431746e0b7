//! The language of variables in a value: `$X`, `${X:-default}`, `$$`.

use std::borrow::Cow;

/// Gives the value of a variable, when it is set.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Nested defaults deeper than this are refused.
const DEEPEST: usize = 16;

/// What follows a dollar sign of a shell, as in `$(date)` and `$?`, or the end of a pattern, as in
/// `(a|b)$'`.
const KEPT: &str = "(?#@*!-'\")|/\\]";

/// More errors than this in one value are not looked for.
const MOST_ERRORS: usize = 20;

/// The longest text a value may grow to, in bytes.
const LONGEST: usize = 1024 * 1024;

/// What came of a template.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Substituted {
    pub text: String,
    /// Variables that were used without a default and are not set, and at which byte.
    pub unset: Vec<(String, usize)>,
    /// Dollar signs of a shell, such as that of `$(date)`, which were kept: at which bytes.
    pub kept: Vec<usize>,
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
/// Everything that is wrong with it, in the order of the text.
pub fn substitute(template: &str, lookup: Lookup<'_>) -> Result<Substituted, Vec<TemplateError>> {
    let mut out = Substituted::default();
    let mut errors = Vec::new();
    if let Err(error) = expand(template, 0, 0, lookup, &mut out, &mut errors) {
        errors.push(error);
    }
    if errors.is_empty() { Ok(out) } else { Err(errors) }
}

/// True when there is nothing to fill in.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    !text.bytes().any(|b| b == b'$')
}

/// What can be read past is put into `errors`; an error that is returned is the last.
fn expand(
    template: &str,
    base: usize,
    depth: usize,
    lookup: Lookup<'_>,
    out: &mut Substituted,
    errors: &mut Vec<TemplateError>,
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
            braced(&body[..close], at, depth, lookup, out, errors)?;
            rest = dollar + 2 + close + 1;
        } else {
            let len = name_len(after);
            match after.chars().next() {
                _ if len > 0 => value_of(&after[..len], at, lookup, out),
                // Nobody means a variable by these: `docker compose` keeps them as well.
                Some(c) if KEPT.contains(c) || c.is_ascii_digit() => {
                    out.text.push('$');
                    out.kept.push(at);
                }
                _ => errors.push(TemplateError::Lone { at }),
            }
            rest = dollar + 1 + len;
        }
        if out.text.len() > LONGEST || errors.len() > MOST_ERRORS {
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
    errors: &mut Vec<TemplateError>,
) -> Result<(), TemplateError> {
    let len = name_len(body);
    let (name, rest) = body.split_at(len);
    if name.is_empty() {
        errors.push(TemplateError::Name { at, name: body.to_owned() });
        return Ok(());
    }
    if rest.is_empty() {
        value_of(name, at, lookup, out);
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
            None => expand(argument, argument_at, depth + 1, lookup, out, errors)?,
        },
        ":+" | "+" => {
            if usable.is_some() {
                expand(argument, argument_at, depth + 1, lookup, out, errors)?;
            }
        }
        ":?" | "?" => match usable {
            Some(value) => out.text.push_str(value),
            None => {
                // A message that is no template itself is shown as it stands.
                let message = match depth {
                    DEEPEST => argument.to_owned(),
                    _ => substitute(argument, lookup)
                        .map_or_else(|_| argument.to_owned(), |message| message.text),
                };
                errors.push(TemplateError::Required { at, name: name.to_owned(), message });
            }
        },
        _ if name_like(rest) => {
            errors.push(TemplateError::Name { at, name: body.to_owned() });
        }
        _ => errors.push(TemplateError::Operator { at, operator: operator.to_owned() }),
    }
    Ok(())
}

fn name_like(rest: &str) -> bool {
    rest.chars().next().is_some_and(|c| c.is_alphanumeric() || c == ' ' || c == '.')
}

fn value_of(name: &str, at: usize, lookup: Lookup<'_>, out: &mut Substituted) {
    match lookup(name) {
        Some(value) => out.text.push_str(&value),
        None => out.unset.push((name.to_owned(), at)),
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
        substitute(template, &lookup).map(|s| s.text).map_err(|mut errors| errors.remove(0))
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
        assert!(matches!(fill("$ 1", None), Err(TemplateError::Lone { at: 0 })));
        let all = substitute("a$ ${V:?v} ${1} ${W:?w} ${", &|_| None).expect_err("wrong");
        let places: Vec<usize> = all.iter().map(TemplateError::at).collect();
        assert_eq!(places, [1, 3, 11, 16, 24]);
    }

    #[test]
    fn the_dollar_signs_of_a_shell_are_kept_and_told_of() {
        let done = substitute("$(date) $? $@ $1", &|_| None).expect("kept");
        assert_eq!(done.text, "$(date) $? $@ $1");
        assert_eq!(done.kept, [0, 8, 11, 14]);
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
