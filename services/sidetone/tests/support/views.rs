//! One call between two phones, watched and steered through the three dialects at the same moment.

use serde_json::Value;
use sidetone_testkit::phone::{Call, Phone};

use super::clients::{Bot, Conversations, LOOPBACK, Telephony, applications, invitation};
use super::phones::{eventually, hears, registered};
use super::process::Installation;
use super::receiver::{Receiver, Webhook};

/// Two phones in a call that an application has begun, and everybody who watches it.
pub struct Scene {
    pub installation: Installation,
    pub ada: Telephony,
    pub ben: Telephony,
    pub application: Conversations,
    pub application_hears: Receiver,
    pub bot: Bot,
    pub team_hears: Receiver,
    pub conversation: String,
    pub member_of_ada: Value,
    pub at_ada: Call,
    pub at_ben: Call,
    _phones: [Phone; 2],
}

async fn taken(installation: &Installation, phone: &Phone) -> Call {
    eventually(installation, "the phone is in a call", || !phone.calls().is_empty()).await;
    phone.calls().remove(0)
}

/// Both are in the call, hear each other, and everybody watches.
pub async fn scene() -> Scene {
    let (application_hears, team_hears) = (Receiver::start().await, Receiver::start().await);
    let seed = applications(&application_hears.events_url(), &team_hears.events_url());
    let installation = Installation::one_process_with("", &seed, LOOPBACK);
    let phones =
        [registered(&installation, "1001", 440.0).await, registered(&installation, "1002", 700.0).await];
    let ada = Telephony::start(&installation, "user1001", "secret-1001").await;
    let ben = Telephony::start(&installation, "user1002", "secret-1002").await;
    let (application, bot) = (Conversations::new(&installation), Bot::new(&installation));
    let (conversation, user) = application.begin().await;
    let members = format!("/conversations/{conversation}/members");
    let member = application.post(&members, invitation(&user, "5000", "1001")).await;
    let at_ada = taken(&installation, &phones[0]).await;
    application.post(&members, invitation(&user, "5000", "1002")).await;
    let at_ben = taken(&installation, &phones[1]).await;
    hears(&installation, &at_ada, 700.0).await;
    hears(&installation, &at_ben, 440.0).await;
    Scene {
        installation,
        ada,
        ben,
        application,
        application_hears,
        bot,
        team_hears,
        conversation,
        member_of_ada: member["id"].clone(),
        at_ada,
        at_ben,
        _phones: phones,
    }
}

impl Scene {
    pub async fn until(&self, what: &str, holds: impl FnMut() -> bool) {
        eventually(&self.installation, what, holds).await;
    }

    /// The last webhook of a type, waited for until so many of that type have come.
    pub async fn webhook(&self, of: &Receiver, field: &str, r#type: &str, count: usize) -> Webhook {
        let matching = || {
            let all = of.webhooks().into_iter();
            all.filter(|webhook| webhook.body[field] == r#type).collect::<Vec<_>>()
        };
        self.until(&format!("{count} of {type}"), || matching().len() >= count).await;
        let found = matching();
        assert_eq!(found.len(), count, "{found:#?}");
        found.last().unwrap().clone()
    }

    /// A member's media as the event log of the conversation has it.
    pub async fn logged_media(&self) -> Vec<Value> {
        let path =
            format!("/conversations/{}/events?event_type=member:media&page_size=100", self.conversation);
        self.application.get(&path).await["_embedded"]["events"].as_array().unwrap().clone()
    }
}
