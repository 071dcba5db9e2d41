//! The example `saas` deploys with both wranglers, its migrations applied, and keeps its tenants apart.

use bytes::Bytes;
use http::{Method, Request, header};
use serde_json::{Value, json};
use testkit::{Answer, Project, Server, Wrangler};

const OPERATOR: &str = "an operator's token of this test";
const PASSWORD: &str = "correct horse";

#[tokio::test]
async fn tenants_of_saas_share_a_deployment_and_see_nothing_of_each_other() {
    for wrangler in Wrangler::ALL {
        let project = Project::example("saas");
        let settings = std::fs::read_to_string(project.path().join("skerry.toml")).expect("the zones");
        let server = Server::builder().settings(&settings).start().await;
        deploy(&server, wrangler, &project).await;
        let operator = Caller { server: &server, host: "saas.example", token: OPERATOR.into() };
        let (acme, globex) = make_tenants(&operator).await;

        logins(&server, &acme).await;
        users(&server, &acme, &globex).await;
        notes(&acme, &globex).await;
        files(&acme, &globex).await;
        plan(&operator, &acme).await;
        removal(&operator, &acme, &globex).await;
        server.stop().await;
    }
}

async fn deploy(server: &Server, wrangler: Wrangler, project: &Project) {
    project.write("secrets.json", json!({ "OPERATOR_TOKEN": OPERATOR }).to_string());
    let run = async |words: &str| {
        server.wrangler(wrangler, project.path()).args(words.split_whitespace()).succeed().await.all()
    };
    let created = run("d1 create saas").await;
    let database =
        server.api(Method::GET, "/accounts/{account}/d1/database/saas", None).await.expect(200).json();
    let id = database["result"]["uuid"].as_str().expect("a database has an id");
    assert!(created.contains(id), "{created}");
    let config = project.path().join("wrangler.toml");
    let placed = std::fs::read_to_string(&config).expect("the configuration");
    project.write("wrangler.toml", placed.replace("00000000-0000-0000-0000-000000000000", id));
    run("r2 bucket create saas").await;
    let applied = run("d1 migrations apply saas --remote").await;
    assert!(applied.contains("0003_usage.sql"), "{applied}");
    let rest = run("d1 migrations list saas --remote").await;
    assert!(rest.contains("No migrations to apply"), "{rest}");
    run("deploy --secrets-file secrets.json").await;
}

/// Two tenants, each with its owner logged in; the second is asked at a domain of its own.
async fn make_tenants<'a>(operator: &Caller<'a>) -> (Caller<'a>, Caller<'a>) {
    let stranger = Caller { token: "wrong".into(), ..operator.clone() };
    let _ = stranger.get("/tenants").await.expect(401);
    let tenant = |name: &str, domain: Value| {
        let owner = json!({ "email": "owner@example.com", "password": PASSWORD });
        json!({ "name": name, "subdomain": name, "customDomain": domain, "owner": owner })
    };
    let _ = operator.post("/tenants", &tenant("No Label", Value::Null)).await.expect(400);
    let _ = operator.post("/tenants", &tenant("thief", json!("Acme.saas.example"))).await.expect(400);
    let acme = operator.post("/tenants", &tenant("acme", Value::Null)).await.expect(201).json();
    assert_eq!((&acme["plan"], &acme["customDomain"]), (&json!("free"), &Value::Null));
    let domain = json!("desk.globex.example");
    let _ = operator.post("/tenants", &tenant("globex", domain.clone())).await.expect(201);
    // Not even the owner of a tenant that could not be made is there.
    let _ = operator.post("/tenants", &tenant("initech", domain)).await.expect(409);
    let listed = operator.get("/tenants").await.expect(200).json();
    let seen: Vec<_> =
        array(&listed["tenants"]).iter().map(|one| (&one["subdomain"], &one["users"])).collect();
    assert_eq!(seen, [(&json!("acme"), &json!(1)), (&json!("globex"), &json!(1))]);

    let at = |host| Caller { server: operator.server, host, token: String::new() };
    let _ = at("nobody.saas.example").get("/").await.expect(404);
    let _ = at("initech.saas.example").get("/").await.expect(404);
    let name = |answer: Answer| answer.expect(200).json()["name"].clone();
    assert_eq!(name(at("acme.saas.example").get("/").await), "acme");
    assert_eq!(name(at("globex.saas.example").get("/").await), "globex");
    assert_eq!(name(at("desk.globex.example").get("/").await), "globex");
    let acme = at("acme.saas.example").log_in("owner@example.com").await;
    (acme, at("desk.globex.example").log_in("owner@example.com").await)
}

async fn logins(server: &Server, acme: &Caller<'_>) {
    let nobody = Caller { token: String::new(), ..acme.clone() };
    for path in ["/notes", "/files", "/users", "/usage"] {
        let _ = nobody.get(path).await.expect(401);
    }
    for wrong in [("owner@example.com", "wrong horse"), ("nobody@example.com", PASSWORD)] {
        let body = json!({ "email": wrong.0, "password": wrong.1 });
        let _ = nobody.post("/login", &body).await.expect(401);
    }
    // A session of one tenant is none at another's host.
    let elsewhere = Caller { server, host: "globex.saas.example", token: acme.token.clone() };
    let _ = elsewhere.get("/notes").await.expect(401);
    let brief = nobody.log_in("OWNER@example.com").await;
    let _ = brief.get("/notes").await.expect(200);
    let _ = brief.post("/logout", &json!({})).await.expect(204);
    let _ = brief.get("/notes").await.expect(401);
}

async fn users(server: &Server, acme: &Caller<'_>, globex: &Caller<'_>) {
    let ada = json!({ "email": "ada@example.com", "password": PASSWORD });
    let made = acme.post("/users", &ada).await.expect(201).json();
    assert_eq!(made["role"], "member");
    let _ = acme.post("/users", &ada).await.expect(409);
    let ada = Caller { server, host: acme.host, token: String::new() }.log_in("ada@example.com").await;
    let bob = json!({ "email": "bob@example.com", "password": PASSWORD });
    let _ = ada.post("/users", &bob).await.expect(403);
    let count =
        async |caller: &Caller<'_>| array(&caller.get("/users").await.expect(200).json()["users"]).len();
    assert_eq!((count(acme).await, count(globex).await), (2, 1));
    // Ada is no user of the other tenant.
    let body = json!({ "email": "ada@example.com", "password": PASSWORD });
    let _ = globex.post("/login", &body).await.expect(401);
}

async fn notes(acme: &Caller<'_>, globex: &Caller<'_>) {
    let secret = acme.post("/notes", &json!({ "text": "acme's secret" })).await.expect(201).json();
    let _ = globex.post("/notes", &json!({ "text": "globex's own" })).await.expect(201);
    let path = format!("/notes/{}", secret["id"].as_str().expect("a note has an id"));
    assert_eq!(acme.get(&path).await.expect(200).json(), secret);
    let _ = globex.get(&path).await.expect(404);
    let _ = globex.delete(&path).await.expect(404);
    for sneaky in ["/notes/'%20OR%201=1%20--", "/notes/%25"] {
        let _ = globex.get(sneaky).await.expect(404);
    }
    let texts =
        |page: &Value| array(&page["notes"]).iter().map(|note| note["text"].clone()).collect::<Vec<_>>();
    assert_eq!(texts(&acme.get("/notes").await.expect(200).json()), ["acme's secret"]);
    assert_eq!(texts(&globex.get("/notes").await.expect(200).json()), ["globex's own"]);

    // The free plan ends at three notes; the one that is refused is neither made nor counted.
    for text in ["second", "third"] {
        let _ = acme.post("/notes", &json!({ "text": text })).await.expect(201);
    }
    let _ = acme.post("/notes", &json!({ "text": "fourth" })).await.expect(402);
    assert_eq!(texts(&acme.get("/notes").await.expect(200).json()).len(), 3);
    assert_eq!(used(acme, "notes").await, json!([3, 3]));
    assert_eq!(used(globex, "notes").await, json!([1, 3]));
    let _ = acme.delete(&path).await.expect(204);
    let _ = acme.get(&path).await.expect(404);
}

async fn files(acme: &Caller<'_>, globex: &Caller<'_>) {
    let put = async |caller: &Caller<'_>, content: &'static str| {
        caller.ask(Method::PUT, "/files/plan.txt", Bytes::from(content)).await.expect(201).json()
    };
    assert_eq!(put(acme, "acme's plan").await, json!({ "name": "plan.txt", "size": 11 }));
    let _ = globex.get("/files/plan.txt").await.expect(404);
    put(globex, "globex plans").await;
    assert_eq!(acme.get("/files/plan.txt").await.expect(200).text(), "acme's plan");
    assert_eq!(globex.get("/files/plan.txt").await.expect(200).text(), "globex plans");
    for sneaky in ["/files/..%2Fplan.txt", "/files/%2E%2E%2F"] {
        let _ = globex.get(sneaky).await.expect(400);
    }
    let listed = acme.get("/files").await.expect(200).json();
    assert_eq!(listed, json!({ "files": [{ "name": "plan.txt", "size": 11 }], "cursor": null }));
    let too_much = acme.ask(Method::PUT, "/files/big.bin", Bytes::from(vec![0; 1_000_000])).await;
    let _ = too_much.expect(402);
    assert_eq!(used(acme, "file_bytes").await, json!([11, 1_000_000]));
}

/// A plan that changes counts at once, also for a host whose tenant was remembered.
async fn plan(operator: &Caller<'_>, acme: &Caller<'_>) {
    let path = format!("/tenants/{}", id_of(operator, "acme").await);
    let _ = operator.ask(Method::PATCH, &path, json!({ "plan": "gold" }).to_string()).await.expect(400);
    let _ = operator.ask(Method::PATCH, &path, json!({ "plan": "team" }).to_string()).await.expect(200);
    assert_eq!(acme.get("/").await.expect(200).json()["plan"], "team");
    let _ = acme.post("/notes", &json!({ "text": "fourth" })).await.expect(201);
    assert_eq!(used(acme, "notes").await, json!([4, 10_000]));
}

/// A tenant that is removed leaves nothing behind; the other keeps all it has, and the bill.
async fn removal(operator: &Caller<'_>, acme: &Caller<'_>, globex: &Caller<'_>) {
    let (gone, stays) = (id_of(operator, "acme").await, id_of(operator, "globex").await);
    let _ = operator.delete(&format!("/tenants/{gone}")).await.expect(204);
    let _ = acme.get("/").await.expect(404);
    assert_eq!(globex.get("/files/plan.txt").await.expect(200).text(), "globex plans");
    let month = month(operator.server).await;
    let usage = operator.get(&format!("/usage?month={month}")).await.expect(200).json();
    let row = |resource, amount| json!({ "subdomain": "globex", "resource": resource, "amount": amount, "entries": 1 });
    assert_eq!(usage["usage"], json!([row("file_bytes", 12), row("notes", 1)]));
    for (id, status) in [(gone, 404), (stays, 200)] {
        let object = format!("/accounts/{{account}}/r2/buckets/saas/objects/{id}/plan.txt");
        let _ = operator.server.api(Method::GET, &object, None).await.expect(status);
    }
}

/// The month that the database is in.
async fn month(server: &Server) -> String {
    let sql = json!({ "sql": "SELECT strftime('%Y-%m', 'now') AS month" });
    let path = "/accounts/{account}/d1/database/saas/query";
    let answer = server.api(Method::POST, path, Some(&sql)).await.expect(200).json();
    answer["result"][0]["results"][0]["month"].as_str().expect("a month").to_owned()
}

async fn id_of(operator: &Caller<'_>, subdomain: &str) -> String {
    let listed = operator.get("/tenants").await.expect(200).json();
    let found = array(&listed["tenants"]).iter().find(|tenant| tenant["subdomain"] == subdomain);
    found.and_then(|tenant| tenant["id"].as_str()).expect("the tenant is listed").to_owned()
}

/// What was used of a resource, and what may be.
async fn used(tenant: &Caller<'_>, resource: &str) -> Value {
    let answer = tenant.get("/usage").await.expect(200).json();
    let row = array(&answer["usage"]).iter().find(|row| row["resource"] == resource);
    row.map(|row| json!([row["used"], row["allowed"]])).expect("each resource is told")
}

fn array(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("no array: {value}"))
}

/// Somebody who asks at one host with one token.
#[derive(Clone)]
struct Caller<'a> {
    server: &'a Server,
    host: &'static str,
    token: String,
}

impl Caller<'_> {
    async fn log_in(mut self, email: &str) -> Self {
        let body = json!({ "email": email, "password": PASSWORD });
        let answer = self.post("/login", &body).await.expect(200).json();
        answer["token"].as_str().expect("a token").clone_into(&mut self.token);
        self
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, "").await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, "").await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::POST, path, body.to_string()).await
    }

    async fn ask(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.host)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        self.server.send(request.body(body.into()).expect("a valid request")).await
    }
}
