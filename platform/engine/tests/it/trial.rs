//! What the trial start refuses, and in which words.

use model::Compatibility;
use product::{Runtime, TrialError};

use crate::house::{House, answering, version};

async fn refusal(house: &House, code: &str) -> String {
    match house.engine.trial(&version(code)).await {
        Err(TrialError::Rejected(message)) => message,
        other => panic!("{code}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_cannot_start_is_refused_with_the_runtimes_words_and_line() {
    let house = House::new();
    let cases = [
        ("export default { fetch( { }", "SyntaxError: Unexpected end of input\n  at index.js:1:27"),
        ("\nthrow new Error('boom')", "Uncaught Error: boom\n  at index.js:2:7"),
        ("import 'nowhere'", "No such module \"nowhere\""),
        ("export default 7", "Incorrect type"),
        ("while (true) {}", "Script startup exceeded CPU time limit."),
    ];
    for (code, expected) in cases {
        let message = refusal(&house, code).await;
        assert!(message.contains(expected), "{code}: {message}");
        assert!(!message.contains("service "), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_experimental_flags_are_refused_by_name() {
    let house = House::new();
    for flag in ["no_such_flag", "experimental", "service_binding_extra_handlers"] {
        let mut version = answering("x");
        version.compatibility.flags = vec![flag.to_owned()];
        // Asked twice: the second answer comes from memory.
        for _ in 0..2 {
            let Err(TrialError::Rejected(message)) = house.engine.trial(&version).await else {
                panic!("{flag}")
            };
            assert!(message.contains(flag), "{message}");
        }
    }
    let mut version = answering("x");
    version.compatibility =
        Compatibility { date: "2026-11-01".to_owned(), flags: vec!["nodejs_compat".to_owned()] };
    house.engine.trial(&version).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tried_version_answers_its_first_request_without_another_start() {
    let house = House::new();
    let version = answering("warm");
    let trial = house.engine.trial(&version).await.unwrap();
    assert!(0 < trial.startup_ms);
    // Its code is not in the source: only the tried process can answer.
    assert_eq!(house.get(version.id, "/").await.unwrap(), "warm");
}
