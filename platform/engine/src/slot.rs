//! What there is of one version at a moment: nothing, a start under way, or a running process; and how long to wait after
//! it ended too often.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, Shared};
use model::{Entrypoint, VersionId};

use crate::{error::StartError, process::Process};

/// Ends in a row that are answered by an immediate new start.
const IMMEDIATE_RESTARTS: u32 = 2;
/// The first wait after that; it doubles with each further end.
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// The longest wait.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A process that lived this long was healthy: ends before it are forgotten.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// Ways into one version, besides its default export: each is a socket, and so many different props are a mistake.
const WAYS_MAX: usize = 64;

/// A start that any number of requests wait for.
pub(crate) type Start = Shared<BoxFuture<'static, Result<Arc<Process>, StartError>>>;

/// One version's place in the engine.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) version: VersionId,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    /// Ends and failed starts in a row.
    failures: u32,
    /// Ways in, besides the default export, that other Workers asked for.
    ways: Vec<Way>,
    /// Ways in that the version turned out not to have.
    refused: Vec<(Entrypoint, StartError)>,
}

#[derive(Debug)]
struct Way {
    entrypoint: Entrypoint,
    standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Not tried yet.
    Wanted,
    /// A start with this and others failed: from now on it is tried without others like it.
    Suspect,
    /// A process had it.
    Proven,
}

#[derive(Debug, Default)]
pub(crate) enum State {
    #[default]
    Stopped,
    /// The version failed too often: the next start is not before the time given.
    Resting(Instant, StartError),
    Starting(Start),
    Running(Arc<Process>),
}

impl Slot {
    pub(crate) fn new(version: VersionId) -> Self {
        Self { version, inner: Mutex::default() }
    }

    /// The ways in, besides the default export, that the next process should have.
    pub(crate) fn ways(&self) -> Vec<Entrypoint> {
        let inner = self.lock();
        let proven = inner.ways_in(Standing::Proven);
        let wanted = inner.ways_in(Standing::Wanted);
        let untried = if wanted.is_empty() {
            inner.ways_in(Standing::Suspect).into_iter().take(1).collect()
        } else {
            wanted
        };
        [proven, untried].concat()
    }

    /// Wants a way in from the next process on.
    pub(crate) fn want(&self, entrypoint: &Entrypoint) -> Result<(), StartError> {
        let mut inner = self.lock();
        if entrypoint.is_default() || inner.ways.iter().any(|way| way.entrypoint == *entrypoint) {
            return Ok(());
        }
        if let Some((_, refusal)) = inner.refused.iter().find(|(refused, _)| refused == entrypoint) {
            return Err(refusal.clone());
        }
        if WAYS_MAX <= inner.ways.len() + inner.refused.len() {
            let message =
                format!("a Worker is called by at most {WAYS_MAX} entrypoints with different props");
            return Err(StartError::Unavailable(message));
        }
        inner.ways.push(Way { entrypoint: entrypoint.clone(), standing: Standing::Wanted });
        Ok(())
    }

    /// A process has these ways in.
    pub(crate) fn prove(&self, entrypoints: &[Entrypoint]) {
        self.lock().stand(entrypoints, Standing::Proven);
    }

    /// A start with these ways in failed. Returns whether another start, with other ways, may do better. A way that the
    /// version turns out not to have is given up, so that it answers by its others, and not tried again: each try would
    /// replace the process.
    pub(crate) fn doubt(&self, entrypoints: &[Entrypoint], refusal: &StartError) -> bool {
        let mut inner = self.lock();
        let proven = inner.ways_in(Standing::Proven);
        let doubtful: Vec<_> = entrypoints.iter().filter(|way| !proven.contains(way)).cloned().collect();
        match doubtful.as_slice() {
            [] => return false,
            [only] => {
                inner.ways.retain(|way| way.entrypoint != *only);
                inner.refused.push((only.clone(), refusal.clone()));
            }
            several => inner.stand(several, Standing::Suspect),
        }
        true
    }

    /// Looks at the state and may replace it, as one step.
    pub(crate) fn with_state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.lock().state)
    }

    /// The running process.
    pub(crate) fn running(&self) -> Option<Arc<Process>> {
        match &self.lock().state {
            State::Running(process) => Some(Arc::clone(process)),
            State::Stopped | State::Resting(..) | State::Starting(_) => None,
        }
    }

    /// A start came to its end.
    pub(crate) fn started(&self, outcome: &Result<Arc<Process>, StartError>, now: Instant) {
        let mut inner = self.lock();
        match outcome {
            Ok(process) => inner.state = State::Running(Arc::clone(process)),
            // That another version answers now is no failure.
            Err(StartError::Replaced(_)) => inner.state = State::Stopped,
            Err(error) => inner.fail(error.clone(), now),
        }
    }

    /// A process ended. One that was asked to end (`is_expected`) says nothing about the version; one that was not counts
    /// even if a request saw its end first and has begun the next start.
    pub(crate) fn ended(&self, process: &Arc<Process>, is_expected: bool, cause: &str, now: Instant) {
        let mut inner = self.lock();
        if HEALTHY_AFTER < now.duration_since(process.started_at) {
            inner.failures = 0;
        }
        if !matches!(&inner.state, State::Running(current) if Arc::ptr_eq(current, process)) {
            inner.failures += u32::from(!is_expected);
            return;
        }
        if is_expected {
            inner.state = State::Stopped;
        } else {
            inner.fail(StartError::Unavailable(cause.to_owned()), now);
        }
    }

    /// Whether nothing is left to know of the version.
    pub(crate) fn is_blank(&self) -> bool {
        let inner = self.lock();
        inner.failures == 0
            && inner.ways.is_empty()
            && inner.refused.is_empty()
            && matches!(inner.state, State::Stopped)
    }

    /// Takes the running process out; the next request starts another.
    pub(crate) fn take_running(&self) -> Option<Arc<Process>> {
        self.take_running_if(|_| true)
    }

    /// Takes the running process out, closed, if it was not used for `idle`. Both are one step: a request that came
    /// between them would put another process in the slot, and nobody would be left to end this one.
    pub(crate) fn take_idle(&self, idle: Duration) -> Option<Arc<Process>> {
        self.take_running_if(|process| process.close_if_idle(idle))
    }

    /// Takes the running process out if it is one of those meant.
    pub(crate) fn take_running_if(&self, is_wanted: impl FnOnce(&Process) -> bool) -> Option<Arc<Process>> {
        let mut inner = self.lock();
        let State::Running(process) = &inner.state else { return None };
        if !is_wanted(process) {
            return None;
        }
        let process = Arc::clone(process);
        inner.state = State::Stopped;
        Some(process)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn ways_in(&self, standing: Standing) -> Vec<Entrypoint> {
        let ways = self.ways.iter().filter(|way| way.standing == standing);
        ways.map(|way| way.entrypoint.clone()).collect()
    }

    fn stand(&mut self, entrypoints: &[Entrypoint], standing: Standing) {
        for way in self.ways.iter_mut().filter(|way| entrypoints.contains(&way.entrypoint)) {
            way.standing = standing;
        }
    }

    fn fail(&mut self, cause: StartError, now: Instant) {
        self.failures += 1;
        self.state = match backoff(self.failures) {
            Some(rest) => State::Resting(now + rest, cause),
            None => State::Stopped,
        };
    }
}

/// How long to rest after so many failures in a row.
fn backoff(failures: u32) -> Option<Duration> {
    let doublings = failures.checked_sub(IMMEDIATE_RESTARTS + 1)?;
    Some(BACKOFF_FIRST.saturating_mul(2_u32.saturating_pow(doublings)).min(BACKOFF_MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::backoff;

    #[test]
    fn the_rest_doubles_after_two_immediate_restarts_up_to_a_limit() {
        let rests: Vec<_> = (1..=5).map(backoff).collect();
        let millis = Duration::from_millis;
        assert_eq!(rests, [None, None, Some(millis(250)), Some(millis(500)), Some(millis(1000))]);
        assert_eq!(backoff(60), Some(Duration::from_secs(30)));
    }
}
