//! Runs the cases and says which agree.
#![expect(clippy::print_stdout, reason = "this is the report of a test program")]

use http::{HeaderMap, StatusCode};
use testkit::{Answer, Message, Server, WebSocket, send};

use crate::{
    bundled::{self, Bundled},
    case::{Ask, Case, Description, Difference, load_all},
    compare::{Disagreement, disagreements},
    ours,
    reference::Reference,
};

/// How much of an answer is printed.
const SHOWN_CHARS_MAX: usize = 2000;

/// Which cases run, and where.
#[derive(Debug, Default, Clone)]
pub struct Selection {
    /// Only cases whose name contains one of these; all if empty.
    pub filters: Vec<String>,
    /// Only the reference side, which must answer with the expected statuses.
    pub reference_only: bool,
    /// Prints what the reference answered: for the one who writes a case.
    pub show: bool,
}

impl Selection {
    /// From a test program's arguments: words are filters; options that are meant for other test programs of the same
    /// `cargo test` are passed over.
    #[must_use]
    pub fn from_arguments(arguments: impl Iterator<Item = String>) -> Self {
        let mut selection = Self::default();
        for argument in arguments {
            match argument.strip_prefix("--") {
                Some("reference-only") => selection.reference_only = true,
                Some("show") => selection.show = true,
                Some(_) => {}
                None => selection.filters.push(argument),
            }
        }
        selection
    }
}

/// Runs the selected cases; whether all of them agree.
pub async fn run(selection: &Selection) -> bool {
    let all = load_all();
    let is_selected = |case: &&Case| {
        selection.filters.is_empty()
            || selection.filters.iter().any(|filter| case.name.contains(filter.as_str()))
    };
    let cases: Vec<_> = all.iter().filter(is_selected).collect();
    let mut failed = 0;
    if !cases.is_empty() {
        let mut reference = Reference::start();
        let server = if selection.reference_only { None } else { Some(start_server().await) };
        println!("\nrunning {} conformance cases", cases.len());
        for case in &cases {
            failed += usize::from(!report(case, selection, &mut reference, server.as_ref()).await);
        }
        if let Some(server) = server {
            server.stop().await;
        }
    }
    let outcome = if failed == 0 { "ok" } else { "FAILED" };
    let (passed, filtered) = (cases.len() - failed, all.len() - cases.len());
    println!("\ntest result: {outcome}. {passed} passed; {failed} failed; {filtered} filtered out\n");
    failed == 0
}

async fn start_server() -> Server {
    let server = Server::start().await;
    // Cases that throw are about what the caller sees; that the server notes it is not a complaint about the server.
    server.log().expect("Worker threw exception");
    server
}

async fn report(
    case: &Case,
    selection: &Selection,
    reference: &mut Reference,
    server: Option<&Server>,
) -> bool {
    let problems = problems(case, selection, reference, server).await;
    println!("test {} ... {}", case.name, if problems.is_empty() { "ok" } else { "FAILED" });
    problems.iter().for_each(|problem| println!("    {problem}"));
    problems.is_empty()
}

async fn problems(
    case: &Case,
    selection: &Selection,
    reference: &mut Reference,
    server: Option<&Server>,
) -> Vec<String> {
    let miniflare = match reference.load(case) {
        Ok(address) => address,
        Err(error) => return vec![format!("the reference refused the Worker: {error}")],
    };
    let bundled = if bundled::suits(case) { Some(Bundled::start(case).await) } else { None };
    if let Some(server) = server
        && let Err(error) = ours::deploy(server, case).await
    {
        return vec![format!("we refused the Worker: {error}")];
    }
    let Description { requests, differences, bundled_differences, .. } = &case.description;
    let mut references = vec![Theirs { name: "miniflare", address: &miniflare, differences }];
    if let Some(Bundled { address, .. }) = &bundled {
        references.push(Theirs { name: "workerd's own", address, differences: bundled_differences });
    }
    let mut problems = Vec::new();
    for (index, ask) in requests.iter().enumerate() {
        let title = format!("request {index}, {} {}", ask.method, ask.path);
        let ours = match server {
            Some(server) => Some(answer(server.http(), case, ask).await),
            None => None,
        };
        problems.extend(ours.as_ref().and_then(|ours| status_problem(&title, "ours", ask, ours)));
        for reference in &references {
            let expected = answer(reference.address, case, ask).await;
            if selection.show {
                let text: String = expected.text().chars().take(SHOWN_CHARS_MAX).collect();
                println!(
                    "    {title}, {}\n    {} {:?}\n    {text}",
                    reference.name, expected.status, expected.headers
                );
            }
            problems.extend(status_problem(&title, reference.name, ask, &expected));
            let Some(ours) = &ours else { continue };
            let found = disagreements(case, ask, &expected, ours);
            problems.extend(reference.undeclared(index, &found).map(|place| {
                let Disagreement { at, reference: theirs, ours } = place;
                format!("{title}: {at}\n        {}: {theirs}\n        ours: {ours}", reference.name)
            }));
            problems.extend(reference.stale(index, &found));
        }
    }
    problems
}

/// A reference that runs a case.
struct Theirs<'a> {
    name: &'static str,
    address: &'a str,
    /// Where we differ from it on purpose.
    differences: &'a [Difference],
}

impl Theirs<'_> {
    fn of(&self, request: usize) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(move |known| known.request == request)
    }

    fn undeclared<'a>(
        &'a self,
        request: usize,
        found: &'a [Disagreement],
    ) -> impl Iterator<Item = &'a Disagreement> {
        found.iter().filter(move |place| self.of(request).all(|known| known.at != place.at))
    }

    fn stale(&self, request: usize, found: &[Disagreement]) -> Vec<String> {
        let gone = self.of(request).filter(|known| found.iter().all(|place| place.at != known.at));
        let told = |known: &Difference| {
            let Self { name, .. } = self;
            format!(
                "request {request}: {} agrees with {name} now; take the difference off the case",
                known.at
            )
        };
        gone.map(told).collect()
    }
}

/// What one side answers; a conversation over a WebSocket is told as an answer whose body lists what came back.
async fn answer(address: &str, case: &Case, ask: &Ask) -> Answer {
    if ask.websocket.is_empty() {
        return send(address, case.request(ask)).await;
    }
    let mut socket = WebSocket::open(address, &case.host(), &ask.path).await;
    let mut heard = Vec::new();
    for message in &ask.websocket {
        socket.send(message).await;
        heard.push(match socket.next().await {
            Some(Message::Text(text)) => text.to_string(),
            Some(Message::Close(Some(frame))) => format!("closed with {}: {}", frame.code, frame.reason),
            other => format!("{other:?}"),
        });
    }
    let body = serde_json::Value::from(heard).to_string().into();
    Answer { status: StatusCode::SWITCHING_PROTOCOLS, headers: HeaderMap::new(), body }
}

/// A case in which both sides fail alike proves nothing.
fn status_problem(title: &str, side: &str, ask: &Ask, answer: &Answer) -> Option<String> {
    let status = answer.status.as_u16();
    let text = answer.text();
    (status != ask.status).then(|| format!("{title}: {side} answered {status}, not {}: {text}", ask.status))
}
