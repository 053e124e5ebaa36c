//! The examples in docs/examples are what went over the wire: `UPDATE=1 cargo test -p sidetone --test installation examples` writes them anew.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use reqwest::Method;
use serde_json::{Value, json};
use support::captured::Page;
use support::clients::{Bot, Conversations, LOOPBACK, Telephony, applications, invitation};
use support::phones::{self, call_again, eventually, registered, ringing, unregistered};
use support::process::Installation;
use support::receiver::{Receiver, Webhook};
use support::views::{Scene, scene};

#[tokio::test(flavor = "multi_thread")]
async fn one_hold_in_three_views() {
    let scene = scene().await;
    let call = scene.ada.call_ref();
    let mut page = Page::new(
        "one-hold.md",
        "One hold in three dialects",
        "Two phones, user1001 and user1002, are in a call that an application of dialect 000 has begun; a bot of dialect 003 \
         holds user1001, and both users watch by dialect 002. A call that no bot began is its own thread. Both webhooks' \
         keys name one fact.",
    );
    // Two were told when the two had answered.
    scene.webhook(&scene.application_hears, "type", "member:media", 2).await;
    page.head("003: the bot holds");
    operate(&scene, &mut page, "call.user/hold", &call).await;
    told(&scene, &mut page, ("HELD", "Call.Member.held", 3)).await;
    page.head("003: the bot ends it");
    operate(&scene, &mut page, "call.user/unhold", &call).await;
    told(&scene, &mut page, ("ACTIVE", "Call.Member.unheld", 4)).await;
    page.head("003: who is not there is refused");
    let body = json!({ "threadId": call, "contactId": "nobody" });
    let (_, refused) = scene.bot.ask("call.user/hold", body.clone()).await;
    page.request("POST /bot/the-team/call.user/hold", &body, &refused);
    page.head("002: an operation whose capability is not there is refused");
    let retrieve = format!("/telephony/calls/{call}/retrieve");
    let (_, refused) = scene.ada.ask(Method::POST, &retrieve, json!({})).await;
    page.request(&format!("POST /api/rest/1.0{retrieve}"), &json!({}), &refused);
    page.check();
}

async fn operate(scene: &Scene, page: &mut Page, method: &str, call: &str) {
    let body = json!({ "threadId": call, "contactId": "user1001" });
    let (status, answer) = scene.bot.ask(method, body.clone()).await;
    assert!(status.is_success(), "{answer}");
    page.request(&format!("POST /bot/the-team/{method}"), &body, &answer);
}

async fn told(scene: &Scene, page: &mut Page, (state, held, media): (&str, &str, usize)) {
    let users = [("user1001, who is held", &scene.ada), ("user1002, who holds", &scene.ben)];
    for (who, user) in users {
        scene.until(&format!("{who} is told of {state}"), || user.call_state() == state).await;
        page.head(&format!("002 tells {who}"));
        page.json(user.events().last().unwrap());
    }
    page.head("003 tells the team");
    page.webhook(&scene.webhook(&scene.team_hears, "eventType", held, 1).await);
    page.head("000 tells the application");
    page.webhook(&scene.webhook(&scene.application_hears, "type", "member:media", media).await);
}

/// One process, an application, a team's bot, and who is told for them.
struct Office {
    installation: Installation,
    application: Conversations,
    bot: Bot,
    application_hears: Receiver,
    team_hears: Receiver,
}

impl Office {
    async fn open() -> Self {
        let (application_hears, team_hears) = (Receiver::start().await, Receiver::start().await);
        let seed = applications(&application_hears.events_url(), &team_hears.events_url());
        let installation = Installation::one_process_with("", &seed, LOOPBACK);
        let (application, bot) = (Conversations::new(&installation), Bot::new(&installation));
        Self { installation, application, bot, application_hears, team_hears }
    }

    async fn until(&self, what: &str, holds: impl FnMut() -> bool) {
        eventually(&self.installation, what, holds).await;
    }

    /// The first webhook of a type, waited for.
    async fn webhook(&self, of: &Receiver, field: &str, r#type: &str) -> Webhook {
        self.until(r#type, || of.column(field).iter().any(|there| there == r#type)).await;
        of.webhooks().into_iter().find(|webhook| webhook.body[field] == r#type).unwrap()
    }

    /// A request of the application, on the page.
    async fn applies(&self, page: &mut Page, path: &str, body: Value) -> Value {
        let answer = self.application.post(path, body.clone()).await;
        page.request(&format!("POST /beta{path}"), &body, &answer);
        answer
    }

    /// A request of the bot, on the page.
    async fn bots(&self, page: &mut Page, method: &str, body: Value) -> Value {
        let (status, answer) = self.bot.ask(method, body.clone()).await;
        assert!(status.is_success(), "{answer}");
        page.request(&format!("POST /bot/the-team/{method}"), &body, &answer);
        answer
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_from_the_knock_on() {
    let office = Office::open().await;
    let mut page = Page::new(
        "knock.md",
        "A caller knocks, is let in, and leaves",
        "Dialect 000: 1003 calls 9198, a number of the application. The application begins a conversation, makes a user, and lets \
         the caller in as its member. A knock has no number, because it has no conversation; events of the conversation have one \
         each, without a gap.",
    );
    let hears = &office.application_hears;
    let cid = unregistered(&office.installation, "1003", 1100.0).await;
    let calling = tokio::spawn(async move { (call_again(&cid, "9198").await, cid) });
    let knock = office.webhook(hears, "type", "app:knocking").await;
    page.head("Told: somebody knocks");
    page.webhook(&knock);
    page.webhook(&office.webhook(hears, "type", "sip:ringing").await);
    page.head("Asked: a conversation and a user");
    let conversation = office.applies(&mut page, "/conversations", json!({})).await["id"].clone();
    let user = office.applies(&mut page, "/users", json!({})).await["id"].clone();
    page.head("Told: there is a conversation");
    page.webhook(&office.webhook(hears, "type", "conversation:created").await);
    page.head("Asked: let the caller in");
    let mut invite = invitation(user.as_str().unwrap(), "1003", "9198");
    invite["knocking_id"] = knock.body["from"].clone();
    let path = format!("/conversations/{}", conversation.as_str().unwrap());
    let member = office.application.post(&format!("{path}/members"), invite.clone()).await;
    page.line(&format!("POST /beta{path}/members"));
    page.json(&invite);
    page.note("is answered with the member as it is by then. When the caller is in, that is");
    let member = format!("{path}/members/{}", member["id"].as_str().unwrap());
    let (answered, _cid) = calling.await.unwrap();
    let at_cid = answered.unwrap_or_else(|error| panic!("{error}\n{}", office.installation.logs()));
    office.webhook(hears, "type", "member:media").await;
    page.asked(&format!("GET /beta{member}"), &office.application.get(&member).await);
    page.head("Told: the caller is in");
    let of_it =
        |webhook: &Webhook| webhook.body["conversation_id"] == conversation && !webhook.body["id"].is_null();
    let so_far: Vec<Webhook> = hears.webhooks().into_iter().filter(of_it).collect();
    so_far.iter().for_each(|webhook| page.webhook(webhook));
    at_cid.hang_up().await.unwrap();
    page.head("Told: the caller has hung up");
    office.webhook(hears, "type", "member:left").await;
    hears.webhooks().iter().filter(|it| of_it(it)).skip(so_far.len()).for_each(|it| page.webhook(it));
    page.head("Asked: what has happened since the third event?");
    let query = format!("{path}/events?start_id=4&page_size=2");
    let log = office.application.get(&query).await;
    page.asked(&format!("GET /beta{query}"), &log);
    page.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_by_a_bot() {
    let office = Office::open().await;
    let mut page = Page::new(
        "recording.md",
        "A bot records a call",
        "Dialect 003: a bot calls two users together, has the call recorded, and is given the URL at which the recording plays for \
         whoever has it, for a limited time. What the document lists among the parameters of recording is taken and left alone.",
    );
    let ada = registered(&office.installation, "1001", 440.0).await;
    let ben = registered(&office.installation, "1002", 700.0).await;
    let thread = json!({ "threadId": "a thread of the team" });
    page.head("Two are asked in");
    for (user, phone) in [("user1001", &ada), ("user1002", &ben)] {
        let mut body = thread.clone();
        body["contactId"] = user.into();
        office.bots(&mut page, "call.user/invite", body).await;
        office.until("the phone is in a call", || !phone.calls().is_empty()).await;
        let ended =
            || office.team_hears.bodies().iter().any(|it| it["userId"] == user && it["answered"] == true);
        office.until("the team is told", ended).await;
    }
    page.head("The team is told");
    office.team_hears.webhooks().iter().for_each(|webhook| page.webhook(webhook));
    page.head("The call is recorded");
    office.bots(&mut page, "call.recording/start", thread.clone()).await;
    let at_ada = ada.calls().remove(0);
    office.until("they hear each other", || at_ada.ear().hears(700.0)).await;
    let url = office.bots(&mut page, "call.recording/stop", thread).await["data"]["fileUrl"].clone();
    let response = reqwest::get(url.as_str().unwrap()).await.unwrap();
    let (status, kind) = (response.status(), response.headers()["content-type"].to_str().unwrap().to_owned());
    let bytes = response.bytes().await.unwrap();
    assert!(hound::WavReader::new(&bytes[..]).unwrap().duration() > 0, "it plays");
    page.head("Its sound");
    page.asked(&format!("GET {}", url.as_str().unwrap()), &format!("{status}, Content-Type: {kind}").into());
    page.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_and_its_first_events() {
    let office = Office::open().await;
    let mut page = Page::new(
        "subscription.md",
        "A user listens to the own telephone",
        "Dialect 002: user1001 proves who it is with a password, opens a session, subscribes, and reads events from an endless \
         answer, one in a line. Then its telephone comes, is called by user1002, is answered, and the caller hangs up.",
    );
    let client = Telephony::start(&office.installation, "user1001", "secret-1001").await;
    page.head("Who asks");
    let cookie = "200, Set-Cookie: AlcUserId=TICKET".into();
    assert!(client.cookie().starts_with("AlcUserId="), "{}", client.cookie());
    page.asked("GET /api/rest/authenticate", &cookie);
    page.head("A session and a subscription");
    for (line, body, answer) in &client.opened {
        page.request(line, body, answer);
    }
    let channel = client.opened[1].2["publicPollingUrl"].as_str().unwrap().to_owned();
    page.head("The channel's first line");
    let channel = channel.strip_prefix("http://calls.example.com").unwrap();
    page.asked(&format!("GET {channel}"), &client.started);
    let ada = ringing(&office.installation, "1001", 440.0, false).await;
    let count = |n: usize| client.events().len() >= n;
    office.until("the telephone is told", || count(1)).await;
    let ben = unregistered(&office.installation, "1002", 700.0).await;
    let calling = tokio::spawn(async move { (call_again(&ben, "1001").await, ben) });
    let incoming = phones::incoming(&ada).await;
    let _at_ada = incoming.answer().unwrap();
    let (answered, _ben) = calling.await.unwrap();
    let at_ben = answered.unwrap_or_else(|error| panic!("{error}\n{}", office.installation.logs()));
    let busy = || client.events().last().is_some_and(|event| event["state"] == "BUSY");
    office.until("the user is busy", busy).await;
    at_ben.hang_up().await.unwrap();
    let free = || client.events().last().is_some_and(|event| event["state"] == "FREE");
    office.until("the user is free", free).await;
    page.head("What then comes");
    client.events().iter().for_each(|event| page.json(event));
    page.check();
}
