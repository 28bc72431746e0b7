//! Spans of time in words, as docker has them: `5 seconds ago`, `About a minute ago`.

use model::api::Moment;

/// How long ago `moment` was, by this machine's clock.
#[must_use]
pub fn ago(moment: Moment) -> String {
    let now = jiff::Timestamp::now().as_millisecond();
    let then = i64::try_from(moment.0.0).unwrap_or(i64::MAX);
    format!("{} ago", span(u64::try_from(now.saturating_sub(then)).unwrap_or(0) / 1000))
}

/// The same inside of a sentence, where docker has no capitals: `Running less than a second ago`.
#[must_use]
pub fn ago_within(moment: Moment) -> String {
    ago(moment).to_lowercase()
}

/// So many seconds in words.
fn span(seconds: u64) -> String {
    let some = |n: u64, unit: &str| format!("{n} {unit}{}", if n == 1 { "" } else { "s" });
    match seconds {
        0 => "Less than a second".to_owned(),
        1..60 => some(seconds, "second"),
        60..120 => "About a minute".to_owned(),
        120..3_600 => some(seconds / 60, "minute"),
        3_600..7_200 => "About an hour".to_owned(),
        7_200..172_800 => some(seconds / 3_600, "hour"),
        172_800..1_209_600 => some(seconds / 86_400, "day"),
        1_209_600..5_184_000 => some(seconds / 604_800, "week"),
        5_184_000..63_072_000 => some(seconds / 2_592_000, "month"),
        _ => some(seconds / 31_536_000, "year"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_docker_s() {
        for (seconds, words) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (120, "2 minutes"),
            (3_600, "About an hour"),
            (86_400, "24 hours"),
            (172_800, "2 days"),
        ] {
            assert_eq!(span(seconds), words);
        }
    }
}
