//! The form is byte for byte what Python's `json` writes: Python itself is asked.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use trailkeeper::json::scan;

use crate::support::process::run_with_input;
use crate::support::random::cases;
use crate::support::tool;

use super::model::{Choices, integers_only, spell, value};

/// Python cannot encode a lone surrogate: it is told to escape it, as the form does.
const PROGRAM: &str = r#"
import json, sys
for text in json.load(sys.stdin.buffer):
    line = json.dumps(json.loads(text), ensure_ascii=False)
    sys.stdout.buffer.write(line.encode("utf-8", "backslashreplace") + b"\n")
"#;

/// What Python makes of each text, or `None` where there is no Python to ask.
fn python_forms(texts: &[String]) -> Option<Vec<String>> {
    let mut python = tool("python3", "python3")?;
    let run = run_with_input(python.args(["-c", PROGRAM]), serde_json::to_vec(texts).unwrap());
    assert_eq!(run.code, 0, "python3 failed: {}", run.stderr);
    // At the newline alone: a form may hold other line separators.
    Some(
        run.stdout
            .strip_suffix('\n')
            .unwrap()
            .split('\n')
            .map(str::to_owned)
            .collect(),
    )
}

#[test]
#[expect(clippy::disallowed_methods, reason = "only the test asks whether it may be skipped")]
fn the_form_is_what_python_writes() {
    let config = cases(400);
    let count = u64::from(config.cases);
    let mut runner = TestRunner::new(config);
    let texts: Vec<String> = (0..count)
        .map(|seed| {
            let value = value().new_tree(&mut runner).unwrap().current();
            spell(&integers_only(&value.without_what_python_drops()), &mut Choices(seed)).text
        })
        .collect();
    let Some(python) = python_forms(&texts) else {
        assert!(std::env::var_os("CI").is_none(), "python3 is not installed");
        return;
    };
    assert_eq!(python.len(), texts.len());
    for (text, expected) in texts.iter().zip(python) {
        let mut line = String::new();
        scan(text, &[], &mut line).unwrap();
        assert_eq!(line, expected, "{text}");
    }
}
