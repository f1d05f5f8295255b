//! What can be told of an expression of Prometheus by reading it.

/// How names of metrics begin that are tracer's, or recorded from them.
const PREFIXES: [&str; 4] = ["tracer_", "process_", "server:", "instance:"];

/// A metric in an expression, and the matchers behind it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selector<'a> {
    pub(crate) metric: &'a str,
    pub(crate) matchers: &'a str,
}

/// The metrics of an expression.
pub(crate) fn selectors(expression: &str) -> Vec<Selector<'_>> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(is_name) {
        let word = &rest[start..];
        let end = word.find(|letter| !is_name(letter)).unwrap_or(word.len());
        let (metric, behind) = word.split_at(end);
        if PREFIXES.iter().any(|prefix| metric.starts_with(prefix)) {
            let matchers = behind.strip_prefix('{').and_then(|behind| behind.split_once('}'));
            found.push(Selector { metric, matchers: matchers.map_or("", |(matchers, _)| matchers) });
        }
        rest = behind;
    }
    found
}

/// The ranges in brackets behind what is given to the function.
pub(crate) fn ranges<'a>(expression: &'a str, function: &str) -> Vec<&'a str> {
    let call = format!("{function}(");
    let range = |(at, _): (usize, _)| {
        // Not the end of a longer name.
        let before = expression[..at].chars().last();
        let whole = before.is_none_or(|letter| !letter.is_ascii_alphanumeric() && letter != '_');
        let (_, behind) = expression[at..].split_once('[').filter(|_| whole)?;
        behind.split_once(']').map(|(range, _)| range)
    };
    expression.match_indices(&call).filter_map(range).collect()
}

/// The expression with Grafana's variables filled in.
pub(crate) fn fill(expression: &str, variables: &[(&str, &str)]) -> String {
    variables
        .iter()
        .fold(expression.to_owned(), |text, (name, value)| text.replace(&format!("${name}"), value))
}

#[test]
fn metrics_are_found_with_their_matchers() {
    let found = selectors(r#"sum by (le) (rate(tracer_x_bucket{a="b", c=~"$d"}[5m])) / server:y:z + up"#);
    let expected = [
        Selector { metric: "tracer_x_bucket", matchers: r#"a="b", c=~"$d""# },
        Selector { metric: "server:y:z", matchers: "" },
    ];
    assert_eq!(found, expected);
}

#[test]
fn ranges_are_found_with_their_function() {
    let expression = "irate(a[1m]) + rate(b{c=\"d\"}[$__rate_interval]) + max(rate(e[2m]))";
    assert_eq!(ranges(expression, "rate"), ["$__rate_interval", "2m"]);
    assert_eq!(ranges(expression, "increase"), [""; 0]);
}
