//! Histories of concurrent clients on one register and one counter, across a deployment and a kill of the process: each has an
//! order in which one object alone could have answered so. The check is Wing and Gong's search, which remembers where it
//! has been; histories that no such object could give show that it finds them.

use std::{cell::Cell, collections::HashSet, time::Duration};

use futures_util::future::join_all;
use rustix::process::Signal;
use testkit::{Script, Server, wait_until};

use crate::support::{Client, binding, signal, with_migrations};

const WRITERS: u64 = 6;
const COUNTERS: u64 = 3;
/// Calls and answers between two disturbances.
const CALLS_BETWEEN: u64 = 150;
/// On a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Read,
    Write(u64),
    /// Sets the second value if the first one is there; answers 1 if it was.
    Swap(u64, u64),
    Increment,
}

/// One call, at which moment it was made and at which it was answered, in steps of one clock. Whether an unanswered one has
/// happened nobody knows.
#[derive(Debug, Clone, Copy)]
struct Call {
    ask: Ask,
    made: u64,
    answered: Option<(u64, u64)>,
}

/// What one object alone would answer, and hold afterwards.
fn apply(held: u64, ask: Ask) -> (u64, u64) {
    match ask {
        Ask::Read => (held, held),
        Ask::Write(value) => (0, value),
        Ask::Swap(from, to) => {
            if held == from {
                (1, to)
            } else {
                (0, held)
            }
        }
        Ask::Increment => (held + 1, held + 1),
    }
}

/// Whether all answered calls have an order that keeps to their times, with any of the unanswered ones between them.
fn is_linearizable(history: &[Call]) -> bool {
    let mut history = history.to_vec();
    // What was answered first is most likely what happened first.
    history.sort_by_key(|call| call.answered.map_or(u64::MAX, |(at, _)| at));
    let mut done = vec![false; history.len()];
    let (mut visited, mut path, mut held, mut next) = (HashSet::new(), Vec::new(), 0, 0);
    loop {
        let open = || (0..history.len()).filter(|index| !done[*index]);
        let Some(first_answer) = open().filter_map(|index| history[index].answered).map(|(at, _)| at).min()
        else {
            return true;
        };
        let possible = |index: usize| {
            let call = history[index];
            let (answer, after) = apply(held, call.ask);
            let is_answer = call.answered.is_none_or(|(_, seen)| seen == answer);
            (call.made < first_answer && is_answer).then_some((call.answered.is_some(), after))
        };
        // What was answered so and changes nothing may as well happen now: nothing is lost by that, so nothing else is tried.
        let free = open().find(|index| possible(*index) == Some((true, held)));
        if let Some(index) = free.filter(|_| next == 0) {
            done[index] = true;
            path.push((index, held, true));
            continue;
        }
        let step = open().filter(|index| next <= *index).find_map(|index| {
            // What was not answered and changes nothing need not happen.
            let (_, after) = possible(index).filter(|(_, after)| *after != held)?;
            let mut then = done.clone();
            then[index] = true;
            (!visited.contains(&(then, after))).then_some((index, after))
        });
        if let Some((index, after)) = step {
            done[index] = true;
            visited.insert((done.clone(), after));
            path.push((index, held, false));
            (held, next) = (after, 0);
            continue;
        }
        // Back to the last step that had a choice.
        loop {
            let Some((index, before, is_free)) = path.pop() else { return false };
            done[index] = false;
            held = before;
            if !is_free {
                next = index + 1;
                break;
            }
        }
    }
}

#[test]
fn the_check_knows_good_histories_from_bad_ones() {
    let call = |ask, made, answered| Call { ask, made, answered };
    let write = |value, made, at| call(Ask::Write(value), made, Some((at, 0)));
    let read = |value, made, at| call(Ask::Read, made, Some((at, value)));
    let count = |n, made, at| call(Ask::Increment, made, Some((at, n)));
    let good: [(&str, Vec<Call>); 5] = [
        ("one after the other", vec![write(1, 0, 1), read(1, 2, 3), write(2, 4, 5), read(2, 6, 7)]),
        ("a read beside a write may see either", vec![write(1, 0, 9), read(0, 1, 2), read(1, 3, 4)]),
        (
            "an unanswered write may come late",
            vec![call(Ask::Write(1), 0, None), read(0, 1, 2), write(2, 3, 4), read(1, 5, 6)],
        ),
        ("numbers may be answered in another order", vec![count(2, 0, 5), count(1, 1, 6)]),
        (
            "a swap beside a write",
            vec![write(1, 0, 5), call(Ask::Swap(1, 2), 1, Some((6, 1))), read(2, 7, 8)],
        ),
    ];
    for (what, history) in good {
        assert!(is_linearizable(&history), "{what}");
    }
    let bad: [(&str, Vec<Call>); 7] = [
        ("an old value", vec![write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)]),
        ("back and forth", vec![write(1, 0, 9), read(1, 1, 2), read(0, 3, 4)]),
        ("a value that nobody wrote", vec![write(1, 0, 1), read(3, 2, 3)]),
        ("a lost write", vec![write(1, 0, 1), read(0, 2, 3)]),
        ("a number given out twice", vec![count(1, 0, 5), count(1, 1, 6)]),
        ("a number left out", vec![count(1, 0, 1), count(3, 2, 3)]),
        (
            "two swaps of one value",
            vec![
                write(1, 0, 1),
                call(Ask::Swap(1, 2), 2, Some((5, 1))),
                call(Ask::Swap(1, 3), 3, Some((6, 1))),
            ],
        ),
    ];
    for (what, history) in bad {
        assert!(!is_linearizable(&history), "{what}");
    }
}

const WORKER: &str = r#"
import { DurableObject } from "cloudflare:workers";

const RELEASE = "RELEASE_NAME";

export class Cell extends DurableObject {
    async read() {
        return (await this.ctx.storage.get("held")) ?? 0;
    }

    async write(value) {
        await this.ctx.storage.put("held", value);
        return 0;
    }

    async swap(from, to) {
        if ((await this.read()) !== from) return 0;
        await this.write(to);
        return 1;
    }

    async increment() {
        const next = (await this.read()) + 1;
        await this.write(next);
        return next;
    }
}

export default {
    async fetch(request, env) {
        const [, name, call, ...values] = new URL(request.url).pathname.split("/");
        return new Response(String(await env.CELL.getByName(name)[call](...values.map(Number))));
    },
};"#;

fn cells(release: &str) -> Script {
    Script::module("cells", &WORKER.replace("RELEASE_NAME", release)).binding(binding("CELL", "Cell"))
}

/// All clients' steps in one order.
#[derive(Default)]
struct Steps(Cell<u64>);

impl Steps {
    fn next(&self) -> u64 {
        self.0.set(self.0.get() + 1);
        self.0.get()
    }
}

/// One client's calls until it is over.
async fn client(
    server: &Server,
    object: &str,
    steps: &Steps,
    is_over: &Cell<bool>,
    mut choose: impl FnMut(u64) -> Ask,
) -> Vec<Call> {
    let (mut client, mut history, mut last) = (Client::new(server, "cells"), Vec::new(), 0);
    while !is_over.get() {
        let ask = choose(last);
        let path = match ask {
            Ask::Read => format!("/{object}/read"),
            Ask::Write(value) => format!("/{object}/write/{value}"),
            Ask::Swap(from, to) => format!("/{object}/swap/{from}/{to}"),
            Ask::Increment => format!("/{object}/increment"),
        };
        let made = steps.next();
        let answer = client.post(&path).await.filter(|answer| answer.status == 200);
        let answered = answer.map(|answer| (steps.next(), answer.text().parse().expect("a number")));
        if let (Ask::Read, Some((_, value))) = (ask, answered) {
            last = value;
        }
        history.push(Call { ask, made, answered });
    }
    history
}

#[tokio::test]
async fn one_order_explains_what_clients_saw_across_deployments_and_kills() {
    let server = Server::start().await;
    for text in ["ended unasked", "without an answer", "could not be started", "Worker is not available"] {
        server.log().expect(text);
    }
    let first =
        with_migrations(cells("0"), serde_json::json!({ "new_tag": "v1", "new_sqlite_classes": ["Cell"] }));
    server.deploy(&first).await;
    let (steps, is_over) = (Steps::default(), Cell::new(false));
    let (steps, is_over) = (&steps, &is_over);
    let writers = join_all((1..=WRITERS).map(|number| {
        let mut turn = 0;
        client(&server, "register", steps, is_over, move |last| {
            turn += 1;
            // No value is written twice, so that each one says whose it is.
            let value = number * 1_000_000 + turn;
            match (turn * 7 + number * 3) % 5 {
                0 | 3 => Ask::Read,
                1 => Ask::Write(value),
                _ => Ask::Swap(last, value),
            }
        })
    }));
    let counters =
        join_all((0..COUNTERS).map(|_| client(&server, "counter", steps, is_over, |_last| Ask::Increment)));
    let calls = async || {
        let enough = steps.0.get() + CALLS_BETWEEN;
        wait_until("calls and answers", PATIENCE, || enough <= steps.0.get()).await;
    };
    let disturb = async {
        for round in 1..=2 {
            calls().await;
            server.deploy(&cells(&round.to_string())).await;
            calls().await;
            server.children().iter().for_each(|child| signal(child, Signal::KILL));
        }
        calls().await;
        is_over.set(true);
    };
    let (register, counter, ()) = tokio::join!(writers, counters, disturb);
    for (what, history) in [("register", register.concat()), ("counter", counter.concat())] {
        let answered = history.iter().filter(|call| call.answered.is_some()).count();
        assert!(20 < answered, "{what}: only {answered} calls were answered");
        assert!(is_linearizable(&history), "{what}: {history:?}");
    }
    server.stop().await;
}
