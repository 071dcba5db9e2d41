//! Refuses experimental compatibility flags. Processes run with `--experimental`, since our own services need it, and that
//! would open every experimental flag to user code; so the program itself is asked, without that option.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use model::Compatibility;

/// Answers kept; a fleet uses a handful of combinations, and at the limit all are asked anew.
const ANSWERS_MAX: usize = 1024;

/// What is known of combinations of date and flags: `None` is fine, `Some` says why not.
#[derive(Debug, Default, Clone)]
pub(crate) struct Answers(Arc<Mutex<HashMap<Compatibility, Option<String>>>>);

impl Answers {
    pub(crate) fn get(&self, compatibility: &Compatibility) -> Option<Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(compatibility).cloned()
    }

    pub(crate) fn put(&self, compatibility: Compatibility, answer: Option<String>) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ANSWERS_MAX <= answers.len() {
            answers.clear();
        }
        answers.insert(compatibility, answer);
    }
}
