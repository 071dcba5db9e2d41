//! Calls from one Worker to another (JS RPC). workerd keeps one stream for each binding and puts every call into it, for as
//! long as it lives; behind that stream stands here one link for each process that answers. A call goes to the version
//! that is deployed when it comes; what follows from it (its answer, what it handed out, calls on that) stays with the
//! process that took it. So a process can be replaced, put to sleep or lost without the caller's stream noticing.

mod incoming;
mod message;
mod tables;

use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use engine::CallsLease;
use futures_util::stream::{FuturesUnordered, StreamExt};
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper_util::rt::TokioIo;
use model::VersionId;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    net::{UnixStream, unix::OwnedWriteHalf},
    sync::{Notify, mpsc},
};

use self::{
    incoming::Incoming,
    message::{Body, CapabilityKind, Id, Owner, Target, Unreadable, own, own::Failure},
    tables::{Side, Tables},
};
use crate::services::Binding;

/// Processes behind one stream at once: those that are replaced and still hold something count, too.
const LINKS_MAX: u32 = SLOT_BITS >> SLOT_SHIFT;
/// What waits for one process to start; the caller is not read beyond.
const QUEUE_BYTES_MAX: usize = 1024 * 1024;
/// Questions of one caller over one binding at once; a call is three for a moment, then one. A Worker that calls itself
/// without end comes here: each level costs it 120 KB.
const QUESTIONS_MAX: usize = 3072;

/// Each link gives the numbers of its target's questions and exports a slot of their own in these bits: two targets draw the
/// same numbers. The two bits above mean something to workerd, and 22 bits below are more than it ever has in use.
const SLOT_BITS: u32 = 0xff << SLOT_SHIFT;
const SLOT_SHIFT: u32 = 22;

/// What the caller calls: no link has slot 0.
const BOOTSTRAP: u32 = 0;
/// Our question for what a target lets be called; workerd draws its numbers from below.
const BOOTSTRAP_QUESTION: u32 = (1 << SLOT_SHIFT) - 1;

/// Carries calls until the caller hangs up.
pub(crate) async fn carry(caller: OnUpgrade, binding: Binding) {
    let Ok(caller) = caller.await else { return };
    let Ok(Parts { io, read_buf, .. }) = caller.downcast::<TokioIo<UnixStream>>() else { return };
    let (from_caller, to_caller) = io.into_inner().into_split();
    let stream = Stream { binding, state: Mutex::default(), to_caller: tokio::sync::Mutex::new(to_caller) };
    let (began, mut beginnings) = mpsc::channel(1);
    let links = async {
        let mut links = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(slot) = beginnings.recv() => links.push(stream.serve_link(slot)),
                Some(()) = links.next(), if !links.is_empty() => {}
                else => return,
            }
        }
    };
    // In this order: the end of a process is seen before a call that could go to it.
    let outcome = tokio::select! {
        biased;
        () = links => Ok(()),
        outcome = stream.hear_caller(read_buf.as_ref().chain(from_caller), began) => outcome,
    };
    if let Err(unreadable) = outcome
        && unreadable != Unreadable::ENDED
    {
        stream.binding.failed(&unreadable.to_string());
    }
}

/// One caller's stream.
struct Stream {
    binding: Binding,
    state: Mutex<State>,
    /// Written to in whole messages.
    to_caller: tokio::sync::Mutex<OwnedWriteHalf>,
}

#[derive(Default)]
struct State {
    links: BTreeMap<u32, Link>,
    /// The caller's questions for what it can call, answered and not finished.
    bootstraps: HashSet<u32>,
}

/// What stands between the caller and one process.
struct Link {
    /// None for a link that was never meant to reach a process.
    version: Option<VersionId>,
    tables: Tables,
    standing: Standing,
    /// Notified when it is opened, and when it is idle.
    changed: Arc<Notify>,
}

enum Standing {
    /// What the caller has said meanwhile waits.
    Opening(Vec<u8>),
    Open {
        lease: CallsLease,
        to_target: Arc<tokio::sync::Mutex<WriteHalf<TokioIo<Upgraded>>>>,
    },
    /// The caller may not know everything of it yet.
    Lost(Failure),
}

/// Where a message of the caller's goes.
enum Destination {
    Link(u32),
    /// It is a new call.
    New,
    /// It was for us.
    Nobody,
}

impl Stream {
    async fn hear_caller(
        &self,
        mut from: impl AsyncRead + Unpin,
        began: mpsc::Sender<u32>,
    ) -> Result<(), Unreadable> {
        let mut incoming = Incoming::default();
        while incoming.fill(&mut from).await {
            let mut heard = Heard::default();
            while let Some(range) = incoming.next()? {
                self.take(incoming.part(range.clone()), range, &mut heard)?;
            }
            for slot in heard.began {
                // The other end lives as long as the stream.
                began.send(slot).await.ok();
            }
            self.tell_caller(&heard.replies).await;
            for (slot, range) in heard.for_links {
                self.deliver(slot, incoming.part(range)).await;
            }
        }
        Ok(())
    }

    /// Decides where a message of the caller's goes, and makes it one for there.
    fn take(&self, message: &mut [u8], range: Range<usize>, heard: &mut Heard) -> Result<(), Unreadable> {
        let mut body = message::read(message)?;
        let mut state = self.lock();
        let slot = match state.destination(&body, heard)? {
            Destination::Link(slot) => slot,
            Destination::New => {
                if let Body::Call { target: Target::Answer { place, .. }, .. } = &body {
                    place.set_export(message, BOOTSTRAP);
                }
                self.link_for_call(&mut state, heard)?
            }
            Destination::Nobody => return Ok(()),
        };
        let mut is_elsewhere = false;
        body.for_each_id(Owner::Listener, |id| {
            is_elsewhere |= ![BOOTSTRAP, slot].contains(&slot_of(id.value));
            id.set(message, id.value & !SLOT_BITS);
        });
        let Some(link) = state.links.get_mut(&slot) else { return Ok(()) };
        is_elsewhere |= matches!(&body, Body::Call { params, .. } if params.iter().any(|param| {
            param.kind == CapabilityKind::Answered && !link.tables.asked(param.id.value)
        }));
        if is_elsewhere {
            // workerd passes on what it got from one call in another as something of its own.
            return Err(Unreadable::ELSEWHERE);
        }
        link.tables.note(Side::Caller, &body);
        match &link.standing {
            Standing::Lost(failure) => {
                let number = |id| id | slot << SLOT_SHIFT;
                link.tables.settle(failure, number, &mut heard.replies);
                if link.tables.is_idle() {
                    state.links.remove(&slot);
                }
            }
            Standing::Opening(_) | Standing::Open { .. } => {
                link.refresh();
                heard.pass_on(slot, range);
            }
        }
        Ok(())
    }

    /// The link for a call that comes now: the version is drawn anew each time.
    fn link_for_call(&self, state: &mut State, heard: &mut Heard) -> Result<u32, Unreadable> {
        let open: usize = state.links.values().map(|link| link.tables.questions()).sum();
        let version = if open < QUESTIONS_MAX {
            self.binding.draw()
        } else {
            Err("too many calls at once; does a Worker call itself without end?".to_owned())
        };
        let version = version.map_err(|cause| Failure::Refused(self.binding.failed(&cause)));
        let found = state.links.iter().find(|(_, link)| match (&version, &link.standing) {
            (Ok(version), Standing::Opening(_)) => link.version == Some(*version),
            (Ok(version), Standing::Open { lease, .. }) => {
                link.version == Some(*version) && !lease.is_resting()
            }
            (Err(failure), Standing::Lost(other)) => failure == other,
            (Ok(_), Standing::Lost(_)) | (Err(_), Standing::Opening(_) | Standing::Open { .. }) => false,
        });
        if let Some((slot, _)) = found {
            return Ok(*slot);
        }
        let slot =
            (1..=LINKS_MAX).find(|slot| !state.links.contains_key(slot)).ok_or(Unreadable::TOO_MANY)?;
        let (version, standing) = match version {
            Ok(version) => {
                heard.began.push(slot);
                (Some(version), Standing::Opening(Vec::new()))
            }
            Err(failure) => (None, Standing::Lost(failure)),
        };
        let link = Link { version, tables: Tables::default(), standing, changed: Arc::default() };
        state.links.insert(slot, link);
        Ok(slot)
    }

    /// Hands bytes to a process, or puts them aside while it starts.
    async fn deliver(&self, slot: u32, bytes: &[u8]) {
        loop {
            let (to_target, changed) = {
                let mut state = self.lock();
                let Some(link) = state.links.get_mut(&slot) else { return };
                match &mut link.standing {
                    Standing::Opening(queue) if queue.len() < QUEUE_BYTES_MAX => {
                        queue.extend_from_slice(bytes);
                        return;
                    }
                    Standing::Opening(_) => (None, Arc::clone(&link.changed)),
                    Standing::Open { to_target, .. } => {
                        (Some(Arc::clone(to_target)), Arc::clone(&link.changed))
                    }
                    // The caller was told.
                    Standing::Lost(_) => return,
                }
            };
            match to_target {
                // An error is an end, and whoever listens to the process sees it.
                Some(to_target) => return drop(to_target.lock().await.write_all(bytes).await),
                None => changed.notified().await,
            }
        }
    }

    /// The life of a link.
    async fn serve_link(&self, slot: u32) {
        let failure = match self.open(slot).await {
            Ok((incoming, from_target)) => {
                if let Err(unreadable) = self.hear_target(slot, incoming, from_target).await {
                    self.binding.failed(&unreadable.to_string());
                }
                Failure::Lost
            }
            Err(cause) => Failure::Refused(self.binding.failed(&cause)),
        };
        let mut out = Vec::new();
        {
            let mut state = self.lock();
            let Some(link) = state.links.get_mut(&slot) else { return };
            link.tables.settle(&failure, |id| id | slot << SLOT_SHIFT, &mut out);
            link.standing = Standing::Lost(failure);
            link.changed.notify_one();
            if link.tables.is_idle() {
                state.links.remove(&slot);
            }
        }
        self.tell_caller(&out).await;
    }

    /// Reaches the process, and lets go to it what has waited.
    async fn open(&self, slot: u32) -> Result<(Incoming, ReadHalf<TokioIo<Upgraded>>), String> {
        let drawn = self.lock().links.get(&slot).and_then(|link| link.version);
        let (version, target, lease) = self.binding.open(drawn).await?;
        let (from_target, to_target) = tokio::io::split(TokioIo::new(target));
        let to_target = Arc::new(tokio::sync::Mutex::new(to_target));
        let mut lease = Some(lease);
        // Nobody else writes yet.
        let mut writer = to_target.lock().await;
        drop(writer.write_all(&own::bootstrap(BOOTSTRAP_QUESTION)).await);
        let (incoming, from_target) =
            until_bootstrapped(from_target).await.map_err(|error| error.to_string())?;
        drop(writer.write_all(&own::finish(BOOTSTRAP_QUESTION, false)).await);
        loop {
            let queue = {
                let mut state = self.lock();
                let link = state.links.get_mut(&slot).ok_or("it is not wanted any more")?;
                link.version = Some(version);
                let Standing::Opening(queue) = &mut link.standing else { break };
                let queue = std::mem::take(queue);
                if queue.is_empty()
                    && let Some(lease) = lease.take()
                {
                    link.standing = Standing::Open { lease, to_target: Arc::clone(&to_target) };
                    link.refresh();
                    link.changed.notify_one();
                    break;
                }
                queue
            };
            drop(writer.write_all(&queue).await);
        }
        drop(writer);
        Ok((incoming, from_target))
    }

    /// Passes on what a process says, until it ends or has been replaced and nothing is left to say.
    async fn hear_target(
        &self,
        slot: u32,
        mut incoming: Incoming,
        mut from_target: impl AsyncRead + Unpin,
    ) -> Result<(), Unreadable> {
        let mut is_over = std::pin::pin!(self.until_over(slot));
        loop {
            tokio::select! {
                biased;
                () = &mut is_over => return Ok(()),
                has_more = incoming.fill(&mut from_target) => if !has_more { return Ok(()) },
            }
            {
                let mut state = self.lock();
                let Some(link) = state.links.get_mut(&slot) else { return Ok(()) };
                while let Some(range) = incoming.next()? {
                    let message = incoming.part(range);
                    let mut body = message::read(message)?;
                    if body == Body::Abort {
                        return Ok(());
                    }
                    link.tables.note(Side::Target, &body);
                    let mut is_strange = false;
                    body.for_each_id(Owner::Speaker, |id| {
                        is_strange |= slot_of(id.value) != 0;
                        id.set(message, id.value | slot << SLOT_SHIFT);
                    });
                    if is_strange {
                        return Err(Unreadable::NUMBER);
                    }
                }
                link.refresh();
            }
            self.tell_caller(incoming.all()).await;
        }
    }

    /// Waits until a link's process is being put to rest and nothing is open with it.
    async fn until_over(&self, slot: u32) {
        let (resting, changed) = {
            let state = self.lock();
            let Some(link) = state.links.get(&slot) else { return };
            let Standing::Open { lease, .. } = &link.standing else { return };
            (lease.resting(), Arc::clone(&link.changed))
        };
        resting.await;
        while self.lock().links.get(&slot).is_some_and(|link| !link.tables.is_idle()) {
            changed.notified().await;
        }
    }

    /// An error is the caller's end, and whoever listens to it sees it.
    async fn tell_caller(&self, messages: &[u8]) {
        if !messages.is_empty() {
            drop(self.to_caller.lock().await.write_all(messages).await);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads until the process has said what it lets be called. It exports nothing before, so that has its first number.
async fn until_bootstrapped(
    mut from: ReadHalf<TokioIo<Upgraded>>,
) -> Result<(Incoming, ReadHalf<TokioIo<Upgraded>>), Unreadable> {
    let mut incoming = Incoming::default();
    while incoming.fill(&mut from).await {
        let Some(range) = incoming.next()? else { continue };
        return match message::read(incoming.part(range))? {
            Body::Return { results, .. } if matches!(results[..], [result] if result.id.value == BOOTSTRAP) => {
                Ok((incoming, from))
            }
            _ => Err(Unreadable::NUMBER),
        };
    }
    Err(Unreadable::ENDED)
}

/// What comes of the messages that the caller said at once.
#[derive(Default)]
struct Heard {
    /// For the caller.
    replies: Vec<u8>,
    /// Links that are to be opened.
    began: Vec<u32>,
    for_links: Vec<(u32, Range<usize>)>,
}

impl Heard {
    fn pass_on(&mut self, slot: u32, range: Range<usize>) {
        match self.for_links.last_mut() {
            Some((last, bytes)) if *last == slot && bytes.end == range.start => bytes.end = range.end,
            Some(_) | None => self.for_links.push((slot, range)),
        }
    }
}

impl State {
    /// Whom a message of the caller's is for.
    fn destination(&mut self, body: &Body, heard: &mut Heard) -> Result<Destination, Unreadable> {
        Ok(match body {
            Body::Bootstrap { question } => {
                self.bootstraps.insert(*question);
                heard.replies.extend(own::bootstrap_answer(*question, BOOTSTRAP));
                Destination::Nobody
            }
            Body::Call { target, .. } => self.of_target(target),
            Body::Disembargo { embargo, is_echo: true, .. } => Destination::Link(slot_of(embargo.value)),
            Body::Disembargo { target, is_echo: false, .. } => match self.of_target(target) {
                // No promise of ours becomes something of the caller's.
                Destination::New => return Err(Unreadable::ELSEWHERE),
                found => found,
            },
            Body::Finish { question, .. } if self.bootstraps.remove(&question.value) => Destination::Nobody,
            Body::Finish { question, .. } => self.of_question(*question),
            // We hold what can be called for as long as the stream lives, whatever the caller does.
            Body::Release { export: Id { value: BOOTSTRAP, .. }, .. } => Destination::Nobody,
            Body::Release { export: id, .. } | Body::Return { answer: id, .. } => {
                Destination::Link(slot_of(id.value))
            }
            Body::Resolve { promise, capability } => {
                let holder = self.links.iter().find(|(_, link)| link.tables.holds(promise.value));
                if holder.is_none()
                    && let Some(capability) = capability
                    && matches!(capability.kind, CapabilityKind::Hosted | CapabilityKind::Promise)
                {
                    // Whom it was for has given the promise back already.
                    heard.replies.extend(own::release(capability.id.value, 1));
                }
                holder.map_or(Destination::Nobody, |(slot, _)| Destination::Link(*slot))
            }
            Body::Abort => return Err(Unreadable::ENDED),
        })
    }

    fn of_target(&self, target: &Target) -> Destination {
        match target {
            Target::Export(Id { value: BOOTSTRAP, .. }) => Destination::New,
            Target::Export(id) => Destination::Link(slot_of(id.value)),
            Target::Answer { question, .. } if self.bootstraps.contains(&question.value) => Destination::New,
            Target::Answer { question, .. } => self.of_question(*question),
        }
    }

    fn of_question(&self, question: Id) -> Destination {
        let asked = self.links.iter().find(|(_, link)| link.tables.asked(question.value));
        asked.map_or(Destination::Nobody, |(slot, _)| Destination::Link(*slot))
    }
}

impl Link {
    /// Keeps the process awake while something is open with it.
    fn refresh(&mut self) {
        let is_idle = self.tables.is_idle();
        if let Standing::Open { lease, .. } = &mut self.standing {
            lease.set_asked(!is_idle);
            if is_idle {
                self.changed.notify_one();
            }
        }
    }
}

fn slot_of(id: u32) -> u32 {
    (id & SLOT_BITS) >> SLOT_SHIFT
}
