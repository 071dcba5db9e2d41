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

#[cfg(test)]
mod tests {
    use super::{Side, Tables};
    use crate::calls::message::{Body, length, own::Failure, read, tests::recorded};

    fn messages(mut bytes: &[u8]) -> Vec<Body> {
        let mut bodies = Vec::new();
        while let Ok(Some(length)) = length(bytes) {
            bodies.push(read(&bytes[..length]).unwrap());
            bytes = &bytes[length..];
        }
        assert!(bytes.is_empty());
        bodies
    }

    /// The recording without what concerns the object from which everything comes: a link never sees that.
    fn of_a_link() -> Vec<(Side, Body)> {
        let bodies = recorded().into_iter().map(|(side, message)| (side, read(&message).unwrap()));
        let is_first = |body: &Body| match body {
            Body::Bootstrap { .. } => true,
            Body::Return { answer, .. } => answer.value == 0,
            Body::Finish { question, .. } => question.value == 0,
            _ => false,
        };
        let (mut bootstrap, mut rest) = (3, Vec::new());
        for (side, body) in bodies {
            if 0 < bootstrap && is_first(&body) {
                bootstrap -= 1;
            } else {
                rest.push((side, body));
            }
        }
        rest
    }

    #[test]
    fn after_each_recorded_call_nothing_is_owed() {
        let mut tables = Tables::default();
        let mut idle = 0;
        for (side, body) in of_a_link() {
            let was_idle = tables.is_idle();
            tables.note(side, &body);
            idle += usize::from(!was_idle && tables.is_idle());
        }
        assert!(tables.is_idle(), "{tables:?}");
        assert!(3 <= idle, "idle {idle} times in three calls");
    }

    #[test]
    fn a_target_can_be_lost_at_any_moment() {
        let recording = of_a_link();
        for moment in 0..=recording.len() {
            let mut tables = Tables::default();
            for (side, body) in &recording[..moment] {
                tables.note(*side, body);
            }
            let mut out = Vec::new();
            tables.settle(&Failure::Lost, |id| id, &mut out);
            // What the caller does about it: it finishes what failed, answers what was asked, and gives all back.
            let mut replies = Vec::new();
            for body in messages(&out) {
                if let Body::Return { answer, .. } = body {
                    replies.push(Body::Finish { question: answer, releases_results: false });
                }
            }
            for reply in &replies {
                tables.note(Side::Caller, reply);
            }
            let mut again = Vec::new();
            tables.settle(&Failure::Lost, |id| id, &mut again);
            assert!(again.is_empty(), "said twice at {moment}");
            assert!(tables.caller.exports.is_empty() && tables.embargoes.is_empty());
            let is_open = |question: &super::Question| !question.is_returned;
            assert!(!tables.caller.questions.iter().any(|(id, question)| id >> 31 == 0 && is_open(question)));
            assert!(tables.target.questions.values().all(|question| question.is_finished));
        }
    }
}
