//! What a caller and one of its targets still owe each other, and what the caller is told when the target goes away. It
//! follows the four tables of `rpc.capnp`, seen from the middle.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use super::message::{
    Body, Capability, CapabilityKind,
    own::{self, Failure},
};

/// Questions that nobody answers: they only lend their number to calls on what the answer would hold.
const UNANSWERED: u32 = 1 << 31;

/// One link between the caller and a target; numbers are those of whoever drew them.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    caller: Party,
    target: Party,
    /// Disembargoes of the caller's that were not sent back yet.
    embargoes: HashSet<u32>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Caller,
    Target,
}

#[derive(Debug, Default)]
struct Party {
    /// What it asked and is not over.
    questions: HashMap<u32, Question>,
    /// What it exported and the other side still holds.
    exports: HashMap<u32, Export>,
}

#[derive(Debug, Default)]
struct Question {
    params: Vec<u32>,
    results: Vec<u32>,
    is_returned: bool,
    is_finished: bool,
    /// What a late answer holds counts as released.
    releases_results: bool,
}

#[derive(Debug, Default)]
struct Export {
    count: u32,
    is_promise: bool,
}

impl Tables {
    /// Notes what one side says to the other.
    pub(crate) fn note(&mut self, side: Side, body: &Body) {
        let Self { caller, target, embargoes } = self;
        let (speaker, listener) = match side {
            Side::Caller => (caller, target),
            Side::Target => (target, caller),
        };
        match body {
            Body::Call { question, params, .. } => {
                let params = speaker.export(params);
                speaker.questions.insert(question.value, Question { params, ..Question::default() });
            }
            Body::Return { answer, releases_params, is_last_word, results, .. } => {
                let Entry::Occupied(mut entry) = listener.questions.entry(answer.value) else { return };
                let question = entry.get_mut();
                question.is_returned = true;
                if !question.releases_results {
                    question.results = speaker.export(results);
                }
                let params = std::mem::take(&mut question.params);
                if question.is_finished || *is_last_word {
                    entry.remove();
                }
                if *releases_params {
                    listener.released(&params);
                }
            }
            Body::Finish { question, releases_results } => {
                let Entry::Occupied(mut entry) = speaker.questions.entry(question.value) else { return };
                let asked = entry.get_mut();
                asked.is_finished = true;
                asked.releases_results = *releases_results;
                let results = std::mem::take(&mut asked.results);
                if asked.is_returned || question.value & UNANSWERED != 0 {
                    entry.remove();
                }
                if *releases_results {
                    listener.released(&results);
                }
            }
            Body::Resolve { promise, capability } => {
                if let Some(export) = speaker.exports.get_mut(&promise.value) {
                    export.is_promise = false;
                }
                speaker.export(capability.as_slice());
            }
            Body::Release { export, count } => listener.release(export.value, *count),
            Body::Disembargo { embargo, is_echo, .. } => match (side, is_echo) {
                (Side::Caller, false) => drop(embargoes.insert(embargo.value)),
                (Side::Target, true) => drop(embargoes.remove(&embargo.value)),
                (Side::Caller, true) | (Side::Target, false) => {}
            },
            Body::Bootstrap { .. } | Body::Abort => {}
        }
    }

    /// Whether neither side waits for the other, or holds anything of it.
    pub(crate) fn is_idle(&self) -> bool {
        let is_idle = |party: &Party| party.questions.is_empty() && party.exports.is_empty();
        is_idle(&self.caller) && is_idle(&self.target) && self.embargoes.is_empty()
    }

    /// How many questions of the caller's are open.
    pub(crate) fn questions(&self) -> usize {
        self.caller.questions.len()
    }

    /// Whether a question of the caller's went this way.
    pub(crate) fn asked(&self, question: u32) -> bool {
        self.caller.questions.contains_key(&question)
    }

    /// Whether the target holds what the caller exported under this number.
    pub(crate) fn holds(&self, export: u32) -> bool {
        self.caller.exports.contains_key(&export)
    }

    /// Says on behalf of a target that went away what it still owed: its answers fail, so do its promises, what it asked is
    /// not asked any more, and what it held is given back. `number` turns the target's numbers into those the caller
    /// knows.
    pub(crate) fn settle(&mut self, failure: &Failure, number: impl Fn(u32) -> u32, out: &mut Vec<u8>) {
        self.caller.questions.retain(|id, question| {
            if !question.is_returned && id & UNANSWERED == 0 {
                question.is_returned = true;
                out.extend(own::failed_answer(*id, failure));
            }
            !question.is_finished
        });
        self.target.questions.retain(|id, question| {
            if !question.is_finished {
                question.is_finished = true;
                question.releases_results = !question.is_returned;
                out.extend(own::finish(number(*id), question.releases_results));
            }
            !question.is_returned && id & UNANSWERED == 0
        });
        for (id, export) in self.caller.exports.drain() {
            out.extend(own::release(id, export.count));
        }
        for (id, export) in &mut self.target.exports {
            if std::mem::take(&mut export.is_promise) {
                out.extend(own::failed_promise(number(*id), failure));
            }
        }
        for embargo in self.embargoes.drain() {
            out.extend(own::disembargo_echo(embargo));
        }
    }
}

impl Party {
    /// Counts what goes to the other side, and lists it.
    fn export(&mut self, capabilities: &[Capability]) -> Vec<u32> {
        let mut ids = Vec::new();
        for Capability { kind, id } in capabilities {
            let is_promise = match kind {
                CapabilityKind::Hosted => false,
                CapabilityKind::Promise => true,
                CapabilityKind::Returned | CapabilityKind::Answered => continue,
            };
            let export = self.exports.entry(id.value).or_insert(Export { count: 0, is_promise });
            export.count = export.count.saturating_add(1);
            ids.push(id.value);
        }
        ids
    }

    fn release(&mut self, id: u32, count: u32) {
        let Entry::Occupied(mut entry) = self.exports.entry(id) else { return };
        entry.get_mut().count = entry.get().count.saturating_sub(count);
        if entry.get().count == 0 {
            entry.remove();
        }
    }

    fn released(&mut self, ids: &[u32]) {
        for id in ids {
            self.release(*id, 1);
        }
    }
}
