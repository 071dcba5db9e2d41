//! Callers that never pause while their target is deployed again and again, or falls asleep.
#![expect(clippy::print_stdout, reason = "the figures are what `--nocapture` is for")]

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use futures_util::future::join_all;
use tasks::Clock;
use testkit::{Script, Server, wait_until};

use crate::support::{SOON, ask, asking, entrypoint, service};

const DEPLOYS: u32 = 100;
const SLEEPERS: u64 = 8;
const SLEEPS: u32 = 5;

/// A target that says a number in every way that there is.
fn target(number: u32) -> Script {
    let source = format!(
        r#"
import {{ WorkerEntrypoint, RpcTarget }} from "cloudflare:workers";
class Held extends RpcTarget {{
    now() {{ return {number}; }}
    twin() {{ return new Held(); }}
}}
export default class extends WorkerEntrypoint {{
    fetch() {{ return new Response("{number}"); }}
    now() {{ return {number}; }}
    async slowly(ms) {{ await scheduler.wait(ms); return {number}; }}
    held() {{ return new Held(); }}
    async callBack(callback) {{ return await callback({number}); }}
    async count(stream) {{ for await (const part of stream) void part; return {number}; }}
    fail() {{ throw new RangeError("{number}"); }}
}}
export class Side extends WorkerEntrypoint {{
    now() {{ return {number}; }}
}}"#
    );
    Script::module("target", &source)
}

/// Each path is a kind of caller; it answers with every number that it was told.
const CALLER: &str = r#"
    const { TARGET, SIDE } = env;
    const kinds = {
        "/one": async () => [await TARGET.now()],
        "/sequential": async () => [await TARGET.now(), await TARGET.now(), await TARGET.now()],
        "/parallel": () => Promise.all(Array.from({ length: 8 }, () => TARGET.now())),
        "/pipelined": async () => [await TARGET.held().twin().twin().now()],
        "/slow": async () => [await TARGET.slowly(120)],
        "/entrypoint": async () => [await SIDE.now()],
        "/varied": async () => [
            await TARGET.callBack((number) => number),
            await TARGET.count(new Response(new Uint8Array(100000)).body),
            Number(await TARGET.fail().catch((error) => error.message)),
        ],
        "/fetch": async () => [Number(await (await TARGET.fetch("http://x/")).text())],
        "/stub": async () => {
            using held = await TARGET.held();
            const first = await held.now();
            await scheduler.wait(150);
            // What was handed out stays with the version that handed it out.
            if (await held.now() !== first) throw new Error("a stub changed its version");
            return [first];
        },
    };
    return kinds[url.pathname]();"#;

const KINDS: [&str; 9] =
    ["/one", "/sequential", "/parallel", "/pipelined", "/slow", "/entrypoint", "/varied", "/fetch", "/stub"];

/// What the callers saw.
#[derive(Default)]
struct Seen {
    calls: usize,
    failed: Vec<String>,
    stale: Vec<String>,
    /// Of single calls, in the caller's eyes.
    took: Vec<Duration>,
}

#[tokio::test]
async fn no_call_fails_or_goes_back_in_a_hundred_deploys() {
    let server = Server::builder().settings("[engine]\nwait_until_secs = 0").start().await;
    server.deploy(&target(0)).await;
    let caller = asking("caller", CALLER)
        .binding(service("TARGET", "target"))
        .binding(entrypoint("SIDE", "target", "Side"));
    server.deploy(&caller).await;
    let (acknowledged, is_over, seen) = (Cell::new(0_u32), Cell::new(false), RefCell::<Seen>::default());
    let deploys = async {
        for number in 1..=DEPLOYS {
            server.deploy(&target(number)).await;
            acknowledged.set(number);
        }
        is_over.set(true);
    };
    let (server_asked, acknowledged_now, is_over_now, seen_by) = (&server, &acknowledged, &is_over, &seen);
    let callers = join_all(KINDS.map(|kind| async move {
        let (server, acknowledged, is_over, seen) = (server_asked, acknowledged_now, is_over_now, seen_by);
        while !is_over.get() {
            let (floor, began) = (acknowledged.get(), Clock::system().monotonic());
            let answer = ask(server, "caller", kind).await;
            let mut seen = seen.borrow_mut();
            if answer.status != 200 {
                seen.failed.push(format!("{kind}: {}", answer.text()));
                continue;
            }
            let numbers = answer.json();
            let numbers = numbers.as_array().expect("a list");
            seen.calls += numbers.len();
            if numbers.iter().any(|number| number.as_u64().is_none_or(|number| number < u64::from(floor))) {
                seen.stale.push(format!("{kind}: {numbers:?} after {floor}"));
            }
            if kind == "/one" {
                seen.took.push(began.elapsed());
            }
        }
    }));
    let began = Clock::system().monotonic();
    tokio::join!(deploys, callers);
    let Seen { calls, failed, stale, mut took } = seen.into_inner();
    took.sort();
    println!(
        "{calls} calls during {DEPLOYS} deploys in {:?}, {} failed, {} stale; one call: median {:?}, longest {:?}",
        began.elapsed(),
        failed.len(),
        stale.len(),
        took[took.len() / 2],
        took[took.len() - 1],
    );
    assert_eq!(failed, [""; 0]);
    assert_eq!(stale, [""; 0]);
    assert!(usize::try_from(DEPLOYS).expect("few") * 10 < calls, "only {calls} calls");
    wait_until("the old processes end", SOON, || server.children().len() == 2).await;
    server.stop().await;
}

#[tokio::test]
async fn no_call_fails_while_targets_fall_asleep() {
    let settings = "[engine]\nidle_timeout_secs = 1\nwait_until_secs = 0";
    let server = Server::builder().settings(settings).start().await;
    let mut caller = asking("caller", "return env[url.pathname.slice(1)].who();");
    for number in 0..SLEEPERS {
        let name = format!("target-{number}");
        server.deploy(&crate::support::being(&name, "awake")).await;
        caller = caller.binding(service(&format!("T{number}"), &name));
    }
    server.deploy(&caller).await;
    join_all((0..SLEEPERS).map(|number| {
        let server = &server;
        async move {
            for _ in 0..SLEEPS {
                assert_eq!(ask(server, "caller", &format!("/T{number}")).await.expect(200).json(), "awake");
                // Around the moment in which an idle process is found: looked for every 250 ms.
                tokio::time::sleep(Duration::from_millis(960 + number * 50)).await;
            }
        }
    }))
    .await;
    let slept =
        server.log().lines().iter().filter(|line| line.contains("Worker stopped script=target")).count();
    assert!(0 < slept, "no target slept");
    server.stop().await;
}
